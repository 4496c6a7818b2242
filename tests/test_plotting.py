"""The displays draw what the models say."""

import sys

import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, make_blobs
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer, make_scorer, mean_absolute_error
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
)
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

import skann
from skann import (
    ANNClassifier,
    MisclassifiedDisplay,
    SearchDisplay,
    TrainingCurveDisplay,
    WeightsDisplay,
)
from tests.data import problem, quick

mpl = pytest.importorskip("matplotlib")

X, y = problem()
X_val, y_val = problem(seed=1)
X_digits, y_digits = load_digits(return_X_y=True)
X_digits /= 16


@pytest.fixture(autouse=True)
def plt():
    backend = mpl.get_backend()
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")
    mpl.use(backend)


@pytest.fixture(scope="module")
def watched():
    """Fit once with validation data."""
    return quick(max_iter=12, early_stopping=True).fit(X, y)


def half_of_it(estimator, X, y):
    return 0.5


def texts(artists):
    return [text.get_text() for text in artists]


def legend(axes):
    return texts(axes.get_legend().get_texts())


def overlaps(artists):
    """Whether any two of what is drawn cover each other."""
    boxes = [artist.get_window_extent() for artist in artists]
    return any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def assert_verbatim(display, part):
    """Check that all texts with a part are drawn as they are, and that there are some."""
    figure = display.figure_
    figure.draw_without_rendering()
    found = [text for text in figure.findobj(mpl.text.Text) if part in text.get_text()]
    assert found
    for text in found:
        assert text._preprocess_math(text.get_text()) == (text.get_text(), False)


# As formulas, the first two would look different, and the others could not be drawn at all.
DOLLARS = np.array(["$a_1$", "US$ or A$", "$5_$", "$x^$"])


FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker"]
FASHION = np.array([*FASHION, "Bag", "Ankle boot"])
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def deviations(display):
    """Return the values of a table's colours."""
    return display.images_[0].get_array().filled(np.nan)


def images_in(axes):
    return [np.asarray(image.get_array()) for a in axes for image in a.images]


class TestTrainingCurve:
    def test_a_fit_without_an_epoch_is_refused(self):
        network = quick(max_iter=3).fit(X_digits[:300], y_digits[:300])
        network.history_ = []  # As after Ctrl-C in the first epoch.
        with pytest.raises(ValueError, match="no epoch was recorded"):
            skann.TrainingCurveDisplay.from_estimator(network)

    def test_curves_are_those_of_the_history(self, watched):
        display = TrainingCurveDisplay.from_estimator(watched)
        loss, score = display.axes_
        training, validation, _ = loss.lines
        n_epochs = len(watched.loss_curve_)
        np.testing.assert_array_equal(training.get_xdata(), np.arange(1, n_epochs + 1))
        np.testing.assert_array_equal(training.get_ydata(), watched.loss_curve_)
        np.testing.assert_array_equal(validation.get_ydata(), watched.validation_loss_curve_)
        np.testing.assert_array_equal(score.lines[0].get_ydata(), watched.validation_scores_)
        assert [axes.get_ylabel().split()[0] for axes in (loss, score)] == ["Loss", "Accuracy"]
        assert legend(loss) == ["training, with penalty", "validation", "epoch of the best score"]
        assert display.ax_.figure is display.figure_

    @pytest.mark.parametrize(
        ("scoring", "label"),
        [(None, "Accuracy (weighted)"), ("balanced_accuracy", "Balanced accuracy")],
    )
    def test_accuracy_under_class_weights_is_called_weighted(self, scoring, label):
        X, y = problem()
        model = quick(class_weight="balanced", scoring=scoring, early_stopping=True).fit(X, y)
        _, score = TrainingCurveDisplay.from_estimator(model).axes_
        assert score.get_ylabel() == label

    def test_best_epoch_is_marked_in_both_panels(self, watched):
        display = TrainingCurveDisplay.from_estimator(watched)
        best = int(np.argmax(watched.validation_scores_))
        for key, values in {
            "validation_loss": watched.validation_loss_curve_,
            "validation_score": watched.validation_scores_,
        }.items():
            mark = display.best_["ANNClassifier", key]
            np.testing.assert_array_equal(mark.get_xydata(), [[best + 1, values[best]]])
        value = watched.best_validation_score_
        assert legend(display.axes_[1]) == [f"best: {value:.4g} in epoch {best + 1}"]

    def test_without_early_stopping_no_epoch_is_marked(self):
        model = quick().fit(X, y, X_val=X_val, y_val=y_val)
        display = TrainingCurveDisplay.from_estimator(model)
        assert display.best_ == {}
        assert [len(axes.lines) for axes in display.axes_] == [2, 1]
        assert legend(display.axes_[0]) == ["training, with penalty", "validation"]

    def test_without_validation_there_is_the_loss_alone(self):
        model = quick().fit(X, y)
        display = TrainingCurveDisplay.from_estimator(model)
        (axes,) = display.axes_
        assert axes is display.ax_
        (line,) = axes.lines
        np.testing.assert_array_equal(line.get_ydata(), model.loss_curve_)
        assert axes.get_legend() is None

    def test_learning_rate_on_request(self, watched):
        display = TrainingCurveDisplay.from_estimator(watched, panels=["learning_rate"])
        (line,) = display.ax_.lines
        rates = [epoch["learning_rate"] for epoch in watched.history_]
        np.testing.assert_array_equal(line.get_ydata(), rates)
        assert display.ax_.get_ylabel() == "Learning rate"

    def test_compares_several_by_colour(self, watched):
        other = make_pipeline(StandardScaler(), quick(hidden_layer_sizes=(4,))).fit(X, y)
        display = TrainingCurveDisplay.from_estimator({"small": other, "watched": watched})
        loss, score = display.axes_
        np.testing.assert_array_equal(
            display.lines_["small", "loss"].get_ydata(), other[-1].loss_curve_
        )
        assert ("small", "validation_loss") not in display.lines_
        colors = {
            name: {line.get_color() for (n, _), line in display.lines_.items() if n == name}
            for name in ("small", "watched")
        }
        assert all(len(of_one) == 1 for of_one in colors.values())
        assert colors["small"] != colors["watched"]
        names = [
            "small",
            "watched",
            "training, with penalty",
            "validation",
            "epoch of the best score",
        ]
        assert legend(loss) == names
        handles = loss.get_legend().legend_handles
        assert [handle.get_linestyle() for handle in handles[:4]] == ["-", "-", "-", "--"]
        (entry,) = legend(score)
        assert entry.startswith("watched: ")

    def test_more_networks_than_colours_differ_in_their_points(self, watched):
        for n_epochs in (12, 60):
            history = [{**watched.history_[0], "epoch": e} for e in range(1, n_epochs + 1)]
            names = [f"network {number}" for number in range(14)]
            display = TrainingCurveDisplay(
                histories=dict.fromkeys(names, history), best_epochs=dict.fromkeys(names, 3)
            ).plot()
            for lines in (display.lines_, display.best_):
                for key in {key for _, key in lines}:
                    looks = [(lines[n, key].get_color(), lines[n, key].get_marker()) for n in names]
                    assert len(set(looks)) == len(names)
            display.figure_.draw_without_rendering()
            for axes in display.axes_:
                assert set(names) <= {text.split(":")[0] for text in legend(axes)}
                box = axes.get_legend().get_window_extent()
                assert not box.overlaps(axes.get_window_extent())
                assert box.x1 < display.figure_.bbox.x1
                assert box.y0 > 0

    def test_epochs_are_whole_numbers(self):
        model = quick(max_iter=1, early_stopping=True).fit(X, y)
        for axes in TrainingCurveDisplay.from_estimator(model).axes_:
            low, high = axes.get_xlim()
            assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]

    @pytest.mark.parametrize(("n_epochs", "every"), [(1, 1), (20, 1), (21, 2), (100, 5)])
    def test_points_do_not_hide_the_curve(self, n_epochs, every):
        model = quick(max_iter=n_epochs).fit(*problem())
        display = TrainingCurveDisplay.from_estimator(model)
        assert {line.get_markevery() for line in display.lines_.values()} == {every}

    def test_epochs_without_validation_leave_a_gap(self):
        model = quick().fit(X, y, X_val=X_val, y_val=y_val)
        model.partial_fit(X, y)
        line = TrainingCurveDisplay.from_estimator(model).lines_["ANNClassifier", "validation_loss"]
        np.testing.assert_array_equal(np.isnan(line.get_ydata()), [False] * 5 + [True])

    def test_losses_far_apart_get_a_log_scale(self):
        fits = [quick(max_iter=n, alpha=0.0, label_smoothing=0.0) for n in (1, 300)]
        X, y = make_blobs(60, 4, centers=2, random_state=0)
        scales = [
            TrainingCurveDisplay.from_estimator(fit.fit(X / 10, y)).ax_.get_yscale() for fit in fits
        ]
        assert scales == ["linear", "log"]

    @pytest.mark.parametrize(
        ("scores", "begins_above"),
        [([0.1, 0.5] + [0.9, 0.91, 0.92, 0.93] * 3, 0.85), (np.linspace(0.1, 0.9, 14), 0.0)],
    )
    def test_scores_that_rise_fast_leave_the_room_to_what_follows(self, scores, begins_above):
        keys = {"loss": 1.0, "validation_loss": 1.0, "learning_rate": 0.1}
        history = [
            {"epoch": epoch, "validation_score": score, **keys}
            for epoch, score in enumerate(scores, start=1)
        ]
        display = TrainingCurveDisplay(histories={"a": history}, best_epochs={"a": 6}).plot()
        low, high = display.axes_[1].get_ylim()
        assert begins_above < low < begins_above + 0.1
        assert high > max(scores)
        np.testing.assert_array_equal(display.lines_["a", "validation_score"].get_ydata(), scores)

    def test_scores_that_fall_again_stay_on_the_axis(self):
        scores = [0.1, 0.5, 0.9, 0.91, 0.86, *[0.92, 0.93] * 6]
        keys = {"loss": 1.0, "validation_loss": 1.0, "learning_rate": 0.1}
        history = [
            {"epoch": epoch, "validation_score": score, **keys}
            for epoch, score in enumerate(scores, start=1)
        ]
        display = TrainingCurveDisplay(histories={"a": history}, best_epochs={"a": 6}).plot()
        assert 0.5 < display.axes_[1].get_ylim()[0] < 0.86
        assert texts(display.axes_[1].texts) == ["first epochs are below the axis"]

    def test_scores_of_different_kinds_share_no_axis(self):
        models = {
            scoring: quick(scoring=scoring).fit(X, y, X_val=X_val, y_val=y_val)
            for scoring in ("accuracy", "loss")
        }
        assert len(TrainingCurveDisplay.from_estimator(models).axes_) == 1
        with pytest.raises(ValueError, match="no score to draw.* use one scoring for all"):
            TrainingCurveDisplay.from_estimator(models, panels=["score"])

    def test_lbfgs_counts_iterations_and_has_no_rate(self):
        model = quick(solver="lbfgs", max_iter=200).fit(X, y)
        assert TrainingCurveDisplay.from_estimator(model).ax_.get_xlabel() == "Iteration"
        with pytest.raises(ValueError, match="no learning_rate to draw: lbfgs has none"):
            TrainingCurveDisplay.from_estimator(model, panels=["learning_rate"])

    @pytest.mark.parametrize(
        ("scoring", "label"),
        [
            ("balanced_accuracy", "Balanced accuracy"),
            ("loss", "Negative loss"),
            ("neg_log_loss", "Negative log loss"),
            ("r2", "R²"),
            (lambda estimator, X, y: 0.5, "Score"),
            (half_of_it, "Half of it"),
            (get_scorer("balanced_accuracy"), "Score"),
        ],
    )
    def test_score_has_its_name(self, scoring, label):
        model = quick(scoring=scoring).fit(X, y, X_val=X_val, y_val=y_val)
        display = TrainingCurveDisplay.from_estimator(model)
        assert display.axes_[1].get_ylabel() == label

    def test_takes_a_refitted_search(self):
        search = GridSearchCV(quick(), {"alpha": [0.1, 1.0]}, cv=2).fit(X, y)
        display = TrainingCurveDisplay.from_estimator(search)
        (line,) = display.ax_.lines
        np.testing.assert_array_equal(line.get_ydata(), search.best_estimator_.loss_curve_)

    @pytest.mark.parametrize(
        ("panels", "message"),
        [
            (["score"], "no score to draw: set early_stopping=True"),
            (["speed"], "no speed to draw: panels can be loss, score, learning_rate"),
        ],
    )
    def test_refuses_panels_that_are_not_there(self, panels, message):
        with pytest.raises(ValueError, match=message):
            TrainingCurveDisplay.from_estimator(quick().fit(X, y), panels=panels)

    def test_several_are_a_dict(self):
        with pytest.raises(TypeError, match="takes a fitted ANNClassifier.*; got list"):
            TrainingCurveDisplay.from_estimator([quick()])

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (["_first", "__"], ["_first", "__"]),
            (["$a_1$", "$x^$"], ["$a_1$", "$x^$"]),
            ([0.01, 0.010000001], ["0.01", "0.010000001"]),
        ],
    )
    def test_names_stand_in_the_legends_as_they_are(self, watched, names, expected):
        display = TrainingCurveDisplay.from_estimator(dict.fromkeys(names, watched))
        loss, score = display.axes_
        assert legend(loss)[:2] == expected
        assert [entry.rpartition(":")[0] for entry in legend(score)] == expected
        if "$" in expected[0]:
            assert_verbatim(display, "$")

    def test_the_scale_of_a_log_axis_remains_a_formula(self):
        keys = {"validation_loss": None, "validation_score": None, "learning_rate": 0.1}
        history = [{"epoch": e, "loss": 10.0**-e, **keys} for e in range(1, 6)]
        display = TrainingCurveDisplay(histories={"$a$": history}, best_epochs={"$a$": None})
        axes = display.plot().ax_
        axes.figure.draw_without_rendering()
        assert all(text.get_parse_math() for text in axes.get_yticklabels())


