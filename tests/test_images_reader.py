"""Pictures in, rows like those of MNIST out; what cannot be used is named."""

import io
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from sklearn import clone
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline

from skann import ANNClassifier
from skann.images import ImageReader
from tests.pictures import OnPaper, enlarged, pasted, saved

Image = pytest.importorskip("PIL.Image")


def seven(paper=255, ink=0, height=90, width=70):
    """Return a picture of a seven, off its centre."""
    picture = np.full((height, width), paper, np.uint8)
    picture[20:28, 10:50] = ink
    picture[28:80, 36:50] = ink
    return picture


def read(picture, **parameters):
    return ImageReader(**parameters).transform([picture])[0]


SEVEN = read(seven())


@pytest.fixture
def write(tmp_path):
    """Return a function that saves a picture and gives its path."""

    def save(name, picture=None, **options):
        image = Image.fromarray(seven() if picture is None else picture)
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


class TestRecipe:
    def test_rows_are_light_on_dark_from_0_to_255(self):
        assert SEVEN.shape == (784,)
        assert SEVEN.dtype == np.float32
        assert SEVEN.min() == 0
        assert SEVEN.max() == 255
        assert SEVEN.reshape(28, 28)[[0, -1]].max() == 0

    @pytest.mark.parametrize("scale", [1, 3])
    def test_the_centre_of_mass_is_that_of_mnist_and_the_height_is_20(self, scale):
        image = read(np.kron(seven(), np.ones((scale, scale), np.uint8))).reshape(28, 28)
        assert_allclose(ndimage.center_of_mass(image), (14, 14), atol=0.1)
        profile = image.max(axis=1)
        assert profile.sum() / 255 == pytest.approx(20, abs=0.6)
        # As wide as it was: 40 of 60.
        assert image.max(axis=0).sum() / 255 == pytest.approx(20 * 40 / 60, abs=0.6)

    def test_the_box_can_be_the_centre(self):
        image = read(seven(), center="box").reshape(28, 28)
        rows = np.flatnonzero(image.max(axis=1) > 127)
        columns = np.flatnonzero(image.max(axis=0) > 127)
        assert rows[0] + rows[-1] == 27
        assert columns[0] + columns[-1] == pytest.approx(27, abs=1)

    def test_box_and_shape_may_be_others(self):
        wide = np.zeros((40, 200), np.uint8)
        wide[15:25, 20:180] = 255
        image = read(wide, image_shape=(10, 50), box=(8, 40)).reshape(10, 50)
        assert image.max(axis=0).sum() / 255 == pytest.approx(40, abs=0.6)

    @pytest.mark.parametrize("paper", [OnPaper(230, 40), OnPaper(20, 250), OnPaper(180, 30, 12)])
    def test_paper_is_taken_away(self, paper):
        coverage = (255 - seven()) / 255
        assert_allclose(read(paper.picture(coverage)), SEVEN, atol=25)

    def test_writing_may_touch_the_edge(self):
        assert_allclose(read(seven()[20:]), SEVEN, atol=1)
        assert_allclose(read(seven()[:80, 10:]), SEVEN, atol=1)

    @pytest.mark.parametrize("invert", [True, False])
    def test_invert_says_what_is_written(self, invert):
        # More ink than paper around it, within a frame of paper.
        picture = np.full((60, 60), 200, np.uint8)
        picture[5:55, 5:55] = 0
        picture[20:40, 28:32] = 255
        image = read(picture, invert=invert).reshape(28, 28)
        assert (image[4:24, 5:9].max() > 100) == invert

    def test_fine_patterns_become_grey(self):
        stripes = np.tile(np.array([0, 255], np.uint8), (280, 140))
        image = read(stripes, center=None, image_shape=(28, 28))
        assert_allclose(image.reshape(28, 28)[:, 2:-2], 127.5, atol=4)

    def test_pictures_of_one_size_may_stay_as_they_are(self):
        picture = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
        assert_array_equal(read(picture, center=None), picture.ravel())
        assert_array_equal(read(picture, center=None, invert=True), 255 - picture.ravel())
        assert_array_equal(read(np.full((5, 5), 7), center=None), np.full(784, 7))

    def test_colours_may_stay(self, write):
        picture = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
        reader = ImageReader(image_shape=(6, 5, 3), center=None)
        for given in (picture, write("colour.png", picture), Image.fromarray(picture)):
            assert_array_equal(reader.transform([given])[0], picture.ravel())
        grey = reader.transform([picture[..., 0]])[0].reshape(6, 5, 3)
        assert_array_equal(grey, np.repeat(picture[..., :1], 3, axis=2))


