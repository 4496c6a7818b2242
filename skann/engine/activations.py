"""Activation functions of the hidden layers, computed in place, and their derivatives.

To add one, write the pair of functions and its entry in `ACTIVATIONS`: parameter
validation, error messages and the table tests all read that registry.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from skann.engine.kernels import active


class Activation(NamedTuple):
    """An activation function and what training needs to know about it.

    Attributes
    ----------
    function : callable (values) -> None
        Replaces the pre-activations `values` by the activations.
    backpropagate : callable (kept, outputs, grad) -> None
        Multiplies `grad`, the gradient with respect to the activations, by the derivative. The
        derivative is computed from the activations `outputs` and, if `keeps_inputs`, from the
        pre-activations `kept`, which is None otherwise. Both arrays may be overwritten, as they
        are not needed afterwards.
    initializer : str
        Name of the weight initializer that preserves the scale of the signal.
    keeps_inputs : bool
        Whether the derivative depends on the pre-activations, so that the forward pass in
        training must keep them.
    """

    function: Callable[[NDArray], None]
    backpropagate: Callable[[Any, NDArray, NDArray], None]
    initializer: str
    keeps_inputs: bool = False


_LEAK = 0.01
# The fixed point of Klambauer and others, "Self-normalizing neural networks", NeurIPS 2017.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805
# From here on mish equals the identity in double precision, and e^x is far from overflow.
_MISH_LINEAR = 20
# From here on the normal density is zero in double precision, and x^2 is far from overflow.
_DENSITY_END = 40
_SQRT_2_PI = math.sqrt(2 * math.pi)

# Length of a piece: enough for NumPy to be efficient, little enough for a level 1 or 2 cache.
_PIECE = 8192


def _pieces(*arrays: NDArray) -> Iterator[Any]:
    """Iterate over arrays of any layout in short vectors, which may be changed in place.

    Intermediate results of a formula then stay in cache, and no array of the size of a batch is
    allocated.
    """
    with np.nditer(
        arrays, ["external_loop", "buffered", "zerosize_ok"], ["readwrite"], buffersize=_PIECE
    ) as pieces:
        yield from pieces


def _identity(values: NDArray) -> None:
    pass


def _identity_backpropagate(kept: None, outputs: NDArray, grad: NDArray) -> None:
    pass


def _logistic(values: NDArray) -> None:
    # NumPy's tanh is several times faster than SciPy's expit.
    values *= 0.5
    np.tanh(values, out=values)
    values *= 0.5
    values += 0.5


def _logistic_backpropagate(kept: None, outputs: NDArray, grad: NDArray) -> None:
    grad *= outputs
    np.subtract(1, outputs, out=outputs)
    grad *= outputs


def _tanh(values: NDArray) -> None:
    np.tanh(values, out=values)


def _tanh_backpropagate(kept: None, outputs: NDArray, grad: NDArray) -> None:
    np.square(outputs, out=outputs)
    np.subtract(1, outputs, out=outputs)
    grad *= outputs


@cache
def _zeros(width: int, dtype: np.dtype) -> NDArray:
    return np.zeros(width, dtype)


def _relu(values: NDArray) -> None:
    # A row of zeros instead of a scalar lets NumPy use vector instructions on wide rows.
    np.maximum(values, _zeros(values.shape[-1], values.dtype), out=values)


def _relu_backpropagate(kept: None, outputs: NDArray, grad: NDArray) -> None:
    # The comparison writes 0.0 and 1.0 directly into the activations, so no mask is allocated.
    np.greater(outputs, 0, out=outputs)
    grad *= outputs


def _leaky_relu(values: NDArray) -> None:
    for x in _pieces(values):
        np.maximum(x, _LEAK * x, out=x)


def _leaky_relu_backpropagate(kept: None, outputs: NDArray, grad: NDArray) -> None:
    np.greater(outputs, 0, out=outputs)
    np.maximum(outputs, _LEAK, out=outputs)
    grad *= outputs


def _elu(values: NDArray, alpha: float = 1.0) -> None:
    for x in _pieces(values):
        negative = np.expm1(np.minimum(x, 0))
        negative *= alpha
        np.maximum(x, 0, out=x)
        x += negative


def _elu_backpropagate(kept: None, outputs: NDArray, grad: NDArray) -> None:
    np.minimum(outputs, 0, out=outputs)
    outputs += 1
    grad *= outputs


def _selu(values: NDArray) -> None:
    _elu(values, _SELU_ALPHA)
    values *= _SELU_SCALE


def _selu_backpropagate(kept: None, outputs: NDArray, grad: NDArray) -> None:
    for out in _pieces(outputs):
        # Combine both branches by sums and products: selecting by a mask is several times slower.
        jump = np.greater(out, 0, out=np.empty_like(out))
        jump *= _SELU_SCALE * (1 - _SELU_ALPHA)
        np.minimum(out, 0, out=out)
        out += _SELU_SCALE * _SELU_ALPHA
        out += jump
    grad *= outputs


def _gelu(values: NDArray) -> None:
    for x in _pieces(values):
        x *= ndtr(x)


def _gelu_backpropagate(kept: NDArray, outputs: NDArray, grad: NDArray) -> None:
    # The output is x P(x) with the normal distribution function P; the derivative is
    # P(x) + x P'(x). Dividing the output by x is much faster than computing P.
    for x, out in _pieces(kept, outputs):
        near = np.clip(x, -_DENSITY_END, _DENSITY_END)
        rise = near * np.exp(-0.5 * near * near) / _SQRT_2_PI
        is_zero = x == 0
        np.copyto(x, 1, where=is_zero)
        np.copyto(out, 0.5, where=is_zero)
        out /= x
        out += rise
    grad *= outputs


def _silu(values: NDArray) -> None:
    for x in _pieces(values):
        logistic = x.copy()
        _logistic(logistic)
        x *= logistic


def _silu_backpropagate(kept: NDArray, outputs: NDArray, grad: NDArray) -> None:
    # The derivative is 1 - s(-x) (1 - x s(x)), with the logistic function s.
    np.negative(kept, out=kept)
    _logistic(kept)
    outputs -= 1
    outputs *= kept
    outputs += 1
    grad *= outputs


def _mish(values: NDArray) -> None:
    # tanh(softplus(x)) is n / (n + 2) with n = e^x (e^x + 2).
    for x in _pieces(values):
        exp = np.exp(np.minimum(x, _MISH_LINEAR))
        n = exp * (exp + 2)
        x *= n / (n + 2)


def _mish_backpropagate(kept: NDArray, outputs: NDArray, grad: NDArray) -> None:
    np.minimum(kept, _MISH_LINEAR, out=kept)
    for x in _pieces(kept):
        exp = np.exp(x)
        n = exp * (exp + 2)
        x[...] = (n + 4 * x * exp * (exp + 1) / (n + 2)) / (n + 2)
    grad *= kept


def _softplus(values: NDArray) -> None:
    for x in _pieces(values):
        rest = np.log1p(np.exp(-np.abs(x)))
        np.maximum(x, 0, out=x)
        x += rest


def _softplus_backpropagate(kept: None, outputs: NDArray, grad: NDArray) -> None:
    # The derivative is the logistic function, 1 - e^(-softplus(x)).
    np.negative(outputs, out=outputs)
    np.expm1(outputs, out=outputs)
    np.negative(outputs, out=outputs)
    grad *= outputs


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(_identity, _identity_backpropagate, "glorot_uniform"),
    "logistic": Activation(_logistic, _logistic_backpropagate, "glorot_uniform"),
    "tanh": Activation(_tanh, _tanh_backpropagate, "glorot_uniform"),
    "relu": Activation(_relu, _relu_backpropagate, "he_uniform"),
    "leaky_relu": Activation(_leaky_relu, _leaky_relu_backpropagate, "he_uniform"),
    "elu": Activation(_elu, _elu_backpropagate, "he_uniform"),
    "selu": Activation(_selu, _selu_backpropagate, "lecun_normal"),
    "gelu": Activation(_gelu, _gelu_backpropagate, "he_uniform", keeps_inputs=True),
    "silu": Activation(_silu, _silu_backpropagate, "he_uniform", keeps_inputs=True),
    "mish": Activation(_mish, _mish_backpropagate, "he_uniform", keeps_inputs=True),
    "softplus": Activation(_softplus, _softplus_backpropagate, "he_uniform"),
}


def passes(name: str) -> tuple[Callable, Callable]:
    """Return the forward and backward pass of an activation in training.

    Parameters
    ----------
    name : str
        Name of the activation in `ACTIVATIONS`.

    Returns
    -------
    forward, backward : callable
        The two passes; see `skann.engine.kernels.numpy_kernels.make_activation`.
    """
    activation = ACTIVATIONS[name]
    return active().make_activation(name, activation.function, activation.backpropagate)