class TestWeights:
    @pytest.fixture(scope="class")
    @staticmethod
    def reader():
        model = quick(hidden_layer_sizes=(12, 8), max_iter=2)
        return make_pipeline(StandardScaler(), model).fit(X_digits, y_digits)

    def test_images_are_the_units_strongest_first(self, reader):
        display = WeightsDisplay.from_estimator(reader, image_shape=(8, 8), max_units=7)
        weights = reader[-1].coefs_[0]
        strength = np.sqrt((weights**2).sum(axis=0))[display.units_]
        assert len(strength) == 7
        assert (np.diff(strength) <= 0).all()
        pictures = images_in(display.axes_)
        assert len(pictures) == len(display.images_) == 7
        for picture, unit in zip(pictures, display.units_, strict=True):
            expected = weights[:, unit].reshape(8, 8)
            np.testing.assert_allclose(picture, expected / abs(expected).max(), rtol=1e-6)
        assert {image.get_clim() for image in display.images_} == {(-1, 1)}
        assert "7 of 12 units" in display.title_.get_text()

    def test_features_can_be_scaled(self, reader):
        scale = X_digits.std(axis=0)
        display = WeightsDisplay.from_estimator(reader, image_shape=(8, 8), feature_scale=scale)
        np.testing.assert_allclose(
            display.weights, reader[-1].coefs_[0] * scale[:, None], rtol=1e-6
        )
        corner = images_in(display.axes_)[0][0, 0]  # no ink there in any image
        assert corner == 0

    def test_colours_of_colour_images_are_grey_at_zero(self):
        X, y = make_blobs(40, 12, centers=2, random_state=0)
        model = quick(hidden_layer_sizes=(3,)).fit(X / 10, y)
        model.coefs_[0][:] = 0
        model.coefs_[0][:, 1] = np.arange(12)
        display = WeightsDisplay.from_estimator(model, image_shape=(2, 2, 3))
        first, second, _ = images_in(display.axes_)
        np.testing.assert_allclose(first.ravel(), (np.arange(12) / 11 + 1) / 2)
        assert (second == 0.5).all()

    def test_colour_images_have_no_scale_beside_them(self):
        X, y = make_blobs(40, 12, centers=2, random_state=0)
        model = quick(hidden_layer_sizes=(3,)).fit(X / 10, y)
        display = WeightsDisplay.from_estimator(model, image_shape=(2, 2, 3))
        assert display.colorbar_ is None
        assert len(display.axes_[0].figure.axes) == 3
        display = WeightsDisplay.from_estimator(model, image_shape=(4, 3))
        assert texts(display.colorbar_.ax.get_yticklabels()) == ["inhibits", "0", "excites"]

    def test_no_hidden_layer_shows_the_outputs_by_their_classes(self):
        names = np.array(["zero", "one", "two"])
        few = y_digits < 3
        model = quick(hidden_layer_sizes=()).fit(X_digits[few], names[y_digits[few]])
        display = WeightsDisplay.from_estimator(model, image_shape=(8, 8))
        assert [axes.get_title() for axes in display.axes_] == ["one", "two", "zero"]
        assert display.title_.get_text() == "Weights of 3 outputs"

    def test_one_output_stands_for_the_second_class(self):
        X, y = load_iris(return_X_y=True)
        names = np.array(["setosa", "versicolor", "virginica"])[y]
        model = quick(hidden_layer_sizes=()).fit(X[y < 2], names[y < 2])
        display = WeightsDisplay.from_estimator(model)
        assert texts(display.ax_.get_xticklabels()) == ["versicolor"]

    def test_names_of_outputs_do_not_cover_each_other(self, plt):
        long = [f"the digit number {digit}" for digit in range(10)]
        for names in (FASHION, np.array(long)):
            model = quick(hidden_layer_sizes=(), max_iter=1).fit(X_digits, names[y_digits])
            for ax in (None, plt.subplots(figsize=(8, 4), layout="constrained")[1]):
                display = WeightsDisplay.from_estimator(model, image_shape=(8, 8), ax=ax)
                display.figure_.draw_without_rendering()
                assert not overlaps(axes.title for axes in display.axes_)
                shown = {axes.get_title() for axes in display.axes_}
                assert len(shown) == 10
                assert ax is not None or shown == set(names)
            display = WeightsDisplay.from_estimator(model)
            display.figure_.draw_without_rendering()
            labels = display.ax_.get_xticklabels()
            assert texts(labels) == sorted(names)
            assert {label.get_rotation() for label in labels} == {30}

    def test_long_names_of_features_leave_room_to_the_heat_map(self):
        names = [f"{'a very long name ' * 5}{number}" for number in range(4)]
        display = WeightsDisplay.from_estimator(quick().fit(X, y), feature_names=names)
        display.figure_.draw_without_rendering()
        assert display.ax_.get_window_extent().width > 0.4 * display.figure_.bbox.width
        labels = texts(display.ax_.get_yticklabels())
        assert [label[-1] for label in labels] == [str(f) for f in display.features_]
        assert all(label.startswith("a very long") and len(label) == 24 for label in labels)

    @pytest.mark.parametrize(
        ("layers", "classes", "title"),
        [
            ((1,), 3, "Weights of 1 unit of the first layer, the strongest first"),
            ((2,), 3, "Weights of 2 units of the first layer, the strongest first"),
            ((), 2, "Weights of 1 output"),
            ((), 3, "Weights of 3 outputs"),
        ],
    )
    def test_title_counts(self, layers, classes, title):
        few = y < classes
        model = quick(hidden_layer_sizes=layers).fit(X[few], y[few])
        assert WeightsDisplay.from_estimator(model).title_.get_text() == title

    def test_tables_get_a_heat_map_with_names(self):
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame(X, columns=["north", "east", "south", "west"])
        model = quick().fit(frame, y)
        display = WeightsDisplay.from_estimator(model, max_features=3)
        weights = model.coefs_[0]
        strength = np.linalg.norm(weights, axis=1)
        expected = np.argsort(-strength)[:3]
        np.testing.assert_array_equal(display.features_, expected)
        assert texts(display.ax_.get_yticklabels()) == [frame.columns[i] for i in expected]
        (picture,) = images_in([display.ax_])
        np.testing.assert_array_equal(picture, weights[np.ix_(expected, display.units_)])
        low, high = display.images_[0].get_clim()
        assert -low == high == abs(picture).max()

    def test_names_come_from_the_steps_before(self):
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame(X, columns=["north", "east", "south", "west"])
        model = make_pipeline(StandardScaler(), quick()).fit(frame, y)
        assert WeightsDisplay.from_estimator(model).feature_names == list(frame.columns)
        words = make_pipeline(TfidfVectorizer(), quick(batch_size=2))
        words.fit(["red green", "green", "blue", "blue red"], [0, 0, 1, 1])
        assert WeightsDisplay.from_estimator(words).feature_names == ["blue", "green", "red"]

    def test_names_are_numbers_where_nobody_knows_them(self):
        model = make_pipeline(FunctionTransformer(), quick()).fit(X, y)
        assert WeightsDisplay.from_estimator(model).feature_names == ["x0", "x1", "x2", "x3"]

    def test_names_can_be_given(self):
        display = WeightsDisplay.from_estimator(quick().fit(X, y), feature_names=list("abcd"))
        assert sorted(texts(display.ax_.get_yticklabels())) == list("abcd")

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            ([0.01, 0.0101, 0.010001, 2.0], ["0.01", "0.0101", "0.010001", "2.0"]),
            (range(4), list("0123")),
            (np.array([7, 8, 9, 10]), ["7", "8", "9", "10"]),
        ],
    )
    def test_names_may_be_numbers(self, names, expected):
        display = WeightsDisplay.from_estimator(quick().fit(X, y), feature_names=names)
        assert set(texts(display.ax_.get_yticklabels())) == set(expected)

    def test_names_are_no_tex_either(self):
        with mpl.rc_context({"text.usetex": True}):
            display = WeightsDisplay.from_estimator(quick().fit(X, y), feature_names=DOLLARS)
        assert not any(text.get_usetex() for text in display.ax_.get_yticklabels())

    @pytest.mark.parametrize("image_shape", [None, (2, 2)])
    def test_names_are_drawn_as_they_are(self, image_shape):
        model = quick(hidden_layer_sizes=(), max_iter=1).fit(X, DOLLARS[y])
        display = WeightsDisplay.from_estimator(
            model, feature_names=DOLLARS, image_shape=image_shape
        )
        assert_verbatim(display, "$")
        if image_shape is None:
            assert texts(display.ax_.get_xticklabels()) == sorted(DOLLARS[:3])
            assert set(texts(display.ax_.get_yticklabels())) == set(DOLLARS)
        else:
            assert [axes.get_title() for axes in display.axes_] == sorted(DOLLARS[:3])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"image_shape": (2, 3)}, r"\(2, 3\) means 6 values, but there are 4 features"),
            ({"image_shape": 4}, r"must be \(height, width\), or .* got 4"),
            ({"image_shape": (2, 2, 1)}, r"must be \(height, width\), or"),
            ({"image_shape": (2.0, 2.0)}, r"must be \(height, width\), or"),
            ({"feature_names": ["a"]}, "feature_names must have one entry for each feature, 4"),
            ({"feature_scale": [1.0]}, "feature_scale must have one entry for each feature, 4"),
            ({"max_units": 0}, "max_units == 0, must be >= 1"),
        ],
    )
    def test_says_what_does_not_fit(self, options, message):
        with pytest.raises(ValueError, match=message):
            WeightsDisplay.from_estimator(quick().fit(X, y), **options)