class TestKindsOfPictures:
    def test_paths_files_images_and_arrays_are_the_same(self, write):
        path = write("seven.png")
        in_memory = io.BytesIO(path.read_bytes())
        with path.open("rb") as file:
            kinds = [
                str(path),
                path,
                file,
                in_memory,
                Image.open(path),
                seven(),
                seven()[..., None],
            ]
            kinds += [seven() > 100, seven().astype(np.uint16) * 257, seven().astype(float)]
            kinds += [np.dstack([seven()] * 3), Image.fromarray(seven()).convert("1")]
            rows = ImageReader().transform(kinds)
        assert_allclose(rows, np.tile(SEVEN, (len(kinds), 1)), atol=1e-3)
        # A file that was read before is read from its start.
        assert_array_equal(read(in_memory), SEVEN)

    def test_a_list_a_stack_a_column_and_a_generator(self, write):
        path = write("seven.png")
        reader = ImageReader()
        expected = [SEVEN, SEVEN]
        for pictures in (
            np.stack([seven()] * 2),
            np.stack([np.dstack([seven()] * 3)] * 2),
            np.array([str(path)] * 2),
            np.array([[str(path)]] * 2, dtype=object),
            (str(path) for _ in range(2)),
        ):
            assert_allclose(reader.transform(pictures), expected, atol=1e-3)

    @pytest.mark.parametrize("none", [[], (), iter([]), np.empty((0, 28, 28))])
    def test_no_picture(self, none):
        with pytest.raises(ValueError, match="Expected at least one picture; got none"):
            ImageReader().transform(none)

    @pytest.mark.parametrize("kind", [str, pathlib.Path])
    def test_a_folder(self, kind, tmp_path):
        with pytest.raises(ValueError, match=r"is a folder. Pass a list of its pictures, .*\.glob"):
            ImageReader().transform(kind(tmp_path))

    def test_data_frames_give_their_column(self, write):
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame({"path": [str(write("seven.png"))]})
        for pictures in (frame, frame["path"]):
            assert_array_equal(ImageReader().transform(pictures), [SEVEN])

    @pytest.mark.parametrize(
        ("picture", "hint"),
        [
            ("photo.png", r"\['photo.png'\]"),
            (seven(), r"\[array\]"),
            (np.dstack([seven()] * 3), r"\[array\]"),
            (io.BytesIO(), r"\[picture\]"),
            (Image.fromarray(seven()), r"\[picture\]"),
        ],
        ids=["path", "array", "colour", "file", "image"],
    )
    def test_a_lone_picture_is_to_be_put_into_a_list(self, picture, hint):
        with pytest.raises(ValueError, match=rf"Expected a list of pictures; .* Pass {hint}"):
            ImageReader().transform(picture)

    @pytest.mark.parametrize(
        ("picture", "error", "message"),
        [
            (3, TypeError, "Picture 1 must be a path, .* or an array; got int"),
            (io.StringIO("text"), TypeError, "Picture 1 is open as text; open it in binary"),
            (np.zeros((0, 5)), ValueError, r"Picture 1 is an array without pixels, .* \(0, 5\)"),
            (np.zeros(784), ValueError, r"Picture 1 is an array of shape \(784,\)"),
            (np.zeros((5, 5, 3)), ValueError, r"3\) and dtype float64. .* uint8"),
            (np.full((5, 5), "a"), ValueError, "Picture 1 is an array of .* dtype <U1"),
            (np.full((5, 5), np.nan), ValueError, "Picture 1 has NaN or infinite pixels"),
        ],
        ids=["number", "text", "empty", "flat", "floats in colour", "strings", "nan"],
    )
    def test_what_is_not_a_picture_is_refused(self, picture, error, message):
        with pytest.raises(error, match=message):
            ImageReader().transform([seven(), picture])


