"""Fitted classifiers for other runtimes and for files that are safe to load: ONNX and skops.

After `register_onnx`, skl2onnx converts an `ANNClassifier`, also as a step of a pipeline, as it
converts the classifiers of scikit-learn. The graph is made of basic operators: MatMul, Exp, Max and
the like are in every operator set that runtimes still read, for float and for double.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skann.classifier import ANNClassifier
from skann.engine.activations import _LEAK, _MISH_LINEAR, _SELU_ALPHA, _SELU_SCALE
from skann.engine.layers import BatchNormalization, LayerNormalization
from skann.engine.network import Network
from skann.engine.rows import Scaling

__all__ = ["TRUSTED_TYPES", "register_onnx"]

#: The type in a skops file of a fitted classifier alone, beside those that skops trusts by
#: itself. There are others only where a parameter is one, such as a function as `scoring`.
TRUSTED_TYPES = ["skann.classifier.ANNClassifier"]

_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "raw_scores": [True, False],
}


def register_onnx(estimator_class: type = ANNClassifier) -> None:
    """Register the ONNX converter with skl2onnx.

    Call it once before the first conversion.

    Parameters
    ----------
    estimator_class : type, default=ANNClassifier
        A subclass of `ANNClassifier` to register, or the class itself.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Examples
    --------
    >>> from sklearn.calibration import CalibratedClassifierCV
    >>> from sklearn.datasets import load_iris
    >>> from skl2onnx import to_onnx
    >>> from skann import ANNClassifier
    >>> from skann.export import register_onnx
    >>> X, y = load_iris(return_X_y=True)
    >>> calibrated = CalibratedClassifierCV(ANNClassifier(max_iter=5), cv=2).fit(X, y)
    >>> register_onnx()
    >>> [output.name for output in to_onnx(calibrated, X[:1]).graph.output]
    ['output_label', 'output_probability']
    """
    try:
        from skl2onnx import update_registered_converter
    except ImportError as error:
        raise ImportError(
            'ONNX export needs skl2onnx: python -m pip install "skl2onnx>=1.19.1,<1.21"'
        ) from error
    alias = f"Skann{estimator_class.__name__}"
    update_registered_converter(
        estimator_class, alias, _set_output_types, _convert, options=_OPTIONS
    )


# The graph -------------------------------------------------------------------------------------


class _Graph:
    """Adds nodes to the graph under construction; each has one result, which is a name.

    Parameters
    ----------
    scope, container : object
        Of skl2onnx.
    dtype : dtype-like
        Computing dtype.
    """

    def __init__(self, scope: Any, container: Any, dtype: DTypeLike) -> None:
        self._scope, self._container = scope, container
        self.dtype = np.dtype(dtype)

    def __call__(
        self,
        kind: str,
        *inputs: str | float | NDArray,
        output: str | None = None,
        **attributes: Any,
    ) -> str:
        """Add a node; inputs that are no names become constants, floats in the computing dtype."""
        names = [each if isinstance(each, str) else self._constant(each) for each in inputs]
        if output is None:
            output = self._scope.get_unique_variable_name(kind.lower())
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(kind, names, output, name=name, **attributes)
        return output

    def cast(self, x: str, dtype: DTypeLike, output: str | None = None) -> str:
        """Add a cast to a NumPy dtype."""
        from onnx.helper import np_dtype_to_tensor_dtype

        return self("Cast", x, output=output, to=np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def _constant(self, value: float | NDArray) -> str:
        from onnx import TensorProto
        from onnx.numpy_helper import from_array

        name = self._scope.get_unique_variable_name("constant")
        array = value if isinstance(value, np.ndarray) else np.array(value, self.dtype)
        if array.dtype.kind in "biuf":
            self._container.add_initializer(name, None, None, from_array(np.asarray(array)))
        else:
            texts = [text.encode() for text in array.tolist()]
            self._container.add_initializer(name, TensorProto.STRING, array.shape, texts)
        return name


def _set_output_types(operator: Any) -> None:
    """Set types and shapes of the labels and the probabilities."""
    from skl2onnx.common.data_types import (
        DoubleTensorType,
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
    )
    from skl2onnx.common.utils import check_input_and_output_numbers

    check_input_and_output_numbers(operator, input_count_range=1, output_count_range=2)
    inputs, classifier = operator.inputs[0], operator.raw_operator
    n_rows = inputs.get_first_dimension()
    classes = _onnx_labels(operator.scope_inst, classifier)
    shape = [n_rows, len(classes)]
    # As other converters have it: doubles for doubles, else floats. But a ZipMap takes floats only.
    is_zipped = any(op.type == "SklearnZipMap" for op in operator.outputs[1].operators_inputs_)
    is_double = isinstance(inputs.type, DoubleTensorType) and not is_zipped
    operator.outputs[1].set_type((DoubleTensorType if is_double else FloatTensorType)(shape))
    label_type = Int64TensorType if classes.dtype == np.int64 else StringTensorType
    is_multilabel = classifier._model.labels.kind == "multilabel-indicator"
    operator.outputs[0].set_type(label_type(shape if is_multilabel else [n_rows]))


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add what `predict` and `predict_proba` compute to the graph."""
    from onnx.helper import tensor_dtype_to_np_dtype
    from skl2onnx.common.data_types import guess_proto_type

    classifier = operator.raw_operator
    network: Network = classifier._model.network
    graph = _Graph(scope, container, network.parameters.dtype)
    given, (label, probabilities) = operator.inputs[0], operator.outputs
    given_dtype = tensor_dtype_to_np_dtype(guess_proto_type(given.type))
    scaling = classifier._model.scaling or Scaling(None, None)
    logits = _add_network(graph, network, _add_inputs(graph, given.full_name, given_dtype, scaling))

    if classifier._model.labels.kind == "binary":
        logits = graph("Concat", graph("Neg", logits), logits, axis=1)
    if classifier._model.labels.kind == "multilabel-indicator":
        graph.cast(graph("Greater", logits, 0.0), np.int64, label.full_name)
    else:
        codes = graph("ArgMax", logits, axis=1, keepdims=0)
        graph("Gather", _onnx_labels(scope, classifier), codes, output=label.full_name)
    values = logits
    if not container.get_options(classifier, {"raw_scores": False})["raw_scores"]:
        is_softmax = classifier.out_activation_ == "softmax"
        values = graph("Softmax", logits, axis=1) if is_softmax else graph("Sigmoid", logits)
    dtype = tensor_dtype_to_np_dtype(guess_proto_type(probabilities.type))
    graph.cast(values, dtype, probabilities.full_name)


