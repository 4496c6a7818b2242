"""Any two settings together: a fit that predicts, copies and pickles, or the documented error."""

import pickle
import re
from itertools import combinations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import loguniform, randint, uniform
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV

from skann import ANNClassifier
from skann.engine.activations import ACTIVATIONS
from skann.engine.embeddings import EMBEDDINGS
from skann.engine.initializers import INITIALIZERS
from skann.engine.optimizers import OPTIMIZERS
from skann.engine.schedules import SCHEDULES
from skann.parameters import NOT_WITH_LBFGS, check_together
from tests.data import KINDS, problem, quick

N_ROWS = 40


def shrinking(step):
    return 0.9**step


def macro_f1(estimator, X, y):
    return f1_score(y, estimator.predict(X), average="macro", zero_division=0)


def with_noise(inputs, rng):
    inputs += 0.1 * rng.normal(size=inputs.shape)
    return inputs


# Representative values of every parameter, the default first, and of the data. Lists of one
# value per layer are for two hidden layers; "dict" stands for one that fits the targets.
VALUES = {
    "hidden_layer_sizes": [(8, 4), (), (8,), 5, [6, 6]],
    "activation": ["relu", *sorted(set(ACTIVATIONS) - {"relu"}), ["gelu", "selu"]],
    "n_members": [1, 3],
    "solver": [*OPTIMIZERS, "lbfgs"],
    "alpha": ["auto", 0, 1.5],
    "batch_size": ["auto", 1, 7, 1000],
    "learning_rate": ["one_cycle", *sorted(set(SCHEDULES) - {"one_cycle"}), shrinking],
    "learning_rate_init": ["auto", 0.003],
    "power_t": [0.5, 0],
    "max_iter": [3, 1, "auto"],
    "shuffle": [True, False],
    "random_state": [0, None, np.random.RandomState(3)],
    "tol": [1e-4, 0],
    "verbose": [False, True],
    "warm_start": [False, True],
    "momentum": [0.9, 0],
    "nesterovs_momentum": [True, False],
    "early_stopping": [False, True],
    "validation_fraction": [0.1, 0.5],
    "beta_1": [0.9, 0],
    "beta_2": ["auto", 0.9],
    "epsilon": [1e-8, 1e-3],
    "n_iter_no_change": [10, 1, np.inf],
    "max_fun": [15000, 5],
    "categorical_features": ["from_dtype", None],
    "numerical_embedding": [None, *sorted(EMBEDDINGS)],
    "embedding_width": [3, 1],
    "embedding_scale": [0.1, 2],
    "class_weight": [None, "balanced", "dict"],
    "dtype": ["float32", "float64"],
    "input_scaling": [None, "standard", "maxabs", "robust"],
    "input_clip": [None, 1.5],
    "dropout": ["auto", 0.3, [0.4, 0.0]],
    "input_dropout": [0.0, 0.2],
    "input_noise": [0.0, 0.3],
    "augmentation": [None, with_noise],
    "normalization": [None, "batch", "layer"],
    "kernel_initializer": ["auto", *INITIALIZERS],
    "label_smoothing": ["auto", 0.0, 0.3],
    "max_norm": [None, 0.5],
    "gradient_clip_norm": [None, 0.1],
    "warmup": [0.0, 0.3],
    "ema_decay": [None, 0.9],
    "scoring": [None, "loss", "f1_macro", macro_f1, make_scorer(f1_score, average="micro")],
    "targets": ["multiclass", "binary", "multilabel-indicator"],
    "rows": ["dense", "sparse", "float32", "by columns"],
}
DATA = ("targets", "rows")


def values_of(choice):
    """Return all values by the position of each; the first where none is given."""
    return {name: VALUES[name][choice.get(name, 0)] for name in VALUES}


def make(choice):
    """Return an estimator and data."""
    values = values_of(choice)
    kind, rows = (values.pop(name) for name in DATA)
    X, y = problem(kind, N_ROWS)
    if values["class_weight"] == "dict":
        if kind == "multilabel-indicator":
            values["class_weight"] = [{0: 1.0, 1: 2.0}] * 3
        else:
            values["class_weight"] = {label: 1.0 + label for label in np.unique(y)}
    if rows == "sparse":
        X = sparse.csr_array(np.where(np.abs(X) < 0.5, 0, X))
    elif rows != "dense":
        X = X.astype(np.float32) if rows == "float32" else np.asfortranarray(X)
    return ANNClassifier(**values), X, y