class TestOddFiles:
    def test_sixteen_bits(self, write):
        assert_allclose(read(write("16.png", seven().astype(np.uint16) * 257)), SEVEN, atol=1e-3)
        wide = np.array(seven(), np.int32) * 257
        assert_allclose(read(write("32.tif", wide)), SEVEN, atol=1e-3)

    def test_more_than_sixteen_bits(self, write):
        path = write("32.tif", np.array(seven(), np.int32) * 1000)
        with pytest.raises(ValueError, match=r"32\.tif has pixels of more than 16 bits, from 0 to"):
            read(path)

    def test_floating_point_pixels(self, write):
        with pytest.raises(ValueError, match=r"f\.tif has floating-point pixels"):
            read(write("f.tif", seven().astype(np.float32)))

    def test_cmyk(self, tmp_path):
        path = tmp_path / "cmyk.jpg"
        Image.fromarray(seven()).convert("CMYK").save(path, quality=95)
        assert_allclose(read(path), SEVEN, atol=15)

    @pytest.mark.parametrize("ink", [0, 255], ids=["dark", "light"])
    @pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
    def test_transparent_paper(self, ink, mode, tmp_path):
        # What is under the transparent pixels must not matter: it is as the ink.
        picture = np.full((*seven().shape, 4), ink, np.uint8)
        picture[..., 3] = 255 - seven()
        image = Image.fromarray(picture)
        image = image.quantize() if mode == "P" else image.convert(mode)
        image.save(tmp_path / "transparent.png")
        assert_allclose(read(tmp_path / "transparent.png"), SEVEN, atol=1e-3)

    def test_turned_by_exif(self, tmp_path):
        turned = Image.fromarray(seven()).transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[0x0112] = 6  # To be turned clockwise to be seen upright
        turned.save(tmp_path / "turned.jpg", exif=exif, quality=95)
        assert_allclose(read(tmp_path / "turned.jpg"), SEVEN, atol=15)

    @pytest.mark.parametrize("name", ["moving.gif", "moving.png", "moving.tif"])
    def test_animated(self, name, write):
        others = [Image.fromarray(255 - seven()), Image.fromarray(seven() // 2)]
        path = write(name, save_all=True, append_images=others)
        with pytest.raises(ValueError, match=rf"{name} has 3 frames. Choose one with Pillow"):
            read(path)

    def test_photographs_with_more_pictures_behind_them(self, write):
        path = write("phone.mpo", save_all=True, append_images=[Image.fromarray(seven())])
        assert_allclose(read(path), SEVEN, atol=15)

    def test_empty(self, tmp_path):
        (tmp_path / "empty.png").touch()
        with pytest.raises(ValueError, match=r"empty\.png is empty: a file of 0 bytes"):
            read(tmp_path / "empty.png")
        with pytest.raises(ValueError, match="Picture 0 is empty"):
            read(io.BytesIO())

    @pytest.mark.parametrize("kind", ["png", "jpg", "gif", "tif", "bmp", "webp"])
    def test_cut_off(self, kind, tmp_path):
        noise = np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)
        path = tmp_path / f"half.{kind}"
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ValueError, match=rf"half\.{kind} is (broken|not an image)"):
            read(path)

    def test_not_an_image(self, tmp_path):
        (tmp_path / "notes.png").write_text("Buy milk.")
        with pytest.raises(ValueError, match=r"notes\.png is not an image of a format that Pillow"):
            read(tmp_path / "notes.png")

    def test_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"missing\.png"):
            read(tmp_path / "missing.png")

    @pytest.mark.parametrize("most", [5000, 1000], ids=["warned of", "refused by Pillow"])
    def test_huge(self, most, write, monkeypatch):
        path = write("huge.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        with pytest.raises(ValueError, match=rf"huge\.png is too large: .* more than {most:,} pix"):
            read(path)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        assert_array_equal(read(path), SEVEN)

    @pytest.mark.parametrize(
        ("invert", "message"),
        [
            ("auto", r"blank\.png shows nothing that stands out from its background"),
            (True, r"blank\.png shows nothing that stands out"),
        ],
    )
    def test_blank(self, invert, message, write):
        with pytest.raises(ValueError, match=message):
            read(write("blank.png", np.full((30, 30), 90, np.uint8)), invert=invert)

    def test_nothing_of_the_brightness_asked_for(self, write):
        with pytest.raises(ValueError, match=r"seven\.png shows nothing lighter that stands out"):
            read(write("seven.png"), invert=False)
        with pytest.raises(ValueError, match="Picture 0 shows nothing darker that stands out"):
            read(255 - seven(), invert=True)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"image_shape": 28}, r"image_shape must be \(height, width\) .*; got 28"),
        ({"image_shape": (28, 28, 4)}, "image_shape must be"),
        ({"image_shape": (28, 28, 3)}, "is for colour images, .* Set center=None"),
        (
            {"image_shape": (16, 16)},
            r"box must be .* those of image_shape=\(16, 16\); got \(20, 20\)",
        ),
        ({"box": (20, 0)}, "box must be"),
        ({"box": 20}, "box must be"),
        ({"center": "middle"}, "center must be 'mass', 'box' or None; got 'middle'"),
        ({"invert": "no"}, "invert must be True, False or 'auto'; got 'no'"),
    ],
    ids=str,
)
def test_bad_parameters_are_refused(parameters, message):
    for method in ("fit", "transform"):
        with pytest.raises(ValueError, match=message):
            getattr(ImageReader(**parameters), method)([seven()])


