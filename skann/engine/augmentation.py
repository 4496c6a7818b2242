"""Random changes to the rows of a batch, in training."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skann.engine.rows import DenseRows, Scaling


class Augmentation:
    """Changes the rows of each batch by a function, then scales them.

    Parameters
    ----------
    function : callable (inputs, rng) -> inputs
        Gets unscaled rows in the computing dtype, which it may overwrite, and a random generator;
        returns as many rows.
    scaling : Scaling or None
        Applied to what the function returns.
    shape : tuple of int
        Rows of the largest batch, and features.
    dtype : dtype-like
        Computing dtype.
    rng : numpy.random.Generator
        Source of randomness.
    """

    def __init__(
        self,
        function: Callable[[NDArray, np.random.Generator], NDArray],
        scaling: Scaling | None,
        shape: tuple[int, int],
        dtype: DTypeLike,
        rng: np.random.Generator,
    ) -> None:
        max_rows, n_features = shape
        self._function, self._rng = function, rng
        nothing = np.empty((0, n_features), dtype)
        self._scaler = DenseRows(nothing, dtype, max_rows, scaling, None)

    def apply(self, inputs: NDArray) -> NDArray:
        """Change the rows of a batch.

        Parameters
        ----------
        inputs : ndarray of shape (n_rows, n_features)
            Unscaled rows; may be overwritten.

        Returns
        -------
        ndarray of shape (n_rows, n_features)
            Valid until the next call.

        Raises
        ------
        ValueError
            If the function returns another shape, or numbers that are not finite.
        """
        shape = inputs.shape
        changed = np.asarray(self._function(inputs, self._rng))
        if changed.shape != shape:
            raise ValueError(
                f"augmentation must return as many rows and features as it gets, {shape};"
                f" {self._function!r} returned an array of shape {changed.shape}."
            )
        # The sum tells it in one pass, unless it is beyond the largest number itself.
        if not math.isfinite(changed.sum()) and not np.isfinite(changed).all():
            raise ValueError(
                f"augmentation must return finite numbers; {self._function!r} returned NaN or"
                " infinity."
            )
        return self._scaler.cast(changed)
