"""Activation functions of hidden layers, in place, with their derivatives.

To add one, write the pair of functions and its entry in `ACTIVATIONS`: parameter
validation, error messages and the table tests all read that registry.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit


class Activation(NamedTuple):
    """An activation function and what training needs to know about it.

    Attributes
    ----------
    function : callable (values) -> None
        Replaces the pre-activations `values` by the activations.
    backpropagate : callable (outputs, grad) -> None
        Multiplies `grad`, the gradient with respect to the activations, by the derivative
        expressed through the activations `outputs`. `outputs` may be overwritten: it is
        not needed after.
    initializer : str
        Name of the weight initializer that keeps the scale of the signal.
    """

    function: Callable[[NDArray], None]
    backpropagate: Callable[[NDArray, NDArray], None]
    initializer: str


def _identity(values: NDArray) -> None:
    pass


def _identity_backpropagate(outputs: NDArray, grad: NDArray) -> None:
    pass


def _logistic(values: NDArray) -> None:
    expit(values, out=values)


def _logistic_backpropagate(outputs: NDArray, grad: NDArray) -> None:
    grad *= outputs
    np.subtract(1, outputs, out=outputs)
    grad *= outputs


def _tanh(values: NDArray) -> None:
    np.tanh(values, out=values)


def _tanh_backpropagate(outputs: NDArray, grad: NDArray) -> None:
    np.square(outputs, out=outputs)
    np.subtract(1, outputs, out=outputs)
    grad *= outputs


def _relu(values: NDArray) -> None:
    np.maximum(values, 0, out=values)


def _relu_backpropagate(outputs: NDArray, grad: NDArray) -> None:
    # The comparison writes 0.0 and 1.0 straight into the activations: no mask to allocate.
    np.greater(outputs, 0, out=outputs)
    grad *= outputs


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(_identity, _identity_backpropagate, "glorot_uniform"),
    "logistic": Activation(_logistic, _logistic_backpropagate, "glorot_uniform"),
    "tanh": Activation(_tanh, _tanh_backpropagate, "glorot_uniform"),
    "relu": Activation(_relu, _relu_backpropagate, "he_uniform"),
}
