"""Base class of the estimators: `fit`, `partial_fit`, `resume` and the fitted attributes."""

from __future__ import annotations  # So that help() shows the names of type aliases.

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from typing import Any, Self

from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import assert_all_finite, check_array, check_X_y
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from skann.checkpoint import SavedFit
from skann.defaults import Resolved
from skann.diagnosis import DIVERGED, history_attributes, warn_of
from skann.engine import fitting
from skann.engine.fitting import FittedRun
from skann.engine.losses import LOSSES
from skann.engine.network import Network, ParameterViews
from skann.engine.rows import Scaling
from skann.engine.run import Observer, Run
from skann.engine.settings import Settings
from skann.engine.state import TrainingState
from skann.epoch_tasks import EpochTasks
from skann.inputs import Given, as_numpy, check_indices, is_plain, naming_validation_data
from skann.model import FittedModel
from skann.parameters import CONSTRAINTS
from skann.preparation import Prepared, prepare, prepare_piece
from skann.summary import NetworkSummary, summarize
from skann.tables import (
    Encoding,
    as_objects,
    find_categories,
    holds_nan,
    holds_objects,
    is_frame,
    refuse_dates,
    refuse_texts,
    split,
)
from skann.targets import Labels, plain_labels

_DOCUMENTATION = "https://skann.readthedocs.io/en/stable/"


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
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Training rows, of any numeric dtype. A row-major array without missing values is never
            copied as a whole. A DataFrame may contain categories. Missing values (NaN, None, NA)
            are allowed, except in sparse rows.
        y : array-like of shape (n_samples,) or indicator matrix (n_samples, n_labels)
            Class labels of any type. For multilabel targets, zeros and ones with one column for
            each label.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None for equal weights.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation rows, on which the network is evaluated after every epoch. With
            ``early_stopping=True``, they decide when to stop, and no training rows are held out.
            Otherwise their score and loss are only recorded. In a `Pipeline`, set
            ``transform_input=["X_val"]`` to transform them in the same way as `X`.
        y_val : array-like of shape (n_val,) or (n_val, n_labels), default=None
            Labels of the validation rows.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the validation rows; None for equal weights.

        Returns
        -------
        self : ANNClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If a parameter or the data is invalid, before training starts, or if the loss is not
            finite in the first epoch.
        MemoryError
            If the network does not fit into memory, before training starts.
        KeyboardInterrupt
            After Ctrl-C. The classifier keeps what it has learned until then.
        """
        return self._fit(Given(X, y, sample_weight, X_val, y_val, sample_weight_val))

    @_fit_context(prefer_skip_nested_validation=True)
    def resume(
        self,
        path: str | os.PathLike,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        **validation_data: Any,
    ) -> Self:
        """Continue an interrupted `fit` from the file of a `skann.callbacks.Checkpoint`.

        With the same parameters, data, versions and number of BLAS threads, the result is exactly
        the same as without the interruption, except for the seconds in `history_`. If the fit had
        already ended, nothing more is trained.

        Parameters
        ----------
        path : str or path-like
            Path of the file.
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Training rows. Pass the same data as to the interrupted `fit`, in all arguments.
        y : array-like of shape (n_samples,) or indicator matrix (n_samples, n_labels)
            Labels of the training rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the training rows.
        **validation_data : dict
            Validation rows of the interrupted `fit`: `X_val`, `y_val` and `sample_weight_val`.

        Returns
        -------
        self : ANNClassifier
            The fitted classifier. An earlier fit of this estimator is replaced.

        Raises
        ------
        OSError
            If the file cannot be read.
        TypeError
            If `fit` has no argument of a given name.
        ValueError
            If the file is damaged, or if a parameter, the data or the number of BLAS threads
            differs from the interrupted fit. `verbose` may differ, and so may `random_state` if
            neither value is an int. Functions are compared by name. Rows are compared by shape,
            dtype and the values of up to 1000 evenly spread rows; the memory order may differ.
            Labels and weights are compared completely.
        KeyboardInterrupt
            After Ctrl-C, as in `fit`.
        """
        given = Given(**signature(self.fit).bind(X, y, sample_weight, **validation_data).arguments)
        return self._fit(given, SavedFit.read(path))

    @available_if(lambda self: self._check_stochastic())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on the given rows.

        Repeated calls continue training: they keep the weights, the state of the optimizer, `t_`
        and the random stream. Callbacks are not called. Not available with ``solver="lbfgs"``.

        The learning rate is constant. If `learning_rate_init` is ``"auto"``, it is 0.001 with Adam
        and 0.01 with SGD. If `batch_size` is ``"auto"``, it depends on the number of rows in the
        call, with a minimum of 32. If `alpha` is ``"auto"``, it is 0.05 times the batch size
        divided by 128, so that the penalty of a step does not depend on the batch size.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Training rows, of any numeric dtype.
        y : array-like of shape (n_samples,) or indicator matrix (n_samples, n_labels)
            Labels of the rows.
        classes : array-like of shape (n_classes,), default=None
            All labels that can occur in any call. Required in the first call, unless `y` is an
            indicator matrix or the classifier is already fitted.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None for equal weights.

        Returns
        -------
        self : ANNClassifier
            The classifier.

        Raises
        ------
        ValueError
            If the data is invalid, if `y` contains labels that are not among the classes, or with
            ``early_stopping=True`` or ``class_weight="balanced"``, which need all rows at once.
        KeyboardInterrupt
            After Ctrl-C. The classifier is not changed, unless all rows had been used.
        """
        return self._partial_fit(Given(X, y, sample_weight), classes)

    def summary(self) -> NetworkSummary:
        """Describe the fitted network: its layers, parameters, memory and cost.

        For a classifier in a Pipeline, call `pipeline[-1].summary()`. For a search, call
        `search.best_estimator_.summary()`, or `search.best_estimator_[-1].summary()` if it searched
        over a Pipeline.

        The cost of an epoch is an estimate. It counts the multiply-adds of the matrix products for
        dense rows. For each row and weight, these are one in the forward pass and two in the
        backward pass: one for the gradient of the weight, and one for the gradient of the layer's
        input, which the first layer does not need. The estimate does not include activations,
        normalisation, optimizer steps, validation and the line searches of "lbfgs". Sparse rows
        cost less in the first layer.

        Returns
        -------
        NetworkSummary
            Prints as a table and holds the numbers as attributes.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skann import ANNClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> ANNClassifier((32, 16), random_state=0).fit(X, y).summary()
        ANNClassifier
        <BLANKLINE>
        layer     output shape  activation  normalization  dropout  parameters
        --------  ------------  ----------  -------------  -------  ----------
        input     (None, 4)     -           -              -                 0
        hidden 1  (None, 32)    relu        -              0.1             160
        hidden 2  (None, 16)    relu        -              -               528
        output    (None, 3)     softmax     -              -                51
        <BLANKLINE>
        Input scaling: None
        Parameters:    739 in float32, 2,956 bytes
        Cost of epoch: about 1,936 multiply-adds a row, 290,400 for 150 rows
        """
        check_is_fitted(
            self,
            msg="This %(name)s has no network yet, because the sizes of its first and last layer"
            " depend on the data. Call 'fit' before 'summary'.",
        )
        dropout = (self._model.input_dropout, *self.dropout_)
        return summarize(self._model, type(self).__name__, dropout)

    # The documentation page that scikit-learn's HTML representation links to.
    _doc_link_module = "skann"
    _doc_link_template = f"{_DOCUMENTATION}generated/skann.{{estimator_name}}.html"

    @property
    def coefs_(self) -> ParameterViews:
        """Weight matrices: views of the parameter vector, which assignments write to."""
        check_is_fitted(self)
        return self._model.network.coefs

    @coefs_.setter
    def coefs_(self, values: list[NDArray]) -> None:
        self.coefs_[:] = values

    @property
    def intercepts_(self) -> ParameterViews:
        """Bias vectors: views of the parameter vector, which assignments write to."""
        check_is_fitted(self)
        return self._model.network.intercepts

    @intercepts_.setter
    def intercepts_(self, values: list[NDArray]) -> None:
        self.intercepts_[:] = values

    def __sklearn_is_fitted__(self) -> bool:
        return "_model" in vars(self)

    def __getstate__(self) -> dict[str, Any]:
        # Pickling the views would store the parameters a second time.
        state = super().__getstate__()
        return state | {"_model": self._model.to_tree()} if "_model" in state else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_model" in state:
            state = {**state, "_model": FittedModel.from_tree(state["_model"])}
        super().__setstate__(state)

    def _check_stochastic(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit is not available with solver='lbfgs'.")
        return True

    def _parameters(self) -> dict[str, Any]:
        """Return all parameters, including those that a subclass does not accept."""
        return self.get_params(deep=False) | {name: getattr(self, name) for name in CONSTRAINTS}

    # The steps of a fit ---------------------------------------------------------------------

    def _fit(self, given: Given, saved: SavedFit | None = None) -> Self:
        with self._unchanged_by_errors():
            prepared = self._prepare(given, saved)
            tasks = self._begin_tasks(prepared)
            run = self._train(prepared, tasks)
            model = _model_of(run, run.state, prepared)
            model = replace(model, state=run.state if self.warm_start else None, origin=None)
            self.__dict__.update(fitted_attributes(model, prepared.settings))
            try:
                tasks.end_fit(lambda: _attributes_for_callbacks(model, prepared))
            except KeyboardInterrupt:  # Training has ended: keep its result.
                run = replace(run, reason="interrupted")
        try:
            warn_of(run, prepared.settings, prepared.data)
        finally:  # Also if warnings are errors: a search would continue after an error.
            _stop_if_interrupted(run)
        return self

    def _partial_fit(self, given: Given, classes: Any) -> Self:
        with self._unchanged_by_errors():
            model = getattr(self, "_model", None)
            encoding = None if model is None else model.encoding
            given = self._validated(given, encoding, reset=model is None)
            prepared = prepare_piece(self._parameters(), given, classes, model)
            run = self._train(prepared, Observer())
            earlier = [] if model is None else model.history
            model = _model_of(run, run.state, prepared)
            model = replace(model, history=earlier + run.history)
            attributes = fitted_attributes(model, prepared.settings)
            self.__dict__.update(attributes, n_iter_=len(run.history))
        try:
            if run.reason == "interrupted":
                warn_of(run, prepared.settings, prepared.data)
        finally:
            _stop_if_interrupted(run)
        return self

    def _prepare(self, given: Given, saved: SavedFit | None = None) -> Prepared:
        """Validate the parameters and the data, and prepare the fit."""
        model = getattr(self, "_model", None) if self.warm_start and saved is None else None
        before = model if model is not None else saved
        encoding = None if before is None else before.encoding
        given = self._validated(given, encoding, reset=model is None)
        return prepare(self._parameters(), given, model, saved, self._as_fitted)

    def _train_only(self, given: Given, observer: Observer) -> None:
        """Train new weights for an observer, without changing the estimator."""
        self._validate_params()
        prepared = self._prepare(given)
        fitting.fit(prepared.settings, prepared.data, prepared.start, observer)

    @contextmanager
    def _unchanged_by_errors(self) -> Iterator[None]:
        """Restore the fitted attributes of the estimator if an error is raised.

        Other attributes are not restored: scikit-learn sets some of them during the fit, and needs
        them to tear down its callbacks.
        """
        before = self._fitted_state()
        try:
            yield
        except BaseException:
            for name in self._fitted_state():
                del self.__dict__[name]
            self.__dict__.update(before)
            raise

    def _fitted_state(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in self.__dict__.items()
            if name == "_model" or name.endswith("_")
        }

    def _begin_tasks(self, prepared: Prepared) -> EpochTasks:
        """Begin the "fit" task of the callbacks."""
        epochs = prepared.start.epochs
        return EpochTasks(
            self,
            prepared.for_callbacks or {},
            prepared.settings.max_iter,
            0 if epochs is None else epochs["n_epochs"],
            lambda run: _attributes_for_callbacks(_model_of(run, run.state(), prepared), prepared),
        )

    def _train(self, prepared: Prepared, observer: Observer) -> FittedRun:
        """Train; raise an error if nothing was learned."""
        run = fitting.fit(prepared.settings, prepared.data, prepared.start, observer)
        if run.has_learned_nothing:
            _stop_if_interrupted(run)
            raise ValueError(f"{DIVERGED} Nothing was learned.")
        return run

    # Validation of the data -----------------------------------------------------------------

    def _validated(self, given: Given, encoding: Encoding | None, *, reset: bool) -> Given:
        """Validate rows and labels."""
        names = ("X_val", "y_val", "sample_weight_val")
        there = [name for name in names if getattr(given, name) is not None]
        if there and not {"X_val", "y_val"} <= set(there):
            raise ValueError(
                f"Validation data needs both X_val and y_val; got only {' and '.join(there)}."
            )
        with as_numpy():
            X, y, encoding = self._validated_pair(
                given.X, given.y, "y", encoding, accept_sparse=("csr", "csc"), reset=reset
            )
            # Callbacks predict with the rows as they were passed to fit.
            table = X if encoding.keeps_columns else given.X
            given = given._replace(X=X, y=y, encoding=encoding, table=table)
            if not there:
                return given
            with naming_validation_data():
                X_val, y_val, _ = self._validated_pair(given.X_val, given.y_val, "y_val", encoding)
        return given._replace(X_val=X_val, y_val=y_val)

    def _validated_pair(
        self, X: Any, y: Any, name: str, encoding: Encoding | None, **options: Any
    ) -> Any:
        if sparse.issparse(y):
            check_indices(y, name)
        y = plain_labels(y, name)
        return self._validated_data(encoding, X, y, **options)

    def _validated_data(
        self,
        encoding: Encoding | None,
        X: Any,
        *y: Any,
        accept_sparse: Any = "csr",
        reset: bool = False,
    ) -> Any:
        """Return the encoded rows, the labels if there are any, and the encoding.

        Without an encoding, a new one is fitted to the rows.
        """
        refuse_texts(X)
        X = as_objects(X)
        refuse_dates(X, "X")
        if sparse.issparse(X):
            check_indices(X, "X")
        if encoding is None:
            is_category = find_categories(X, self.categorical_features)
        else:
            is_category = encoding.is_category
        is_finite = is_plain(X)
        options = {
            "accept_sparse": accept_sparse,
            "ensure_all_finite": False if is_finite else "allow-nan",
        }
        numbers, labels, columns = self._validated_columns(X, y, is_category, reset, options)
        refuse_dates(numbers, "X")
        if sparse.issparse(numbers):
            assert_all_finite(numbers, estimator_name=type(self).__name__, input_name="X")
        has_nan = not is_finite and holds_nan(numbers)
        if encoding is None:
            encoding = Encoding.fit(is_category, numbers, columns, has_nan)
        return encoding.encode(numbers, columns, has_nan), *labels, encoding

    def _validated_columns(
        self, X: Any, y: tuple, is_category: Any, reset: bool, options: dict[str, Any]
    ) -> Any:
        """Return the numbers, the labels if there are any, and the columns of a table."""
        if y:
            options["multi_output"] = True
        has_categories = is_category is not None and any(is_category)
        if not (is_frame(X) or has_categories or holds_objects(X)):
            checked = validate_data(self, X, *y, reset=reset, **options)
            return *((checked[0], checked[1:]) if y else (checked, ())), None
        # Check the names and the number of the columns of the whole table.
        validate_data(self, X, *y, reset=reset, skip_check_array=True)
        columns = split(X, is_category)
        options |= {"estimator": self, "ensure_min_features": 0 if has_categories else 1}
        if y:
            numbers, *labels = check_X_y(columns.numbers, *y, **options)
        else:
            numbers, labels = check_array(columns.numbers, input_name="X", **options), []
        if has_categories and sparse.issparse(numbers):  # From sparse columns of a DataFrame.
            numbers = numbers.toarray()
        return numbers, labels, columns

    def _validated_rows(self, X: Any) -> Any:
        """Validate rows to predict.

        A plain array of finite numbers skips `check_array`, which would not find or convert
        anything. For a single row, it takes longer than the network.
        """
        if "_model" not in vars(self):  # The check takes longer than predicting a single row.
            check_is_fitted(self)
        encoding = self._model.encoding
        if encoding.keeps_columns and is_plain(X):
            return validate_data(self, X, reset=False, skip_check_array=True)
        with as_numpy():
            return self._validated_data(encoding, X)[0]

    def _as_fitted(self, network: Network, labels: Labels, scaling: Scaling | None) -> Any:
        """Return a shallow copy that predicts with a network."""
        fitted = copy.copy(self)
        # The rows are already encoded, as arrays without column names.
        n_inputs = network.architecture.layer_sizes[0]
        model = FittedModel(network, labels, scaling, Encoding.of_numbers(n_inputs), [], 0, 0)
        fitted.__dict__.update(_model=model, classes_=labels.classes, n_features_in_=n_inputs)
        fitted.__dict__.pop("feature_names_in_", None)
        return fitted


def fitted_attributes(model: FittedModel, settings: Settings) -> dict[str, Any]:
    """Return the attributes that a fit sets, except the names and the number of the features.

    Parameters
    ----------
    model : FittedModel
        The trained model.
    settings : Settings
        Settings of the fit.

    Returns
    -------
    dict
    """
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


def _model_of(run: Run | FittedRun, state: TrainingState, prepared: Prepared) -> FittedModel:
    """Return the current model of a run, with the state from which training can continue."""
    return FittedModel(
        network=run.network,
        labels=prepared.labels,
        scaling=prepared.data.scaling,
        encoding=prepared.encoding,
        history=list(run.history),
        n_rows=len(prepared.data.train),
        n_rows_seen=state.n_rows_seen,
        input_dropout=prepared.settings.input_dropout,
        state=state,
        origin=prepared.origin,
    )


def _attributes_for_callbacks(model: FittedModel, prepared: Prepared) -> dict[str, Any]:
    """Return fitted attributes with a copy of the weights."""
    copied = replace(model, network=model.network.copy())
    return fitted_attributes(copied, prepared.settings)


def _stop_if_interrupted(run: FittedRun) -> None:
    """Raise KeyboardInterrupt again after Ctrl-C, so that the caller of the fit stops as well."""
    if run.reason == "interrupted":
        raise KeyboardInterrupt
