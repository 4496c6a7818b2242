"""The panel's data sets as they are fetched, and what is measured on them. No network is used."""

import gzip
import io
import warnings

import numpy as np
import pytest
from scipy.io import arff, savemat
from scipy.stats import sem
from sklearn.datasets import load_iris
from sklearn.preprocessing import OneHotEncoder

from skann import ANNClassifier
from tests.benchmarks import fetch_panel, panel_data
from tests.benchmarks.base import CannotTakePartError, Options
from tests.benchmarks.fetch_panel import Source, digest, read_arff, read_mat, read_table
from tests.benchmarks.suite import study

needs_panel = pytest.mark.skipif(
    panel_data.find_folder() is None, reason="the panel's data sets are not there"
)

# With what the files have: comments, quotes around names and values, commas before spaces.
CREDIT = """% 8.  Cost Matrix
%    From: A11                     To: '<0'
@relation german_credit
@attribute checking_status { '<0', '0<=X<200', '>=200', 'no checking'}
@attribute duration real
@attribute 'Instance name' { first, second, third, fourth}
@attribute purpose { 'new car', furniture/equipment, radio/tv, vacation}
@attribute own_telephone { none, yes}
@attribute 'class' { good, bad}
@data
'<0',6,first,radio/tv,yes,good
'0<=X<200',48.5,second,radio/tv,none,bad
'no checking',12,third,'new car',none,good

% a comment
'<0',42,fourth,furniture/equipment,yes,good
"""


