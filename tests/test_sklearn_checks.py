"""scikit-learn's own checks of an estimator, for every solver."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import (
    check_methods_sample_order_invariance,
    check_sample_weight_equivalence_on_dense_data,
    check_sample_weight_equivalence_on_sparse_data,
    parametrize_with_checks,
)

from skann import ANNClassifier

MINI_BATCHES = (
    "A weight of two and a row given twice make other mini-batches, in another order, with other"
    " dropout, and float32 rounds: the models are alike, not equal."
)
POSITION = (
    "This BLAS rounds the product of a row in float32 otherwise where the row stands elsewhere in"
    " the array, as OpenBLAS does on processors with AVX2 only."
)
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": MINI_BATCHES,
    "check_sample_weight_equivalence_on_sparse_data": MINI_BATCHES,
}


def blas_depends_on_position():
    """Tell whether equal rows have unequal products in the second layer of the check's network."""
    rng = np.random.default_rng(0)
    row, weights = (rng.standard_normal(shape, np.float32) for shape in ((1, 128), (128, 64)))
    products = np.repeat(row, 20, axis=0) @ weights
    return bool((products != products[0]).any())


if blas_depends_on_position():
    EXPECTED_FAILURES["check_methods_sample_order_invariance"] = POSITION


def expected_failures(estimator):
    return {} if estimator.solver == "lbfgs" else EXPECTED_FAILURES


# Random labels of a few rows, which L-BFGS may chase until its iterations run out.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [ANNClassifier(solver=solver) for solver in ("adam", "adamw", "sgd", "lbfgs")],
    expected_failed_checks=expected_failures,
)
def test_estimator_passes_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("solver", ["adam", "adamw", "sgd"])
def test_the_order_of_samples_does_not_matter_in_float64(solver):
    estimator = ANNClassifier(solver=solver, dtype="float64")
    check_methods_sample_order_invariance("ANNClassifier", estimator)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize(
    "check",
    [
        check_sample_weight_equivalence_on_dense_data,
        check_sample_weight_equivalence_on_sparse_data,
    ],
)
def test_weights_equal_repetition_in_float64_with_one_batch_without_dropout(solver, check):
    estimator = ANNClassifier(
        solver=solver,
        dtype="float64",
        batch_size=10_000,
        max_iter=20,
        learning_rate_init=0.01,
        dropout=0.0,
    )
    check("ANNClassifier", estimator)