def assert_is_front(line, means, sizes):
    """Check that a line is at each size where the best score up to that size is."""
    x, front = line.get_xydata()[np.isfinite(line.get_xdata())].T
    assert sorted(set(x)) == sorted(set(sizes))
    assert (np.diff(x) >= 0).all()
    for size, score in zip(x, front, strict=True):  # The last one of a size is its best.
        assert dict(zip(x, front, strict=True))[size] == means[sizes <= size].max() >= score


class TestSearch:
    @pytest.fixture(scope="class")
    @staticmethod
    def search():
        pipeline = make_pipeline(StandardScaler(), quick())
        layers = [(16, 8), (2,), (8,), 4, ()]
        grid = {"annclassifier__hidden_layer_sizes": layers}
        return GridSearchCV(pipeline, grid, cv=3).fit(X, y)

    def test_sizes_are_those_of_fitted_networks(self, search):
        sizes = SearchDisplay.from_estimator(search).sizes
        for candidate, size in zip(search.cv_results_["params"], sizes, strict=True):
            network = search.estimator.set_params(**candidate).fit(X, y)[-1]
            assert size == sum(part.size for part in [*network.coefs_, *network.intercepts_])

    def test_means_spread_and_folds_are_those_of_the_search(self, search):
        display = SearchDisplay.from_estimator(search)
        results = search.cv_results_
        assert len(display.axes_) == 3
        folds = np.array([results[f"split{k}_test_score"] for k in range(3)])
        for place, x in enumerate([None, results["mean_fit_time"], display.sizes]):
            line, _, (bars,) = display.errorbars_[place]
            np.testing.assert_allclose(line.get_ydata(), results["mean_test_score"])
            ends = np.array([segment[:, 1] for segment in bars.get_segments()])
            np.testing.assert_allclose(np.diff(ends)[:, 0] / 2, results["std_test_score"])
            np.testing.assert_array_equal(display.folds_[place].get_ydata(), folds.T.ravel())
            if x is not None:
                np.testing.assert_array_equal(line.get_xdata(), x)
                np.testing.assert_array_equal(display.folds_[place].get_xdata(), np.repeat(x, 3))

    def test_layers_stand_in_the_order_of_their_size(self, search):
        display = SearchDisplay.from_estimator(search)
        axes = display.axes_[0]
        assert texts(axes.get_xticklabels()) == ["none", "2", "4", "8", "16,8"]
        # In the order of the search: (16, 8), (2,), (8,), 4, ().
        np.testing.assert_array_equal(display.errorbars_[0][0].get_xdata(), [4, 1, 3, 2, 0])
        assert axes.get_xlabel() == "Hidden layer sizes"
        assert axes.get_ylabel() == "Accuracy on held-out folds"

    def test_best_is_marked_in_every_panel(self, search):
        display = SearchDisplay.from_estimator(search)
        best = search.best_index_
        x = [display.errorbars_[0][0].get_xdata(), display.fit_times, display.sizes]
        for place, mark in enumerate(display.best_):
            assert mark.get_xydata().tolist() == [[x[place][best], search.best_score_]]
        assert f"best: {['16,8', '2', '8', '4', 'none'][best]}" in texts(
            display.legend_.get_texts()
        )

    def test_front_is_what_nothing_smaller_beats(self, search):
        display = SearchDisplay.from_estimator(search)
        assert_is_front(display.front_, search.cv_results_["mean_test_score"], display.sizes)

    def test_front_of_random_candidates(self):
        rng = np.random.default_rng(0)
        scores, sizes = rng.integers(0, 9, (40, 1)) / 9, rng.integers(1, 20, 40) * 1.0
        display = SearchDisplay(
            scores=scores,
            fit_times=np.ones(40),
            parameter="hidden_layer_sizes",
            values=list(range(40)),
            best_index=0,
            best_label="best",
            sizes=sizes,
        ).plot()
        assert_is_front(display.front_, scores[:, 0], sizes)

    def test_points_are_named(self, search):
        display = SearchDisplay.from_estimator(search)
        display.fit_times = np.arange(1.0, 6.0)
        display.plot()
        names = {"16,8", "2", "8", "4", "none"}
        assert set(texts(display.axes_[1].texts)) == set(texts(display.axes_[2].texts)) == names

    def test_several_parameters_stand_side_by_side(self):
        grid = {"hidden_layer_sizes": [(2,), (4,)], "alpha": [0.01, 0.1, 1.0]}
        search = GridSearchCV(quick(), grid, cv=2).fit(X, y)
        display = SearchDisplay.from_estimator(search)
        x = display.errorbars_[0][0].get_xdata()
        place = [(2,), (4,)].index
        layers = [place(c["hidden_layer_sizes"]) for c in search.cv_results_["params"]]
        np.testing.assert_array_equal(np.round(x), layers)
        assert len(set(x)) == 6
        assert np.diff(np.sort(x[:6]))[2] > 2 * np.diff(np.sort(x[:6]))[0]  # the next layer sizes
        best = search.best_params_
        name = f"best: {best['hidden_layer_sizes'][0]}; alpha={best['alpha']:g}"
        assert name in texts(display.legend_.get_texts())
        other = SearchDisplay.from_estimator(search, parameter="alpha")
        assert texts(other.axes_[0].get_xticklabels()) == ["0.01", "0.1", "1"]
        assert other.axes_[0].get_xlabel() == "Alpha"

    @pytest.fixture(scope="class")
    @staticmethod
    def search_of_three():
        grid = {
            "hidden_layer_sizes": [(2,), (4,), (4, 2)],
            "alpha": [0.1, 1.0],
            "class_weight": [None, "balanced"],
        }
        return GridSearchCV(quick(max_iter=1), grid, cv=2).fit(X, y)

    @pytest.mark.parametrize("parameter", ["hidden_layer_sizes", "class_weight"])
    def test_colours_and_markers_tell_a_second_parameter(self, search_of_three, parameter):
        display = SearchDisplay.from_estimator(search_of_three, parameter=parameter)
        results = search_of_three.cv_results_
        x = display.errorbars_[0][0].get_xdata()
        assert len(set(x)) == len(x)
        groups = display.groups_[:2]
        assert [line.get_label() for line in groups] == ["alpha=0.1", "alpha=1"]
        assert set(texts(display.legend_.get_texts())) >= {"alpha=0.1", "alpha=1"}
        for line, alpha in zip(groups, [0.1, 1.0], strict=True):
            members = results["param_alpha"] == alpha
            np.testing.assert_array_equal(line.get_xdata(), x[members])
            np.testing.assert_allclose(line.get_ydata(), results["mean_test_score"][members])
        assert groups[0].get_color() != groups[1].get_color()
        assert groups[0].get_marker() != groups[1].get_marker()

    def test_one_parameter_or_many_values_have_one_colour(self, search):
        assert SearchDisplay.from_estimator(search).groups_ == []
        grid = {"hidden_layer_sizes": [(2,), (3,)], "alpha": np.linspace(0.1, 1, 7)}
        many = GridSearchCV(quick(max_iter=1), grid, cv=2).fit(X, y)
        assert SearchDisplay.from_estimator(many).groups_ == []

    def test_a_long_legend_takes_no_width(self, search_of_three):
        display = SearchDisplay.from_estimator(search_of_three)
        figure = display.figure_
        figure.draw_without_rendering()
        boxes = [axes.get_window_extent() for axes in display.axes_]
        for left, right in zip(boxes, boxes[1:], strict=False):
            assert right.x0 - left.x1 < 0.2 * left.width
        above = display.legend_.get_window_extent()
        assert above.y0 > max(box.y1 for box in boxes)
        assert above.x1 < figure.bbox.x1

    def test_names_are_written_once_and_cover_no_other(self, search_of_three):
        display = SearchDisplay.from_estimator(search_of_three)
        display.figure_.draw_without_rendering()
        for axes in display.axes_[1:]:
            names = texts(axes.texts)
            assert 0 < len(names) == len(set(names))
            boxes = [text.get_window_extent() for text in axes.texts]
            assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        assert set(texts(display.axes_[2].texts)) == {"2", "4", "4,2"}

    def test_names_cover_no_spread_of_another(self):
        # Two fits take nearly as long; the name of the lower one would stand on the other's spread.
        scores = np.array([[0.970, 0.974], [0.978, 0.980], [0.974, 0.988]])
        display = SearchDisplay(
            scores=scores,
            fit_times=np.array([1.0, 1.45, 1.55]),
            parameter="hidden_layer_sizes",
            values=[(64,), (128,), (128, 64)],
            best_index=2,
            best_label="best: 128,64",
        ).plot()
        display.figure_.draw_without_rendering()
        axes = display.axes_[1]
        assert set(texts(axes.texts)) == {"64", "128", "128,64"}
        spread = scores.std(axis=1)
        for text in axes.texts:
            box = text.get_window_extent()
            for x, low, high in zip(
                display.fit_times,
                np.minimum(scores.min(axis=1), scores.mean(axis=1) - spread),
                np.maximum(scores.max(axis=1), scores.mean(axis=1) + spread),
                strict=True,
            ):
                (left, bottom), (_, top) = axes.transData.transform([(x, low), (x, high)])
                apart = left < box.x0 or left > box.x1 or bottom > box.y1 or top < box.y0
                assert apart, text.get_text()

    @pytest.mark.parametrize(
        ("resource", "amounts"), [("n_samples", [20, 60]), ("max_iter", [1, 3])]
    )
    def test_rounds_of_a_halving_search_are_told_apart(self, resource, amounts):
        search = HalvingGridSearchCV(
            quick(max_iter=2),
            {"hidden_layer_sizes": range(1, 9)},
            resource=resource,
            min_resources=amounts[0],
            max_resources=amounts[1],
            cv=2,
            random_state=0,
        ).fit(X, y)
        results = search.cv_results_
        last = results["iter"] == 1
        assert last.sum() == 3
        # No score of the first round belongs to the front, though all are higher.
        means = np.where(last, 0.5 + 0.01 * results["param_hidden_layer_sizes"].astype(int), 0.9)
        for fold in range(2):
            results[f"split{fold}_test_score"] = means
        display = SearchDisplay.from_estimator(search)
        assert display.axes_[0].get_xlabel() == "Hidden layer sizes"
        for line, members, amount in zip(display.groups_, [~last, last], amounts, strict=False):
            assert line.get_label() == f"{resource}={amount}"
            np.testing.assert_array_equal(line.get_ydata(), means[members])
        np.testing.assert_array_equal(np.isfinite(display.sizes), last)
        assert_is_front(display.front_, means[last], display.sizes[last])
        best = search.best_index_
        assert last[best]
        assert display.best_[0].get_ydata() == [means[best]]
        layers = search.best_params_["hidden_layer_sizes"]
        assert f"best: {layers}; {resource}={amounts[1]}" in texts(display.legend_.get_texts())

    def test_the_resource_of_a_halving_search_can_be_drawn(self):
        search = HalvingGridSearchCV(
            quick(max_iter=1), {"alpha": [0.1, 0.2, 0.3]}, min_resources=20, cv=2, random_state=0
        ).fit(X, y)
        display = SearchDisplay.from_estimator(search)
        assert display.axes_[0].get_xlabel() == "Alpha"
        display = SearchDisplay.from_estimator(search, parameter="n_samples")
        assert texts(display.axes_[0].get_xticklabels()) == ["20", "60"]
        assert [line.get_label() for line in display.groups_[:1]] == ["alpha=0.1"]

    def test_names_that_share_a_place_are_left_out_but_for_the_best(self):
        X, y = problem()
        grid = {"alpha": [0.01, 0.1, 1.0], "hidden_layer_sizes": [(3,), (8,)]}
        search = GridSearchCV(quick(), grid, cv=3).fit(X, y)
        display = SearchDisplay.from_estimator(search, parameter="alpha")
        _, seconds, sizes = display.axes_
        assert len(seconds.texts) > 1
        assert [text.get_text() for text in sizes.texts] == [f"{search.best_params_['alpha']:g}"]

    def test_numbers_of_weights_have_commas_on_every_scale(self):
        X, y = problem()
        for widths in ([(150,), (900,), (1500,)], [(1100,), (1200,), (1500,)]):
            search = GridSearchCV(quick(max_iter=1), {"hidden_layer_sizes": widths}, cv=2)
            axes = SearchDisplay.from_estimator(search.fit(X, y)).axes_[-1]
            axes.figure.canvas.draw()
            low, high = axes.get_xlim()
            ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
            labels = [text.get_text() for at, text in ticks if low < at < high]
            assert all("," in label for label in labels if len(label) > 3), labels
            assert any("," in label for label in labels)

    def test_names_leave_the_means_free(self):
        rng = np.random.default_rng(0)
        for _ in range(10):
            scores = rng.uniform(0.9, 1.0, 8)
            display = SearchDisplay(
                scores=scores[:, np.newaxis],
                fit_times=rng.uniform(1.0, 1.2, 8),
                parameter="alpha",
                values=[f"value {number}" for number in range(8)],
                best_index=int(scores.argmax()),
                best_label="best",
            ).plot()
            axes = display.axes_[1]
            display.figure_.draw_without_rendering()
            assert axes.texts
            means = axes.transData.transform(display.errorbars_[1][0].get_xydata())
            boxes = [text.get_window_extent() for text in axes.texts]
            assert not any(box.contains(*point) for box in boxes for point in means)

    def test_many_numbers_get_an_axis_of_numbers(self):
        alphas = np.geomspace(1e-4, 1.0, 14)
        search = GridSearchCV(quick(max_iter=1), {"alpha": alphas}, cv=2).fit(X, y)
        display = SearchDisplay.from_estimator(search)
        np.testing.assert_array_equal(display.errorbars_[0][0].get_xdata(), alphas)
        assert display.axes_[0].get_xscale() == "log"
        assert texts(display.axes_[1].texts) == [f"{search.best_params_['alpha']:g}"]

    def test_a_random_search_with_words(self):
        choices = {"activation": ["relu", "tanh"], "hidden_layer_sizes": [(3,)]}
        search = RandomizedSearchCV(quick(), choices, n_iter=2, cv=2, random_state=0).fit(X, y)
        display = SearchDisplay.from_estimator(search)
        assert set(texts(display.axes_[0].get_xticklabels())) == {"relu", "tanh"}

    def test_a_candidate_that_failed_leaves_its_place_empty(self):
        grid = {"hidden_layer_sizes": [(4,), (0,), (8,)]}
        search = GridSearchCV(quick(), grid, cv=2)
        with pytest.warns(match="fits failed|non-finite"):
            search.fit(X, y)
        display = SearchDisplay.from_estimator(search)
        assert texts(display.axes_[0].get_xticklabels()) == ["0", "4", "8"]
        line = display.errorbars_[0][0]
        assert line.get_xdata()[np.isnan(line.get_ydata())].tolist() == [0]
        assert display.axes_[0].get_xlim()[0] < 0
        assert np.isnan(display.sizes).tolist() == [False, True, False]
        assert display.best_[0].get_ydata() == [search.best_score_]

    def test_nothing_but_failures_is_an_error(self):
        search = GridSearchCV(quick(), {"alpha": [0.1, 0.2]}, cv=2).fit(X, y)
        for fold in range(2):
            search.cv_results_[f"split{fold}_test_score"][:] = np.nan
        message = "none of the 2 candidates of the search has a score on every fold; 4 of 4 scores"
        with pytest.raises(ValueError, match=message):
            SearchDisplay.from_estimator(search)

    def test_a_fold_that_failed_in_every_candidate_is_told_from_nothing_but_failures(self):
        search = GridSearchCV(quick(), {"alpha": [0.1, 0.2]}, cv=2).fit(X, y)
        search.cv_results_["split1_test_score"][:] = np.nan
        with pytest.raises(ValueError, match="2 of 4 scores are nan.*error_score='raise'"):
            SearchDisplay.from_estimator(search)

    @pytest.mark.parametrize("wrap", [lambda m: m, lambda m: Pipeline([("network", m)])])
    def test_layers_may_be_none_where_that_failed(self, wrap):
        model = wrap(quick())
        name = (
            "hidden_layer_sizes"
            if model.get_params().get("steps") is None
            else ("network__hidden_layer_sizes")
        )
        search = GridSearchCV(model, {name: [(4,), None, (8, 2)]}, cv=2)
        with pytest.warns(match="fits failed|non-finite"):
            search.fit(X, y)
        display = SearchDisplay.from_estimator(search)
        assert texts(display.axes_[0].get_xticklabels()) == ["None", "4", "8,2"]
        np.testing.assert_array_equal(np.isnan(display.sizes), [False, True, False])

    def test_sizes_are_unknown_where_earlier_steps_differ(self):
        pipeline = make_pipeline(PCA(2), quick(hidden_layer_sizes=(3,)))
        grid = [
            {"pca__n_components": [2], "annclassifier__hidden_layer_sizes": [(3,), (5,)]},
            {"pca__n_components": [3], "annclassifier__hidden_layer_sizes": [(3,)]},
        ]
        search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
        known = ~np.isnan(SearchDisplay.from_estimator(search).sizes)
        components = [c["pca__n_components"] for c in search.cv_results_["params"]]
        best = search.best_params_["pca__n_components"]
        np.testing.assert_array_equal(known, np.array(components) == best)

    def test_without_refit_sizes_are_left_out(self):
        grid = {"hidden_layer_sizes": [(4,), (8,)]}
        search = GridSearchCV(quick(), grid, cv=2, refit=False).fit(X, y)
        assert len(SearchDisplay.from_estimator(search).axes_) == 2

    def test_one_candidate_is_drawn_too(self):
        search = GridSearchCV(quick(), {"hidden_layer_sizes": [(4,)]}, cv=2).fit(X, y)
        display = SearchDisplay.from_estimator(search)
        assert len(display.axes_) == 2  # one size makes no front
        assert display.best_[0].get_xydata().tolist() == [[0, search.best_score_]]

    def test_of_one_candidate_the_first_parameter_is_drawn(self):
        search = GridSearchCV(SVC(), {"C": [2.0], "tol": [0.1]}, cv=2).fit(X, y)
        with pytest.raises(ValueError, match="those that vary: C, tol; got 'D'"):
            SearchDisplay.from_estimator(search, parameter="D")
        display = SearchDisplay.from_estimator(search)
        assert texts(display.axes_[0].get_xticklabels()) == ["2"]
        assert len(display.axes_) == 2

    def test_a_search_over_nothing_is_refused(self):
        with pytest.raises(ValueError, match="those that vary: there is none; got None"):
            SearchDisplay.from_estimator(GridSearchCV(SVC(), {}, cv=2).fit(X, y))

    def test_normalisation_counts(self):
        grid = {"normalization": [None, "layer"]}
        search = GridSearchCV(quick(), grid, cv=2).fit(X, y)
        plain, normalised = SearchDisplay.from_estimator(search).sizes
        assert normalised - plain == 2 * 8

    def test_any_classifier_can_be_searched(self):
        search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1, 10]}, cv=2).fit(X, y)
        display = SearchDisplay.from_estimator(search)
        assert len(display.axes_) == 2
        assert display.front_ is None

    @pytest.mark.parametrize(
        ("model", "scoring", "label"),
        [
            (SVC(), None, "Accuracy"),
            (make_pipeline(StandardScaler(), Ridge()), None, "R²"),
            (KMeans(n_clusters=2, n_init=1, random_state=0), None, "Score"),
            (Ridge(), "neg_mean_absolute_error", "Negative mean absolute error"),
            (Ridge(), make_scorer(mean_absolute_error, greater_is_better=False), "Score"),
            (Ridge(), half_of_it, "Half of it"),
        ],
    )
    def test_score_has_its_name_with_any_estimator(self, model, scoring, label):
        name = next(n for n in model.get_params() if n.endswith("tol"))
        search = GridSearchCV(model, {name: [1e-4, 1e-3]}, cv=2, scoring=scoring).fit(X, y)
        display = SearchDisplay.from_estimator(search)
        assert display.axes_[0].get_ylabel() == f"{label} on held-out folds"
        assert display.axes_[0].get_xlabel() == "Tol"

    @pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
    def test_layers_of_a_regressor_in_a_pipeline(self):
        model = make_pipeline(StandardScaler(), MLPRegressor(max_iter=5, random_state=0))
        grid = {"mlpregressor__hidden_layer_sizes": [(8, 2), 4], "mlpregressor__alpha": [0.1, 1]}
        search = GridSearchCV(model, grid, cv=2).fit(X, y)
        display = SearchDisplay.from_estimator(search)
        assert display.axes_[0].get_ylabel() == "R² on held-out folds"
        assert texts(display.axes_[0].get_xticklabels()) == ["4", "8,2"]
        assert [line.get_label() for line in display.groups_[:2]] == ["alpha=0.1", "alpha=1"]

    def test_long_names_of_values_are_shortened(self):
        pipeline = Pipeline([("scale", StandardScaler()), ("model", SVC())])
        models = [SVC(C=2.0), LogisticRegression(C=3.0, max_iter=900)]
        search = GridSearchCV(pipeline, {"model": models}, cv=2).fit(X, y)
        display = SearchDisplay.from_estimator(search)
        names = ["SVC(C=2.0)", "LogisticRegr…x_iter=900)"]
        assert texts(display.axes_[0].get_xticklabels()) == names

    def test_one_of_several_metrics(self):
        search = GridSearchCV(
            quick(),
            {"alpha": [0.1, 1.0]},
            cv=2,
            scoring=["accuracy", "neg_log_loss"],
            refit="neg_log_loss",
        ).fit(X, y)
        display = SearchDisplay.from_estimator(search)
        line = display.errorbars_[0][0]
        np.testing.assert_allclose(
            line.get_ydata(), search.cv_results_["mean_test_neg_log_loss"], rtol=1e-6
        )
        assert display.axes_[0].get_ylabel() == "Negative log loss on held-out folds"
        display = SearchDisplay.from_estimator(search, metric="accuracy")
        assert display.axes_[0].get_ylabel() == "Accuracy on held-out folds"
        assert display.best_[0].get_label().startswith("refitted: ")
        with pytest.raises(ValueError, match="one of accuracy, neg_log_loss; got 'f1'"):
            SearchDisplay.from_estimator(search, metric="f1")

    @pytest.mark.parametrize(
        ("scoring", "refit", "name"),
        [
            (None, True, "best"),
            ("accuracy", "accuracy", "best"),
            (["accuracy"], "accuracy", "best"),
            (["accuracy", "neg_log_loss"], False, "best"),
            (None, lambda results: 1, "refitted"),
        ],
    )
    def test_what_another_rule_chose_is_not_called_best(self, scoring, refit, name):
        search = GridSearchCV(quick(), {"alpha": [0.1, 1.0]}, cv=2, scoring=scoring, refit=refit)
        metric = "accuracy" if isinstance(scoring, list) else None
        display = SearchDisplay.from_estimator(search.fit(X, y), metric=metric)
        assert display.best_[0].get_label().startswith(f"{name}: ")

    def test_says_which_parameters_there_are(self):
        grid = {"alpha": [0.1, 1.0], "warmup": [0.0, 0.1]}
        search = GridSearchCV(quick(), grid, cv=2).fit(X, y)
        with pytest.raises(ValueError, match="those that vary: alpha, warmup; got 'tol'"):
            SearchDisplay.from_estimator(search, parameter="tol")

    @pytest.mark.parametrize(
        ("model", "grid", "label", "ticks"),
        [
            (quick(), {"warmup": [0.0, 0.1], "alpha": [0.1, 1.0]}, "Alpha", ["0.1", "1"]),
            (quick(), {"alpha": [0.1], "warmup": [0.0, 0.1]}, "Warmup", ["0", "0.1"]),
            (SVC(), {"kernel": ["rbf", "linear"], "C": [1, 2]}, "C", ["1", "2"]),
            (
                make_pipeline(StandardScaler(), SVC()),
                [{"svc__C": [1, 2]}, {"svc__gamma": [0.5, 1.0]}],
                "C",
                ["1", "2"],
            ),
        ],
    )
    def test_without_layer_sizes_the_first_that_varies_is_drawn(self, model, grid, label, ticks):
        search = GridSearchCV(model, grid, cv=2).fit(X, y)
        display = SearchDisplay.from_estimator(search)
        assert display.axes_[0].get_xlabel() == label
        assert texts(display.axes_[0].get_xticklabels()) == ticks

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([0.1, 1.0, 0.25], ["0.1", "1", "0.25"]),
            ([0.01, 0.0101], ["0.01", "0.0101"]),
            ([0.010001, 0.010002, 0.5], ["0.010001", "0.010002", "0.5"]),
            ([(0.1, 0.20001), (0.1, 0.20002)], ["0.1,0.20001", "0.1,0.20002"]),
            ([np.float32(0.100001), np.float32(0.100002)], ["0.100001", "0.100002"]),
            ([1, 1.0], ["1", "1"]),
            ([0.1, np.float64(0.1)], ["0.1", "0.1"]),
        ],
    )
    def test_values_have_at_most_six_digits(self, values, expected):
        n = len(values)
        display = SearchDisplay(
            scores=np.ones((n, 2)),
            fit_times=np.arange(1.0, n + 1),
            parameter="alpha",
            values=values,
            best_index=0,
            best_label="best",
        ).plot()
        shown = list(dict.fromkeys(expected))
        assert sorted(texts(display.axes_[0].get_xticklabels())) == sorted(shown)
        assert sorted(texts(display.axes_[1].texts)) == sorted(shown)

    def test_steps_that_differ_in_late_digits_leave_sizes_unknown(self):
        pipeline = make_pipeline(PCA(), quick(hidden_layer_sizes=(3,)))
        grid = {"pca__n_components": [0.50001, 0.50002]}
        search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
        assert np.isnan(SearchDisplay.from_estimator(search).sizes).sum() == 1

    def test_names_of_parameters_metrics_and_values_are_drawn_as_they_are(self):
        scaler = Pipeline([("$scale_a$", StandardScaler()), ("model", LogisticRegression())])
        grid = {"$scale_a$": ["passthrough", StandardScaler()], "model__C": [0.1, 1]}
        search = GridSearchCV(scaler, grid, cv=2, scoring={"$cost_b$": "accuracy"}, refit=False)
        display = SearchDisplay.from_estimator(search.fit(X, y), parameter="$scale_a$")
        assert display.axes_[0].get_xlabel() == "$scale_a$"
        assert display.axes_[0].get_ylabel() == "$cost_b$ on held-out folds"
        assert_verbatim(display, "$")
        display = SearchDisplay(
            scores=np.ones((2, 1)),
            fit_times=np.array([1.0, 9.0]),
            parameter="step___private",
            values=["$x$", "$y^$"],
            best_index=1,
            best_label="best: $y^$",
            groups=["_a", "$_b$"],
        ).plot()
        assert {"_a", "$_b$", "best: $y^$"} < set(texts(display.legend_.get_texts()))
        assert texts(display.axes_[0].get_xticklabels()) == ["$x$", "$y^$"]
        assert_verbatim(display, "$")

    def test_takes_a_fitted_search(self):
        with pytest.raises(NotFittedError):
            SearchDisplay.from_estimator(GridSearchCV(quick(), {}))
        with pytest.raises(AttributeError, match="'ANNClassifier' .* no attribute 'cv_results_'"):
            SearchDisplay.from_estimator(quick().fit(X, y))


