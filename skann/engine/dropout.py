"""Random regularisation in training: dropout, and noise on the inputs."""

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from skann.engine.kernels import active
from skann.engine.memory import aligned_empty

# Number of values handled at once; it is limited because the generator allocates its result.
_DRAWS = 16_384


class Dropout:
    """Set a random share of the values to zero and scale up the others [1]_.

    Parameters
    ----------
    rate : float
        Share of the values to drop, in [0, 1). It is rounded to a multiple of 1/65536.
    dtype : dtype-like
        Computing dtype.
    rng : numpy.random.Generator
        Random number generator.

    Attributes
    ----------
    scale : float
        Factor for the remaining values that preserves the mean. It is exact for the rounded rate.

    References
    ----------
    .. [1] Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way
       to prevent neural networks from overfitting", JMLR 15, 2014.
    """

    def __init__(self, rate: float, dtype: DTypeLike, rng: np.random.Generator) -> None:
        # Drop at most 65535 of 65536 values: if all are dropped, the scale is infinite.
        self._threshold = min(round(rate * 65536), 65535)
        self.scale = 65536 / (65536 - self._threshold)
        self._rng = rng
        self.dtype = np.dtype(dtype)
        self._mask = np.empty(0, dtype)
        self._kernels = active()

    def apply(self, values: NDArray) -> None:
        """Drop values in place.

        Parameters
        ----------
        values : ndarray of any shape, C-contiguous
            The values, changed in place.
        """
        values = values.reshape(-1)
        if values.size > self._mask.size:
            self._mask = np.empty(values.size, self._mask.dtype)
        random_raw = self._rng.bit_generator.random_raw
        for start in range(0, values.size, _DRAWS):
            part = values[start : start + _DRAWS]
            mask = self._mask[start : start + _DRAWS][: part.size]
            # One random number of 64 bits gives four draws of 16 bits.
            words = random_raw(-(-part.size // 4)).view(np.uint16)[: part.size]
            self._kernels.drop(words, self._threshold, self.scale, mask, part)
            del words  # Free them before the next words are allocated.

    def undo(self, outputs: NDArray, grad: NDArray) -> None:
        """Propagate a gradient back through `apply`, and rescale the outputs.

        Outputs that were dropped stay zero, and so does the gradient there.

        Parameters
        ----------
        outputs : ndarray of any shape, C-contiguous
            Values as the last call of `apply` left them. They are changed in place.
        grad : ndarray of the same shape, C-contiguous
            Gradient with respect to the outputs. It is changed in place.
        """
        mask = self._mask[: outputs.size]
        self._kernels.undo_drop(mask, self.scale, outputs.reshape(-1), grad.reshape(-1))


class Corruption:
    """Add Gaussian noise to the inputs of a network and drop some of them, in training.

    Parameters
    ----------
    noise : float
        Standard deviation of the noise.
    dropout : float
        Share of the inputs that are set to zero after the noise is added.
    dtype : dtype-like
        Computing dtype.
    rng : numpy.random.Generator
        Random number generator.
    """

    def __init__(
        self, noise: float, dropout: float, dtype: DTypeLike, rng: np.random.Generator
    ) -> None:
        self._noise = noise
        self._dropout = Dropout(dropout, dtype, rng) if dropout else None
        self._rng = rng
        self._buffer = np.empty((0, 0), dtype)

    def apply(self, inputs: NDArray | sparse.csr_array) -> NDArray | sparse.csr_array:
        """Return a corrupted copy, valid until the next call.

        Parameters
        ----------
        inputs : ndarray or CSR array of shape (n_rows, n_features)
            Rows of a batch. Sparse rows must have no noise; their absent entries stay zero.

        Returns
        -------
        ndarray or CSR array of shape (n_rows, n_features)
            The corrupted copy.
        """
        if not isinstance(inputs, np.ndarray):
            assert self._dropout is not None  # Sparse rows get no noise.
            data = inputs.data.copy()
            self._dropout.apply(data)
            return sparse.csr_array((data, inputs.indices, inputs.indptr), shape=inputs.shape)
        if len(inputs) > len(self._buffer):
            self._buffer = aligned_empty(inputs.shape, self._buffer.dtype)
        corrupted = self._buffer[: len(inputs)]
        if self._noise:
            self._rng.standard_normal(out=corrupted, dtype=corrupted.dtype)
            corrupted *= self._noise
            corrupted += inputs
        else:
            np.copyto(corrupted, inputs)
        if self._dropout is not None:
            self._dropout.apply(corrupted)
        return corrupted
