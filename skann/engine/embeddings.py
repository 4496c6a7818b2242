"""Numerical embeddings: additional inputs of the network for each number of a row."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skann.engine.settings import Embedding


def _wave(values: NDArray) -> None:
    np.cos(values, out=values)


def _piece(values: NDArray) -> None:
    np.clip(values, 0, 1, out=values)


class EmbeddingFunction(NamedTuple):
    """A function that an embedding applies to numbers.

    Attributes
    ----------
    apply : callable (values) -> None
        Replaces ``(x - place) * slope`` in place by the value of the function.
    amplitude : float
        Factor of the value. A small factor with correspondingly large weights makes the embedding
        learn slowly, which reduces overfitting.
    """

    apply: Callable[[NDArray], None]
    amplitude: float


EMBEDDINGS = {
    "periodic": EmbeddingFunction(_wave, 0.3),
    "piecewise_linear": EmbeddingFunction(_piece, 0.1),
}


class EmbeddingArrays(NamedTuple):
    """Arrays that an embedding needs for a batch.

    Attributes
    ----------
    outputs : ndarray of shape (n_rows, n_inputs)
        The given inputs, followed by the embedded numbers.
    numbers : ndarray of shape (n_numbers, 1, n_rows)
        The numbers to embed.
    basis : ndarray of shape (n_numbers, n_functions, n_rows)
        Values of the functions of each number.
    mixed : ndarray of shape (n_numbers, width, n_rows)
        Combinations of these values, or the gradient with respect to the combinations.
    """

    outputs: NDArray
    numbers: NDArray
    basis: NDArray
    mixed: NDArray

    def first(self, n_rows: int) -> "EmbeddingArrays":
        """Return views for fewer rows."""
        outputs, *others = self
        return EmbeddingArrays(outputs[:n_rows], *(array[:, :, :n_rows] for array in others))


class NumericalEmbedding:
    r"""Additional inputs that are weighted sums of functions of each number.

    .. math:: e_{jd}(x_j) = \sum_k V_{jdk}\, a \varphi(s_{jk} (x_j - p_{jk}))

    With "periodic" [1]_, :math:`\varphi` is the cosine, and the frequencies and phases are random.
    With "piecewise_linear" [1]_, :math:`\varphi` clips to [0, 1], and each function rises between
    two neighbouring quantiles of the training rows. The weights V are trained with the network.
    The slopes s and the places p are fixed, because training the frequencies does not raise the
    accuracy. As in [2]_, the numbers themselves remain inputs.

    Parameters
    ----------
    shape : Embedding
        Settings of the embedding.
    weights : ndarray of shape (n_numbers, width, n_functions)
        The weights :math:`V`, a view of the network's parameter vector, like `places` and
        `slopes`.
    places, slopes : ndarray of shape (n_numbers, n_functions)
        The places :math:`p` and the slopes :math:`s` of the functions.

    References
    ----------
    .. [1] Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in tabular deep
       learning", NeurIPS 2022, https://arxiv.org/abs/2203.05556
    .. [2] Holzmueller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and
       boosted trees on tabular data", NeurIPS 2024, https://arxiv.org/abs/2407.04491
    """

    def __init__(
        self, shape: Embedding, weights: NDArray, places: NDArray, slopes: NDArray
    ) -> None:
        self.shape, self.weights, self.places, self.slopes = shape, weights, places, slopes
        self.function = EMBEDDINGS[shape.kind]

    def begin(self, rng: np.random.Generator, scale: float, inputs: NDArray) -> None:
        """Initialise all parameters.

        Parameters
        ----------
        rng : numpy.random.Generator
            Random generator.
        scale : float
            Standard deviation of the frequencies of "periodic", in periods per unit.
        inputs : ndarray of shape (n_rows, n_features)
            Training rows after scaling.
        """
        if self.shape.kind == "periodic":
            self.slopes[...] = 2 * math.pi * scale * rng.standard_normal(self.slopes.shape)
            phases = rng.uniform(-math.pi, math.pi, self.slopes.shape)
            self.places[...] = phases / np.where(self.slopes, self.slopes, 1)
        else:
            self._set_pieces(inputs[:, : self.shape.n_numbers])
        limit = 1 / (self.function.amplitude * math.sqrt(self.shape.n_functions))
        self.weights[...] = rng.uniform(-limit, limit, self.weights.shape)

    def _set_pieces(self, numbers: NDArray) -> None:
        """Set the ends of the pieces to quantiles; numbers with few values have fewer pieces."""
        self.places.fill(0)
        self.slopes.fill(0)
        levels = np.linspace(0, 1, self.shape.n_functions + 1)
        for column, places, slopes in zip(numbers.T, self.places, self.slopes, strict=True):
            ends = np.unique(np.quantile(column, levels))
            places[: len(ends) - 1] = ends[:-1]
            slopes[: len(ends) - 1] = 1 / np.diff(ends)

    def arrays(self, shape: tuple[int, int], empty: Callable) -> EmbeddingArrays:
        """Return the arrays that `forward` needs for inputs of the given shape."""
        n_rows, n_features = shape
        n_numbers, width, n_functions = self.weights.shape
        dtype = self.weights.dtype
        return EmbeddingArrays(
            empty((n_rows, n_features + n_numbers * width), dtype),
            *(empty((n_numbers, size, n_rows), dtype) for size in (1, n_functions, width)),
        )

    def forward(self, inputs: NDArray, arrays: EmbeddingArrays) -> NDArray:
        """Embed rows.

        Parameters
        ----------
        inputs : ndarray of shape (n_rows, n_features)
            Rows. The numbers to embed come first.
        arrays : EmbeddingArrays
            Arrays for this number of rows, overwritten.

        Returns
        -------
        ndarray of shape (n_rows, n_inputs)
            ``arrays.outputs``: the given inputs, followed by the embedded numbers.
        """
        outputs, numbers, basis, mixed = arrays
        n_features = inputs.shape[1]
        numbers[:, 0] = inputs[:, : self.shape.n_numbers].T
        # The rows are the last axis, so that NumPy's inner loops are long.
        np.subtract(numbers, self.places[:, :, np.newaxis], out=basis)
        basis *= self.slopes[:, :, np.newaxis]
        self.function.apply(basis)
        np.matmul(self.weights, basis, out=mixed)
        mixed *= self.function.amplitude
        outputs[:, :n_features] = inputs
        self._by_number(outputs[:, n_features:])[...] = mixed
        return outputs

    def _by_number(self, embedded: NDArray) -> NDArray:
        """Return a view of the embedded numbers with shape (n_numbers, width, n_rows)."""
        return embedded.T.reshape(*self.weights.shape[:2], len(embedded))

    def backward(self, arrays: EmbeddingArrays, grad: NDArray, grad_weights: NDArray) -> None:
        """Compute the gradient of the last forward pass.

        Parameters
        ----------
        arrays : EmbeddingArrays
            Arrays from the last call of `forward`. Some of them are overwritten.
        grad : ndarray of shape (n_rows, n_numbers * width)
            Gradient with respect to the embedded numbers.
        grad_weights : ndarray of shape (n_numbers, width, n_functions)
            Overwritten by the gradient with respect to the weights.
        """
        arrays.mixed[...] = self._by_number(grad)
        np.matmul(arrays.mixed, arrays.basis.transpose(0, 2, 1), out=grad_weights)
        grad_weights *= self.function.amplitude