class TestMisclassified:
    @pytest.fixture(scope="class")
    @staticmethod
    def reader():
        return quick(max_iter=3).fit(X_digits[:900], y_digits[:900])

    def test_images_are_the_surest_mistakes(self, reader):
        rest = X_digits[900:], y_digits[900:]
        display = MisclassifiedDisplay.from_estimator(
            reader, *rest, image_shape=(8, 8), max_samples=10
        )
        guess, sure = reader.predict(rest[0]), reader.predict_proba(rest[0]).max(axis=1)
        wrong = sorted(np.flatnonzero(guess != rest[1]), key=lambda i: -sure[i])
        assert len(wrong) > 10
        np.testing.assert_array_equal(display.indices_, wrong[:10])
        pictures = images_in(display.axes_)
        assert len(pictures) == 10
        for axes, picture, index in zip(display.axes_, pictures, wrong, strict=False):
            np.testing.assert_array_equal(picture.ravel(), rest[0][index])
            names = f"{rest[1][index]} → {guess[index]}"
            assert axes.get_title().split("   ") == [names, f"{sure[index]:.0%}"]
        assert display.title_.get_text().startswith(
            f"{len(wrong)} of {len(guess)} misclassified, the 10 most confident\n"
        )

    def test_the_guess_is_what_predict_says(self):
        X, y = load_breast_cancer(return_X_y=True)
        model = FixedThresholdClassifier(
            make_pipeline(StandardScaler(), quick(max_iter=3)), threshold=0.99
        ).fit(X, y)
        display = MisclassifiedDisplay.from_estimator(model, X, y)
        assert display.n_wrong_ == (model.predict(X) != y).sum()
        assert display.n_wrong_ > (model.predict_proba(X).argmax(axis=1) != y).sum()

    def test_long_names_take_two_lines(self):
        display = MisclassifiedDisplay.from_predictions(
            [[0, 1, 2, 3]], ["camel"], ["dromedary"], [0.75], image_shape=(2, 2)
        )
        (axes,) = display.axes_
        assert axes.get_title() == "camel →\ndromedary\n75%"

    @pytest.mark.parametrize(
        "names", [FASHION, CIFAR, [f"the digit number {digit}" for digit in range(10)]]
    )
    def test_names_above_images_do_not_cover_each_other(self, plt, names):
        names = np.array(names)
        truth = np.arange(20) % 10
        guess = (truth * 3 + 1) % 10
        kept = truth != guess
        arguments = X_digits[:20][kept], names[truth][kept], names[guess][kept], np.ones(kept.sum())
        for ax in (None, plt.subplots(figsize=(8, 6), layout="constrained")[1]):
            display = MisclassifiedDisplay.from_predictions(*arguments, image_shape=(8, 8), ax=ax)
            display.figure_.draw_without_rendering()
            assert not overlaps(axes.title for axes in display.axes_)
            for axes, index in zip(display.axes_, display.indices_, strict=True):
                words = axes.get_title().replace(" →", "").split("\n")
                if ax is None:
                    assert words == [arguments[1][index], arguments[2][index], "100%"]

    @pytest.mark.parametrize(
        ("n_wrong", "n_shown", "which"),
        [
            (1, 5, "most confident first"),
            (3, 2, "the 2 most confident"),
            (3, 3, "most confident first"),
        ],
    )
    def test_title_counts(self, n_wrong, n_shown, which):
        display = MisclassifiedDisplay.from_predictions(
            X[:4], [0] * 4, np.arange(4) < n_wrong, np.ones(4), max_samples=n_shown
        )
        first = display.title_.get_text().split("\n")[0]
        assert first == f"{n_wrong} of 4 misclassified, {which}"

    @pytest.mark.parametrize("image_shape", [None, (2, 2)])
    def test_labels_of_another_type_are_refused(self, image_shape):
        with pytest.raises(ValueError, match="Mix of label input types"):
            MisclassifiedDisplay.from_estimator(
                quick().fit(X, y), X, y.astype(str), image_shape=image_shape
            )

    def test_long_names_leave_room_to_the_table(self):
        names = np.array(["the first of all the flowers", "the second of all the flowers"])
        display = MisclassifiedDisplay.from_predictions(
            X[:4], names[[0] * 4], names[[1] * 4], y[:4]
        )
        display.figure_.draw_without_rendering()
        assert display.ax_.get_window_extent().width > 0.3 * display.figure_.bbox.width

    def test_table_shows_values_and_how_unusual_they_are(self):
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame({"length": [1.0, 2.0, 9.0, 4.0], "width": [5.0, 5.0, 5.0, 5.0]})
        display = MisclassifiedDisplay.from_predictions(
            frame, list("abab"), list("aabb"), [0.9, 0.6, 0.8, 0.9]
        )
        assert texts(display.ax_.get_yticklabels()) == ["a → b   80%", "b → a   60%"]
        assert texts(display.ax_.get_xticklabels()) == ["length", "width"]
        (picture,) = images_in([display.ax_])
        scaled = StandardScaler().fit(frame).transform(frame)
        np.testing.assert_allclose(picture[:, 0], scaled[[2, 1], 0])
        assert texts(display.ax_.texts) == ["9", "5", "2", "5"]

    def test_table_of_words_and_gaps(self):
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame({"colour": ["red", "blue", "red"], "size": [1.0, np.nan, 3.0]})
        display = MisclassifiedDisplay.from_predictions(
            frame, [0, 0, 0], [1, 1, 0], [0.9, 0.8, 0.7]
        )
        assert texts(display.ax_.texts) == ["red", "1", "blue", "nan"]
        np.testing.assert_allclose(deviations(display), [[np.nan, -1], [np.nan, np.nan]])

    COLUMNS = {
        "member": [True, False, True],
        "visits": [4, None, 8],
        "joined": ["2024-01-19", "2024-02-01", None],
        "job": ["clerk", "teacher", "clerk"],
        "note": [None, "two  lines\nof it", "x" * 99],
        "height": [1.0, None, 3.0],
    }
    KINDS = {
        "member": "bool",
        "visits": "Int64",
        "joined": "datetime64[ns]",
        "job": "category",
        "note": "object",
        "height": "object",
    }
    TEXTS = {
        "member": ["True", "False"],
        "visits": ["4", "<NA>"],
        "joined": ["2024-01-19", "2024-02-01"],
        "job": ["clerk", "teacher"],
        "note": ["None", "two lines of it"],
        "height": ["1", "None"],
    }

    @pytest.mark.parametrize("other", ["job", "note", "member", None])
    @pytest.mark.parametrize("name", COLUMNS)
    def test_table_of_columns_of_any_kinds(self, name, other):
        pd = pytest.importorskip("pandas")
        names = list(dict.fromkeys([name, other or name]))
        if other is None:
            names = list(self.COLUMNS)
        frame = pd.DataFrame({n: pd.Series(self.COLUMNS[n], dtype=self.KINDS[n]) for n in names})
        display = MisclassifiedDisplay.from_predictions(
            frame, [0, 0, 0], [1, 1, 0], [0.9, 0.8, 0.7]
        )
        assert texts(display.ax_.get_xticklabels()) == names
        assert texts(display.ax_.texts) == [self.TEXTS[n][row] for row in (0, 1) for n in names]
        expected = {"member": [0.5**0.5, -(2**0.5)], "visits": [-1, np.nan], "height": [-1, np.nan]}
        nothing = [np.nan, np.nan]
        np.testing.assert_allclose(
            deviations(display), np.transpose([expected.get(n, nothing) for n in names])
        )
        # Without a number, colours mean nothing.
        assert (len(display.figure_.axes) == 2) == bool(set(names) & set(expected))

    def test_a_pipeline_takes_texts(self):
        pd = pytest.importorskip("pandas")
        X = ["red green", "green", "blue " * 60, "blue red", "red", "yellow\nand red"]
        y = np.array(["warm", "cold", "cold", "cold", "warm", "cold"])
        model = make_pipeline(TfidfVectorizer(), quick(batch_size=2)).fit(X[:5], y[:5])
        wrong = np.where(model.predict(X) == "warm", "cold", "warm")
        for samples in (X, pd.Series(X, name="review"), np.array(X)):
            display = MisclassifiedDisplay.from_estimator(model, samples, wrong)
            assert display.n_wrong_ == 6
            np.testing.assert_array_equal(display.X[:, 0], X)
            shown = texts(display.ax_.texts)
            assert shown[list(display.indices_).index(5)] == "yellow and red"
            long = shown[list(display.indices_).index(2)]
            assert long.startswith("blue blue")
            assert "…" in long
            assert len(long) == 100
            assert len(display.figure_.axes) == 1

    def test_words_stand_out_from_a_dark_background(self, plt):
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame({"colour": ["red", "blue"], "size": [1.0, 3.0]})
        with plt.style.context("dark_background"):
            display = MisclassifiedDisplay.from_predictions(frame, [0, 0], [1, 1], [0.9, 0.8])
        # The words stand on the background, the numbers on bright colours.
        assert [text.get_color() for text in display.ax_.texts] == ["white", "black"] * 2

    def test_numbers_without_columns_are_still_refused(self):
        with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
            MisclassifiedDisplay.from_predictions([1.0, 2.0], [0, 0], [1, 1], [0.9, 0.8])

    def test_words_fit_their_columns(self):
        pd = pytest.importorskip("pandas")
        words = ["a self-employed person", "x" * 99]
        frame = pd.DataFrame({"job": words, "size": [1.0, 2.0], "again": words, "more": words})
        display = MisclassifiedDisplay.from_predictions(frame, [0, 0], [1, 1], [0.9, 0.8])
        display.figure_.draw_without_rendering()
        boxes = [text.get_window_extent() for text in display.ax_.texts]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        assert all(display.ax_.get_window_extent().contains(box.x0, box.y0) for box in boxes)

    @pytest.mark.parametrize("shape", [(2, 2, 3), (4, 3)])
    @pytest.mark.parametrize(
        ("low", "high", "dtype", "from_to"),
        [
            (0.1, 0.4, float, (0.1, 0.4)),
            (0.0, 1.0, np.float32, (0.0, 1.0)),
            (30.0, 230.0, float, (30.0, 230.0)),
            (0, 255, np.uint8, (0.0, 255.0)),
            (0.0, 16.0, float, (0.0, 16.0)),
            (-2.0, 3.0, float, (-2.0, 3.0)),
            (100.0, 4095.0, float, (100.0, 4095.0)),
        ],
    )
    def test_images_of_any_range_are_scaled_alike(self, shape, low, high, dtype, from_to):
        images = np.linspace(low, high, 24).reshape(2, 12).astype(dtype)
        display = MisclassifiedDisplay.from_predictions(
            images, [0, 0], [1, 1], [0.9, 0.8], image_shape=shape
        )
        start, end = from_to
        for picture, image in zip(images_in(display.axes_), images, strict=True):
            expected = (image.astype(float).reshape(shape) - start) / (end - start)
            np.testing.assert_allclose(picture, expected, atol=1e-6)
        assert {image.get_clim() for image in display.images_} == {(0, 1)}

    def test_images_of_one_colour_are_drawn(self):
        for value in (0.0, 1.0, 255.0, 7.0, np.nan):
            display = MisclassifiedDisplay.from_predictions(
                np.full((1, 4), value), [0], [1], [0.9], image_shape=(2, 2)
            )
            display.figure_.draw_without_rendering()
            assert len(display.images_) == 1

    def test_sparse_rows_are_measured_like_dense_ones(self):
        rng = np.random.default_rng(0)
        dense = rng.normal(size=(20, 5)) * (rng.random((20, 5)) < 0.5)
        dense[:, 4] = 0
        dense += 0  # No -0.
        guess = np.arange(20) % 2
        args = np.zeros(20, int), guess, np.linspace(0.5, 1, 20)
        one = MisclassifiedDisplay.from_predictions(sparse.csr_array(dense), *args)
        other = MisclassifiedDisplay.from_predictions(dense, *args)
        assert texts(one.ax_.texts) == texts(other.ax_.texts)
        np.testing.assert_allclose(deviations(one), deviations(other), atol=1e-12)

    def test_many_features_leave_the_most_unusual(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(50, 30))
        X[0, [3, 17]] = 30.0
        truth, guess = np.zeros(50, int), np.zeros(50, int)
        guess[0] = 1
        display = MisclassifiedDisplay.from_predictions(X, truth, guess, np.full(50, 0.9))
        z = abs((X - X.mean(axis=0)) / X.std(axis=0))[0]
        expected = [f"x{feature}" for feature in np.sort(np.argsort(-np.minimum(z, 3))[:12])]
        assert {"x3", "x17"} < set(expected)
        assert texts(display.ax_.get_xticklabels()) == expected

    def test_no_mistakes(self):
        display = MisclassifiedDisplay.from_predictions(X, y, y, np.ones(len(y)))
        assert texts(display.ax_.texts) == ["No mistakes."]
        assert display.images_ == []

    def test_takes_pipelines_and_searches(self):
        pipeline = make_pipeline(StandardScaler(), quick(max_iter=1))
        search = GridSearchCV(pipeline, {"annclassifier__alpha": [0.1]}, cv=2).fit(X, y)
        display = MisclassifiedDisplay.from_estimator(search, X, y)
        assert display.n_wrong_ == np.sum(search.predict(X) != y)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"y": y[:-1]}, "inconsistent numbers of samples"),
            ({"y": np.stack([y, y], axis=1)}, "should be a 1d array"),
            ({"image_shape": (3, 3)}, r"\(3, 3\) means 9 values, but there are 4 features"),
            ({"feature_names": ["a"]}, "feature_names must have one entry for each feature, 4"),
            ({"max_samples": 0}, "max_samples == 0, must be >= 1"),
        ],
    )
    def test_says_what_does_not_fit(self, changes, message):
        arguments = {"estimator": quick().fit(X, y), "X": X, "y": y} | changes
        with pytest.raises(ValueError, match=message):
            MisclassifiedDisplay.from_estimator(**arguments)

    def test_needs_probabilities(self):
        model = Ridge().fit(X, y)
        with pytest.raises(AttributeError, match="'Ridge' object has no attribute"):
            MisclassifiedDisplay.from_estimator(model, X, y)

    @pytest.mark.parametrize("image_shape", [None, (2, 2)])
    def test_names_and_words_are_drawn_as_they_are(self, image_shape):
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame({name: [1.0, 2.0, 4.0, 9.0] for name in DOLLARS[1:]})
        frame.insert(0, DOLLARS[0], np.arange(4.0) if image_shape else DOLLARS)
        display = MisclassifiedDisplay.from_predictions(
            frame, DOLLARS, DOLLARS[[1, 2, 3, 0]], np.ones(4), image_shape=image_shape
        )
        assert_verbatim(display, "$")
        if image_shape is None:
            assert texts(display.ax_.get_xticklabels()) == list(DOLLARS)
            assert texts(display.ax_.texts)[::4] == list(DOLLARS)
            assert texts(display.ax_.get_yticklabels())[0] == "$a_1$ → US$ or A$   100%"
        else:
            assert display.axes_[0].get_title().split(" →")[0] == "$a_1$"

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([0.01234, 0.5, 9.0], ["0.01234", "0.5", "9"]),
            ([1234567, 1234568, 2024.0], ["1234567", "1234568", "2024"]),
            ([-1.2345678e-50, np.nan, 1 / 3], ["-1.23457e-50", "nan", "0.333333"]),
            (["a" * 99 + "z" * 99] * 3, ["a" * 50 + "…" + "z" * 49] * 3),
        ],
    )
    def test_cells_are_short(self, values, expected):
        table = np.array([values], dtype=object).T
        display = MisclassifiedDisplay.from_predictions(table, [0] * 3, [1] * 3, [0.9, 0.8, 0.7])
        assert texts(display.ax_.texts) == expected
        display.figure_.draw_without_rendering()
        assert not overlaps(display.ax_.texts)

    def test_numbers_have_room_in_a_table_of_many_columns(self):
        columns = np.add.outer([1.0, -1.2345678e-50], np.zeros(12))
        display = MisclassifiedDisplay.from_predictions(columns, [0, 0], [1, 1], [0.9, 0.8])
        display.figure_.draw_without_rendering()
        assert set(texts(display.ax_.texts)) == {"1", "-1.23457e-50"}
        assert not overlaps(display.ax_.texts)


