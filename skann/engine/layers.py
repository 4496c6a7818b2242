"""Layers, with their forward and backward passes. They write to arrays that the caller provides."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skann.engine.kernels import active
from skann.engine.memory import aligned_empty


class SparseGradient:
    """Gradient of a weight matrix for a sparse batch, limited to the rows that are not zero.

    These are the rows of the features that occur in the batch. For example, a batch of texts
    contains only a few words of a large vocabulary.

    Parameters
    ----------
    n_features : int
        Number of rows of the weight matrix.

    Attributes
    ----------
    n_features : int
        Number of rows of the weight matrix.
    rows : ndarray of shape (n_touched,), intp
        Features that occur in the last batch, sorted.
    values : ndarray of shape (n_touched, fan_out)
        Gradient with respect to these rows.
    """

    def __init__(self, n_features: int) -> None:
        self.n_features = n_features
        self._kernels = active()
        self._place = np.full(n_features, -1, dtype=np.int32)
        self._columns = np.empty(0, dtype=np.int32)
        self.rows = np.empty(0, dtype=np.intp)
        self.values = np.empty((0, 0))
        self._buffer = np.empty(0)

    def touch(self, inputs: sparse.csr_array) -> None:
        """Find the features that occur in a batch. Call this method before `compute`.

        Parameters
        ----------
        inputs : CSR array of shape (n_rows, n_features)
            The batch.
        """
        self.rows, self._columns = self._kernels.touch(inputs.indices, self._place)

    def compute(self, inputs: sparse.csr_array, grad_outputs: NDArray) -> None:
        """Compute ``inputs.T @ grad_outputs`` without the rows that are zero.

        Parameters
        ----------
        inputs : CSR array of shape (n_rows, n_features)
            The batch that `touch` was called with. Its values may have changed.
        grad_outputs : ndarray of shape (n_rows, fan_out)
            Gradient with respect to the pre-activations.
        """
        n_rows, width = len(self.rows), grad_outputs.shape[1]
        if n_rows * width > self._buffer.size:
            self._buffer = aligned_empty(2 * n_rows * width, grad_outputs.dtype)
        buffer = self._buffer[: n_rows * width].reshape(n_rows, width)
        self.values = self._kernels.sparse_gradient(inputs, self._columns, grad_outputs, buffer)


class Dense:
    """A fully connected layer, ``inputs @ weights + bias``.

    Parameters
    ----------
    weights : ndarray of shape (fan_in, fan_out)
        A view of the network's parameter vector.
    bias : ndarray of shape (fan_out,)
        A view of the network's parameter vector.
    """

    def __init__(self, weights: NDArray, bias: NDArray) -> None:
        self.weights = weights
        self.bias = bias

    def forward(self, inputs: NDArray | sparse.csr_array, outputs: NDArray) -> None:
        """Compute the outputs of the layer; parameters as in `multiply`."""
        self.multiply(inputs, outputs)
        outputs += self.bias

    def multiply(self, inputs: NDArray | sparse.csr_array, outputs: NDArray) -> None:
        """Compute the outputs of the layer without the bias.

        Parameters
        ----------
        inputs : ndarray or CSR array of shape (n_rows, fan_in)
            Outputs of the previous layer.
        outputs : ndarray of shape (n_rows, fan_out)
            Overwritten by the outputs. Row-major, or the transpose of a row-major array.
        """
        if not isinstance(inputs, np.ndarray):
            outputs[...] = inputs @ self.weights
        elif outputs.flags.c_contiguous:
            inputs.dot(self.weights, out=outputs)
        else:
            self.weights.T.dot(inputs.T, out=outputs.T)

    def backward(
        self,
        inputs: NDArray | sparse.csr_array,
        grad_outputs: NDArray,
        grad_weights: NDArray | SparseGradient,
        grad_inputs: NDArray | None,
    ) -> None:
        """Compute the gradients with respect to the weights and the inputs, not the bias.

        Parameters
        ----------
        inputs : ndarray or CSR array of shape (n_rows, fan_in)
            Inputs of the forward pass.
        grad_outputs : ndarray of shape (n_rows, fan_out)
            Gradient with respect to the outputs.
        grad_weights : ndarray of shape (fan_in, fan_out) or SparseGradient
            Overwritten by the gradient with respect to the weights.
        grad_inputs : ndarray of shape (n_rows, n_last) or None
            Overwritten by the gradient with respect to the last `n_last` inputs; None if it is not
            needed.
        """
        if isinstance(grad_weights, SparseGradient):
            grad_weights.compute(inputs, grad_outputs)
        elif isinstance(inputs, np.ndarray):
            inputs.T.dot(grad_outputs, out=grad_weights)
        else:
            grad_weights[...] = inputs.T @ grad_outputs
        if grad_inputs is not None:
            last = self.weights[-grad_inputs.shape[1] :]
            grad_outputs.dot(last.T, out=grad_inputs)


class BatchNormalization:
    r"""Normalisation of each unit over the rows of a batch [1]_.

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + 10^{-5}}} + \beta

    In training, the mean and the variance are those of the batch. In prediction, they are running
    averages. A batch of one row has no variance, so it is normalised as in prediction.

    Parameters
    ----------
    scale, shift : ndarray of shape (width,)
        :math:`\gamma` and :math:`\beta`, views of the network's parameter vector.
    mean, variance : ndarray of shape (width,)
        Running averages, updated in place. Each batch contributes 10 %. The variance is unbiased,
        as in PyTorch.

    References
    ----------
    .. [1] Ioffe and Szegedy, "Batch normalization: accelerating deep network training by
       reducing internal covariate shift", ICML 2015, https://arxiv.org/abs/1502.03167
    """

    momentum = 0.1
    epsilon = 1e-5

    def __init__(self, scale: NDArray, shift: NDArray, mean: NDArray, variance: NDArray) -> None:
        self.scale, self.shift = scale, shift
        self.mean, self.variance = mean, variance

    def predict(self, values: NDArray) -> None:
        """Normalise in place with the running averages.

        Parameters
        ----------
        values : ndarray of shape (n_rows, width)
            Values to normalise, overwritten.
        """
        values -= self.mean
        values *= self.scale / np.sqrt(self.variance + self.epsilon)
        values += self.shift

    def forward(self, values: NDArray, normalized: NDArray, ones: NDArray) -> NDArray:
        """Normalise in place with the mean and the variance of the batch.

        Parameters
        ----------
        values : ndarray of shape (n_rows, width)
            Values to normalise, overwritten.
        normalized : ndarray of shape (n_rows, width)
            Overwritten by the normalised values before scale and shift.
        ones : ndarray of shape (n_rows,)
            Vector of ones.

        Returns
        -------
        ndarray of shape (width,)
            Inverse standard deviations, which the backward pass needs.
        """
        n_rows = len(values)
        mean, variance = self.mean, self.variance
        if n_rows > 1:
            mean = np.dot(ones, values) / n_rows
        values -= mean
        if n_rows > 1:
            np.square(values, out=normalized)
            variance = np.dot(ones, normalized) / n_rows
            self.mean += self.momentum * (mean - self.mean)
            unbiased = variance * (n_rows / (n_rows - 1))
            self.variance += self.momentum * (unbiased - self.variance)
        inverse_deviation = 1 / np.sqrt(variance + self.epsilon)
        np.multiply(values, inverse_deviation, out=normalized)
        np.multiply(normalized, self.scale, out=values)
        values += self.shift
        return inverse_deviation

    def backward(
        self,
        normalized: NDArray,
        inverse_deviation: NDArray,
        grad: NDArray,
        ones: NDArray,
        scratch: NDArray,
        grad_parameters: tuple[NDArray, ...],
    ) -> None:
        """Compute the gradients of the layer.

        Parameters
        ----------
        normalized : ndarray of shape (n_rows, width)
            Result of the forward pass, overwritten.
        inverse_deviation : ndarray of shape (width,)
            Return value of the forward pass.
        grad : ndarray of shape (n_rows, width)
            Gradient with respect to the outputs, overwritten by the gradient with respect to the
            inputs.
        ones : ndarray of shape (n_rows,)
            Vector of ones.
        scratch : ndarray of shape (n_rows, width)
            Array for intermediate results, overwritten.
        grad_parameters : tuple of ndarray of shape (width,)
            Overwritten by the gradients with respect to `scale` and `shift`.
        """
        grad_scale, grad_shift = grad_parameters
        n_rows = len(grad)
        np.multiply(grad, normalized, out=scratch)
        np.dot(ones, scratch, out=grad_scale)
        np.dot(ones, grad, out=grad_shift)
        if n_rows > 1:
            normalized *= grad_scale / n_rows
            grad -= normalized
            grad -= grad_shift / n_rows
        grad *= self.scale * inverse_deviation


class LayerNormalization:
    r"""Normalisation of each row over the units of a layer [1]_.

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + 10^{-5}}} + \beta

    Parameters
    ----------
    scale, shift : ndarray of shape (width,)
        :math:`\gamma` and :math:`\beta`, views of the network's parameter vector.

    References
    ----------
    .. [1] Ba, Kiros and Hinton, "Layer normalization", 2016, https://arxiv.org/abs/1607.06450
    """

    epsilon = 1e-5

    def __init__(self, scale: NDArray, shift: NDArray) -> None:
        self.scale, self.shift = scale, shift
        self._average = np.full(len(scale), 1 / len(scale), scale.dtype)

    def predict(self, values: NDArray) -> None:
        """Normalise in place.

        Parameters
        ----------
        values : ndarray of shape (n_rows, width)
            Values to normalise, overwritten.
        """
        self.forward(values, np.empty_like(values), self._average)

    def forward(self, values: NDArray, normalized: NDArray, ones: NDArray) -> NDArray:
        """Normalise in place; parameters as in `BatchNormalization.forward`.

        Returns
        -------
        ndarray of shape (n_rows, 1)
            Inverse standard deviations, which the backward pass needs.
        """
        values -= np.dot(values, self._average)[:, np.newaxis]
        np.square(values, out=normalized)
        variance = np.dot(normalized, self._average)[:, np.newaxis]
        inverse_deviation = 1 / np.sqrt(variance + self.epsilon)
        np.multiply(values, inverse_deviation, out=normalized)
        np.multiply(normalized, self.scale, out=values)
        values += self.shift
        return inverse_deviation

    def backward(
        self,
        normalized: NDArray,
        inverse_deviation: NDArray,
        grad: NDArray,
        ones: NDArray,
        scratch: NDArray,
        grad_parameters: tuple[NDArray, ...],
    ) -> None:
        """Compute the gradients; parameters as in `BatchNormalization.backward`."""
        grad_scale, grad_shift = grad_parameters
        np.multiply(grad, normalized, out=scratch)
        np.dot(ones, scratch, out=grad_scale)
        np.dot(ones, grad, out=grad_shift)
        grad *= self.scale
        np.multiply(grad, normalized, out=scratch)
        normalized *= np.dot(scratch, self._average)[:, np.newaxis]
        grad -= np.dot(grad, self._average)[:, np.newaxis]
        grad -= normalized
        grad *= inverse_deviation