def _onnx_labels(scope: Any, classifier: Any) -> NDArray:
    """Return the labels as ONNX has them, int64 or strings; with "nocl" their numbers."""
    classes = classifier.classes_
    if scope.get_options(classifier, {"nocl": False})["nocl"]:
        classes = np.arange(len(classes))
    if classes.dtype.kind in "biuf":
        numbers = classes.astype(np.int64)
        if np.array_equal(numbers, classes):
            return numbers
    elif all(isinstance(label, str) for label in classes.tolist()):
        return classes
    raise ValueError(
        f"Labels in ONNX are whole numbers or strings; the classes are {classes.tolist()}. Encode"
        " y before fit, for example with LabelEncoder."
    )


def _add_inputs(graph: _Graph, x: str, given: np.dtype, scaling: Scaling) -> str:
    """Cast and scale the inputs (see `skann.engine.batches.DenseRows`)."""
    wide = np.dtype(np.float64) if scaling.is_wide else np.result_type(given, graph.dtype)
    if scaling.shift is not None:
        x = graph("Sub", graph.cast(x, wide), scaling.shift.astype(wide))
    factor_dtype = wide if scaling.is_wide else graph.dtype
    x = graph.cast(x, factor_dtype)
    if scaling.factor is not None:
        x = graph("Mul", x, scaling.factor.astype(factor_dtype))
    x = graph.cast(x, graph.dtype)
    if scaling.clip is not None:
        # The root of 1 + r^2 without overflow: max(|r|, 1) times that of 1 + (min / max)^2.
        ratio = graph("Abs", graph("Div", x, scaling.clip))
        larger = graph("Max", ratio, 1.0)
        share = graph("Div", graph("Min", ratio, 1.0), larger)
        root = graph("Sqrt", graph("Add", graph("Mul", share, share), 1.0))
        x = graph("Div", graph("Div", x, larger), root)
    return x


