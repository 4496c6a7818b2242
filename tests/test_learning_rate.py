"""The range test for the learning rate."""

import matplotlib as mpl
import numpy as np
import pytest
from scipy import sparse
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline

from skann import LearningRateDisplay, find_learning_rate
from skann.callbacks import Checkpoint
from tests.data import KINDS, problem, quick

X, y = problem()
X_digits, y_digits = load_digits(return_X_y=True)
X_digits /= 16


@pytest.fixture
def plt():
    backend = mpl.get_backend()
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")
    mpl.use(backend)


class TestFindLearningRate:
    @pytest.mark.filterwarnings("ignore:Training failed")
    @pytest.mark.parametrize("solver", ["adam", "adamw", "sgd"])
    def test_suggests_a_rate_that_learns_where_smaller_and_larger_do_not(self, solver):
        model = quick(hidden_layer_sizes=(32,), solver=solver, batch_size=64, max_iter=5)
        suggested = find_learning_rate(model, X_digits, y_digits).suggested_rate
        losses = [
            log_loss(
                y_digits,
                model.set_params(learning_rate_init=rate)
                .fit(X_digits, y_digits)
                .predict_proba(X_digits),
            )
            for rate in (suggested, suggested / 100, suggested * 100)
        ]
        assert losses[0] < 0.3
        assert losses[0] < 0.2 * min(losses[1:])

    def test_rates_are_those_given(self):
        display = find_learning_rate(quick(), X, y, rates=np.geomspace(1e-6, 1e-3, 31))
        np.testing.assert_allclose(display.learning_rates, np.geomspace(1e-6, 1e-3, 31))
        assert len(display.losses) == len(display.smoothed_losses) == 31

    def test_losses_are_those_of_the_batches_before_their_steps(self):
        # One batch and next to no steps: the loss of new weights, again and again.
        model = quick(batch_size=60, dropout=0.0, label_smoothing=0.0)
        display = find_learning_rate(model, X, y, rates=np.linspace(1e-12, 1e-11, 10))
        new = quick(batch_size=60, max_iter=1, learning_rate_init=1e-12).fit(X, y)
        expected = log_loss(y, new.predict_proba(X))
        np.testing.assert_allclose(display.losses, expected, rtol=1e-5)
        np.testing.assert_allclose(display.smoothed_losses, expected, rtol=1e-5)

    def test_ends_when_the_loss_grows(self):
        display = find_learning_rate(quick(), X, y, rates=np.geomspace(1e-5, 1e6, 200))
        assert len(display.losses) < 200
        assert np.isfinite(display.losses).all()
        assert display.smoothed_losses[-1] > 4 * display.smoothed_losses[:-1].min()

    def test_neither_estimator_nor_its_callbacks_are_touched(self):
        class Forbidden:
            def setup(self, estimator, context):
                raise AssertionError

            teardown = on_fit_task_begin = on_fit_task_end = setup

        forbidden = Forbidden()
        model = quick(early_stopping=True, verbose=True)
        before = vars(model.set_callbacks(forbidden)).copy()
        find_learning_rate(model, X, y)
        assert vars(model) == before
        assert model._skl_callbacks == [forbidden]

    @pytest.mark.parametrize("changes", [{}, {"early_stopping": True, "scoring": "f1_macro"}])
    def test_callbacks_and_verbose_make_no_difference(self, changes, tmp_path, capfd):
        expected = find_learning_rate(quick(), X, y)
        monitor = ScoringMonitor(scoring="accuracy")
        for callback in (Checkpoint(tmp_path / "fit.npz"), ProgressBar(), monitor):
            model = quick(verbose=True, **changes).set_callbacks(callback)
            found = find_learning_rate(model, X, y)
            np.testing.assert_array_equal(found.losses, expected.losses)
            assert found.suggested_rate == expected.suggested_rate
            assert model._skl_callbacks == [callback]
        assert list(tmp_path.iterdir()) == []
        shown = capfd.readouterr()
        assert shown.out == shown.err == ""

    @pytest.mark.parametrize("warm_start", [False, True])
    def test_what_a_fitted_estimator_has_learned_plays_no_part(self, warm_start):
        model = quick(warm_start=warm_start, verbose=True).fit(X[:, :3], y % 2)
        before, scores = vars(model).copy(), model.predict_proba(X[:, :3])
        found = find_learning_rate(model, X, y)
        np.testing.assert_array_equal(found.losses, find_learning_rate(quick(), X, y).losses)
        assert vars(model) == before
        np.testing.assert_array_equal(model.predict_proba(X[:, :3]), scores)

    @pytest.mark.parametrize("kind", KINDS)
    def test_takes_what_fit_takes(self, kind):
        X, y = problem(kind)
        display = find_learning_rate(
            quick(class_weight="balanced"), sparse.csr_array(X), y, np.linspace(0.1, 1, 60)
        )
        assert 1e-6 <= display.suggested_rate <= 1

    def test_the_same_seed_gives_the_same_result(self):
        one, other = (find_learning_rate(quick(), X, y) for _ in range(2))
        np.testing.assert_array_equal(one.losses, other.losses)

    @pytest.mark.parametrize(
        "rates",
        [
            np.linspace(0.0, 1.0, 20),
            np.linspace(2.0, 1.0, 20),
            [*range(1, 20), np.inf],
            [*range(1, 20), np.nan],
            np.linspace(0.1, 1.0, 9),
            np.ones((20, 1)),
            0.1,
        ],
    )
    def test_refuses_what_is_no_range(self, rates):
        with pytest.raises(ValueError, match="rates must be at least 10 positive numbers in"):
            find_learning_rate(quick(), X, y, rates=rates)

    def test_lbfgs_has_no_rate(self):
        with pytest.raises(ValueError, match="lbfgs.*no learning rate"):
            find_learning_rate(quick(solver="lbfgs"), X, y)

    def test_a_pipeline_is_told_what_to_do(self):
        with pytest.raises(
            TypeError, match="ANNClassifier; got Pipeline. Pass the classifier itself"
        ):
            find_learning_rate(make_pipeline(quick()), X, y)

    def test_a_loss_that_is_no_number_at_once_is_an_error(self):
        with pytest.raises(ValueError, match="diverged"):
            find_learning_rate(quick(), X * 1e38, y)


class TestDisplay:
    display = LearningRateDisplay(
        learning_rates=np.array([0.1, 1.0, 10.0]),
        losses=np.array([3.0, 1.0, 5.0]),
        smoothed_losses=np.array([3.0, 2.0, 4.0]),
        suggested_rate=0.1,
    )

    def test_plots_into_a_figure_of_its_own(self, plt):
        display = self.display.plot()
        assert display is self.display
        assert display.figure_ is display.ax_.figure
        assert display.ax_.get_xscale() == "log"
        smoothed, losses, suggested = display.ax_.lines
        np.testing.assert_array_equal(smoothed.get_xydata(), [[0.1, 3], [1, 2], [10, 4]])
        np.testing.assert_array_equal(losses.get_ydata(), [3, 1, 5])
        np.testing.assert_array_equal(suggested.get_xdata(), [0.1, 0.1])
        labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
        assert labels == ["smoothed", "batches", "suggested: 0.1"]

    def test_the_suggestion_stands_out_from_a_dark_background(self, plt):
        with plt.style.context("dark_background"):
            display = self.display.plot()
        assert display.ax_.lines[-1].get_color() == "white"

    def test_plots_where_it_is_told(self, plt):
        figure, ax = plt.subplots()
        assert self.display.plot(ax).ax_ is ax
        assert self.display.figure_ is figure
