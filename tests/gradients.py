"""A gradient check by finite differences along random directions."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def assert_gradient_matches(
    function: Callable[[NDArray], float],
    gradient: NDArray,
    point: NDArray,
    *,
    n_directions: int = 4,
    step: float = 1e-6,
    rtol: float = 1e-6,
    seed: int = 0,
) -> None:
    """Compare a gradient with central differences of a function, in float64.

    One random direction sees every coordinate at once, so a handful of them tells as much
    as a difference for each coordinate.
    """
    assert point.dtype == gradient.dtype == np.float64
    rng = np.random.default_rng(seed)
    for _ in range(n_directions):
        direction = rng.standard_normal(point.shape)
        direction /= np.linalg.norm(direction)
        rise = function(point + step * direction) - function(point - step * direction)
        scale = max(float(np.linalg.norm(gradient)), 1e-3)
        np.testing.assert_allclose(
            np.vdot(gradient, direction), rise / (2 * step), rtol=0, atol=rtol * scale
        )
