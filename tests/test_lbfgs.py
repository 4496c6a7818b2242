"""L-BFGS on small objectives."""

import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import rosen, rosen_der

from skann.engine.batches import Examples
from skann.engine.lbfgs import LbfgsRun
from skann.engine.network import Architecture, Network
from skann.engine.run import Data, Observer
from tests.networks import make_settings, start_of
from tests.test_optimizers import OBJECTIVES

pytestmark = pytest.mark.kernels


@pytest.fixture
def minimize(monkeypatch):
    """Return a function that minimizes by a run, and returns the run and the result."""
    results = []

    def recorded(*args, **options):
        results.append(search(*args, **options))
        return results[-1]

    def minimize(function, derivative, start, max_iter):
        # A network with as many parameters, whose loss is replaced by the objective.
        network = Network(Architecture((len(start) - 1, 1), (), loss="binary"), start)
        settings = make_settings(
            network, loss="binary", solver="lbfgs", max_iter=max_iter, max_fun=1000, tol=1e-8
        )
        data = Data(Examples(np.zeros((2, len(start) - 1)), np.array([0, 1]), None))
        run = LbfgsRun(settings, data, start_of(network), Observer())
        monkeypatch.setattr(run, "_objective", lambda x: (function(x), derivative(x)))
        run.train()
        return run, results[-1]

    search = scipy.optimize.minimize
    monkeypatch.setattr(scipy.optimize, "minimize", recorded)
    return minimize


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_lbfgs_finds_the_minimum(minimize, objective):
    function, derivative, start, _ = OBJECTIVES[objective]
    run, result = minimize(function, derivative, start, max_iter=200)
    assert result.success
    assert function(result.x) < 1e-10
    np.testing.assert_array_equal(run.network.parameters, result.x)
    assert len(run.history) == result.nit


def test_lbfgs_says_when_it_ran_out_of_iterations(minimize):
    _, result = minimize(rosen, rosen_der, np.array([-1.0, 2.0]), max_iter=2)
    assert not result.success
    assert "ITERATIONS" in result.message
