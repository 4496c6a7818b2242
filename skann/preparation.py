"""Preparation of a fit: from parameters and validated data to everything that training needs."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from numpy.random import Generator, default_rng
from sklearn.utils import check_random_state

from skann.checkpoint import Origin, SavedFit
from skann.defaults import computing_dtype, make_settings
from skann.engine.batches import Examples
from skann.engine.fitting import largest_product
from skann.engine.kernels import active_name
from skann.engine.network import Network
from skann.engine.rows import Scaling, laid_out_by_rows, make_rows
from skann.engine.run import Data
from skann.engine.settings import Architecture, Settings
from skann.engine.state import TrainingState
from skann.engine.threads import threads_for
from skann.inputs import Given, labels_for_partial_fit, make_examples, naming_validation_data
from skann.model import FittedModel
from skann.parameters import check_memory, check_rows, check_together, make_architecture
from skann.scaling import ROBUST_CLIP, measure_scaling, of_first
from skann.scoring import make_scoring
from skann.tables import Encoding
from skann.targets import Labels, hold_out

Parameters = Mapping[str, Any]

# Parameters that every call of `partial_fit` replaces.
_OF_A_PIECE = {"max_iter": 1, "learning_rate": "constant", "warmup": 0.0}
# Maximum number of rows from which the functions of an embedding are made.
_EMBEDDING_ROWS = 100_000


class Prepared(NamedTuple):
    """Everything that training needs, validated.

    Attributes
    ----------
    labels : Labels
        Maps the class labels to the outputs of the network.
    settings : Settings
        Settings of the fit.
    data : Data
        Rows to train on and to validate with.
    start : TrainingState
        State to start from.
    encoding : Encoding
        Encoding of the columns of X as inputs.
    origin : Origin or None
        Facts about the fit that checkpoints store.
    for_callbacks : dict or None
        X, y and metadata for the callbacks.
    """

    labels: Labels
    settings: Settings
    data: Data
    start: TrainingState
    encoding: Encoding
    origin: Origin | None = None
    for_callbacks: dict[str, Any] | None = None


def prepare(
    parameters: Parameters,
    given: Given,
    model: FittedModel | None,
    saved: SavedFit | None,
    as_fitted: Callable[..., Any],
) -> Prepared:
    """Prepare a fit.

    Parameters
    ----------
    parameters : mapping of str to object
        All parameters, each of them valid by itself.
    given : Given
        Validated rows and labels.
    model : FittedModel or None
        Model from which a warm start continues.
    saved : SavedFit or None
        Saved fit that `resume` continues.
    as_fitted : callable (network, labels, scaling) -> estimator
        Wraps a network as a fitted estimator, which a scorer can ask for predictions.

    Returns
    -------
    Prepared
    """
    labels = _labels(given.y, model)
    architecture = _architecture(parameters, given, labels, model)
    check_together(parameters)
    examples, sample_weight = _examples(parameters, given, labels, model)
    held_out = _validation_examples(parameters["class_weight"], given, labels)
    rng = _generator(parameters["random_state"], model, saved)
    stream = rng.bit_generator.state
    train = examples
    if parameters["early_stopping"] and held_out is None:
        seed = int(rng.integers(2**31))
        train, held_out = hold_out(examples, parameters["validation_fraction"], seed)
    settings = make_settings(parameters, architecture, train)
    check_rows(parameters, train, settings.batch_size)
    origin = Origin(
        parameters,
        labels,
        # X as it was passed to fit: its row-major copy may have another dtype.
        replace(examples, X=given.X),
        None if given.X_val is None else held_out,
        stream,
        threads_for(largest_product(settings, settings.batch_size)),
        active_name(),
    )
    if saved is not None:
        saved.check(origin)
    scaling = saved.scaling if saved is not None else _scaling(parameters, given, train, model)
    as_estimator = partial(as_fitted, labels=labels, scaling=scaling)
    scoring = make_scoring(parameters["scoring"], held_out, labels, as_estimator)
    data = Data(train, held_out, scaling, scoring)
    start = saved.state if saved is not None else _start(parameters, settings, data, rng, model)
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    for_callbacks = {"X": given.table, "y": given.y, "metadata": metadata}
    return Prepared(labels, settings, data, start, given.encoding, origin, for_callbacks)


def _labels(y: Any, model: FittedModel | None) -> Labels:
    """Return the labels of the data; in a warm start, they must equal those of the model."""
    labels = Labels.of(y)
    if model is None:
        return labels
    classes, known = labels.classes.tolist(), model.labels.classes.tolist()
    if labels.kind != model.labels.kind or classes != known:
        raise ValueError(
            f"warm_start=True needs the same classes as in the previous fit: {known}; but y has"
            f" {classes}. Set warm_start=False to train a new network."
        )
    return model.labels


def prepare_piece(
    parameters: Parameters, given: Given, classes: Any, model: FittedModel | None
) -> Prepared:
    """Prepare a call of `partial_fit`; parameters as in `prepare`, and `classes`."""
    check_together(parameters, of_stream=True)
    parameters = {**parameters, **_OF_A_PIECE}
    labels = labels_for_partial_fit(given.y, classes, None if model is None else model.labels)
    architecture = _architecture(parameters, given, labels, model)
    train, _ = _examples(parameters, given, labels, model)
    settings = make_settings(parameters, architecture, train, of_stream=True)
    check_rows(parameters, train, settings.batch_size)
    rng = _generator(parameters["random_state"], model, None)
    data = Data(train, scaling=_scaling(parameters, given, train, model))
    start = _start(parameters, settings, data, rng, model)
    return Prepared(labels, settings, data, start, given.encoding)


def _architecture(
    parameters: Parameters, given: Given, labels: Labels, model: FittedModel | None
) -> Architecture:
    shape = given.X.shape[1], labels.n_outputs
    architecture = make_architecture(parameters, *shape, labels.kind, given.encoding.n_numbers)
    if model is not None and architecture != model.network.architecture:
        raise ValueError(
            "hidden_layer_sizes, activation, normalization, n_members and the embedding describe"
            f" {architecture}, but the network to continue with is {model.network.architecture}."
            " Fit a clone to train a new network."
        )
    check_memory(architecture, computing_dtype(parameters))
    return architecture


def _examples(
    parameters: Parameters, given: Given, labels: Labels, model: FittedModel | None
) -> tuple[Examples, Any]:
    """Lay out the rows so that batches can be gathered from them; encode labels and weights."""
    # Rows that will be scaled keep their dtype: rounding before scaling would lose precision, and
    # would change the result only of rows that are copied.
    is_scaled = parameters["input_scaling"] is not None
    is_scaled |= model is not None and model.scaling is not None
    rows = laid_out_by_rows(given.X, given.X.dtype if is_scaled else computing_dtype(parameters))
    return make_examples(rows, given.y, given.sample_weight, parameters["class_weight"], labels)


def _validation_examples(class_weight: Any, given: Given, labels: Labels) -> Examples | None:
    if given.X_val is None:
        return None
    rows = given.X_val, given.y_val, given.sample_weight_val
    with naming_validation_data():
        return make_examples(*rows, class_weight, labels, "_val")[0]


def _generator(random_state: Any, model: FittedModel | None, saved: SavedFit | None) -> Generator:
    """Return the random generator of a fit, before its first use."""
    if saved is not None:
        return saved.generator()
    if model is not None and model.state is not None:
        return model.state.generator()
    return default_rng(check_random_state(random_state).randint(2**31 - 1))


def _scaling(
    parameters: Parameters, given: Given, train: Examples, model: FittedModel | None
) -> Scaling | None:
    """Return the scaling of the inputs: that of the model if there is one, else a new one."""
    if model is not None:
        return model.scaling
    kind, clip = parameters["input_scaling"], parameters["input_clip"]
    if kind is None and clip is None:
        return None
    as_one = parameters["augmentation"] is not None
    scaling = Scaling(None, None)
    if kind is not None:
        scaling = of_first(measure_scaling(kind, train, as_one), given.encoding.n_numbers)
    if clip is None and kind == "robust":
        clip = ROBUST_CLIP
    return scaling._replace(clip=None if clip is None else float(clip))


def _start(
    parameters: Parameters,
    settings: Settings,
    data: Data,
    rng: Generator,
    model: FittedModel | None,
) -> TrainingState:
    """Return the state to start from: that of the model if there is one, else new weights."""
    if model is not None:
        state = model.continuation(settings.ema_decay, rng.bit_generator.state)
        return replace(state, stream=rng.bit_generator.state)
    initializer = parameters["kernel_initializer"]
    network = Network.random(settings.architecture, settings.dtype, rng, initializer)
    embeddings = [member.embedding for member in network.members if member.embedding is not None]
    if embeddings:
        some = data.train.spread_evenly(_EMBEDDING_ROWS)
        rows = make_rows(some.X, settings.dtype, len(some), data.scaling, some.subset)
        inputs = rows.chunk(0, len(some))
        for embedding in embeddings:
            embedding.begin(rng, parameters["embedding_scale"], inputs)
    return TrainingState(network.parameters, rng.bit_generator.state)
