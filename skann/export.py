"""Export of fitted classifiers: conversion to ONNX, and the trusted types for skops files.

After a call of `register_onnx`, skl2onnx can convert an `ANNClassifier`, alone or in a pipeline.
The graph uses only operators of old operator sets, so that all current runtimes can read it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skann.classifier import ANNClassifier
from skann.engine.activations import _LEAK
from skann.engine.embeddings import NumericalEmbedding
from skann.engine.layers import LayerNormalization
from skann.engine.losses import LOSSES
from skann.engine.network import Member
from skann.engine.rows import Scaling
from skann.model import FittedModel

__all__ = ["TRUSTED_TYPES", "register_onnx"]

#: Types to trust when loading a fitted classifier from a skops file, in addition to those that
#: skops trusts by default. Parameters such as a function for `scoring` add types of their own.
TRUSTED_TYPES = ["skann.classifier.ANNClassifier"]

_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "raw_scores": [True, False],
}


def register_onnx(estimator_class: type = ANNClassifier) -> None:
    """Register a converter for `ANNClassifier` with skl2onnx.

    Call this function once, before the first conversion.

    Parameters
    ----------
    estimator_class : type, default=ANNClassifier
        Class to register: `ANNClassifier` or a subclass.

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
    update_registered_converter(
        estimator_class,
        f"Skann{estimator_class.__name__}",
        _set_output_types,
        _convert,
        options=_OPTIONS,
    )


# The graph -------------------------------------------------------------------------------------


