"""What estimators share: `fit`, `partial_fit`, `resume`, and what they keep of a fit."""

from __future__ import annotations  # help() then names types in place of what they stand for.

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from skann.checkpoint import Origin, RowSample, SavedFit
from skann.defaults import STREAM_ROWS, Resolved, computing_dtype, make_settings
from skann.diagnosis import DIVERGED, history_attributes, warn_of
from skann.engine import fitting
from skann.engine.batches import Examples
from skann.engine.losses import LOSSES
from skann.engine.network import Network, ParameterViews
from skann.engine.rows import Scaling, laid_out_by_rows
from skann.engine.run import Data, Observer, Run
from skann.engine.settings import Architecture, Settings
from skann.engine.state import TrainingState
from skann.epoch_tasks import EpochTasks
from skann.inputs import (
    as_numpy,
    check_indices,
    is_plain,
    labels_for_partial_fit,
    make_examples,
    refuse_dates,
)
from skann.model import FittedModel
from skann.parameters import (
    CONSTRAINTS,
    check_memory,
    check_partial_fit,
    check_rows,
    check_same_architecture,
    check_together,
    make_architecture,
)
from skann.scaling import measure_scaling
from skann.scoring import make_scoring
from skann.summary import NetworkSummary, summarize
from skann.targets import Labels, hold_out, mean_positive_weight, plain_labels

_DOCUMENTATION = "https://skann.readthedocs.io/en/stable/"


class Given(NamedTuple):
    """What `fit` is given, as it is given."""

    X: Any
    y: Any
    sample_weight: Any = None
    X_val: Any = None
    y_val: Any = None
    sample_weight_val: Any = None


class Prepared(NamedTuple):
    """What a training needs, all of it checked."""

    labels: Labels
    settings: Settings
    data: Data
    start: TrainingState
    origin: Origin | None
    for_callbacks: dict[str, Any]


