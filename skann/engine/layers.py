"""Layers: forward and backward side by side, writing into arrays they are given."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skann.engine.activations import Activation


class SparseGradient:
    """Gradient of a weight matrix, in the rows of the features that a sparse batch has.

    In all other rows it is zero: of a large vocabulary a batch of texts touches little.

    Parameters
    ----------
    n_features : int
        Rows of the weight matrix.

    Attributes
    ----------
    n_features : int
        As given.
    rows : ndarray of shape (n_touched,), intp
        Features of the last batch, sorted.
    values : ndarray of shape (n_touched, fan_out)
        The gradient in those rows.
    """

    def __init__(self, n_features: int) -> None:
        self.n_features = n_features
        self._is_touched = np.zeros(n_features, dtype=bool)
        self._place = np.empty(n_features, dtype=np.int32)
        self.rows = np.empty(0, dtype=np.intp)
        self.values = np.empty((0, 0))

    def compute(self, inputs: sparse.csr_array, grad_outputs: NDArray) -> None:
        """Compute ``inputs.T @ grad_outputs`` without its empty rows.

        Parameters
        ----------
        inputs : CSR array of shape (n_rows, n_features)
            The batch.
        grad_outputs : ndarray of shape (n_rows, fan_out)
            Gradient with respect to the pre-activations.
        """
        # Marking and counting is several times faster than sorting the indices.
        self._is_touched[inputs.indices] = True
        self.rows = np.flatnonzero(self._is_touched)
        self._is_touched[self.rows] = False
        self._place[self.rows] = np.arange(len(self.rows))
        touched = sparse.csr_array(
            (inputs.data, self._place[inputs.indices], inputs.indptr),
            shape=(inputs.shape[0], len(self.rows)),
        )
        self.values = touched.T @ grad_outputs


class Dense:
    """A fully connected layer, ``activation(inputs @ weights + bias)``.

    Parameters
    ----------
    weights : ndarray of shape (fan_in, fan_out)
        A view of the network's parameter vector.
    bias : ndarray of shape (fan_out,)
        A view of the network's parameter vector.
    activation : Activation or None
        None for the output layer, whose link belongs to the loss.
    """

    def __init__(self, weights: NDArray, bias: NDArray, activation: Activation | None) -> None:
        self.weights = weights
        self.bias = bias
        self.activation = activation

    def forward(self, inputs: NDArray | sparse.csr_array, outputs: NDArray) -> None:
        """Compute the layer.

        Parameters
        ----------
        inputs : ndarray or CSR array of shape (n_rows, fan_in)
            What the layer before computed.
        outputs : ndarray of shape (n_rows, fan_out)
            Overwritten. Row-major, or the transpose of a row-major array.
        """
        if not isinstance(inputs, np.ndarray):
            outputs[...] = inputs @ self.weights
        elif outputs.flags.c_contiguous:
            np.dot(inputs, self.weights, out=outputs)
        else:
            np.dot(self.weights.T, inputs.T, out=outputs.T)
        outputs += self.bias
        if self.activation is not None:
            self.activation.function(outputs)

    def backward(
        self,
        inputs: NDArray | sparse.csr_array,
        outputs: NDArray,
        grad_outputs: NDArray,
        ones: NDArray,
        grad_weights: NDArray | SparseGradient,
        grad_bias: NDArray,
        grad_inputs: NDArray | None,
    ) -> None:
        """Compute the gradients of the layer.

        Parameters
        ----------
        inputs : ndarray or CSR array of shape (n_rows, fan_in)
            As in the forward pass.
        outputs : ndarray of shape (n_rows, fan_out)
            As the forward pass left it; may be overwritten.
        grad_outputs : ndarray of shape (n_rows, fan_out)
            Gradient with respect to `outputs`; overwritten by the gradient with respect to
            the pre-activations.
        ones : ndarray of shape (n_rows,)
            Ones: a product with them sums over rows faster than a reduction does.
        grad_weights : ndarray of shape (fan_in, fan_out) or SparseGradient
            Overwritten by the gradient with respect to the weights.
        grad_bias : ndarray of shape (fan_out,)
            Overwritten by the gradient with respect to the bias.
        grad_inputs : ndarray of shape (n_rows, fan_in) or None
            Overwritten by the gradient with respect to `inputs`; None for the first layer.
        """
        if self.activation is not None:
            self.activation.backpropagate(outputs, grad_outputs)
        if isinstance(grad_weights, SparseGradient):
            grad_weights.compute(inputs, grad_outputs)
        elif isinstance(inputs, np.ndarray):
            np.dot(inputs.T, grad_outputs, out=grad_weights)
        else:
            grad_weights[...] = inputs.T @ grad_outputs
        np.dot(ones, grad_outputs, out=grad_bias)
        if grad_inputs is not None:
            np.dot(grad_outputs, self.weights.T, out=grad_inputs)