class _Graph:
    """Adds nodes to an ONNX graph. Each method returns the name of the node's output.

    Parameters
    ----------
    scope, container : object
        Scope and container of the conversion, from skl2onnx.
    dtype : dtype
        Data type of the computation.
    """

    def __init__(self, scope: Any, container: Any, dtype: np.dtype) -> None:
        self._scope, self._container, self.dtype = scope, container, dtype

    def __call__(
        self, kind: str, *inputs: Any, output: str | None = None, **attributes: Any
    ) -> str:
        """Add a node; inputs other than names become constants, and floats get the dtype."""
        names = [each if isinstance(each, str) else self._constant(each) for each in inputs]
        output = output or self._scope.get_unique_variable_name(kind.lower())
        self._container.add_node(kind, names, output, **attributes)
        return output

    def cast(self, x: str, dtype: DTypeLike) -> str:
        """Add a node that casts to a NumPy dtype."""
        from onnx.helper import np_dtype_to_tensor_dtype

        return self("Cast", x, to=np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def single(self, kind: str, x: str, **attributes: Any) -> str:
        """Add a node in single precision, for operators that runtimes only support for floats."""
        return self.cast(self(kind, self.cast(x, np.float32), **attributes), self.dtype)

    def _constant(self, value: float | NDArray) -> str:
        from onnx.numpy_helper import from_array

        name = self._scope.get_unique_variable_name("constant")
        array = value if isinstance(value, np.ndarray) else np.array(value, self.dtype)
        self._container.initializers.append(from_array(array, name))
        return name


def _set_output_types(operator: Any) -> None:
    """Set the types and shapes of the two outputs: labels and probabilities."""
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
    from skl2onnx.common.utils import check_input_and_output_numbers

    if not operator.raw_operator._model.encoding.keeps_columns:
        raise ValueError(
            "The classifier was fitted to a table with categories or missing values, which ONNX"
            " export does not support. Fit a Pipeline of a ColumnTransformer (OneHotEncoder and"
            " SimpleImputer) and the classifier instead, and convert the Pipeline."
        )
    check_input_and_output_numbers(operator, input_count_range=1, output_count_range=2)
    label, probabilities = operator.outputs
    classes = _onnx_labels(operator.scope_inst, operator.raw_operator)
    n_rows = operator.inputs[0].get_first_dimension()
    probabilities.type.shape = [n_rows, len(classes)]
    # A ZipMap accepts floats only, even if the inputs are doubles.
    if any(following.type == "SklearnZipMap" for following in probabilities.operators_inputs_):
        probabilities.set_type(FloatTensorType(probabilities.type.shape))
    label_type = StringTensorType if classes.dtype == object else Int64TensorType
    is_multilabel = operator.raw_operator._model.labels.kind == "multilabel-indicator"
    label.set_type(label_type(probabilities.type.shape if is_multilabel else [n_rows]))


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the computations of `predict` and `predict_proba` to the graph."""
    from skl2onnx.common.data_types import guess_proto_type

    classifier = operator.raw_operator
    model = classifier._model
    graph = _Graph(scope, container, model.network.parameters.dtype)
    label, probabilities = operator.outputs
    x = _add_inputs(graph, operator.inputs[0].full_name, model.scaling)
    logits = _add_members(graph, model, x)

    if model.labels.kind == "binary":
        logits = graph("Concat", graph("Neg", logits), logits, axis=1)
    if model.labels.kind == "multilabel-indicator":
        is_given = graph("Greater", logits, 0.0)
        graph("Cast", is_given, output=label.full_name, to=guess_proto_type(label.type))
    else:
        codes = graph("ArgMax", logits, axis=1, keepdims=0)
        graph("Gather", _onnx_labels(scope, classifier), codes, output=label.full_name)
    values = logits
    if not container.get_options(classifier, {"raw_scores": False})["raw_scores"]:
        is_softmax = classifier.out_activation_ == "softmax"
        values = graph("Softmax", logits, axis=1) if is_softmax else graph("Sigmoid", logits)
    kind = guess_proto_type(probabilities.type)
    graph("Cast", values, output=probabilities.full_name, to=kind)


def _onnx_labels(scope: Any, classifier: ANNClassifier) -> NDArray:
    """Return the labels as int64 or strings; with the option "nocl", their positions."""
    from skl2onnx.common.utils_classifier import get_label_classes

    classes = get_label_classes(scope, classifier)
    return np.array(classes.tolist(), np.int64 if classes.dtype.kind in "biuf" else object)


def _add_inputs(graph: _Graph, x: str, scaling: Scaling | None) -> str:
    """Cast and scale the inputs; scale in double precision (see `skann.engine.rows.Scaling`)."""
    if scaling is None:
        return graph.cast(x, graph.dtype)
    x = graph.cast(x, np.float64)
    if scaling.shift is not None:
        x = graph("Sub", x, scaling.shift.astype(np.float64))
    if scaling.factor is not None:
        x = graph("Mul", x, scaling.factor.astype(np.float64))
    x = graph.cast(x, graph.dtype)
    if scaling.clip is not None:
        # With r = z / clip, sin(atan(r)) equals r / sqrt(1 + r^2), but does not overflow.
        angle = graph.single("Atan", graph("Div", x, scaling.clip))
        x = graph("Mul", graph.single("Sin", angle), scaling.clip)
    return x


def _add_members(graph: _Graph, model: FittedModel, x: str) -> str:
    """Add all members; return raw scores of shape (n_rows, n_outputs) as in `Loss.average`."""
    activations = [*model.network.architecture.activations, "identity"]
    logits = [_add_member(graph, member, activations, x) for member in model.network.members]
    if len(logits) == 1:
        return logits[0]
    if LOSSES[model.labels.kind].out_activation == "softmax":
        return _log_mean(graph, [graph("LogSoftmax", z, axis=1) for z in logits])
    # log(sigmoid(z)) equals -softplus(-z).
    losses = [[graph.single("Softplus", z) for z in [graph("Neg", z), z]] for z in logits]
    yes, no = ([graph("Neg", loss) for loss in each] for each in zip(*losses, strict=True))
    return graph("Sub", _log_mean(graph, yes), _log_mean(graph, no))


def _log_mean(graph: _Graph, logs: list[str]) -> str:
    """Add the logarithm of the mean of some numbers, given the logarithms of the numbers."""
    largest = graph("Max", *logs)
    total = graph("Sum", *(graph("Exp", graph("Sub", each, largest)) for each in logs))
    return graph("Add", graph("Log", graph("Div", total, len(logs))), largest)


def _add_member(graph: _Graph, member: Member, activations: list[str], x: str) -> str:
    """Add the layers of a member."""
    if member.embedding is not None:
        x = _embed(graph, member.embedding, x)
    for (dense, norm, _), activation in zip(member.layers, activations, strict=True):
        x = graph("Add", graph("MatMul", x, dense.weights), dense.bias)
        if isinstance(norm, LayerNormalization):
            x = _layer_normalization(graph, norm, x)
        elif norm is not None:
            parameters = norm.scale, norm.shift, norm.mean, norm.variance
            x = graph("BatchNormalization", x, *parameters, epsilon=norm.epsilon)
        x = _ACTIVATIONS[activation](graph, x)
    return x


def _embed(graph: _Graph, embedding: NumericalEmbedding, x: str) -> str:
    """Add the computation of `NumericalEmbedding.forward`."""
    kind, n_numbers, width, _ = embedding.shape
    numbers = graph("Gather", x, np.arange(n_numbers), axis=1)
    numbers = graph("Transpose", numbers, perm=[1, 0])
    by_number = graph("Reshape", numbers, np.array([n_numbers, 1, -1]))
    values = graph("Sub", by_number, embedding.places[:, :, np.newaxis])
    values = graph("Mul", values, embedding.slopes[:, :, np.newaxis])
    values = graph("Mul", _EMBEDDINGS[kind](graph, values), embedding.function.amplitude)
    mixed = graph("Transpose", graph("MatMul", embedding.weights, values), perm=[2, 0, 1])
    return graph("Concat", x, graph("Reshape", mixed, np.array([-1, n_numbers * width])), axis=1)


_EMBEDDINGS: dict[str, Callable[[_Graph, str], str]] = {
    "periodic": lambda graph, x: graph.single("Cos", x),
    "piecewise_linear": lambda graph, x: graph("Min", graph("Max", x, 0.0), 1.0),
}


def _layer_normalization(graph: _Graph, layer: LayerNormalization, x: str) -> str:
    average = layer._average[:, np.newaxis]
    x = graph("Sub", x, graph("MatMul", x, average))
    variance = graph("MatMul", graph("Mul", x, x), average)
    deviation = graph("Sqrt", graph("Add", variance, layer.epsilon))
    return graph("Add", graph("Mul", graph("Div", x, deviation), layer.scale), layer.shift)


# Activations, as in skann.engine.activations. Older operator sets have no operators for gelu, silu
# and mish.


def _gelu(graph: _Graph, x: str) -> str:
    erf = graph.single("Erf", graph("Mul", x, 0.5**0.5))
    return graph("Mul", graph("Mul", x, 0.5), graph("Add", erf, 1.0))


_ACTIVATIONS: dict[str, Callable[[_Graph, str], str]] = {
    "identity": lambda graph, x: x,
    "logistic": lambda graph, x: graph("Sigmoid", x),
    "tanh": lambda graph, x: graph("Tanh", x),
    "relu": lambda graph, x: graph("Relu", x),
    "leaky_relu": lambda graph, x: graph.single("LeakyRelu", x, alpha=_LEAK),
    "elu": lambda graph, x: graph.single("Elu", x),
    "selu": lambda graph, x: graph.single("Selu", x),
    "gelu": _gelu,
    "silu": lambda graph, x: graph("Mul", x, graph("Sigmoid", x)),
    "mish": lambda graph, x: graph("Mul", x, graph("Tanh", graph.single("Softplus", x))),
    "softplus": lambda graph, x: graph.single("Softplus", x),
}
