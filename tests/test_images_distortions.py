"""Random distortions, against scipy.ndimage and matrices written out."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from sklearn import clone

from skann import ANNClassifier
from skann.images import ElasticTransform, RandomAffine
from skann.images.distortions import _smoothing_modes

pytestmark = pytest.mark.kernels

SHAPE = (9, 12)
EXAMPLES = [
    RandomAffine(SHAPE, degrees=(-30, 50), translate=(0.3, 0.1), scale=(0.6, 1.5), shear=20),
    RandomAffine(SHAPE, shear=(-10, 20, -30, 5)),
    ElasticTransform(SHAPE, alpha=30, sigma=2),
]
EVERY_DISTORTION = pytest.mark.parametrize("distort", EXAMPLES, ids=repr)


def images_of(shape=SHAPE, n_images=7, dtype=np.float64):
    return np.random.default_rng(1).random((n_images, np.prod(shape)), dtype=dtype)


def distorted(distort, inputs, seed=0):
    return distort(inputs.copy(), np.random.default_rng(seed))


def matrix(a, b, c, d):
    """Return a map of homogeneous (x, y)."""
    return np.array([[a, b, 0], [c, d, 0], [0, 0, 1.0]])


def shift(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def affine_map(distort, draws):
    """Return the map of (x, y) from an image to the distorted one, step by step."""
    degrees, right, lower, scale, shear_x, shear_y = draws
    height, width = distort.image_shape[:2]
    angle = np.radians(degrees)
    rotation = matrix(np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle))
    shear = matrix(1, 0, -np.tan(np.radians(shear_y)), 1) @ matrix(
        1, -np.tan(np.radians(shear_x)), 0, 1
    )
    to_centre = shift((width - 1) / 2, (height - 1) / 2)
    around = matrix(scale, 0, 0, scale) @ rotation @ shear
    return shift(right, lower) @ to_centre @ around @ np.linalg.inv(to_centre)


def draws_of(distort, n_images, seed=0):
    height, width = distort.image_shape[:2]
    across, down = width * distort.translate[0], height * distort.translate[1]
    pairs = [
        distort.degrees,
        (-across, across),
        (-down, down),
        distort.scale or (1, 1),
        distort.shear[:2],
        distort.shear[2:],
    ]
    lowest, highest = np.transpose(pairs)
    return np.random.default_rng(seed).uniform(lowest, highest, (n_images, 6))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distort", EXAMPLES[:2], ids=repr)
def test_affine_maps_are_those_of_ndimage(distort, dtype):
    inputs = images_of(dtype=dtype)
    swap = [1, 0, 2]
    for image, draws, output in zip(
        inputs, draws_of(distort, len(inputs)), distorted(distort, inputs), strict=True
    ):
        inverse = np.linalg.inv(affine_map(distort, draws))[swap][:, swap]
        expected = ndimage.affine_transform(
            image.reshape(SHAPE), inverse, order=1, mode="grid-constant"
        )
        assert_allclose(output.reshape(SHAPE), expected, atol=1e-5 if dtype == np.float32 else 1e-9)


class KnownNoise:
    """A source of random numbers that are all the same."""

    def __init__(self, noise):
        self.noise = noise

    def random(self, shape, dtype):
        return np.broadcast_to(self.noise, shape).astype(dtype)


def test_elastic_displacements_are_smooth_fields_looked_up_as_by_ndimage():
    # Of the noise, the lowest mode of either axis: its column is one with a scale of its own.
    distort = ElasticTransform(SHAPE, alpha=30, sigma=2)
    down, across = (_smoothing_modes(size, 2.0, np.dtype(np.float64)) for size in SHAPE)
    noise = np.full((2, 1, down.shape[1], across.shape[1]), 0.5)
    noise[:, 0, 0, 0] = 0.9, 0.2
    image = images_of(n_images=1)
    output = distort(image.copy(), KnownNoise(noise.reshape(-1, across.shape[1])))
    fields = 30 * (noise[:, 0, 0, 0] - 0.5)[:, None, None] * np.outer(down[:, 0], across[:, 0])
    expected = ndimage.map_coordinates(
        image.reshape(SHAPE), np.indices(SHAPE) + fields, order=1, mode="grid-constant"
    )
    assert np.abs(fields).max() > 0.5
    assert_allclose(output.reshape(SHAPE), expected, atol=1e-9)


@pytest.mark.parametrize(("size", "sigma"), [(28, 4.0), (28, 2.0), (5, 20.0)])
def test_smoothing_modes_have_the_covariance_of_noise_smoothed_by_ndimage(size, sigma):
    smoothing = ndimage.gaussian_filter1d(np.eye(size), sigma, axis=0, mode="mirror")
    covariance = smoothing @ smoothing.T
    modes = _smoothing_modes(size, sigma, np.dtype(np.float64))
    assert_allclose(modes @ modes.T, covariance, atol=0.03 * covariance.max())


def test_elastic_displacements_are_as_strong_as_documented():
    # A ramp shows them: its values are its coordinates.
    height, width = 60, 60
    ramp = np.tile(np.arange(width, dtype=float), (height, 1)).reshape(1, -1)
    moved = distorted(ElasticTransform((height, width), 50, 5), np.repeat(ramp, 40, axis=0)) - ramp
    inside = moved.reshape(-1, height, width)[:, 20:40, 20:40]
    assert inside.std() == pytest.approx(0.08 * 50 / 5, rel=0.1)


class TestMeaning:
    def image(self):
        image = np.zeros((1, 5, 7))
        image[0, 1, 2] = 1
        return image.reshape(1, -1)

    def test_nothing_to_do_changes_nothing(self):
        inputs = images_of()
        assert_allclose(distorted(RandomAffine(SHAPE), inputs), inputs, atol=1e-12)
        assert_allclose(distorted(ElasticTransform(SHAPE, 0, 3), inputs), inputs, atol=1e-12)

    def test_a_quarter_turn_is_clockwise(self):
        image = images_of((6, 6), 1)
        turned = distorted(RandomAffine((6, 6), degrees=(90, 90)), image)
        assert_allclose(turned.reshape(6, 6), np.rot90(image.reshape(6, 6), -1), atol=1e-9)

    def test_translate_is_a_fraction_of_width_and_of_height(self):
        inputs = np.repeat(self.image(), 500, axis=0)
        across = distorted(RandomAffine((5, 7), translate=(2 / 7, 0)), inputs).reshape(-1, 5, 7)
        assert across[:, [0, 2, 3, 4]].max() < 1e-9
        assert_array_equal(across.max(axis=(0, 1)) > 0.5, [1, 1, 1, 1, 1, 0, 0])
        down = distorted(RandomAffine((5, 7), translate=(0, 1 / 5)), inputs).reshape(-1, 5, 7)
        assert_array_equal(down.max(axis=(0, 2)) > 0.5, [1, 1, 1, 0, 0])

    def test_scale_enlarges_about_the_centre(self):
        image = np.zeros((1, 7, 7))
        image[0, 2:5, 2:5] = 1
        larger = distorted(RandomAffine((7, 7), scale=(2, 2)), image.reshape(1, -1))
        assert larger.sum() == pytest.approx(36)

    def test_what_comes_from_outside_is_zero(self):
        ones = np.ones((200, 28 * 28), np.float32)
        far = distorted(RandomAffine((28, 28), translate=1, scale=(0.01, 5), degrees=180), ones)
        assert far.min() == 0
        assert far.max() == pytest.approx(1)
        assert np.isfinite(distorted(ElasticTransform((28, 28), 1e9, 1), ones)).all()

    def test_every_image_has_a_distortion_of_its_own(self):
        inputs = np.repeat(images_of(n_images=1), 20, axis=0)
        for distort in EXAMPLES:
            assert len(np.unique(distorted(distort, inputs).round(9), axis=0)) == 20

    @EVERY_DISTORTION
    def test_channels_are_distorted_alike(self, distort):
        grey = images_of()
        colour = np.stack([grey, 2 * grey, 1 - grey], axis=-1).reshape(len(grey), -1)
        output = distorted(replace(distort, image_shape=(*SHAPE, 3)), colour)
        output = output.reshape(*grey.shape, 3)
        expected = distorted(distort, grey)
        assert_allclose(output[..., 0], expected, atol=1e-12)
        assert_allclose(output[..., 1], 2 * expected, atol=1e-12)
        assert_allclose(
            output[..., 2], distorted(distort, np.ones_like(grey)) - expected, atol=1e-9
        )


class TestContract:
    @EVERY_DISTORTION
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("n_images", [0, 1, 5, 3000])
    def test_shape_and_dtype_stay(self, distort, dtype, n_images):
        output = distorted(distort, images_of(n_images=n_images, dtype=dtype))
        assert output.shape == (n_images, 108)
        assert output.dtype == dtype

    @EVERY_DISTORTION
    def test_the_generator_decides(self, distort):
        inputs = images_of()
        assert_array_equal(distorted(distort, inputs, 3), distorted(distort, inputs, 3))
        assert np.any(distorted(distort, inputs, 3) != distorted(distort, inputs, 4))

    @EVERY_DISTORTION
    def test_rows_need_not_lie_one_after_the_other(self, distort):
        inputs = images_of()
        output = distort(np.asfortranarray(inputs), np.random.default_rng(0))
        assert_array_equal(output, distorted(distort, inputs))

    @EVERY_DISTORTION
    def test_threads_do_not_share_what_they_work_in(self, distort):
        inputs = images_of(n_images=500)
        expected = distorted(distort, inputs)
        with ThreadPoolExecutor(4) as pool:
            for output in pool.map(lambda _: distorted(distort, inputs), range(20)):
                assert_array_equal(output, expected)

    @EVERY_DISTORTION
    def test_a_value_like_any_other(self, distort):
        again = pickle.loads(pickle.dumps(distort))
        assert again == distort
        assert hash(again) == hash(distort)
        assert eval(repr(distort)) == distort
        assert clone(distort, safe=False) == distort
        assert replace(distort, image_shape=(9, 13)) != distort

    def test_what_means_the_same_is_equal(self):
        short = RandomAffine([9, 12], degrees=5, translate=0.1, shear=3, scale=[1, 2])
        long = RandomAffine(SHAPE, (-5, 5), (0.1, 0.1), (1.0, 2.0), (-3, 3, 0, 0))
        assert short == long
        assert hash(short) == hash(long)

    def test_it_may_be_a_parameter_of_an_estimator(self):
        # Nothing but what a parameter must be: compared, copied, shown.
        classifier = ANNClassifier(random_state=EXAMPLES[0])
        assert clone(classifier).random_state == EXAMPLES[0]
        assert "RandomAffine" in repr(classifier)

    @EVERY_DISTORTION
    @pytest.mark.parametrize("shape", [(4, 100), (108,)])
    def test_rows_of_another_length_are_refused(self, distort, shape):
        with pytest.raises(ValueError, match=r"means rows of 108 values; got .*of shape \("):
            distort(np.zeros(shape), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_shape": 28}, r"image_shape must be \(height, width\) or .*; got 28"),
        ({"image_shape": (28,)}, "image_shape must be"),
        ({"image_shape": (28, 0)}, "image_shape must be .*positive integers"),
        ({"image_shape": (28, 28.5)}, "image_shape must be"),
        ({"image_shape": (3000, 3000)}, "image_shape must have at most 4,194,304 pixels"),
        ({"degrees": -5}, r"degrees must be at least 0; got -5"),
        ({"degrees": (5, -5)}, "degrees must start with the lower end"),
        ({"degrees": (1, 2, 3)}, r"degrees must have 2 numbers; got \(1, 2, 3\)"),
        ({"degrees": "5"}, "degrees must consist of finite numbers; got '5'"),
        ({"degrees": np.nan}, "degrees must consist of finite numbers; got nan"),
        ({"translate": 2}, "translate must be at least 0 and at most 1; got 2"),
        ({"translate": (0.1, -0.1)}, "translate must be at least 0 and at most 1; got -0.1"),
        ({"scale": (0, 1)}, "scale must be above 0"),
        ({"scale": (2, 1)}, "scale must start with the lower end"),
        ({"shear": 90}, "shear must be above -90 and below 90"),
        ({"shear": (0, 1, 2)}, "shear must have 2 or 4 numbers"),
        ({"shear": (0, 1, 2, 1)}, "shear must start with the lower end"),
    ],
    ids=str,
)
def test_bad_parameters_of_random_affine_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        RandomAffine(**({"image_shape": (28, 28)} | changes))


@pytest.mark.parametrize(
    ("alpha", "sigma", "message"),
    [
        (-1, 4, "alpha must be at least 0; got -1"),
        ((34, 34), 4, r"alpha must consist of finite numbers; got \(34, 34\)"),
        (34, 0, "sigma must be above 0; got 0"),
        (34, np.inf, "sigma must consist of finite numbers; got inf"),
    ],
)
def test_bad_parameters_of_elastic_transform_are_refused(alpha, sigma, message):
    with pytest.raises(ValueError, match=message):
        ElasticTransform((28, 28), alpha, sigma)
