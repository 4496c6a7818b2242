"""Data augmentation: random changes to the rows of each training batch."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skann.engine.rows import DenseRows, Scaling


class Augmentation:
    """Apply a function to the rows of each batch, then scale them.

    Parameters
    ----------
    function : callable (inputs, rng) -> inputs
        Takes unscaled rows in the computing dtype, which it may overwrite, and a random number
        generator. Returns an array of the same shape.
    scaling : Scaling or None
        Scaling of the rows that the function returns.
    shape : tuple of int
        Number of rows of the largest batch, and number of features.
    dtype : dtype-like
        Computing dtype.
    rng : numpy.random.Generator
        Random number generator passed to the function.
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
        """Augment and scale the rows of a batch.

        Parameters
        ----------
        inputs : ndarray of shape (n_rows, n_features)
            Unscaled rows. They may be overwritten.

        Returns
        -------
        ndarray of shape (n_rows, n_features)
            The rows, valid until the next call.

        Raises
        ------
        ValueError
            If the function returns another shape, or numbers that are not all finite.
        """
        shape = inputs.shape
        changed = np.asarray(self._function(inputs, self._rng))
        if changed.shape != shape:
            raise ValueError(
                f"augmentation must return an array of the shape that it gets, {shape};"
                f" {self._function!r} returned an array of shape {changed.shape}."
            )
        # The sum shows it in one pass, unless the sum of finite numbers itself overflows.
        if not math.isfinite(changed.sum()) and not np.isfinite(changed).all():
            raise ValueError(
                f"augmentation must return finite numbers; {self._function!r} returned NaN or"
                " infinity."
            )
        return self._scaler.cast(changed)
