"""
Streaming from a file
=====================

A file of rows that need not fit into memory: `numpy.memmap` shows it as an array, `partial_fit`
takes it in pieces. The rows are bytes, as they lie in the file; ``input_scaling`` turns them into
numbers of a good size, batch by batch.
"""

# %%
# The rows are patches of 8x8 pixels from scikit-learn's two photographs, a temple and a flower, and
# the question is from which of them a patch comes. Every fourth strip of the photographs is kept
# for testing. The rows are written in random order.

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
    """Cut a strip of a photograph into overlapping patches, one to a row."""
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
# The stream: a thousand rows at a time, each piece used once. The first call names all classes that
# will ever come. After every fourth piece the test patches are predicted.

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
tracemalloc.start()
shuffled = list(stream(rows_on_disk, y_stream))
peak = tracemalloc.get_traced_memory()[1]
tracemalloc.stop()
print(f"Peak of the memory that streaming took: {peak / 1e6:.1f} MB")

# %%
# Order matters to a stream. The same rows one photograph after the other: the network forgets the
# first while it sees only the second.

by_photograph = list(stream(X_train, y_train))

figure, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
LINES = {
    "rows in random order": (shuffled, "#0072B2", "o-"),
    "one photograph after the other": (by_photograph, "#D55E00", "s--"),
}
for name, (points, color, style) in LINES.items():
    seen, accuracy = np.transpose(points)
    ax.plot(seen, 100 * accuracy, style, color=color, ms=4)
    ax.annotate(name, (seen[-1], 100 * accuracy[-1]), (0, 10), textcoords="offset points")
    ax.texts[-1].set(color=color, ha="right")
ax.set(xlabel="rows seen", ylabel="test patches told apart (%)", ylim=(40, 105))
ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
ax.spines[["top", "right"]].set_visible(False)
ax.grid(alpha=0.25)

# %%
# A file that is small enough to be read several times need not be streamed: `fit` takes the map as
# well, reads its rows batch by batch, in an order of its own, and copies nothing else.

whole = ANNClassifier(64, input_scaling="standard", random_state=0)
accuracy_of_fit = whole.fit(rows_on_disk, y_stream).score(X_test, y_test)
print(f"fit on the same file, {whole.n_iter_} epochs: {accuracy_of_fit:.1%}")
print(f"one pass of partial_fit: {shuffled[-1][1]:.1%}")
del rows_on_disk
folder.cleanup()
plt.show()