class BaseANN(CallbackSupportMixin, BaseEstimator):
    """Base class of estimators that train a network.

    A subclass has the parameters of `skann.parameters.CONSTRAINTS` as attributes.
    """

    _parameter_constraints: dict = CONSTRAINTS
    _model: FittedModel

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Fit the network to training data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows, of any numeric dtype. A row-major array is never copied whole.
        y : array-like of shape (n_samples,) or indicator matrix (n_samples, n_labels)
            Labels of any type, or zeros and ones with a column for each label.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None for equal ones.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Rows to measure the network on after every epoch. They decide when to stop if
            ``early_stopping=True``, in place of a split of the training rows; otherwise the
            curves are only recorded. In a `Pipeline`, ``transform_input=["X_val"]``
            transforms them as `X`.
        y_val : array-like of shape (n_val,) or (n_val, n_labels), default=None
            Labels of `X_val`.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the rows of `X_val`.

        Returns
        -------
        self : ANNClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If a parameter or the data cannot be used, or if the loss is not a finite number
            from the first epoch on. Raised before training, but for the last.
        MemoryError
            If `hidden_layer_sizes` asks for a network larger than memory. Raised before training.
        KeyboardInterrupt
            After Ctrl-C. What was learned in the epochs until then is kept.
        """
        return self._fit(Given(X, y, sample_weight, X_val, y_val, sample_weight_val))

    @_fit_context(prefer_skip_nested_validation=True)
    def resume(
        self,
        path: str | os.PathLike,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        **validation: ArrayLike | None,
    ) -> Self:
        """Go on with an interrupted `fit` from the file of a `skann.callbacks.Checkpoint`.

        The result has the same bits as if the fit had not been interrupted, but for the seconds
        in `history_`. That takes the same parameters, data, versions and number of BLAS threads.
        A fit that had ended is returned as it ended.

        Parameters
        ----------
        path : str or path-like
            The file.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As given to `fit`, like all that follows.
        y : array-like of shape (n_samples,) or indicator matrix (n_samples, n_labels)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation rows.
        y_val : array-like of shape (n_val,) or (n_val, n_labels), default=None
            Their labels.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : ANNClassifier
            The fitted classifier. What it had learned before is forgotten.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If the file is damaged, or if a parameter, the data or the number of BLAS threads
            differs from that of the interrupted fit. `verbose` may differ, and `random_state` if
            neither is an int. Functions are compared by name, X by its shape, its dtype and up to
            1000 rows spread evenly over it, in any memory order, labels and weights in full.
        KeyboardInterrupt
            After Ctrl-C, as by `fit`.
        """
        saved = SavedFit.read(path, self._parameters())
        return self._fit(Given(X, y, sample_weight, **validation), saved)

    @available_if(lambda self: self._check_stochastic())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Go on training with one epoch over the given rows.

        The rate is constant: `learning_rate_init`, and for ``"auto"`` 0.001 with Adam, 0.01
        with SGD. The rows of a call say nothing about those of the stream, so that ``"auto"``
        means an `alpha` of 0.05 and batches of 128 rows, or of a call's where they are fewer. The
        penalty is divided by `batch_size_` in either case: how rows are cut into calls does not
        change it. Weights, moments of the optimizer, `t_` and the random stream are kept from
        call to call. Not available with ``solver="lbfgs"``; callbacks are not run.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, of any numeric dtype.
        y : array-like of shape (n_samples,) or indicator matrix (n_samples, n_labels)
            Their labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come; needed in the first call, unless `y` is an
            indicator matrix or the classifier is fitted.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None for equal ones.

        Returns
        -------
        self : ANNClassifier
            The classifier.

        Raises
        ------
        ValueError
            If the data cannot be used, if `y` has labels that are not among the classes, or
            with ``early_stopping=True`` or ``class_weight="balanced"``, which need all rows
            at once.
        KeyboardInterrupt
            After Ctrl-C. Unless all rows were done, the classifier stays as it was.
        """
        with self._unchanged_by_errors():
            prepared = self._prepare_piece(Given(X, y, sample_weight), classes)
            earlier = self._model.history if self._is_fitted else []
            run = self._train(prepared, Observer())
            model = self._fitted_model(run, prepared)
            model = replace(model, history=earlier + run.history, state=run.state)
            self._set_fitted(self._fitted_attributes(model, prepared.settings))
            self.n_iter_ = len(run.history)
        return self

    def summary(self, n_samples: int | None = None) -> NetworkSummary:
        """Describe the fitted network: layers, parameters, memory, cost.

        Of a classifier that is the last step of a Pipeline it is `pipeline[-1].summary()`, of
        a search `search.best_estimator_.summary()`, or with a Pipeline
        `search.best_estimator_[-1].summary()`.

        The cost of an epoch is an estimate. It counts the multiply-adds of the matrix products
        for dense rows: forward one for each weight, backward two, one for the gradient of the
        weight and one for that of the layer's input, which the first layer needs not compute.
        Activations, normalisation, the steps of the optimizer and validation come on top, and
        with "lbfgs" the further evaluations of a line search. Sparse rows cost less in the
        first layer.

        Parameters
        ----------
        n_samples : int, default=None
            Rows of the epoch whose cost is estimated; None for those of the last fit.

        Returns
        -------
        NetworkSummary
            Prints as a table, and holds the numbers as attributes.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If there is no network yet.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skann import ANNClassifier
        >>> X, y = load_iris(return_X_y=True, as_frame=True)
        >>> ANNClassifier((32, 16), random_state=0).fit(X, y).summary()
        ANNClassifier
        <BLANKLINE>
        layer     output shape  activation  normalization  dropout  parameters
        --------  ------------  ----------  -------------  -------  ----------
        input     (n, 4)        -           -              -                 0
        hidden 1  (n, 32)       relu        -              0.1             160
        hidden 2  (n, 16)       relu        -              -               528
        output    (n, 3)        softmax     -              -                51
        <BLANKLINE>
        Features:      4: sepal length (cm), sepal width (cm), petal length (cm), petal width (cm)
        Classes:       3: 0, 1, 2
        Parameters:    739
        Memory:        3.0 kB of parameters (float32)
        Cost of epoch: about 1,936 multiply-adds a row, 290,400 for 150 rows
        """
        check_is_fitted(
            self,
            msg="This %(name)s has no network yet, because the data decide what its first and last"
            " layer are. Call 'fit' before 'summary'.",
        )
        names = getattr(self, "feature_names_in_", None)
        dropout = (float(self.input_dropout), *self.dropout_)
        return summarize(self._model, type(self).__name__, names, dropout, n_samples)

    # scikit-learn has no public way to add to the HTML of an estimator. What it looks for by
    # private names stands here alone; where it has changed, its own HTML is shown.
    _doc_link_module = "skann"
    _doc_link_template = f"{_DOCUMENTATION}generated/skann.{{estimator_name}}.html"

    def _get_fitted_attr_html(self, *args: Any, **kwargs: Any) -> Any:
        """Put the network before the table of fitted attributes, also within a pipeline."""
        attributes = super()._get_fitted_attr_html(*args, **kwargs)
        table = getattr(attributes, "_html_repr", None)
        # Within a fitted ensemble, say, that fits clones, there is no network.
        if callable(table) and self._is_fitted:
            network = (
                '<div class="estimator-table"><details open><summary>Network</summary>'
                f"{self.summary().html_body('parameters-table', 'default')}</details></div>"
            )
            attributes._html_repr = lambda: network + table()
        return attributes

    @property
    def coefs_(self) -> ParameterViews:
        """Weight matrices, views of the one parameter vector; assigning writes into it."""
        check_is_fitted(self)
        return self._model.network.coefs

    @coefs_.setter
    def coefs_(self, values: list[NDArray]) -> None:
        self.coefs_[:] = values

    @property
    def intercepts_(self) -> ParameterViews:
        """Bias vectors, views of the one parameter vector; assigning writes into it."""
        check_is_fitted(self)
        return self._model.network.intercepts

    @intercepts_.setter
    def intercepts_(self, values: list[NDArray]) -> None:
        self.intercepts_[:] = values

    @property
    def _is_fitted(self) -> bool:
        return "_model" in vars(self)

    def __sklearn_is_fitted__(self) -> bool:
        return self._is_fitted

    def __getstate__(self) -> dict[str, Any]:
        # Pickled views of the parameter vector would be stored beside it.
        state = {**super().__getstate__()}
        if "_model" in state:
            state["_model"] = state["_model"].to_tree()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = {**state}
        if "_model" in state:
            state["_model"] = FittedModel.from_tree(state["_model"])
        super().__setstate__(state)

    def _check_stochastic(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit is not available with solver='lbfgs'.")
        return True

    def _parameters(self) -> dict[str, Any]:
        """Return all parameters, also those that a subclass does not take."""
        ours = {name: getattr(self, name) for name in CONSTRAINTS}
        return self.get_params(deep=False) | ours

    # What a fit does, one after the other ---------------------------------------------------

    def _fit(self, given: Given, saved: SavedFit | None = None) -> Self:
        with self._unchanged_by_errors():
            prepared = self._prepare(given, saved)
            tasks = self._begin_tasks(prepared)
            run = self._train(prepared, tasks)
            model = self._fitted_model(run, prepared)
            if self.warm_start:
                model = replace(model, state=run.state)
            attributes = self._fitted_attributes(model, prepared.settings)
            self._set_fitted(attributes)
            tasks.end_fit(attributes)
        warn_of(run, prepared.settings, prepared.data)
        if run.reason == "interrupted":
            raise KeyboardInterrupt
        return self

    def _train_only(self, given: Given, observer: Observer) -> None:
        """Train new weights for an observer; the estimator keeps nothing of it."""
        self._validate_params()
        prepared = self._prepare(given)
        fitting.fit(prepared.settings, prepared.data, prepared.start, observer)

    @contextmanager
    def _unchanged_by_errors(self) -> Iterator[None]:
        """Give the estimator back all that it had, if there is an error."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _prepare(self, given: Given, saved: SavedFit | None = None) -> Prepared:
        """Check everything that a fit is given; nothing is trained yet."""
        parameters = self._parameters()
        check_together(parameters)
        model = self._model if self.warm_start and self._is_fitted and saved is None else None
        X, y = self._validated_X_y(given, reset=model is None)
        rows = self._by_rows(X, parameters, model)
        labels = Labels.of(y)
        examples, sample_weight = make_examples(
            rows, y, given.sample_weight, self.class_weight, labels
        )
        held_out = self._validation_examples(given, labels)
        architecture = make_architecture(parameters, self.n_features_in_, labels.n_outputs)
        if model is not None:
            _check_same_labels(labels, model.labels)
            labels = model.labels
            check_same_architecture(architecture, model.network.architecture)
        check_memory(architecture, computing_dtype(parameters))
        rng = self._generator(model, saved)
        sample = RowSample.of(X, rows)
        origin = Origin(
            parameters,
            labels,
            sample,
            examples.targets,
            sample_weight,
            held_out,
            rng.bit_generator.state,
        )
        train = examples
        if self.early_stopping and held_out is None:
            seed = int(rng.integers(2**31))
            train, held_out = hold_out(examples, labels, self.validation_fraction, seed)
        check_rows(parameters, train)
        settings = self._settings(parameters, architecture, labels, train, len(train))
        if saved is not None:
            saved.check(origin, settings)
        scaling = self._scaling(train, model, saved)
        data = Data(train, held_out, scaling, self._scoring(held_out, labels, scaling))
        start = self._start(settings, rng, model, saved)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        for_callbacks = {"X": rows, "y": y, "metadata": metadata}
        return Prepared(labels, settings, data, start, origin, for_callbacks)

    def _prepare_piece(self, given: Given, classes: Any) -> Prepared:
        """Check everything that `partial_fit` is given."""
        parameters = self._parameters() | {
            "max_iter": 1,
            "learning_rate": "constant",
            "warmup": 0.0,
        }
        check_partial_fit(parameters)
        check_together(parameters)
        model = self._model if self._is_fitted else None
        X, y = self._validated_X_y(given, reset=model is None)
        rows = self._by_rows(X, parameters, model)
        labels = labels_for_partial_fit(y, classes, None if model is None else model.labels)
        train, _ = make_examples(rows, y, given.sample_weight, self.class_weight, labels)
        architecture = make_architecture(parameters, self.n_features_in_, labels.n_outputs)
        if model is not None:
            check_same_architecture(architecture, model.network.architecture)
        check_memory(architecture, computing_dtype(parameters))
        check_rows(parameters, train)
        settings = self._settings(parameters, architecture, labels, train, STREAM_ROWS)
        data = Data(train, None, self._scaling(train, model, None))
        start = self._start(settings, self._generator(model, None), model, None)
        return Prepared(labels, settings, data, start, None, {})

    def _begin_tasks(self, prepared: Prepared) -> EpochTasks:
        """Begin the callbacks' task of the fit."""
        epochs = prepared.start.epochs
        return EpochTasks(
            self,
            prepared.for_callbacks,
            prepared.settings.max_iter,
            0 if epochs is None else epochs["n_epochs"],
            lambda run: self._fitted_attributes(_running(run, prepared), prepared.settings),
        )

    def _train(self, prepared: Prepared, observer: Observer) -> fitting.FittedRun:
        """Train; raise an error where nothing was learned."""
        run = fitting.fit(prepared.settings, prepared.data, prepared.start, observer)
        if run.has_learned_nothing:
            raise ValueError(f"{DIVERGED} Nothing was learned.")
        if run.reason == "interrupted" and not run.history:
            raise KeyboardInterrupt
        return run

    def _fitted_model(self, run: fitting.FittedRun, prepared: Prepared) -> FittedModel:
        return FittedModel(
            network=run.network,
            labels=prepared.labels,
            scaling=prepared.data.scaling,
            history=run.history,
            n_rows=len(prepared.data.train),
            n_rows_seen=run.state.n_rows_seen,
        )

    def _fitted_attributes(self, model: FittedModel, settings: Settings) -> dict[str, Any]:
        """Return all that a fit sets, but for the names and the number of the features."""
        labels = model.labels
        return {
            "_model": model,
            "classes_": labels.classes,
            "n_outputs_": labels.n_outputs,
            "n_layers_": len(settings.architecture.layer_sizes),
            "out_activation_": LOSSES[labels.kind].out_activation,
            "t_": model.n_rows_seen,
            **{f"{name}_": getattr(settings, name) for name in Resolved._fields},
            **history_attributes(model.history, settings.early_stopping),
        }

    def _set_fitted(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes)

    # What it is prepared from ---------------------------------------------------------------

    def _validated_X_y(self, given: Given, *, reset: bool) -> tuple[Any, Any]:
        """Validate training rows and labels."""
        y = plain_labels(given.y)
        with as_numpy():
            return self._validated(
                given.X, y, accept_sparse=("csr", "csc"), multi_output=True, reset=reset
            )

    def _validated(self, X: Any, *y: Any, **options: Any) -> Any:
        """Return what `validate_data` returns, after a look for what it lets pass."""
        refuse_dates(X, "X")
        if hasattr(X, "format"):
            check_indices(X)
        checked = validate_data(self, X, *y, **options)
        refuse_dates(checked[0] if y else checked, "X")
        return checked

    def _validated_rows(self, X: Any) -> Any:
        """Validate rows to predict.

        In a plain array of finite numbers there is nothing for `check_array` to find or convert,
        and for a single row it takes longer than the network: such rows skip it.
        """
        if not self._is_fitted:  # The check costs more than predicting a row.
            check_is_fitted(self)
        if is_plain(X):
            return validate_data(self, X, reset=False, skip_check_array=True)
        with as_numpy():
            return self._validated(X, accept_sparse="csr", reset=False)

    def _by_rows(self, X: Any, parameters: Mapping[str, Any], model: FittedModel | None) -> Any:
        """Bring validated rows into a layout that they can be gathered from."""
        # What is to be scaled keeps its precision: rounded first, less of it would be left, and a
        # copy would train to other bits than rows that need none.
        is_scaled = self.input_scaling is not None
        is_scaled |= model is not None and model.scaling is not None
        return laid_out_by_rows(X, X.dtype if is_scaled else computing_dtype(parameters))

    def _validation_examples(self, given: Given, labels: Labels) -> Examples | None:
        """Validate and encode validation data, if there is any."""
        names = ("X_val", "y_val", "sample_weight_val")
        there = [name for name in names if getattr(given, name) is not None]
        if not there:
            return None
        if not {"X_val", "y_val"} <= set(there):
            raise ValueError(
                f"Validation data needs both X_val and y_val; given was only {' and '.join(there)}."
            )
        try:
            with as_numpy():
                X_val = self._validated(given.X_val, accept_sparse="csr", reset=False)
                y_val = check_array(
                    plain_labels(given.y_val, "y_val"),
                    ensure_2d=False,
                    accept_sparse="csr",
                    dtype=None,
                    input_name="y_val",
                )
                check_consistent_length(X_val, y_val)
            weights = given.sample_weight_val
            return make_examples(X_val, y_val, weights, self.class_weight, labels, "_val")[0]
        # Scikit-learn's messages say X where X_val is meant.
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"X_val, y_val and sample_weight_val cannot be used: {error}"
            ) from error

    def _generator(self, model: FittedModel | None, saved: SavedFit | None) -> np.random.Generator:
        """Return the random generator of a fit, before anything is drawn."""
        rng = np.random.default_rng()
        if saved is not None:
            rng.bit_generator.state = saved.header["stream"]
        elif model is not None and model.state is not None:
            rng.bit_generator.state = model.state.stream
        else:
            seed = check_random_state(self.random_state).randint(2**31 - 1)
            rng = np.random.default_rng(seed)
        return rng

    def _settings(
        self,
        parameters: Mapping[str, Any],
        architecture: Architecture,
        labels: Labels,
        train: Examples,
        n_rows: int,
    ) -> Settings:
        mean_weight = mean_positive_weight(train.weights)
        return make_settings(parameters, architecture, labels.kind, n_rows, mean_weight)

    def _scaling(
        self, train: Examples, model: FittedModel | None, saved: SavedFit | None
    ) -> Scaling | None:
        """Return the scaling of the inputs: that of before, or measured anew."""
        if saved is not None:
            return saved.scaling
        if model is not None:
            return model.scaling
        scaling = Scaling(None, None)
        if self.input_scaling is not None:
            scaling = measure_scaling(self.input_scaling, train)
        if self.input_scaling is None and self.input_clip is None:
            return None
        clip = None if self.input_clip is None else float(self.input_clip)
        return scaling._replace(clip=clip)

    def _scoring(
        self, held_out: Examples | None, labels: Labels, scaling: Scaling | None
    ) -> Callable[[Network, float], float] | None:
        def as_fitted(network: Network) -> Any:
            fitted = copy.copy(self)
            model = FittedModel(network, labels, scaling, [], 0, 0)
            fitted.__dict__.update(_model=model, classes_=labels.classes)
            # The rows have been validated already, as arrays without names.
            fitted.__dict__.pop("feature_names_in_", None)
            return fitted

        return make_scoring(self.scoring, held_out, labels, as_fitted)

    def _start(
        self,
        settings: Settings,
        rng: np.random.Generator,
        model: FittedModel | None,
        saved: SavedFit | None,
    ) -> TrainingState:
        """Return what training goes on from, new weights if there are none."""
        if saved is not None:
            return saved.state
        if model is not None:
            state = model.continuation(settings.ema_decay, rng.bit_generator.state)
            return replace(state, stream=rng.bit_generator.state)
        network = Network.random(
            settings.architecture, settings.dtype, rng, self.kernel_initializer
        )
        return TrainingState(network.parameters, rng.bit_generator.state)


def _running(run: Run, prepared: Prepared) -> FittedModel:
    """Return the model of a run that goes on, for callbacks."""
    return FittedModel(
        network=run.network.copy(),
        labels=prepared.labels,
        scaling=prepared.data.scaling,
        history=list(run.history),
        n_rows=len(prepared.data.train),
        n_rows_seen=run.n_rows_seen,
        state=run.state(),
        origin=prepared.origin,
    )


def _check_same_labels(labels: Labels, known: Labels) -> None:
    if not labels.are_those_of(known):
        raise ValueError(
            "warm_start=True needs the classes of the previous fit,"
            f" {known.classes.tolist()}; y has {labels.classes.tolist()}. Set"
            " warm_start=False to start again."
        )