class TestAll:
    @pytest.fixture(params=["training", "weights", "search", "misclassified"])
    def draw(self, request, watched):
        search = GridSearchCV(quick(max_iter=1), {"hidden_layer_sizes": [(2,), (4,)]}, cv=2)
        return {
            "training": lambda ax: TrainingCurveDisplay.from_estimator(watched, ax=ax),
            "weights": lambda ax: WeightsDisplay.from_estimator(watched, image_shape=(2, 2), ax=ax),
            "search": lambda ax: SearchDisplay.from_estimator(search.fit(X, y), ax=ax),
            "misclassified": lambda ax: MisclassifiedDisplay.from_estimator(
                watched, X, y, image_shape=(2, 2), ax=ax
            ),
        }[request.param]

    def test_draws_where_it_is_told_and_opens_no_window(self, draw, plt):
        from matplotlib.figure import Figure

        figure = Figure((24, 5), layout="constrained")
        left, right = figure.subplots(1, 2)
        display = draw(right)
        assert display.ax_ is right
        assert display.figure_ is figure
        assert all(axes.figure in (figure, *figure.subfigs) for axes in display.axes_)
        assert plt.get_fignums() == []
        figure.draw_without_rendering()
        middle = figure.bbox.width / 2
        assert all(axes.get_window_extent().x0 > 0.9 * middle for axes in display.axes_)
        assert not left.has_data()

    def test_stands_out_from_a_dark_background(self, draw, plt):
        from matplotlib.colors import to_rgb

        with plt.style.context("dark_background"):
            display = draw(None)
            for axes in display.axes_:
                assert axes.get_facecolor()[:3] == (0, 0, 0)
                for line in axes.lines:
                    edge = line.get_markeredgecolor() if line.get_marker() != "None" else "white"
                    assert max(to_rgb(edge)) > 0.5
                for text in axes.texts:
                    behind = text.get_bbox_patch().get_facecolor()[:3]
                    assert (to_rgb(text.get_color()), behind) == ((1, 1, 1), (0, 0, 0))

    def test_plots_again_into_a_figure_of_its_own(self, draw, plt):
        display = draw(None)
        first = display.figure_
        assert display.plot() is display
        assert display.figure_ is not first
        assert len(plt.get_fignums()) == 2

    @pytest.mark.parametrize(
        ("size", "shape"), [((6, 6), (4, 4)), ((20, 2), (1, 16)), ((2, 20), (16, 1))]
    )
    @pytest.mark.parametrize("which", ["weights", "misclassified"])
    def test_images_are_as_large_as_the_axes_allow(self, plt, which, size, shape):
        ax = plt.subplots(figsize=size)[1]
        if which == "weights":
            model = quick(hidden_layer_sizes=(16,), max_iter=1).fit(X, y)
            display = WeightsDisplay.from_estimator(model, image_shape=(2, 2), ax=ax)
        else:
            display = MisclassifiedDisplay.from_predictions(
                X[:16], [0] * 16, [1] * 16, np.ones(16), image_shape=(2, 2), ax=ax
            )
        grid = display.axes_[0].get_subplotspec().get_gridspec()
        assert (grid.nrows, grid.ncols) == shape

    def test_a_figure_without_a_layout_has_room_for_labels(self, draw, plt):
        figure, ax = plt.subplots(figsize=(12, 4))
        boxes = [axes.get_tightbbox() for axes in draw(ax).axes_]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])

    def test_axes_that_cannot_be_divided_are_refused(self, draw, plt):
        figure = plt.figure()
        with pytest.raises(ValueError, match="ax must be a subplot"):
            draw(figure.add_axes((0, 0, 1, 1)))

    def test_without_matplotlib_says_what_to_install(self, draw, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
        with pytest.raises(ImportError, match="python -m pip install matplotlib$"):
            draw(None)


@pytest.mark.parametrize("display", [TrainingCurveDisplay, WeightsDisplay])
class TestWhatTheyTake:
    def test_refuses_what_is_no_network(self, display):
        with pytest.raises(TypeError, match=f"{display.__name__} takes a fitted ANNClassifier, a"):
            display.from_estimator(LogisticRegression().fit(X, y))

    def test_refuses_a_search_without_a_best_estimator(self, display):
        search = GridSearchCV(quick(), {"alpha": [1.0]}, cv=2, refit=False).fit(X, y)
        with pytest.raises(TypeError, match=r"refitted to one \(refit=True\); got GridSearchCV"):
            display.from_estimator(search)

    @pytest.mark.parametrize(
        "model", [ANNClassifier(), make_pipeline(StandardScaler(), ANNClassifier())]
    )
    def test_refuses_what_is_not_fitted(self, display, model):
        with pytest.raises(NotFittedError):
            display.from_estimator(model)


def test_importing_skann_does_not_import_matplotlib():
    import subprocess

    code = "import sys, skann; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_displays_are_public():
    names = {name for name in skann.__all__ if name.endswith("Display")}
    assert names == {
        "LearningRateDisplay",
        "MisclassifiedDisplay",
        "SearchDisplay",
        "TrainingCurveDisplay",
        "WeightsDisplay",
    }
