"""What is random in training: dropout, and noise on the inputs."""

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from skann.engine.kernels import active
from skann.engine.memory import aligned_empty

# Values that dropout decides about at once: the generator allocates what it returns.
_DRAWS = 16_384


class Dropout:
    """Sets a random share of the values to zero and scales the others up [1]_.

    Parameters
    ----------
    rate : float
        The share, in [0, 1); rounded to a multiple of 1/65536, by which the scale is exact.
    dtype : dtype-like
        Computing dtype.
    rng : numpy.random.Generator
        Source of randomness.

    Attributes
    ----------
    scale : float
        What the values that remain are multiplied by, so that the mean stays.

    References
    ----------
    .. [1] Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way
       to prevent neural networks from overfitting", JMLR 15, 2014.
    """

    def __init__(self, rate: float, dtype: DTypeLike, rng: np.random.Generator) -> None:
        # At most 65535 of 65536: with all values dropped there is no scale.
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
            Changed in place.
        """
        values = values.reshape(-1)
        if values.size > self._mask.size:
            self._mask = np.empty(values.size, self._mask.dtype)
        random_raw = self._rng.bit_generator.random_raw
        for start in range(0, values.size, _DRAWS):
            part = values[start : start + _DRAWS]
            mask = self._mask[start : start + _DRAWS][: part.size]
            # Four draws of 16 bits for the price of one random number.
            words = random_raw(-(-part.size // 4)).view(np.uint16)[: part.size]
            self._kernels.drop(words, self._threshold, self.scale, mask, part)
            del words  # Before the next are allocated.

    def undo(self, outputs: NDArray, grad: NDArray) -> None:
        """Bring the gradient with respect to the outputs back before `apply`, and these too.

        Where they were dropped the outputs stay zero: so is the gradient there.

        Parameters
        ----------
        outputs : ndarray of any shape, C-contiguous
            As the last call of `apply` left them; changed in place.
        grad : ndarray of the same shape, C-contiguous
            Changed in place.
        """
        mask = self._mask[: outputs.size]
        self._kernels.undo_drop(mask, self.scale, outputs.reshape(-1), grad.reshape(-1))


class Corruption:
    """Gaussian noise and dropout on the inputs of a network, in training.

    Parameters
    ----------
    noise : float
        Standard deviation of what is added.
    dropout : float
        Share of the inputs that are then set to zero.
    dtype : dtype-like
        Computing dtype.
    rng : numpy.random.Generator
        Source of randomness.
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
            A batch. Of sparse rows the absent entries stay zeros, and there must be no noise.

        Returns
        -------
        ndarray or CSR array of shape (n_rows, n_features)
        """
        if not isinstance(inputs, np.ndarray):
            assert self._dropout is not None  # Sparse rows are not given noise.
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
