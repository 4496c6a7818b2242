"""
Streaming from a file
=====================

You can train on a file that does not fit into memory: `numpy.memmap` presents it as an array, and
`partial_fit` takes it in pieces. Here the rows are bytes. ``input_scaling`` converts them to scaled
floats batch by batch.
"""

# %%
# The rows are patches of 8x8 pixels from scikit-learn's two photographs, a temple and a flower. The
# label is the photograph that a patch comes from. Every fourth strip of the photographs is held out
# for testing. The rows are written to the file in random order.

import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from skann import ANNClassifier

PHOTOGRAPHS = ("china.jpg", "flower.jpg")
SIDE, STRIP = 8, 32


def patches(strip: np.ndarray) -> np.ndarray:
    """Cut a strip of a photograph into overlapping patches, one per row."""
    windows = np.lib.stride_tricks.sliding_window_view(strip, (SIDE, SIDE), axis=(0, 1))
    return windows[::2, ::2].reshape(-1, SIDE * SIDE * 3)


train: list[tuple[np.ndarray, np.ndarray]] = []
test: list[tuple[np.ndarray, np.ndarray]] = []
for label, name in enumerate(PHOTOGRAPHS):
    photograph = load_sample_image(name)
    for number, start in enumerate(range(0, photograph.shape[1], STRIP)):
        rows = patches(photograph[:, start : start + STRIP])
        part = test if number % 4 == 3 else train
        part.append((rows, np.full(len(rows), label)))
X_test, y_test = (np.concatenate(arrays) for arrays in zip(*test, strict=True))
X_train, y_train = (np.concatenate(arrays) for arrays in zip(*train, strict=True))

folder = tempfile.TemporaryDirectory()
path = Path(folder.name, "patches.bin")
order = np.random.default_rng(0).permutation(len(X_train))
X_train[order].tofile(path)
y_stream = y_train[order]
shape = X_train.shape
print(f"{shape[0]:,} rows of {shape[1]} bytes: a file of {path.stat().st_size / 1e6:.0f} MB")

# %%
# The stream passes a thousand rows at a time, and each piece is used once. The first call of
# `partial_fit` must name all classes. The test patches are scored after every fourth piece.

PIECE = 1000


def stream(X: np.ndarray, y: np.ndarray) -> Iterator[tuple[int, float]]:
    """Train on pieces of the rows; yield how many were used, and the accuracy."""
    classifier = ANNClassifier(64, input_scaling="standard", random_state=0)
    for number, start in enumerate(range(0, len(X), PIECE), start=1):
        piece = slice(start, start + PIECE)
        classifier.partial_fit(X[piece], y[piece], classes=[0, 1])
        if number % 4 == 0:
            yield number * PIECE, classifier.score(X_test, y_test)


rows_on_disk = np.memmap(path, np.uint8, mode="r", shape=shape)
next(stream(rows_on_disk, y_stream))  # The first fit also loads compiled code, with Numba.
tracemalloc.start()
shuffled = list(stream(rows_on_disk, y_stream))
peak = tracemalloc.get_traced_memory()[1]
tracemalloc.stop()
print(f"Peak memory of streaming: {peak / 1e6:.1f} MB")

# %%
# The order of the rows matters. If all rows of one photograph come first, the network forgets them
# while it sees only those of the other.

by_photograph = list(stream(X_train, y_train))

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
LINES = {
    "rows in random order": (shuffled, "#0072B2", "o-"),
    "one photograph after the other": (by_photograph, "#D55E00", "s--"),
}
for name, (points, color, style) in LINES.items():
    seen, accuracy = np.transpose(points)
    ax.plot(seen, 100 * accuracy, style, color=color, ms=4, label=name)
figure.legend(loc="outside upper center", ncols=2, frameon=False)
ax.set(xlabel="rows seen", ylabel="accuracy on the test patches (%)", ylim=(40, 100))
ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
ax.spines[["top", "right"]].set_visible(False)
ax.grid(alpha=0.25)

# %%
# If you can read the file several times, you need no stream: `fit` also accepts the memory map. It
# reads the rows batch by batch in random order, and copies only the current batch.

whole = ANNClassifier(64, input_scaling="standard", random_state=0)
accuracy_of_fit = whole.fit(rows_on_disk, y_stream).score(X_test, y_test)
print(f"fit on the same file, {whole.n_iter_} epochs: {accuracy_of_fit:.1%}")
print(f"one pass of partial_fit: {shuffled[-1][1]:.1%}")
del rows_on_disk
folder.cleanup()
plt.show()
