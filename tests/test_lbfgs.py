"""L-BFGS on small objectives."""

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

from skann.engine.lbfgs import minimize_lbfgs
from tests.test_optimizers import OBJECTIVES

pytestmark = pytest.mark.kernels


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_lbfgs_finds_the_minimum(objective):
    function, derivative, start, _ = OBJECTIVES[objective]
    points = []
    result = minimize_lbfgs(
        lambda x: (function(x), derivative(x)),
        start,
        lambda intermediate_result: points.append(intermediate_result.x),
        max_iter=200,
        max_fun=1000,
        tol=1e-8,
    )
    assert result.success
    assert function(result.x) < 1e-10
    assert len(points) == result.nit


def test_lbfgs_says_when_it_ran_out_of_iterations():
    result = minimize_lbfgs(
        lambda x: (rosen(x), rosen_der(x)),
        np.array([-1.0, 2.0]),
        lambda intermediate_result: None,
        max_iter=2,
        max_fun=1000,
        tol=1e-8,
    )
    assert not result.success
    assert "ITERATIONS" in result.message
