"""
Training on distorted images
============================

A network trained on centred images misreads images that are shifted, rotated or resized. With
`augmentation` you can distort every training batch at random. This example compares a network
trained with `RandomAffine` with one trained without.
"""

# %%
# The data are handwritten digits of 8x8 pixels. `augmentation` takes any function of the rows of a
# batch and a random generator. This function rotates, shifts and zooms images at random, but not so
# far that they become other digits. It leaves a quarter of each batch unchanged: a distortion
# interpolates between pixels and so blurs the images, and the test images are sharp.

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skann import ANNClassifier
from skann.images import RandomAffine

IMAGE = (8, 8)
move = RandomAffine(IMAGE, degrees=25, translate=0.15, scale=(0.8, 1.2))


def distort(inputs, rng):
    """Distort three quarters of the images of a batch."""
    n_kept = len(inputs) // 4
    inputs[n_kept:] = move(inputs[n_kept:], rng)
    return inputs


X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)

rng = np.random.default_rng(0)
samples = X_train[[np.flatnonzero(y_train == digit)[0] for digit in range(0, 10, 2)]]
figure, axes = plt.subplots(3, 5, figsize=(4.6, 3.3), layout="constrained")
for row, name in zip(axes, ["original", "distorted", "distorted again"], strict=True):
    images = samples if name == "original" else move(samples.copy(), rng)
    row[0].set_title(name, loc="left", fontsize="medium")
    for ax, image in zip(row, images, strict=True):
        ax.imshow(image.reshape(IMAGE), cmap="gray_r", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])

# %%
# The two networks differ only in `augmentation`. Both train for four times the default number of
# epochs, because a network learns more slowly from images that it never sees twice.

networks = {
    name: ANNClassifier(
        input_scaling="maxabs", max_iter=160, augmentation=augmentation, random_state=0
    ).fit(X_train, y_train)
    for name, augmentation in {"without augmentation": None, "with augmentation": distort}.items()
}
for name, network in networks.items():
    print(f"{name}: accuracy {network.score(X_test, y_test):.1%} on undistorted test images")

# %%
# Now all test images are shifted to the right, rotated or zoomed by the same amount. The plots show
# the accuracy of both networks for different amounts.


def shifted(pixels):
    """Return the test images shifted to the right."""
    images = ndimage.shift(X_test.reshape(-1, *IMAGE), (0, 0, pixels), order=1)
    return images.reshape(X_test.shape)


def rotated(degrees):
    """Return the test images rotated clockwise."""
    return RandomAffine(IMAGE, degrees=(degrees, degrees))(X_test.copy(), rng)


def zoomed(factor):
    """Return the test images enlarged."""
    return RandomAffine(IMAGE, scale=(factor, factor))(X_test.copy(), rng)


DISTORTIONS = {
    "shift in pixels": (shifted, np.linspace(-2, 2, 17)),
    "rotation in degrees": (rotated, np.linspace(-45, 45, 19)),
    "zoom": (zoomed, np.linspace(0.5, 1.5, 17)),
}
accuracy = {
    (name, label): [network.score(change(amount), y_test) for amount in amounts]
    for label, (change, amounts) in DISTORTIONS.items()
    for name, network in networks.items()
}

figure, axes = plt.subplots(1, 3, figsize=(9, 3.6), sharey=True, layout="constrained")
for ax, (label, (_, amounts)) in zip(axes, DISTORTIONS.items(), strict=True):
    for name in networks:
        ax.plot(amounts, accuracy[name, label], label=name)
    ax.set_xlabel(label)
    ax.grid(alpha=0.3)
axes[0].set(ylabel="accuracy on the test images", ylim=(0, 1.02))
lines, names = axes[0].get_legend_handles_labels()
figure.legend(lines, names, loc="outside upper center", ncols=2, frameon=False)
plt.show()
