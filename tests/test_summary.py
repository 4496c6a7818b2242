"""The summary of a network, the link in scikit-learn's HTML, and the printed versions."""

import copy
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr
from threadpoolctl import threadpool_info

import skann
from skann import ANNClassifier
from skann.engine import fitting
from skann.engine.activations import ACTIVATIONS
from skann.engine.layers import Dense
from tests.data import KINDS, constant_rate, problem, quick
from tests.test_docstrings import LEFT_OPEN, complaints

X, y = problem()


class TestLayers:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("hidden", [(), (7,), (9, 5)])
    def test_parameters_are_those_of_scikit_learns_network(self, hidden, kind):
        X, y = problem(kind)
        summary = quick(hidden_layer_sizes=hidden).fit(X, y).summary()
        if hidden:
            peer = MLPClassifier(hidden, max_iter=1, random_state=0)
            with pytest.warns(ConvergenceWarning):
                peer.fit(X, y)
            expected = [w.size + b.size for w, b in zip(peer.coefs_, peer.intercepts_, strict=True)]
        else:
            n_outputs = 1 if kind == "binary" else 3
            expected = [4 * n_outputs + n_outputs]
        assert [layer.n_parameters for layer in summary.layers] == [0, *expected]
        assert summary.n_parameters == summary.n_trainable == sum(expected)

    @pytest.mark.parametrize("normalization", ["batch", "layer"])
    def test_normalization_counts_what_it_learns_and_what_it_averages(self, normalization):
        model = quick(hidden_layer_sizes=(6, 5), normalization=normalization).fit(X, y)
        summary = model.summary()
        learned, averages = 2 * 11, 2 * 11 * (normalization == "batch")
        weights = sum(array.size for array in [*model.coefs_, *model.intercepts_])
        assert summary.n_trainable == weights + learned
        assert summary.n_parameters == weights + learned + averages
        assert sum(layer.n_parameters for layer in summary.layers) == summary.n_parameters
        assert [layer.normalization for layer in summary.layers] == [
            None,
            normalization,
            normalization,
            None,
        ]

    def test_shapes_activations_and_dropout_of_every_layer(self):
        model = quick(
            hidden_layer_sizes=(6, 5),
            activation=["gelu", "tanh"],
            dropout=[0.25, 0.0],
            input_dropout=0.125,
            input_scaling="standard",
        )
        summary = model.fit(X, y).summary()
        layers = summary.layers
        assert [layer.name for layer in layers] == ["input", "hidden 1", "hidden 2", "output"]
        assert [layer.output_shape for layer in layers] == [
            (None, 4),
            (None, 6),
            (None, 5),
            (None, 3),
        ]
        assert [layer.activation for layer in layers] == [None, "gelu", "tanh", "softmax"]
        assert [layer.dropout for layer in layers] == [0.125, 0.25, 0.0, 0.0]
        assert summary.input_scaling == "standard"

    @pytest.mark.parametrize("normalization", [None, "batch", "layer"])
    @pytest.mark.parametrize("scaling", [None, "standard", "maxabs"])
    def test_scaling_of_the_inputs_is_no_normalization(self, scaling, normalization):
        model = quick(input_scaling=scaling, normalization=normalization).fit(X, y)
        summary = model.summary()
        assert summary.layers[0].normalization is None
        assert summary.input_scaling == scaling
        columns = next(
            line for line in str(summary).splitlines() if line.startswith("input ")
        ).split()
        assert columns == ["input", "(None,", "4)", "-", "-", "-", "0"]
        assert re.findall("Input scaling: (.*)", str(summary)) == [str(scaling)]

    @pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
    def test_names_every_activation(self, activation):
        assert f" {activation} " in str(quick(activation=activation).fit(X, y).summary())

    @pytest.mark.parametrize(
        "start",
        [
            {},
            {"input_scaling": "standard", "input_dropout": 0.25, "solver": "sgd"},
            {"input_clip": 3.0, "ema_decay": 0.9, "early_stopping": True},
            {"solver": "lbfgs", "max_iter": 200},
            {"warm_start": True},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("name", sorted(ANNClassifier().get_params()))
    def test_describes_the_network_that_was_fitted_not_the_parameters_set_since(self, name, start):
        model = quick(**start).fit(X, y)
        before = model.summary()
        other = {
            "hidden_layer_sizes": (99,),
            "solver": "adamw",
            "dtype": "float64",
            "early_stopping": not model.early_stopping,
            "warm_start": not model.warm_start,
            "input_scaling": "maxabs",
            "input_dropout": 0.5,
            "ema_decay": 0.5,
            "normalization": "batch",
        }.get(name, "other")
        model.set_params(**{name: other})
        assert model.summary() == before
        assert str(copy.deepcopy(model).summary()) == str(before)

    def test_a_fit_that_goes_on_keeps_the_scaling_of_the_first(self):
        model = quick(warm_start=True, input_scaling="standard").fit(X, y)
        model.set_params(input_scaling=None, input_dropout=0.25, warm_start=False)
        model.partial_fit(X, y)
        assert model.summary().input_scaling == "standard"
        assert model.summary().layers[0].dropout == 0.25
        assert model.summary().rows_per_epoch == len(X)
        model.fit(X, y)
        assert model.summary().input_scaling is None
        assert model.summary().rows_per_epoch == len(X)

    def test_survives_a_pickle(self):
        model = quick().fit(X, y)
        assert copy.deepcopy(model).summary() == model.summary()
        assert copy.deepcopy(model.summary()) == model.summary()


class TestCost:
    @pytest.mark.parametrize("hidden", [(), (8,), (8, 5)])
    @pytest.mark.parametrize("kind", KINDS)
    def test_multiply_adds_are_those_of_the_products_that_training_makes(
        self, hidden, kind, monkeypatch
    ):
        X, y = problem(kind)
        model = quick(hidden_layer_sizes=hidden, max_iter=3)
        expected = model.fit(X, y).summary().multiply_adds_per_epoch
        # That each of them makes these products is what the tests of layers are about.
        multiply, backward, counted = Dense.multiply, Dense.backward, 0

        def counting_multiply(layer, inputs, outputs):
            nonlocal counted
            counted += inputs.shape[0] * layer.weights.size
            multiply(layer, inputs, outputs)

        def counting_backward(layer, inputs, *arguments):
            nonlocal counted
            needs_gradient_of_inputs = arguments[-1] is not None
            counted += inputs.shape[0] * layer.weights.size * (1 + needs_gradient_of_inputs)
            backward(layer, inputs, *arguments)

        # The scores that are looked at after training are no part of an epoch.
        monkeypatch.setattr(fitting, "_scores_are_finite", lambda *_: True)
        monkeypatch.setattr(Dense, "multiply", counting_multiply)
        monkeypatch.setattr(Dense, "backward", counting_backward)
        model.fit(X, y)
        assert counted == 3 * expected

    def test_counts_the_rows_of_the_fit_without_those_held_out(self):
        model = quick(early_stopping=True, validation_fraction=0.25, max_iter=3)
        assert model.fit(X, y).summary().rows_per_epoch == 45

    def test_counts_the_rows_of_the_last_partial_fit(self):
        model = quick()
        for stop in (20, 40):
            model.partial_fit(X[:stop], y[:stop], classes=np.unique(y))
        assert model.summary().rows_per_epoch == 40

    @pytest.mark.parametrize("changes", [{"solver": "lbfgs"}, {"warm_start": True}], ids=str)
    def test_rows_are_known_for_every_kind_of_fit(self, changes):
        model = quick(max_iter=2000, **changes)
        for n_rows in (40, 60):
            summary = model.fit(X[:n_rows], y[:n_rows]).summary()
            assert summary.rows_per_epoch == n_rows
            assert re.search(
                rf"about \d+ multiply-adds a row, [\d,]+ for {n_rows} rows$", str(summary)
            )

    def test_sparse_rows_have_a_summary(self):
        dense, thin = quick().fit(X, y).summary(), quick().fit(sparse.csr_array(X), y).summary()
        assert thin == dense


class TestMemory:
    def test_parameters_take_what_a_pickle_stores(self):
        model = quick(dtype="float64").fit(X, y)
        assert model.summary().parameter_bytes == 8 * (4 * 8 + 8 + 8 * 3 + 3)


class TestText:
    def test_columns_line_up(self):
        lines = str(quick(hidden_layer_sizes=(1000, 5)).fit(X, y).summary()).splitlines()
        table = lines[2:8]
        assert len({len(line) for line in table}) == 1
        names = ["layer", "output shape", "activation", "normalization", "dropout", "parameters"]
        assert re.split("  +", table[0]) == names
        starts = [match.start() for match in re.finditer("-+", table[1])]
        for line in table:
            assert all(line[start - 2 : start] == "  " for start in starts[1:])
            assert all(line[start] != " " for start in starts[:-1])

    def test_big_numbers_are_readable(self):
        text = str(quick(hidden_layer_sizes=(3000, 400), max_iter=1).fit(X, y).summary())
        assert "1,216,603 in float32, 4,866,412 bytes" in text
        assert "about 3,627,600 multiply-adds a row, 217,656,000 for 60 rows" in text

    def test_is_the_same_printed_and_shown(self):
        summary = quick().fit(X, y).summary()
        assert str(summary) == repr(summary) == f"{summary}"


class TestNotFitted:
    def test_says_what_to_do(self):
        with pytest.raises(NotFittedError, match="ANNClassifier has no network yet.*Call 'fit'"):
            ANNClassifier().summary()


class TestHtml:
    @pytest.mark.parametrize("wrap", [lambda m: m, lambda m: make_pipeline(StandardScaler(), m)])
    @pytest.mark.parametrize("is_fitted", [False, True])
    def test_links_to_the_page_of_the_classifier(self, is_fitted, wrap):
        model = wrap(quick(hidden_layer_sizes=(6, 5)))
        links = re.findall(
            'href="([^"]+)"', estimator_html_repr(model.fit(X, y) if is_fitted else model)
        )
        url = "https://skann.readthedocs.io/en/stable/generated/skann.ANNClassifier.html"
        assert url in links
        assert any(link.startswith(f"{url}#:~:text=alpha") for link in links)
        assert not any("sklearn" in link and "ANNClassifier" in link for link in links)

    def test_subclass_of_a_user_is_not_linked_to_a_page_that_does_not_exist(self):
        class Mine(ANNClassifier):
            pass

        model = Mine((5,), max_iter=1).fit(X, y)
        assert model._get_doc_link() == ""
        assert str(model.summary()).startswith("Mine\n")


def printed_versions(capsys):
    assert skann.show_versions() is None
    return dict(re.findall(r"^ *([\w-]+): (.*)$", capsys.readouterr().out, re.MULTILINE))


class TestShowVersions:
    def test_prints_what_is_installed(self, capsys):
        printed = printed_versions(capsys)
        assert printed["skann"] == skann.__version__
        assert printed["sklearn"] == version("scikit-learn")
        for package in ("numpy", "scipy", "joblib", "threadpoolctl", "matplotlib", "skops"):
            assert printed[package] == version(package)
        assert printed["internal_api"] in {library["internal_api"] for library in threadpool_info()}

    def test_says_what_is_not_installed(self, capsys, monkeypatch):
        monkeypatch.setitem(skann.show_versions.__globals__, "_OPTIONAL", ("no-such-package",))
        assert printed_versions(capsys)["no-such-package"] == "not installed"

    def test_knows_all_packages_that_the_project_names(self, capsys):
        project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
        extras = project["project"]["optional-dependencies"]
        requirements = list(project["project"]["dependencies"])
        for extra in set(extras) - {"benchmark", "docs", "lint", "package", "test"}:
            requirements += extras[extra]
        names = {re.match(r"[\w-]+", requirement)[0] for requirement in requirements}
        names = {"sklearn" if name == "scikit-learn" else name for name in names}
        assert names <= set(printed_versions(capsys))


@pytest.mark.parametrize(
    "name",
    [
        "skann.ANNClassifier.summary",
        "skann.summary.LayerSummary",
        "skann.summary.NetworkSummary",
        "skann.show_versions",
    ],
)
def test_docstrings_are_complete(name):
    assert complaints(name, LEFT_OPEN) == []


API_PAGE = Path(__file__).parents[1] / "docs" / "api.rst"


@pytest.mark.skipif(not API_PAGE.is_file(), reason="the documentation is not beside the tests")
def test_what_a_summary_is_made_of_is_on_the_api_page():
    summary = quick().fit(X, y).summary()
    page = re.sub(r"\s+", " ", API_PAGE.read_text())
    (section,) = re.findall(r"currentmodule:: skann\.summary (.*?)\.\. currentmodule", page)
    listed = re.findall(r"\w*Summary", section)
    assert listed == [type(summary).__name__, type(summary.layers[0]).__name__]


def test_of_the_last_step_of_a_pipeline_or_a_search():
    pipeline = make_pipeline(StandardScaler(), quick())
    search = GridSearchCV(pipeline, {"annclassifier__hidden_layer_sizes": [(5,)]}, cv=2).fit(X, y)
    summary = search.best_estimator_[-1].summary()
    assert summary == pipeline.set_params(**search.best_params_).fit(X, y)[-1].summary()
    assert [layer.output_shape[1] for layer in summary.layers] == [4, 5, 3]


def test_history_that_stops_early_keeps_the_rows_of_an_epoch():
    model = constant_rate(early_stopping=True, n_iter_no_change=1, max_iter=50)
    model.fit(X, y)
    assert len(model.history_) < 50
    assert model.summary().rows_per_epoch == 54
