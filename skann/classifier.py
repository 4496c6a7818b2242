"""`ANNClassifier`, the scikit-learn contract: parameters, validation, attributes, tags."""

import copy
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from skann.callbacks import EpochTasks, Unwatched
from skann.defaults import resolve
from skann.engine.activations import ACTIVATIONS
from skann.engine.batches import Examples, Scaling, column_scaling, laid_out_by_rows, make_rows
from skann.engine.fitting import Outcome, Settings, chunk_rows, fit_network
from skann.engine.losses import LOSSES
from skann.engine.memory import aligned_copy
from skann.engine.network import Network, ParameterViews
from skann.engine.optimizers import OPTIMIZERS
from skann.engine.schedules import SCHEDULES
from skann.engine.stopping import Stopping
from skann.engine.training import DivergenceError, EpochWatcher
from skann.outcome import DIVERGED, warn_of
from skann.targets import Labels, combine_weights, hold_out

_SETTINGS = [field.name for field in fields(Settings)]


class ANNClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    r"""Multi-layer perceptron classifier, trained by NumPy alone.

    Minimises the mean log-loss plus an L2 penalty on the weights,

    .. math::

        \frac{1}{\sum_i w_i} \Big( \sum_i w_i \, \ell(y_i, f(x_i))
        + \frac{\alpha}{2} \lVert W \rVert^2 \Big),

    where :math:`f` is a stack of fully connected layers and :math:`\ell` the logistic loss of
    one output (two classes), the cross-entropy of a softmax (more classes) or the sum of a
    logistic loss for each output (multilabel indicator targets). With mini-batches the sum
    runs over a batch of b rows, and its divisor is b times the mean weight of all training
    rows, so that a batch of light rows makes a light step; the penalty's divisor is
    `batch_size_` times that mean, also for a last batch that is shorter.

    Parameters mean what they mean in scikit-learn's `MLPClassifier` where they share its
    names. Features should be on similar scales: put a `StandardScaler` before the classifier
    or set `input_scaling`.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(128, 64)
        Units of the hidden layers. An int is one layer, ``()`` none: logistic regression.
        Raise them when the training loss stays high, lower them for speed.
    activation : {"identity", "logistic", "tanh", "relu"}, default="relu"
        Activation of the hidden layers.
    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        How to minimise. "adam" [1]_ and "sgd" work on mini-batches; "lbfgs" [2]_ on all rows
        at once in float64, which suits up to some thousand rows and smooth, strongly
        penalised problems.
    alpha : float or "auto", default="auto"
        Strength of the L2 penalty. "auto": 1 with "lbfgs"; else 0.2, and 0.1 from 10,000 rows
        on. Raise it against overfitting. As in the objective above, it is divided by the rows
        of a batch (`batch_size_`), so that the weights are penalised more when batches are
        small.
    batch_size : int or "auto", default="auto"
        Rows of a mini-batch. "auto": the power of two next to the square root of the number
        of training rows, from 16 to 256. Never more than there are rows. "lbfgs" ignores it.
    learning_rate : str, default="one_cycle"
        Schedule of the learning rate, whose factors multiply `learning_rate_init`.

        - "one_cycle": up along a cosine for three tenths of the steps, then down to a
          ten-thousandth [3]_.
        - "cosine": down along a cosine to zero.
        - "constant".
        - "invscaling": ``(t + 1) ** -power_t`` with t the rows seen in this call.
        - "adaptive": constant, divided by five when progress stops, until it is below 1e-6.

        The first two run over all of `max_iter` epochs: reaching the end is convergence. The
        others stop when there is no progress, and warn if that is not within `max_iter`.
    learning_rate_init : float or "auto", default="auto"
        The rate that the schedule multiplies. "auto": for "one_cycle" and "cosine"
        0.01 with Adam and 0.05 with SGD; else 0.001 and 0.01. Lower it when training
        diverges or the loss curve is ragged.
    power_t : float, default=0.5
        Exponent of "invscaling".
    max_iter : int or "auto", default="auto"
        Epochs, at most; iterations with "lbfgs". "auto": for "one_cycle" and "cosine" as many
        epochs as make 1000 steps, but from 10 to 60; for the other schedules 200; for "lbfgs"
        2000.
    shuffle : bool, default=True
        Whether to draw the rows in a new order every epoch.
    random_state : int, RandomState instance or None, default=None
        Seed of the weights, the validation split and the order of the rows. With an int, the
        same data, versions and number of threads give the same model, bit for bit.
    tol : float, default=1e-4
        Least improvement of the loss, or with `early_stopping` of the validation score, that
        counts as progress. With "lbfgs" the largest entry of the gradient at which to stop.
    verbose : bool, default=False
        Whether to print a line for every epoch.
    warm_start : bool, default=False
        Whether `fit` goes on from the last fit. Weights, moments of the optimizer, `t_` and
        the random stream are kept, with "lbfgs" the weights; the schedule starts anew.
    momentum : float, default=0.9
        Momentum of "sgd", in [0, 1).
    nesterovs_momentum : bool, default=True
        Whether it is Nesterov's.
    early_stopping : bool, default=False
        Whether to stop when the accuracy on validation data has not improved by `tol` for
        `n_iter_no_change` epochs, and to keep the weights of the best epoch. The data is
        `X_val` if `fit` is given it, else a split of the training rows, stratified unless the
        targets are multilabel. Use it when epochs are many.
    validation_fraction : float, default=0.1
        Share of the rows that is split off.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of Adam's moments, in [0, 1).
    epsilon : float, default=1e-8
        Added to the root of Adam's second moment.
    n_iter_no_change : int or inf, default=10
        Epochs without progress to wait for.
    max_fun : int, default=15000
        Evaluations of the loss, at most, with "lbfgs".
    class_weight : dict, "balanced", list of dict or None, default=None
        Weights of the classes, as `sklearn.utils.class_weight.compute_class_weight` takes
        them; for multilabel targets as `compute_sample_weight`. They multiply the sample
        weights, of validation rows too. Use "balanced" when rare classes matter as much as
        frequent ones.
    dtype : {"float32", "float64"}, default="float32"
        Computing dtype. "lbfgs" always computes in float64.
    input_scaling : {"standard", "maxabs"} or None, default=None
        Per-feature scaling measured in one pass over the training rows and applied as a
        batch is cast, so that raw bytes or unscaled tables train without a copy in floating
        point. "standard": zero mean, unit variance; "maxabs": largest absolute value 1.
        Rows count by their weights. Sparse input is scaled, never shifted. `partial_fit` and
        `warm_start` keep the first call's.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels; for multilabel targets the column numbers.
    coefs_ : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer, views of one vector; assigning writes into it.
    intercepts_ : list of ndarray of shape (fan_out,)
        Biases of each layer, views of the same vector.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X has names that are all strings.
    n_iter_ : int
        Epochs, or iterations of "lbfgs", of the last call.
    n_layers_ : int
        Number of layers, those of inputs and outputs included.
    n_outputs_ : int
        Number of outputs: one for two classes.
    out_activation_ : {"logistic", "softmax"}
        Link of the outputs.
    t_ : int
        Training rows seen since the weights were drawn; 0 with "lbfgs".
    loss_ : float
        Training loss of the last epoch, with the penalty.
    best_loss_ : float or None
        The lowest of them; None with `early_stopping`.
    loss_curve_ : list of float
        Training loss of each epoch of the last `fit`; `partial_fit` appends to it.
    validation_scores_ : list of float or None
        Accuracy on the validation data after each epoch; None without such data.
    best_validation_score_ : float or None
        The highest of them.
    validation_loss_curve_ : list of float or None
        Loss on the validation data after each epoch, without the penalty.
    alpha_, batch_size_, learning_rate_init_, max_iter_ : float, int, float, int
        What "auto" was resolved to.

    Raises
    ------
    ValueError
        By `fit`, if a parameter or the data cannot be used or training diverges at once.

    See Also
    --------
    sklearn.neural_network.MLPClassifier : The estimator whose parameters this one shares.

    Notes
    -----
    A callback set with `set_callbacks` sees the task "fit" with a subtask "epoch" for every
    epoch; one whose `on_fit_task_end` returns True ends training. Ctrl-C ends training with a
    warning and keeps what was learned.

    References
    ----------
    .. [1] Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015,
       https://arxiv.org/abs/1412.6980
    .. [2] Liu and Nocedal, "On the limited memory BFGS method for large scale optimization",
       Mathematical Programming 45, 1989.
    .. [3] Smith and Topin, "Super-convergence: very fast training of neural networks using
       large learning rates", 2018, https://arxiv.org/abs/1708.07120

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skann import ANNClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = make_pipeline(StandardScaler(), ANNClassifier(random_state=0))
    >>> bool(cross_val_score(classifier, X, y).mean() > 0.94)
    True
    """

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "solver": [StrOptions({*OPTIMIZERS, "lbfgs"})],
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions(set(SCHEDULES))],
        "learning_rate_init": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "dtype": [StrOptions({"float32", "float64"})],
        "input_scaling": [StrOptions({"standard", "maxabs"}), None],
    }

    def __init__(
        self,
        hidden_layer_sizes=(128, 64),
        activation="relu",
        *,
        solver="adam",
        alpha="auto",
        batch_size="auto",
        learning_rate="one_cycle",
        learning_rate_init="auto",
        power_t=0.5,
        max_iter="auto",
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        class_weight=None,
        dtype="float32",
        input_scaling=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.class_weight = class_weight
        self.dtype = dtype
        self.input_scaling = input_scaling

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
        """
        continues = self.warm_start and hasattr(self, "_network")
        X, y = self._check_X_y(X, y, reset=not continues)
        labels = Labels.of(y)
        examples, sample_weight = self._examples(X, y, sample_weight, labels)
        held_out = self._validation_examples(X_val, y_val, sample_weight_val, labels)
        layer_sizes = self._layer_sizes(labels.n_outputs)
        if continues:
            self._check_can_continue(labels, layer_sizes)
        rng = self._random_stream(continues)
        if self.early_stopping and held_out is None:
            seed = int(rng.integers(2**31))
            examples, held_out = hold_out(examples, labels, self.validation_fraction, seed)
        if not continues:
            self._forget(labels, layer_sizes)
        settings = self._settings(len(examples), labels, self.max_iter, self.learning_rate)
        tasks = EpochTasks(self, settings.max_iter, X, y, sample_weight)
        outcome = self._train(examples, held_out, layer_sizes, settings, rng, tasks)
        if not self.warm_start:
            del self._optimizer_state, self._stream
        tasks.end_fit()
        warn_of(outcome, settings)
        return self

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
        with SGD. Weights, moments of the optimizer, `t_` and the random stream are kept from
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
        """
        if self.early_stopping:
            raise ValueError(
                "partial_fit does not work with early_stopping=True: it sees one batch of rows"
                " at a time and cannot hold a part back. Set early_stopping=False."
            )
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit does not work with class_weight='balanced', which needs the counts"
                " of all rows. Compute them with sklearn.utils.class_weight.compute_class_weight"
                " and give a dict."
            )
        continues = hasattr(self, "_network")
        X, y = self._check_X_y(X, y, reset=not continues)
        labels = self._labels_for_partial_fit(y, classes)
        examples, _ = self._examples(X, y, sample_weight, labels)
        layer_sizes = self._layer_sizes(labels.n_outputs)
        if continues:
            self._check_can_continue(labels, layer_sizes)
        rng = self._random_stream(continues)
        if not continues:
            self._forget(labels, layer_sizes)
        settings = self._settings(len(examples), labels, max_iter=1, learning_rate="constant")
        earlier_losses = getattr(self, "loss_curve_", [])
        outcome = self._train(examples, None, layer_sizes, settings, rng, Unwatched())
        self.loss_curve_: list[float] = earlier_losses + outcome.stopping.loss_curve
        self.best_loss_ = min(self.loss_curve_, default=None)
        return self

    def predict(self, X: ArrayLike) -> NDArray:
        """Predict labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, of any numeric dtype.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            The most probable label; for multilabel targets zeros and ones.
        """
        logits = self._logits(X)
        return self._labels.decode(logits)

    def predict_proba(self, X: ArrayLike) -> NDArray:
        """Predict probabilities, inside the open interval (0, 1).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, of any numeric dtype.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), in the computing dtype
            Columns in the order of `classes_`. Rows sum to 1, but for multilabel targets,
            where each column is a probability of its own.
        """
        logits = self._logits(X)
        return LOSSES[self._target_kind].probabilities(logits)

    def predict_log_proba(self, X: ArrayLike) -> NDArray:
        """Predict logarithms of probabilities.

        Computed from the raw scores, so that they are right also where `predict_proba` is
        at the limit of the dtype.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, of any numeric dtype.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), in the computing dtype
            Columns in the order of `classes_`.
        """
        logits = self._logits(X)
        return LOSSES[self._target_kind].log_probabilities(logits)

    def decision_function(self, X: ArrayLike) -> NDArray:
        """Compute raw scores (logits).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, of any numeric dtype.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes), in the computing dtype
            For two classes one score, positive for ``classes_[1]``.
        """
        logits = self._logits(X)
        return logits[0] if self._target_kind == "binary" else logits.T.copy()

    @property
    def coefs_(self) -> ParameterViews:
        """Weight matrices, views of the one parameter vector; assigning writes into it."""
        check_is_fitted(self)
        return self._network.coefs

    @coefs_.setter
    def coefs_(self, values: list[NDArray]) -> None:
        self.coefs_[:] = values

    @property
    def intercepts_(self) -> ParameterViews:
        """Bias vectors, views of the one parameter vector; assigning writes into it."""
        check_is_fitted(self)
        return self._network.intercepts

    @intercepts_.setter
    def intercepts_(self, values: list[NDArray]) -> None:
        self.intercepts_[:] = values

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_network")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        # The flat vector is the stored state: pickled views of it would be stored twice.
        state = {**super().__getstate__()}
        network = state.pop("_network", None)
        if network is not None:
            state["_stored_network"] = network.layer_sizes, network.activation, network.parameters
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = {**state}
        stored = state.pop("_stored_network", None)
        super().__setstate__(state)
        if stored is not None:
            self._network = Network(*stored)

    @property
    def _labels(self) -> Labels:
        return Labels(self._target_kind, self.classes_)

    @property
    def _computing_dtype(self) -> str:
        return "float64" if self.solver == "lbfgs" else self.dtype

    def _check_stochastic(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit is not available with solver='lbfgs'.")
        return True

    def _check_X_y(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        """Validate training data; bring X into a layout that rows can be gathered from."""
        X, y = validate_data(
            self, X, y, accept_sparse=("csr", "csc"), multi_output=True, reset=reset
        )
        # What is to be shifted keeps its precision: rounded first, little would be left of it.
        shifts = self.input_scaling == "standard"
        return laid_out_by_rows(X, X.dtype if shifts else self._computing_dtype), y

    def _examples(
        self, X: Any, y: Any, sample_weight: Any, labels: Labels, suffix: str = ""
    ) -> tuple[Examples, NDArray | None]:
        """Encode targets and weights; return the checked sample weights alone as well."""
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
        codes = labels.encode(y, f"y{suffix}")
        weights = combine_weights(sample_weight, self.class_weight, labels, codes)
        return Examples(X, codes, weights), sample_weight

    def _validation_examples(
        self, X_val: Any, y_val: Any, sample_weight_val: Any, labels: Labels
    ) -> Examples | None:
        given = {"X_val": X_val, "y_val": y_val, "sample_weight_val": sample_weight_val}
        given = {name: value for name, value in given.items() if value is not None}
        if not given:
            return None
        if "X_val" not in given or "y_val" not in given:
            raise ValueError(
                f"Validation data needs both X_val and y_val; given was only {' and '.join(given)}."
            )
        try:
            X_val = validate_data(self, X_val, accept_sparse="csr", reset=False)
            y_val = check_array(
                y_val, ensure_2d=False, accept_sparse="csr", dtype=None, input_name="y_val"
            )
            check_consistent_length(X_val, y_val)
            return self._examples(X_val, y_val, sample_weight_val, labels, "_val")[0]
        except ValueError as error:  # Scikit-learn's messages say X where X_val is meant.
            raise ValueError(
                f"X_val, y_val and sample_weight_val cannot be used: {error}"
            ) from error

    def _labels_for_partial_fit(self, y: Any, classes: Any) -> Labels:
        if hasattr(self, "_network") and classes is None:
            return self._labels
        if type_of_target(y).startswith("multilabel") and classes is None:
            classes = np.arange(y.shape[1])
        first_call = _check_partial_fit_first_call(self, classes)
        if not first_call:
            return self._labels
        del self.classes_  # Set by the check: not fitted yet.
        return Labels.of(y if np.ndim(y) == 2 and y.shape[1] > 1 else unique_labels(classes))

    def _layer_sizes(self, n_outputs: int) -> tuple[int, ...]:
        hidden = self.hidden_layer_sizes
        is_one = isinstance(hidden, dict | set) or np.ndim(hidden) == 0
        sizes = [hidden] if is_one else list(hidden)
        for size in sizes:
            if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
                raise ValueError(
                    "hidden_layer_sizes must be a whole number above 0 or a sequence of them, one"
                    " for each hidden layer, such as 100, (128, 64) or () for none; got"
                    f" {hidden!r}."
                )
        return (self.n_features_in_, *map(int, sizes), n_outputs)

    def _check_can_continue(self, labels: Labels, layer_sizes: tuple[int, ...]) -> None:
        known = self._labels
        if labels.kind != known.kind or not np.array_equal(labels.classes, known.classes):
            raise ValueError(
                "warm_start=True needs the classes of the previous fit,"
                f" {known.classes.tolist()}; y has {labels.classes.tolist()}. Set"
                " warm_start=False to start again."
            )
        if layer_sizes != self._network.layer_sizes:
            raise ValueError(
                f"hidden_layer_sizes={self.hidden_layer_sizes!r} makes layers of {layer_sizes}"
                f" units, but the network to go on with has {self._network.layer_sizes}. Fit a"
                " clone to start again."
            )

    def _random_stream(self, continues: bool) -> np.random.Generator:
        if continues and hasattr(self, "_stream"):
            return copy.deepcopy(self._stream)
        return np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))

    def _settings(
        self, n_rows: int, labels: Labels, max_iter: int | str, learning_rate: str
    ) -> Settings:
        """Resolve every ``"auto"`` and expose what came of it."""
        values: dict[str, Any] = {name: getattr(self, name, None) for name in _SETTINGS}
        values |= {"max_iter": max_iter, "learning_rate": learning_rate, "loss": labels.kind}
        if self.solver == "lbfgs":
            values["learning_rate"] = "constant"
        resolved = resolve(
            self.solver,
            n_rows,
            values["learning_rate"],
            self.alpha,
            self.batch_size,
            self.learning_rate_init,
            max_iter,
        )
        settings = Settings(**(values | resolved._asdict()))
        self.alpha_ = settings.alpha
        self.batch_size_ = settings.batch_size
        self.learning_rate_init_ = settings.learning_rate_init
        self.max_iter_ = settings.max_iter
        return settings

    def _clear(self) -> None:
        """Delete what training sets; what validation sets has been set anew."""
        kept = {"n_features_in_", "feature_names_in_"}
        fitted = {name for name in vars(self) if name.endswith("_") and name[0] != "_"} - kept
        for name in fitted | {"_network", "_optimizer_state", "_stream", "_scaling"}:
            self.__dict__.pop(name, None)

    def _forget(self, labels: Labels, layer_sizes: tuple[int, ...]) -> None:
        """Drop what an earlier fit left; set what does not depend on training."""
        self._clear()
        self.classes_ = labels.classes
        self._target_kind = labels.kind
        self.n_outputs_ = labels.n_outputs
        self.n_layers_ = len(layer_sizes)
        self.out_activation_ = LOSSES[labels.kind].out_activation
        self.t_ = 0

    def _input_scaling(self) -> Scaling | None:
        return Scaling(*self._scaling) if hasattr(self, "_scaling") else None

    def _train(
        self,
        examples: Examples,
        held_out: Examples | None,
        layer_sizes: tuple[int, ...],
        settings: Settings,
        rng: np.random.Generator,
        watcher: EpochWatcher,
    ) -> Outcome:
        """Train a new network or a copy of the old one, then take it over."""
        if hasattr(self, "_network"):
            parameters = aligned_copy(self._network.parameters, self._computing_dtype)
            network = Network(layer_sizes, self.activation, parameters)
        else:
            network = Network.random(layer_sizes, self.activation, self._computing_dtype, rng)
            if self.input_scaling is not None:
                self._scaling: Any = tuple(column_scaling(self.input_scaling, examples))
        solver, state = getattr(self, "_optimizer_state", (None, None))
        try:
            outcome = fit_network(
                network,
                examples,
                held_out,
                self._input_scaling(),
                settings,
                rng,
                state if solver == self.solver else None,
                watcher,
            )
        except BaseException as error:
            if not hasattr(self, "_network"):
                self._clear()
            if isinstance(error, DivergenceError):
                raise ValueError(f"{DIVERGED} Nothing was learned.") from None
            raise
        self._network = network
        self._optimizer_state = self.solver, outcome.optimizer_state
        self._stream = rng
        for name, value in self._history(outcome.stopping).items():
            setattr(self, name, value)
        self.t_ += outcome.n_rows_seen
        return outcome

    def _history(self, stopping: Stopping) -> dict[str, Any]:
        """Return the fitted attributes that tell how training went."""
        scores = stopping.validation_scores
        return {
            "n_iter_": len(stopping.loss_curve),
            "loss_": stopping.loss_curve[-1] if stopping.loss_curve else np.nan,
            "best_loss_": None if self.early_stopping else min(stopping.loss_curve, default=None),
            "loss_curve_": list(stopping.loss_curve),
            "validation_scores_": list(scores) if scores else None,
            "best_validation_score_": stopping.best_validation_score if scores else None,
            "validation_loss_curve_": list(stopping.validation_loss_curve) if scores else None,
        }

    def _logits(self, X: Any) -> NDArray:
        """Validate rows and compute their raw scores, of shape (n_outputs, n_samples)."""
        if not hasattr(self, "_network"):  # The check costs more than predicting a row.
            check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", reset=False)
        network = self._network
        at_once = chunk_rows(X.shape[1])
        rows = make_rows(X, network.parameters.dtype, at_once, self._input_scaling())
        with np.errstate(over="ignore", invalid="ignore"):
            logits = network.decision_function(rows, at_once)
        if not np.isfinite(logits).all():
            raise ValueError(
                f"X has values too large to compute with in {network.parameters.dtype}. Were they"
                " scaled like the training rows? If they are right, set dtype='float64' or"
                " input_scaling='standard' and fit again."
            )
        return logits