def documented_error(choice):
    """Return the pattern of the error that two values are documented to raise, if there is one."""
    values = values_of(choice)
    try:
        check_together(values)
    except ValueError as error:
        return re.escape(str(error))
    if values["normalization"] == "batch" and values["batch_size"] == 1:
        return "normalization='batch' needs batches of at least two rows"
    if values["input_noise"] and values["rows"] == "sparse":
        return "input_noise=.* cannot be used with sparse X"
    if values["input_scaling"] == "robust" and values["rows"] == "sparse":
        return "input_scaling='robust' cannot be used with sparse X"
    if values["augmentation"] is not None and values["rows"] == "sparse":
        return "augmentation needs dense rows"
    if values["numerical_embedding"] is not None and values["rows"] == "sparse":
        return "numerical_embedding needs dense rows"
    for name in ("activation", "dropout"):
        sizes = values["hidden_layer_sizes"]
        n_hidden = 1 if isinstance(sizes, int) else len(sizes)
        if isinstance(values[name], list) and n_hidden != 2:
            return f"{name} must be one value .* There are {n_hidden} hidden layers"
    return None


ITEMS = [(name, position) for name, values in VALUES.items() for position in range(len(values))]
PAIRS = [(one, other) for one, other in combinations(ITEMS, 2) if one[0] != other[0]]
EXCLUDED = {pair: error for pair in PAIRS if (error := documented_error(dict(pair)))}


def covering_array():
    """Choose few settings of all parameters such that each pair that is not excluded is in one.

    Greedy: a row starts with a pair that is not covered yet; then of each parameter in turn it
    takes the value that adds most such pairs to what has been chosen before.
    """
    number = {item: i for i, item in enumerate(ITEMS)}
    missing, excluded = np.zeros((2, len(ITEMS), len(ITEMS)), dtype=bool)
    for one, other in PAIRS:
        table = excluded if (one, other) in EXCLUDED else missing
        table[number[one], number[other]] = table[number[other], number[one]] = True
    rows = []
    while missing.any():
        chosen = [int(i) for i in np.argwhere(missing)[0]]
        row = dict(ITEMS[i] for i in chosen)
        for name, values in VALUES.items():
            if name not in row:
                places = number[name, 0] + np.arange(len(values))
                gains = missing[np.ix_(places, chosen)].sum(axis=1)
                gains[excluded[np.ix_(places, chosen)].any(axis=1)] = -1
                row[name] = int(gains.argmax())
                chosen.append(int(places[gains.argmax()]))
        missing[np.ix_(chosen, chosen)] = False
        rows.append(row)
    return rows


ROWS = covering_array()


def test_every_parameter_has_values_that_begin_with_its_default():
    defaults = ANNClassifier().get_params()
    assert set(VALUES) == {*defaults, *DATA}
    assert set(VALUES["targets"]) == set(KINDS)
    # What is not: less work, and a seed.
    others = {"hidden_layer_sizes", "max_iter", "random_state"}
    for name in set(defaults) - others:
        assert VALUES[name][0] == defaults[name], name


def test_the_rows_cover_every_pair_that_is_not_excluded():
    covered = {
        pair for row in ROWS for pair in combinations(((name, row[name]) for name in VALUES), 2)
    }
    assert covered == set(PAIRS) - set(EXCLUDED)
    assert len(ROWS) < 250


