"""From photographs of test digits to the digits, by a network trained on MNIST."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import fetch_openml
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline

from skann import ANNClassifier
from skann.images import ElasticTransform, ImageReader, RandomAffine, split_digits
from tests.pictures import line_of, pasted, saved

pytest.importorskip("PIL")

CACHE = Path(__file__).parents[2] / "shared" / "scikit_learn_data"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CACHE.is_dir(), reason="there is no copy of MNIST beside the project"),
]

# OpenML lists the 60,000 training images first.
N_TRAIN = 60_000


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """Return images and labels."""
    # A copy: scikit-learn deletes cached files that it fails to parse.
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(CACHE, home, dirs_exist_ok=True)
    data = fetch_openml("mnist_784", version=1, as_frame=False, parser="liac-arff", data_home=home)
    return data.data.astype(np.uint8, order="C"), data.target.astype(int)


@pytest.fixture(scope="module")
def pipeline(mnist):
    """Return a reader and a network that was trained on images and on distorted copies."""
    X, y = mnist[0][:N_TRAIN].astype(np.float32), mnist[1][:N_TRAIN]
    shift = RandomAffine((28, 28), degrees=12, translate=0.06, scale=(0.85, 1.1), shear=8)
    bend = ElasticTransform((28, 28), alpha=50, sigma=5)
    rng = np.random.default_rng(0)
    copies = [bend(shift(X.copy(), rng), rng) for _ in range(4)]
    classifier = ANNClassifier(hidden_layer_sizes=(128, 64), max_iter=8, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(np.concatenate([X, *copies]), np.tile(y, 5))
    return make_pipeline(ImageReader(), classifier)


def test_digits_on_paper_are_read_from_files(mnist, pipeline, tmp_path):
    rng = np.random.default_rng(1)
    images = mnist[0][N_TRAIN : N_TRAIN + 2000].reshape(-1, 28, 28)
    labels = mnist[1][N_TRAIN : N_TRAIN + 2000]
    paths = [saved(pasted(image, rng), tmp_path / str(i), rng) for i, image in enumerate(images)]
    accuracy = pipeline.score(paths, labels)
    print(f"{accuracy:.2%} of {len(paths)} pictures of a digit are read right.")
    assert accuracy >= 0.97


def test_lines_of_digits_are_read_from_files(mnist, pipeline, tmp_path):
    rng = np.random.default_rng(2)
    images = mnist[0][-1000:].reshape(200, 5, 28, 28)
    labels = mnist[1][-1000:].reshape(200, 5)
    lines = [saved(line_of(line, rng), tmp_path / str(i), rng) for i, line in enumerate(images)]
    found = [split_digits(path) for path in lines]
    n_complete = sum(len(digits) == 5 for digits in found)
    n_right = sum(
        len(digits) == 5 and np.array_equal(pipeline.predict(digits), line)
        for digits, line in zip(found, labels, strict=True)
    )
    print(f"{n_complete} of {len(lines)} lines have all digits found, {n_right} are read right.")
    assert n_complete >= 0.95 * len(lines)
    assert n_right >= 0.8 * len(lines)