def _add_network(graph: _Graph, network: Network, x: str) -> str:
    """Add all layers, up to the raw scores of shape (n_rows, n_outputs)."""
    activations = [*network.architecture.activations, "identity"]
    for name in activations:
        if name not in _ACTIVATIONS:
            raise NotImplementedError(
                f"The activation {name!r} has no ONNX form yet: add one to _ACTIVATIONS in"
                " skann/export.py, or train with another activation."
            )
    for (dense, normalization, _), activation in zip(network.layers, activations, strict=True):
        x = graph("Add", graph("MatMul", x, dense.weights), dense.bias)
        if isinstance(normalization, BatchNormalization):
            x = _batch_normalization(graph, normalization, x)
        elif isinstance(normalization, LayerNormalization):
            x = _layer_normalization(graph, normalization, x)
        x = _ACTIVATIONS[activation](graph, x)
    return x


def _batch_normalization(graph: _Graph, layer: BatchNormalization, x: str) -> str:
    factor = layer.scale / np.sqrt(layer.variance + layer.epsilon)
    return graph("Add", graph("Mul", graph("Sub", x, layer.mean), factor), layer.shift)


def _layer_normalization(graph: _Graph, layer: LayerNormalization, x: str) -> str:
    average = layer._average[:, np.newaxis]
    x = graph("Sub", x, graph("MatMul", x, average))
    variance = graph("MatMul", graph("Mul", x, x), average)
    deviation = graph("Sqrt", graph("Add", variance, layer.epsilon))
    return graph("Add", graph("Mul", graph("Div", x, deviation), layer.scale), layer.shift)


# Activations, as in skann.engine.activations. Operators of their own, such as Gelu and Mish, are
# younger than the operator sets in use, and runtimes have Elu and Softplus for floats only.


def _leaky_relu(graph: _Graph, x: str) -> str:
    return graph("Max", x, graph("Mul", x, _LEAK))


def _elu(graph: _Graph, x: str, alpha: float = 1.0) -> str:
    negative = graph("Sub", graph("Exp", graph("Min", x, 0.0)), 1.0)
    return graph("Add", graph("Max", x, 0.0), graph("Mul", negative, alpha))


def _selu(graph: _Graph, x: str) -> str:
    return graph("Mul", _elu(graph, x, _SELU_ALPHA), _SELU_SCALE)


def _gelu(graph: _Graph, x: str) -> str:
    # Runtimes have Erf for floats only: what a double loses is far below 1e-6.
    erf = graph("Erf", graph.cast(graph("Mul", x, 0.5**0.5), np.float32))
    return graph("Mul", graph("Mul", x, 0.5), graph("Add", graph.cast(erf, graph.dtype), 1.0))


def _silu(graph: _Graph, x: str) -> str:
    return graph("Mul", x, graph("Sigmoid", x))


def _mish(graph: _Graph, x: str) -> str:
    exp = graph("Exp", graph("Min", x, float(_MISH_LINEAR)))
    n = graph("Mul", exp, graph("Add", exp, 2.0))
    return graph("Mul", x, graph("Div", n, graph("Add", n, 2.0)))


def _softplus(graph: _Graph, x: str) -> str:
    exp = graph("Exp", graph("Neg", graph("Abs", x)))
    return graph("Add", graph("Max", x, 0.0), graph("Log", graph("Add", exp, 1.0)))


_ACTIVATIONS: dict[str, Callable[[_Graph, str], str]] = {
    "identity": lambda graph, x: x,
    "logistic": lambda graph, x: graph("Sigmoid", x),
    "tanh": lambda graph, x: graph("Tanh", x),
    "relu": lambda graph, x: graph("Relu", x),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": _selu,
    "gelu": _gelu,
    "silu": _silu,
    "mish": _mish,
    "softplus": _softplus,
}