def test_every_exclusion_is_among_the_pairs():
    for name in NOT_WITH_LBFGS:
        assert any(re.match(f"{name}=.* with\\\\? solver=", error) for error in EXCLUDED.values())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_all_settings_of_a_row_work_together(row, monkeypatch):
    monkeypatch.setattr("skann.defaults._LBFGS_ITERATIONS", 20)  # Not thousands of scorings.
    np.random.seed(0)  # For random_state=None.
    estimator, X, y = make(row)
    copy = clone(estimator)
    estimator.fit(X, y)
    probabilities = estimator.predict_proba(X)
    assert np.isfinite(probabilities).all()
    assert probabilities.min() > 0
    assert probabilities.max() < 1
    n_columns = 2 if VALUES["targets"][row["targets"]] == "binary" else 3
    assert probabilities.shape == (N_ROWS, n_columns)
    assert estimator.predict(X).shape == y.shape
    assert np.isfinite(estimator.loss_curve_).all()
    loaded = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(loaded.predict_proba(X), probabilities)
    if isinstance(estimator.random_state, int):
        np.testing.assert_array_equal(copy.fit(X, y).predict_proba(X), probabilities)


@pytest.mark.parametrize(("pair", "error"), EXCLUDED.items(), ids=map(str, EXCLUDED))
def test_excluded_pairs_raise_the_documented_error(pair, error):
    estimator, X, y = make(dict(pair))
    with pytest.raises(ValueError, match=error):
        estimator.fit(X, y)


X, y = problem(n_rows=90)


class TestSearches:
    def test_on_a_grid_of_features(self):
        grid = [
            {"dropout": [0.0, [0.2, 0.1]], "activation": ["relu", ["gelu", "tanh"]]},
            {"normalization": ["batch", "layer"], "learning_rate": ["cosine", shrinking]},
            {"solver": ["adamw"], "label_smoothing": [0.1], "ema_decay": [0.9], "max_norm": [2.0]},
        ]
        estimator = quick(hidden_layer_sizes=(8, 4), max_iter=20)
        search = GridSearchCV(estimator, grid, cv=2, error_score="raise").fit(X, y)
        assert len(search.cv_results_["params"]) == 9
        assert search.score(X, y) > 0.6

    def test_at_random(self):
        distributions = {
            "hidden_layer_sizes": [(8,), (8, 4), 6, ()],
            "dropout": uniform(0, 0.5),
            "batch_size": randint(2, 32),
            "alpha": loguniform(1e-3, 1),
            "normalization": np.array(["batch", "layer"]),
            "learning_rate": [shrinking, "linear"],
            "gradient_clip_norm": [None, 1.0],
            "solver": np.array(["adam", "adamw"]),
        }
        search = RandomizedSearchCV(
            quick(), distributions, n_iter=6, cv=2, random_state=0, error_score="raise"
        )
        search.fit(X, y)
        assert search.score(X, y) > 0.6
        assert set(search.best_params_) == set(distributions)

    def test_by_halving_the_candidates(self):
        grid = {"hidden_layer_sizes": [(8,), [8, 4]], "input_dropout": [0.0, 0.1], "warmup": [0.2]}
        search = HalvingGridSearchCV(
            quick(learning_rate=shrinking, scoring=macro_f1),
            grid,
            resource="max_iter",
            min_resources=2,
            max_resources=6,
            cv=2,
            random_state=0,
            error_score="raise",
        )
        search.fit(X, y)
        assert search.best_estimator_.max_iter == 6
        assert search.best_estimator_.learning_rate is shrinking
        assert search.n_iterations_ == 2


class TestCopies:
    VALUES = {
        "hidden_layer_sizes": [[8, 4], (8, 4), 8, np.array([8, 4])],
        "activation": [["relu", "tanh"]],
        "dropout": [[0.1, 0.2], np.array([0.1, 0.2])],
        "learning_rate": [shrinking],
        "scoring": [macro_f1, "neg_log_loss"],
        "class_weight": [{0: 1.0, 1: 2.0, 2: 3.0}],
    }

    @pytest.mark.parametrize(
        ("name", "value"), [(name, value) for name, values in VALUES.items() for value in values]
    )
    def test_keep_lists_and_callables_as_they_are(self, name, value):
        estimator = ANNClassifier(**{name: value})
        assert getattr(estimator, name) is value
        copied = getattr(clone(estimator), name)
        assert type(copied) is type(value)
        np.testing.assert_array_equal(copied, value)
        if callable(value):
            assert copied is value
        set_later = ANNClassifier().set_params(**{name: value})
        assert set_later.get_params()[name] is value
