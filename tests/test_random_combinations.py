"""Random settings on random data: a fit that keeps its promises, or an error that names its cause.

`SKANN_EXAMPLES` sets the number of examples; beyond the default they are other ones in every run.
"""

import os
import pickle
import re
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone

from skann import ANNClassifier
from skann.engine.activations import ACTIVATIONS
from skann.engine.embeddings import EMBEDDINGS
from skann.engine.optimizers import OPTIMIZERS
from skann.engine.schedules import SCHEDULES

pytestmark = pytest.mark.kernels

N_EXAMPLES = int(os.environ.get("SKANN_EXAMPLES", "150"))

# What an error may blame: a parameter, an argument, or how training went.
CULPRITS = re.compile(
    r"\b(X|y|sample_weight|[Ss]ample weights|weights of the rows|X_val|classes|diverged|"
    + "|".join(ANNClassifier().get_params())
    + r")\b"
)

PARAMETERS = {
    "hidden_layer_sizes": st.sampled_from([(), (3,), 5, (4, 3), (2, 3, 2)]),
    "activation": st.sampled_from(sorted(ACTIVATIONS)),
    "n_members": st.sampled_from([1, 2]),
    "solver": st.sampled_from([*OPTIMIZERS, "lbfgs"]),
    "alpha": st.sampled_from(["auto", 0, 1e-3, 1.0, 1e3]),
    "batch_size": st.sampled_from(["auto", 1, 2, 7, 500]),
    "learning_rate": st.sampled_from(sorted(SCHEDULES)),
    "learning_rate_init": st.sampled_from(["auto", 1e-3, 0.1, 10.0]),
    "early_stopping": st.booleans(),
    "class_weight": st.sampled_from([None, "balanced"]),
    "dtype": st.sampled_from(["float32", "float64"]),
    "input_scaling": st.sampled_from([None, "standard", "maxabs"]),
    "input_clip": st.sampled_from([None, 2.0]),
    "numerical_embedding": st.sampled_from([None, *sorted(EMBEDDINGS)]),
    "dropout": st.sampled_from(["auto", 0.5]),
    "input_noise": st.sampled_from([0.0, 0.1]),
    "normalization": st.sampled_from([None, "batch", "layer"]),
    "max_norm": st.sampled_from([None, 1.0]),
    "gradient_clip_norm": st.sampled_from([None, 1.0]),
    "ema_decay": st.sampled_from([None, 0.9]),
    "scoring": st.sampled_from([None, "loss", "neg_log_loss", "f1_macro"]),
}
# Few parameters differ from their defaults at a time: many exclude each other.
some_parameters = st.fixed_dictionaries({}, optional=PARAMETERS).flatmap(
    lambda given: st.sets(st.sampled_from(sorted(given) or ["solver"]), max_size=5).map(
        lambda names: {name: given[name] for name in sorted(names) if name in given}
    )
)
LABELS = {
    "int8": lambda codes: codes.astype(np.int8),
    "uint64": lambda codes: codes.astype(np.uint64) + np.uint64(2**60),
    "int64": lambda codes: codes - 2**60,
    "float64": lambda codes: codes.astype(float),
    "bool": lambda codes: codes > 0,
    "str": lambda codes: np.array(["ant", "bee", "cat", "dog"])[codes],
    "object": lambda codes: np.array(["ant", "bee", "cat", "dog"], dtype=object)[codes],
    "integers as objects": lambda codes: codes.astype(object),
    "indicator": lambda codes: np.eye(4, dtype=int)[codes],
}


@st.composite
def data(draw):
    """Draw rows in any units and layout, labels of any kind and weights."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_rows, n_features = draw(st.integers(1, 40)), draw(st.integers(1, 5))
    X = rng.standard_normal((n_rows, n_features)) + draw(st.sampled_from([0.0, 0.0, 100.0]))
    exponents = st.sampled_from([0, 0, 0, -3, 5, -40, 45, -200, 200, -308, 307])
    with np.errstate(over="ignore"):
        X *= 10.0 ** np.array([draw(exponents) for _ in range(n_features)])
    if draw(st.booleans()):
        X[rng.random(X.shape) < 0.5] = 0
    codes = rng.integers(0, draw(st.integers(1, 4)), n_rows)
    y = LABELS[draw(st.sampled_from(sorted(LABELS)))](codes)
    form = draw(st.sampled_from(["C", "F", "float32", "uint8", "csr", "csc"]))
    if form == "uint8":
        X = rng.integers(0, 256, X.shape).astype(np.uint8)
    elif form == "float32":
        with np.errstate(over="ignore"):
            X = X.astype(np.float32)
    elif form in ("csr", "csc"):
        X = sparse.csr_array(X).asformat(form)
    else:
        X = np.asarray(X, order=form)
    scale = draw(st.sampled_from([None, None, 1.0, 1e-300, 1e300]))
    if scale is None:
        return X, y, None
    sample_weight = scale * rng.random(n_rows)
    sample_weight[rng.random(n_rows) < 0.3] = 0
    return X, y, sample_weight


def check_promises(model, X, y):
    probabilities = model.predict_proba(X)
    labels = model.predict(X)
    assert np.isfinite(probabilities).all()
    assert probabilities.min() > 0
    assert probabilities.max() < 1
    assert np.isfinite(model.loss_curve_).all()
    if np.ndim(y) == 2:
        np.testing.assert_array_equal(labels, model.decision_function(X) > 0)
        assert (probabilities[labels == 1] >= 0.5).all()
        assert (probabilities[labels == 0] <= 0.5).all()
    else:
        scores = model.decision_function(X)
        codes = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        np.testing.assert_array_equal(labels, model.classes_[codes])
        chosen = probabilities[np.arange(len(codes)), codes]
        np.testing.assert_array_equal(chosen, probabilities.max(axis=1))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.slow
@settings(
    max_examples=N_EXAMPLES,
    deadline=None,
    derandomize="SKANN_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(some_parameters, data())
@example({"solver": "sgd", "learning_rate_init": 10.0}, (np.eye(4), [0, 1, 0, 1], None))
def test_a_fit_keeps_its_promises_or_names_what_is_wrong(parameters, data):
    X, y, sample_weight = data
    small = {"hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0}
    model = ANNClassifier(**small | parameters)
    again = clone(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        error = error_of_fit(model, X, y, sample_weight)
        if error is not None:
            assert CULPRITS.search(str(error)), repr(error)
            return
        check_promises(model, X, y)
        probabilities = model.predict_proba(X)
        loaded = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(loaded.predict_proba(X), probabilities)
        again.fit(X, y, sample_weight)
        np.testing.assert_array_equal(again.predict_proba(X), probabilities)


def error_of_fit(model, X, y, sample_weight):
    """Fit; return the error if it is of a kind that users may meet, else let it through."""
    try:
        model.fit(X, y, sample_weight)
    except (ValueError, TypeError) as error:
        return error
    return None


@pytest.mark.parametrize("message", ["boolean value of NA is ambiguous", "'Tensor' has no flags"])
def test_errors_that_name_nothing_would_be_seen(message):
    assert not CULPRITS.search(message)
