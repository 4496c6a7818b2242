"""Numerical embeddings: several inputs of the network for each number of a row."""

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
    """A function of numbers.

    Attributes
    ----------
    apply : callable (values) -> None
        Replaces ``(x - place) * slope`` by the value of the function.
    amplitude : float
        What the value is multiplied by. Small values, combined by large weights, are learned
        slowly: less is overfitted.
    """

    apply: Callable[[NDArray], None]
    amplitude: float


EMBEDDINGS = {
    "periodic": EmbeddingFunction(_wave, 0.3),
    "piecewise_linear": EmbeddingFunction(_piece, 0.1),
}


class EmbeddingArrays(NamedTuple):
    """What an embedding computes with, for up to a number of rows.

    Attributes
    ----------
    outputs : ndarray of shape (n_rows, n_inputs)
        The rows, then the embedded numbers.
    numbers : ndarray of shape (n_numbers, 1, n_rows)
        What is embedded.
    basis : ndarray of shape (n_numbers, n_functions, n_rows)
        Values of the functions of each number.
    mixed : ndarray of shape (n_numbers, width, n_rows)
        Their combinations, or the gradient with respect to them.
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
    r"""Combinations of functions of each number, beside the number itself.

    .. math:: e_{jd}(x_j) = \sum_k V_{jkd}\, a \varphi(s_{jk} (x_j - p_{jk}))

    With "periodic" [1]_ :math:`\varphi` is the cosine, of random frequencies and phases; with
    "piecewise_linear" [1]_ it is the identity from 0 to 1 and constant beyond, for pieces
    between quantiles of the training rows. V is trained with the network; s and p are not:
    training the frequencies as well gains nothing. As in [2]_, the numbers themselves are kept.

    Parameters
    ----------
    shape : Embedding
        What is embedded, and how.
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
        """Set all parameters to what training begins with.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.
        scale : float
            Standard deviation of the frequencies of "periodic", in periods for each unit.
        inputs : ndarray of shape (n_rows, n_features)
            Training rows, as they are embedded.
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
        """Put the ends of pieces at quantiles; numbers with few values have fewer pieces."""
        self.places.fill(0)
        self.slopes.fill(0)
        levels = np.linspace(0, 1, self.shape.n_functions + 1)
        for column, places, slopes in zip(numbers.T, self.places, self.slopes, strict=True):
            ends = np.unique(np.quantile(column, levels))
            places[: len(ends) - 1] = ends[:-1]
            slopes[: len(ends) - 1] = 1 / np.diff(ends)

    def arrays(self, shape: tuple[int, int], empty: Callable) -> EmbeddingArrays:
        """Return what `forward` computes with, for inputs of a shape."""
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
            Rows, the numbers to embed first.
        arrays : EmbeddingArrays
            For as many rows; overwritten.

        Returns
        -------
        ndarray of shape (n_rows, n_inputs)
            ``arrays.outputs``.
        """
        outputs, numbers, basis, mixed = arrays
        n_features = inputs.shape[1]
        numbers[:, 0] = inputs[:, : self.shape.n_numbers].T
        # Rows last, so that NumPy's loops over them are long.
        np.subtract(numbers, self.places[:, :, np.newaxis], out=basis)
        basis *= self.slopes[:, :, np.newaxis]
        self.function.apply(basis)
        np.matmul(self.weights, basis, out=mixed)
        mixed *= self.function.amplitude
        outputs[:, :n_features] = inputs
        self._by_number(outputs[:, n_features:])[...] = mixed
        return outputs

    def _by_number(self, embedded: NDArray) -> NDArray:
        """View embedded numbers of rows in shape (n_numbers, width, n_rows)."""
        return embedded.T.reshape(*self.weights.shape[:2], len(embedded))

    def backward(self, arrays: EmbeddingArrays, grad: NDArray, grad_weights: NDArray) -> None:
        """Compute the gradient of the last forward pass.

        Parameters
        ----------
        arrays : EmbeddingArrays
            As `forward` left them; partly overwritten.
        grad : ndarray of shape (n_rows, n_numbers * width)
            Gradient with respect to the embedded numbers.
        grad_weights : ndarray of shape (n_numbers, width, n_functions)
            Overwritten by the gradient with respect to the weights.
        """
        arrays.mixed[...] = self._by_number(grad)
        np.matmul(arrays.mixed, arrays.basis.transpose(0, 2, 1), out=grad_weights)
        grad_weights *= self.function.amplitude
