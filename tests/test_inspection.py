"""The summary of a network, its place in scikit-learn's HTML, and the printed versions."""

import copy
import html
import re
import tomllib
import tracemalloc
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr
from threadpoolctl import threadpool_info

import skann
from skann import ANNClassifier
from skann.engine.activations import ACTIVATIONS
from skann.engine.layers import Dense
from tests.data import KINDS, constant_rate, problem, quick
from tests.test_docstrings import LEFT_OPEN, complaints

X, y = problem()
ATTACK = "<script>alert('x')</script> & \"co\""


class Page(HTMLParser):
    """Checks that tags are balanced, and collects text, links and the tags that occur."""

    VOID = {"br", "input", "img", "hr", "meta", "link"}

    def __init__(self, source):
        super().__init__()
        self.open, self.text, self.links, self.tags = [], "", [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name == "href"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        assert tag in self.VOID

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text += data + " "


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
        assert (f"{averages} of them averages" in str(summary)) == bool(averages)

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
        assert columns == ["input", "(n,", "4)", "-", "-", "-", "0"]
        listed = re.findall("Input scaling: (.*)", str(summary))
        assert listed == re.findall("Input scaling: (.*?)<", summary._repr_html_())
        assert listed == ([scaling] if scaling else [])

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
        before, shown = model.summary(), model.summary()._html_body()
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
        assert model.summary()._html_body() == shown

    def test_a_fit_that_goes_on_keeps_the_scaling_of_the_first(self):
        model = quick(warm_start=True, input_scaling="standard").fit(X, y)
        model.set_params(input_scaling=None, input_dropout=0.25, warm_start=False)
        model.partial_fit(X, y)
        assert model.summary().input_scaling == "standard"
        assert model.summary().layers[0].dropout == 0.25
        assert model.summary().rows_per_epoch is None  # Earlier rows are counted, epochs are not.
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
        forward, backward, counted = Dense.forward, Dense.backward, 0

        def counting_forward(layer, inputs, outputs):
            nonlocal counted
            counted += inputs.shape[0] * layer.weights.size
            forward(layer, inputs, outputs)

        def counting_backward(layer, inputs, *arguments):
            nonlocal counted
            needs_gradient_of_inputs = arguments[-1] is not None
            counted += inputs.shape[0] * layer.weights.size * (1 + needs_gradient_of_inputs)
            backward(layer, inputs, *arguments)

        monkeypatch.setattr(Dense, "forward", counting_forward)
        monkeypatch.setattr(Dense, "backward", counting_backward)
        counts = []
        for max_iter in (6, 9):  # What is looked at once, at the end, is no part of an epoch.
            counted = 0
            model.set_params(max_iter=max_iter).fit(X, y)
            counts.append(counted)
        assert counts[1] - counts[0] == 3 * expected

    def test_counts_the_rows_of_the_fit_without_those_held_out(self):
        model = quick(early_stopping=True, validation_fraction=0.25, max_iter=3)
        assert model.fit(X, y).summary().rows_per_epoch == 45

    def test_counts_the_mean_rows_of_partial_fits(self):
        model = quick()
        for stop in (20, 40):
            model.partial_fit(X[:stop], y[:stop], classes=np.unique(y))
        assert model.summary().rows_per_epoch == 30

    def test_rows_may_be_given(self):
        summary = quick().fit(X, y).summary(n_samples=10_000_000)
        assert summary.multiply_adds_per_epoch == 10_000_000 * summary.multiply_adds_per_row
        assert "for 10,000,000 rows" in str(summary)

    @pytest.mark.parametrize("n_samples", [0, -1, 1.5, "many"])
    def test_refuses_what_is_no_number_of_rows(self, n_samples):
        with pytest.raises(ValueError, match=f"n_samples must be .* got {n_samples!r}"):
            quick().fit(X, y).summary(n_samples)

    @pytest.mark.parametrize("changes", [{"solver": "lbfgs"}, {"warm_start": True}])
    def test_tells_only_the_cost_of_a_row_where_rows_are_not_known(self, changes):
        summary = quick(max_iter=2000, **changes).fit(X, y).summary()
        assert summary.rows_per_epoch is summary.multiply_adds_per_epoch is None
        assert re.search(r"about \d+ multiply-adds a row$", str(summary))

    def test_sparse_rows_have_a_summary(self):
        dense, thin = quick().fit(X, y).summary(), quick().fit(sparse.csr_array(X), y).summary()
        assert thin == dense


class Meter:
    """Measures what is allocated after an epoch, when everything is there."""

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            self.allocated = tracemalloc.get_traced_memory()[0]


class TestMemory:
    @pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
    @pytest.mark.parametrize(
        "changes",
        [
            {"solver": "adam"},
            {"solver": "adamw", "early_stopping": True},
            {"solver": "sgd"},
            {"solver": "adam", "ema_decay": 0.9, "normalization": "batch"},
            {"solver": "sgd", "dtype": "float64"},
            {"solver": "lbfgs"},
        ],
        ids=str,
    )
    def test_is_what_training_allocates(self, changes):
        X = np.random.default_rng(0).standard_normal((40, 300)).astype("float32")
        y = np.arange(40) % 2
        meter = Meter()
        model = quick(hidden_layer_sizes=(400, 400), batch_size=8, max_iter=2, **changes)
        model.set_params(dropout=0.0).fit(X, y)  # What is allocated once is there from here on.
        model.set_callbacks(meter)
        tracemalloc.start()
        try:
            model.fit(X, y)
        finally:
            tracemalloc.stop()
        summary = model.summary()
        expected = summary.parameter_bytes + sum(summary.training_bytes.values())
        # The network of the fit before is kept until this one has succeeded, but was not traced.
        assert meter.allocated == pytest.approx(expected, rel=0.1)

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

    def test_is_the_same_printed_and_shown(self):
        summary = quick().fit(X, y).summary()
        assert str(summary) == repr(summary) == f"{summary}"

    def test_names_features_and_classes(self):
        frame = pd.DataFrame(X, columns=["height", "width", "depth\nof it", "w" * 99])
        text = str(quick().fit(frame, np.array(["a", "b", "c"])[y]).summary())
        assert "4: height, width, depth of it, wwwwwwwwwwwwwwwwwwwww..." in text
        assert re.search("Classes: +3: a, b, c\n", text)

    def test_shortens_long_lists(self):
        rows = np.repeat(X, 2, axis=0)
        labels = np.arange(120) % 12
        text = str(quick().fit(rows, labels).summary())
        assert re.search(r"Classes: +12: 0, 1, 2, \.\.\., 11\n", text)

    def test_calls_the_columns_of_an_indicator_matrix_labels(self):
        assert re.search("Labels: +3: 0, 1, 2\n", str(quick().fit(*problem(KINDS[2])).summary()))
        assert re.search("Classes: +2: 0, 1\n", str(quick().fit(*problem("binary")).summary()))

    def test_big_numbers_are_readable(self):
        text = str(quick(hidden_layer_sizes=(3000, 400), max_iter=1).fit(X, y).summary(10**9))
        assert "4.9 MB of parameters (float32)" in text
        assert "3.6 million multiply-adds a row, 3627.6 trillion for 1,000,000,000 rows" in text


class TestNotFitted:
    def test_says_what_to_do(self):
        with pytest.raises(NotFittedError, match="ANNClassifier has no network yet.*Call 'fit'"):
            ANNClassifier().summary()

    def test_html_has_no_network_but_the_link(self):
        page = Page(estimator_html_repr(ANNClassifier()))
        assert "Network" not in page.text
        assert any(link.endswith("/generated/skann.ANNClassifier.html") for link in page.links)


class TestHtml:
    def test_of_the_summary_holds_all_its_text(self):
        summary = quick(hidden_layer_sizes=(6, 5), normalization="batch").fit(X, y).summary()
        page = Page(summary._repr_html_())
        words = re.sub(r"[-\s]+", " ", str(summary)).split()
        assert set(words) - set(re.sub(r"[-\s]+", " ", page.text).split()) == set()
        assert page.tags.count("tr") == 5

    def test_of_the_summary_takes_no_colours_from_diagrams_on_the_same_page(self):
        sheet = estimator_html_repr(quick())
        classes = set(re.findall('class="([^"]+)"', quick().fit(X, y).summary()._repr_html_()))
        assert classes == {"skann-summary"}
        assert "skann-summary" not in sheet

    @pytest.mark.parametrize("wrap", [lambda m: m, lambda m: make_pipeline(StandardScaler(), m)])
    def test_of_a_fitted_estimator_shows_the_network_and_links_to_its_page(self, wrap):
        model = wrap(quick(hidden_layer_sizes=(6, 5))).fit(X, y)
        page = Page(estimator_html_repr(model))
        assert re.search(r"Network\s+layer\s+output shape", page.text)
        assert re.search(r"hidden 2\s+\(n, 5\)\s+relu", page.text)
        assert "Fitted attributes" in page.text
        url = "https://skann.readthedocs.io/en/stable/generated/skann.ANNClassifier.html"
        assert url in page.links
        assert any(link.startswith(f"{url}#:~:text=alpha") for link in page.links)
        assert not any("sklearn" in link and "ANNClassifier" in link for link in page.links)

    def test_is_scikit_learns_own_where_that_has_no_place_for_the_network(self, monkeypatch):
        other = {"coefs_": "4 arrays"}  # As a later scikit-learn may describe attributes.
        monkeypatch.setattr(BaseEstimator, "_get_fitted_attr_html", lambda self, *_, **__: other)
        model = quick().fit(X, y)
        assert model._get_fitted_attr_html("link", depth=2) is other

    def test_of_a_notebook_is_that_of_the_estimator(self):
        model = quick().fit(X, y)
        bundle = model._repr_mimebundle_()
        assert "hidden 1" in bundle["text/html"]
        assert bundle["text/plain"] == repr(model)

    def test_of_an_ensemble_that_holds_unfitted_networks(self):
        ensemble = BaggingClassifier(quick(), n_estimators=2, random_state=0).fit(X, y)
        Page(estimator_html_repr(ensemble))

    def test_escapes_names_of_users(self):
        frame = pd.DataFrame(X, columns=[ATTACK, "b", "c", "d"])
        model = quick().fit(frame, np.array([ATTACK, "b", "c"])[y])
        short = html.escape(f"{ATTACK[:21]}...", quote=False)
        for source in (model.summary()._repr_html_(), estimator_html_repr(model)):
            Page(source)
            assert "<script>alert" not in source
            assert source.count(short) >= 2

    def test_subclass_of_a_user_is_not_linked_to_a_page_that_does_not_exist(self):
        class Mine(ANNClassifier):
            pass

        model = Mine((5,), max_iter=1).fit(X, y)
        assert model._get_doc_link() == ""
        assert str(model.summary()).startswith("Mine\n")


class TestShowVersions:
    def test_prints_what_is_installed(self, capsys):
        assert skann.show_versions() is None
        lines = capsys.readouterr().out.splitlines()
        assert f"    skann: {skann.__version__}" in lines
        for package in ("numpy", "scipy", "scikit-learn", "joblib", "threadpoolctl", "matplotlib"):
            assert f"    {package}: {version(package)}" in lines
        for library in threadpool_info():
            start = f"    {library['internal_api']}: threads: {library['num_threads']}, "
            (line,) = (line for line in lines if line.endswith(library["filepath"]))
            assert line.startswith(start + (library["version"] or "version unknown"))

    def test_says_what_is_not_installed(self, capsys, monkeypatch):
        monkeypatch.setitem(skann.show_versions.__globals__, "_OPTIONAL", ("no-such-package",))
        monkeypatch.setitem(skann.show_versions.__globals__, "threadpool_info", list)
        skann.show_versions()
        printed = capsys.readouterr().out
        assert "    no-such-package: not installed\n" in printed
        assert "    none: that threadpoolctl can find\n" in printed

    def test_knows_all_packages_that_the_project_names(self, capsys):
        project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
        extras = project["project"]["optional-dependencies"]
        requirements = list(project["project"]["dependencies"])
        for extra in set(extras) - {"benchmark", "docs", "lint", "package", "test"}:
            requirements += extras[extra]
        names = {re.match(r"[\w-]+", requirement)[0] for requirement in requirements}
        skann.show_versions()
        printed = set(re.findall(r"^    ([\w-]+):", capsys.readouterr().out, re.MULTILINE))
        assert names <= printed


@pytest.mark.parametrize(
    "name",
    [
        "skann.ANNClassifier.summary",
        "skann.inspection.LayerSummary",
        "skann.inspection.NetworkSummary",
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
    (section,) = re.findall(r"currentmodule:: skann\.inspection (.*?)\.\. currentmodule", page)
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