class TestReaders:
    def test_arff_is_one_hot_in_the_order_of_the_file(self):
        X, y = read_arff(CREDIT.encode(), drop="Instance name")
        # scipy reads no space in a name.
        rows, _ = arff.loadarff(io.StringIO(CREDIT.replace("Instance name", "instance_name")))
        nominal = np.column_stack(
            [rows[name].astype(str) for name in ("checking_status", "purpose", "own_telephone")]
        )
        one_hot = OneHotEncoder(drop="if_binary", sparse_output=False).fit_transform(nominal)
        np.testing.assert_array_equal(np.delete(X, 3, axis=1), one_hot)
        np.testing.assert_array_equal(X[:, 3], rows["duration"])
        np.testing.assert_array_equal(y, [1, 0, 1, 1])

    @pytest.mark.parametrize("delimiter", ["\t", ","])
    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_tables_find_the_target_by_its_name(self, delimiter, pack):
        X, y = load_iris(return_X_y=True)
        lines = [delimiter.join(["Id", "a", "target", "b", "c", "d"])]
        for number, (row, label) in enumerate(zip(X, y, strict=True)):
            cells = [number, row[0], 2 * label - 3, *row[1:]]
            lines.append(delimiter.join(map(str, cells)))
        content = pack("\r\n".join(lines).encode())
        found_X, found_y = read_table(content, delimiter, "target", drop="Id")
        np.testing.assert_array_equal(found_X, X)
        np.testing.assert_array_equal(found_y, y)

    def test_matlab_files_are_read(self):
        X, y = load_iris(return_X_y=True)
        file = io.BytesIO()
        savemat(file, {"fea": X, "gnd": y[:, None] + 1.0})
        found_X, found_y = read_mat(file.getvalue())
        np.testing.assert_array_equal(found_X, X)
        np.testing.assert_array_equal(found_y, y)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Fetch from files, to a data home of its own; return the folder that is written to."""
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "home"))
    monkeypatch.setattr(panel_data, "BESIDE", tmp_path / "nowhere")
    sources = {}
    for seed, name in enumerate(panel_data.NAMES):
        file = tmp_path / f"{name}.csv"
        rows = np.random.default_rng(seed).integers(9, size=(20, 3))
        np.savetxt(file, rows, "%d", ",", header="a,b,class", comments="")
        X, y = read_table(file.read_bytes(), ",", "class")
        read = fetch_panel.partial(read_table, delimiter=",", target="class")
        sources[name] = Source(file.as_uri(), read, digest(X, y))
    monkeypatch.setattr(fetch_panel, "SOURCES", sources)
    return panel_data.fetched_folder()


class TestFetching:
    def test_fetches_what_the_panel_then_reads(self, home, tmp_path):
        with pytest.raises(CannotTakePartError, match="tests.benchmarks.fetch_panel"):
            panel_data.write_sets(tmp_path, Options())
        assert fetch_panel.main() == 0
        assert panel_data.find_folder() == home
        assert {path.name for path in home.iterdir()} == {f"{n}.npz" for n in panel_data.NAMES}
        panel_data.write_sets(tmp_path, Options())
        with np.load(tmp_path / "yeast.npz") as arrays:
            X, y = read_table((tmp_path / "yeast.csv").read_bytes(), ",", "class")
            np.testing.assert_array_equal(arrays["X"], X)
            np.testing.assert_array_equal(arrays["y"], y)

    @pytest.mark.parametrize("content", [None, b"<html>404</html>", b"", b"a,b,class\n1,2,3\n"])
    def test_other_content_is_refused(self, home, tmp_path, content, capsys):
        file = tmp_path / "magic.csv"
        if content is None:  # one number is another
            lines = file.read_text().splitlines()
            lines[5] = "77" + lines[5][1:]
            content = "\n".join(lines).encode()
        file.write_bytes(content)
        assert fetch_panel.main() == 1
        assert "magic: failed" in capsys.readouterr().err
        assert {path.name for path in home.iterdir()} == {
            f"{name}.npz" for name in panel_data.NAMES if name != "magic"
        }
        assert panel_data.find_folder() is None

    def test_what_is_there_is_kept(self, home, tmp_path, capsys):
        home.mkdir(parents=True)
        (home / "magic.npz").write_bytes(b"mine")
        (tmp_path / "yeast.csv").unlink()
        assert fetch_panel.main() == 1
        assert (home / "magic.npz").read_bytes() == b"mine"
        output = capsys.readouterr()
        assert "magic: there already" in output.out
        assert "yeast: failed" in output.err


def upstream_file(name, X, y, features):
    """Return a data set in the form that its repository has it in."""
    if name == "isolet1":
        file = io.BytesIO()
        savemat(file, {"fea": X.astype(float), "gnd": y[:, None] + 1.0})
        return file.getvalue()
    file = io.StringIO()
    if features is not None:
        return upstream_arff(X, y, features)
    comma = name == "covtype_15k"
    names = [f"f{column}" for column in range(X.shape[1])]
    rows = np.column_stack([X, y + 1])
    if comma:
        names, rows = ["Id", *names], np.column_stack([np.arange(len(X)), rows])
    header = [*names, "Cover_Type" if comma else "target"]
    delimiter = "," if comma else "\t"
    np.savetxt(file, rows, "%.9g", delimiter, header=delimiter.join(header), comments="")
    content = file.getvalue().encode()
    return content if comma else gzip.compress(content, 1)


def upstream_arff(X, y, features):
    """Undo the one-hot code of columns that are named ATTRIBUTE=VALUE."""
    attributes = {}
    for place, feature in enumerate(features):
        attribute, _, value = str(feature).partition("=")
        attributes.setdefault(attribute, []).append((place, value))
    lines, columns = ["@attribute 'Instance_name' { a, b}"], [["a"] * len(y)]
    for attribute, members in attributes.items():
        places = [place for place, _ in members]
        values = np.array([f"'{value}'" for _, value in members])
        if values[0] == "''":
            lines.append(f"@attribute {attribute} real")
            columns.append([f"{number:.9g}" for number in X[:, places[0]]])
        elif len(places) == 1:
            lines.append(f"@attribute {attribute} {{ {values[0]}, 'no'}}")
            columns.append(np.where(X[:, places[0]] == 1, values[0], "'no'"))
        else:
            lines.append(f"@attribute '{attribute}' {{ {', '.join(values[::-1])}}}")
            columns.append(values[X[:, places].argmax(axis=1)])
    columns.append([f"class {label}" for label in y])
    rows = [",".join(row) for row in zip(*columns, strict=True)]
    text = "\n".join([*lines, "@attribute Class { 'class 0', 'class 1'}", "@data", *rows])
    return text.encode()


@needs_panel
@pytest.mark.parametrize("name", panel_data.NAMES)
def test_the_sums_are_those_of_the_sets_the_figures_are_from(name):
    with np.load(panel_data.find_folder() / f"{name}.npz") as arrays:
        X, y = arrays["X"], arrays["y"]
        features = arrays.get("features", None)
    source = fetch_panel.SOURCES[name]
    assert digest(X, y) == source.digest
    if name in ("credit_g", "splice") and features is None:
        pytest.skip("a fetched file has no names of features to make the ARFF file from")
    read = source.read
    if name == "credit_g":  # whose file has no column to leave out
        read = fetch_panel.partial(read_arff, drop="Instance_name")
    found_X, found_y = read(upstream_file(name, X, y, features))
    np.testing.assert_array_equal(found_X.astype(np.float32), X)
    np.testing.assert_array_equal(found_y, y)


class TestStudy:
    def test_a_variant_changes_what_it_is_called_by(self):
        defaults = ANNClassifier(random_state=0).get_params()
        for name, make in study._VARIANTS.items():
            params = make(0, 1000).get_params()
            n_changed = sum(params[key] != value for key, value in defaults.items())
            further = name.count(",") + (" and alpha " in name) + (" and per" in name)
            n_named = 0 if name == "defaults" else 1 + further
            assert n_changed == n_named or "strong" in name

    @pytest.mark.parametrize(
        ("name", "parameter", "value"),
        [
            ("alpha halved", "alpha", 0.225),
            ("epochs doubled", "max_iter", 80),
            ("batch doubled", "batch_size", 128),
            ("learning rate halved", "learning_rate_init", 0.0075),
        ],
    )
    def test_multiples_are_of_what_auto_stands_for(self, name, parameter, value):
        assert getattr(study._VARIANTS[name](0, 500), parameter) == pytest.approx(value)

    def test_differences_are_paired(self, tmp_path):
        panel_data_names = panel_data.names(Options(quick=True))
        panel_data.write_sets(tmp_path, Options(quick=True))
        settings = {"sets": list(panel_data_names), "most_rows": 100, "n_seeds": 2}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = {
                variant: study._prepare("skann", tmp_path, variant, **settings)(0)
                for variant in ("defaults", "epochs halved")
            }
        defaults, halved = found["defaults"], found["epochs halved"]
        assert defaults["log_loss_difference"] == defaults["log_loss_error"] == 0
        for name in ("log_loss", "accuracy"):
            difference = halved[name] - defaults[name]
            assert halved[f"{name}_difference"] == pytest.approx(difference)
        assert halved["log_loss_error"] > 0

    def test_the_error_is_that_of_a_mean(self):
        values = np.random.default_rng(0).normal(size=(3, 4))
        expected = pytest.approx((values.mean(), sem(values.mean(axis=1))))
        assert study._mean_and_error(values) == expected

    def test_looks_at_no_row_of_the_test_part(self, tmp_path):
        X = np.arange(300.0)[:, None]
        np.savez(tmp_path / "rows.npz", X=X, y=np.arange(300) % 3)
        inner = panel_data.read_inner_split(tmp_path, "rows", 1000, seed=1)
        outer = panel_data.read_split(tmp_path, "rows", 1000, seed=0)
        assert (len(inner.y_train), len(inner.y_test)) == (147, 63)
        # Standardised, neighbours are as far apart as one unit was.
        values = np.sort(np.concatenate([inner.X_train, inner.X_test]).ravel())
        unit = np.diff(values).min()
        rows = np.rint((values - values[0]) / unit)
        trained = np.sort(outer.X_train.ravel())
        unit = np.diff(trained).min()
        np.testing.assert_array_equal(rows, np.rint((trained - trained[0]) / unit))