class TestAsATransformer:
    def test_it_needs_no_fit(self):
        reader = ImageReader(center="box")
        assert not reader.__sklearn_tags__().requires_fit
        assert reader.fit([seven()]) is reader
        assert clone(reader).center == "box"

    def test_columns_have_names(self):
        pytest.importorskip("pandas")
        frame = ImageReader().set_output(transform="pandas").transform([seven()])
        assert list(frame.columns[[0, 783]]) == ["pixel0", "pixel783"]


@pytest.fixture(scope="module")
def small_reader():
    """Return a model of small digits behind a reader, test digits and their labels."""
    X, y = load_digits(return_X_y=True)
    images = enlarged(np.uint8(X.reshape(-1, 8, 8) * 15.9), 24)
    reader = ImageReader()
    rows = reader.transform(images[:1400])
    classifier = ANNClassifier(max_iter=20, input_scaling="maxabs", random_state=0)
    return make_pipeline(reader, classifier.fit(rows, y[:1400])), images[1400:], y[1400:]


def test_a_fitted_model_reads_files_behind_a_reader(small_reader, tmp_path):
    pipeline, images, labels = small_reader
    rng = np.random.default_rng(0)
    paths = [saved(pasted(image, rng), tmp_path / str(i), rng) for i, image in enumerate(images)]
    assert pipeline.score(images, labels) > 0.9
    assert pipeline.score(paths, labels) > pipeline.score(images, labels) - 0.02


def run(code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )


def test_importing_skann_imports_neither_this_nor_pillow():
    code = "import skann, sys; assert not {'skann.images', 'PIL'} & set(sys.modules)"
    assert run(code).stderr == ""


def test_without_pillow_distortions_work_and_reading_says_what_to_install():
    code = """
import sys
sys.modules["PIL"] = None
import numpy as np
from skann.images import ImageReader, RandomAffine
RandomAffine((2, 2), degrees=5)(np.ones((1, 4)), np.random.default_rng(0))
ImageReader().transform(["a.png"])
"""
    assert run(code).stderr.endswith(
        "ImportError: Reading images needs Pillow: python -m pip install pillow\n"
    )
