"""`ANNClassifier`, the scikit-learn contract: parameters, validation, attributes, tags."""

from __future__ import annotations  # help() then names types in place of what they stand for.

import copy
import math
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skann.callbacks import EpochTasks, Unwatched
from skann.checkpoint import FitStart, RowSample, SavedFit
from skann.defaults import STREAM_ROWS, Resolved, resolve
from skann.engine.batches import Examples
from skann.engine.calibration import best_temperature, divide_logits, undo_division
from skann.engine.fitting import Outcome, Settings, chunk_rows, fit_network
from skann.engine.losses import LOSSES
from skann.engine.memory import aligned_copy
from skann.engine.network import Architecture, Network, ParameterViews
from skann.engine.rows import Scaling, make_rows
from skann.engine.schedules import SCHEDULES
from skann.engine.stopping import Epoch
from skann.engine.training import DivergenceError, EpochWatcher
from skann.export import OnnxMixin
from skann.inputs import (
    check_X,
    check_X_y,
    labels_for_partial_fit,
    lay_out,
    make_examples,
    validation_examples,
)
from skann.inspection import InspectionMixin
from skann.outcome import DIVERGED, history_attributes, stop_if_interrupted, warn_of
from skann.parameters import (
    CONSTRAINTS,
    check_can_continue,
    check_partial_fit,
    check_rows,
    check_together,
    dropout_rates,
    make_architecture,
)
from skann.scaling import measure_scaling
from skann.scoring import make_scoring
from skann.targets import Labels, hold_out, mean_positive_weight, plain_labels

_SETTINGS = [field.name for field in fields(Settings)]


class ANNClassifier(
    OnnxMixin, InspectionMixin, CallbackSupportMixin, ClassifierMixin, BaseEstimator
):
    r"""Multi-layer perceptron classifier, trained by NumPy alone.

    Minimises the mean log-loss plus an L2 penalty on the weights,

    .. math::

        \frac{1}{\sum_i w_i} \left( \sum_i w_i \, \ell(y_i, f(x_i))
        + \frac{\alpha}{2} \lVert W \rVert^2 \right),

    where :math:`f` is a stack of fully connected layers and :math:`\ell` the logistic loss of
    one output (two classes), the cross-entropy of a softmax (more classes) or the sum of a
    logistic loss for each output (multilabel indicator targets). With mini-batches the sum
    runs over a batch of b rows, and its divisor is b times the mean weight of all training
    rows, so that a batch of light rows makes a light step; the penalty's divisor is
    `batch_size_` times that mean, also for a batch that is shorter.

    Parameters mean what they mean in scikit-learn's `MLPClassifier` where they share its
    names. Features should be on similar scales: put a `StandardScaler` before the classifier
    or set `input_scaling`.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(128, 64)
        Units of the hidden layers. An int is one layer, ``()`` none: logistic regression.
        Raise them when the training loss stays high, lower them for speed.
    activation : str or list of str, default="relu"
        Activation of the hidden layers, or a list of one for each: "elu", "gelu",
        "identity", "leaky_relu", "logistic", "mish", "relu", "selu", "silu", "softplus",
        "tanh". "relu" is the fastest; the smooth ones ("gelu", "silu", "mish") may gain
        accuracy on tables.
    solver : {"adam", "adamw", "sgd", "lbfgs"}, default="adam"
        How to minimise. "adam" [1]_, "adamw" (Adam with decoupled decay [4]_) and "sgd" work
        on mini-batches; "lbfgs" [2]_ on all rows at once in float64, which suits up to some
        thousand rows and smooth, strongly penalised problems.
    alpha : float or "auto", default="auto"
        Strength of the L2 penalty. "auto": 1 with "lbfgs"; else 0.4 below 500 rows, 0.1 below
        2,500 and 0.05 from there on, times the mean of the rows' weights above 0 if that is below
        1. Raise it against overfitting. As in the objective above, it is divided by the rows of a
        batch (`batch_size_`), so that the weights are penalised more when batches are small. With
        "adamw" there is no penalty in the loss: each step multiplies the weights by one minus the
        learning rate times `alpha`; "auto" is 0.01 then.
    batch_size : int or "auto", default="auto"
        Rows of a mini-batch. "auto": the power of two next to three times the square root of
        the number of training rows, from 32 to 128, and 256 from 10,000 rows on. Never more
        than there are rows.
        Where the rows are no multiple of it, the last two batches of an epoch share what is left.
        "lbfgs" ignores it. Raise it for speed, with `learning_rate_init`; lower it when a
        small data set gets too few steps.
    learning_rate : str or callable, default="one_cycle"
        Schedule of the learning rate, whose factors multiply `learning_rate_init`.

        - "one_cycle": up along a cosine for three tenths of the steps, then down to a
          ten-thousandth [3]_.
        - "cosine": down along a cosine to zero.
        - "linear": down in a straight line to zero.
        - "exponential": down by the same share at every step, to a hundredth.
        - a callable: takes the number of steps done, returns a factor of at least 0.
        - "constant".
        - "invscaling": ``(t + 1) ** -power_t`` with t the rows seen in this call.
        - "adaptive": constant, divided by five when progress stops, until it is below 1e-6.

        All but the last three have an end: they run over all of `max_iter` epochs, and
        reaching the end is convergence. Those three stop when there is no progress, and warn
        if that is not within `max_iter`.
    learning_rate_init : float or "auto", default="auto"
        The rate that the schedule multiplies. "auto": 0.01 with Adam and 0.05 with SGD for a
        schedule with an end; else 0.001 and 0.01. Lower it when training diverges or the loss
        curve is ragged.
    power_t : float, default=0.5
        Exponent of "invscaling". Lower it when the rate falls too soon.
    max_iter : int or "auto", default="auto"
        Epochs, at most; iterations with "lbfgs". "auto": for a schedule with an end as many
        epochs as show it 400,000 rows, but from 10 to 40; for the others 200; for "lbfgs" 2000.
        Raise it, with more dropout, when accuracy counts more than time.
    shuffle : bool, default=True
        Whether to draw the rows in a new order every epoch. Leave it on, unless their order
        has to be kept.
    random_state : int, RandomState instance or None, default=None
        Seed of the weights, the validation split and the order of the rows. With an int, the
        same data, versions and number of threads give the same model, bit for bit. Set
        it to compare settings.
    tol : float, default=1e-4
        Least improvement of the loss, or with `early_stopping` of the validation score, that
        counts as progress. With "lbfgs" the largest entry of the gradient at which to stop.
        Lower it when training stops too soon.
    verbose : bool, default=False
        Whether to print a line for every epoch. Use it when fits take long.
    warm_start : bool, default=False
        Whether `fit` goes on from the last fit. Weights, moments of the optimizer, `t_` and
        the random stream are kept, with "lbfgs" the weights; the schedule starts anew.
        Use it to train on, or on rows like the former ones.
    momentum : float, default=0.9
        Momentum of "sgd", in [0, 1). Lower it when the loss swings.
    nesterovs_momentum : bool, default=True
        Whether it is Nesterov's. Leave it on, unless you repeat results without it.
    early_stopping : bool, default=False
        Whether to stop when the score on validation data has not improved by `tol` for
        `n_iter_no_change` epochs, and to keep the weights of the best epoch. The data is
        `X_val` if `fit` is given it, else a split of the training rows, stratified unless the
        targets are multilabel. Use it when epochs are many.
    validation_fraction : float, default=0.1
        Share of the rows that is split off, of those that have weight. Raise it where rows are few
        and the score jumps.
    beta_1 : float, default=0.9
        Decay rate of Adam's first moment, in [0, 1). There is seldom a reason to change it.
    beta_2 : float, default=0.999
        Decay rate of Adam's second moment, in [0, 1). Lower it, say to 0.99, when gradients
        change fast and the loss has spikes.
    epsilon : float, default=1e-8
        Added to the root of Adam's second moment. Raise it when steps are too long where
        gradients are tiny.
    n_iter_no_change : int or inf, default=10
        Epochs without progress to wait for. Raise it when the curve is noisy.
    max_fun : int, default=15000
        Evaluations of the loss, at most, with "lbfgs". Raise it when its warning says so.
    class_weight : dict, "balanced", list of dict or None, default=None
        Weights of the classes, as `sklearn.utils.class_weight.compute_class_weight` takes
        them; for multilabel targets as `compute_sample_weight`. A dict must name every class.
        They multiply the sample weights, of validation rows too. Use "balanced" when rare
        classes matter as much as frequent ones.
    dtype : {"float32", "float64"}, default="float32"
        Computing dtype. "lbfgs" always computes in float64. Choose "float64", half as fast, when
        digits beyond the sixth matter.
    input_scaling : {"standard", "maxabs"} or None, default=None
        Per-feature scaling measured in one pass over the training rows and applied as a
        batch is cast, so that raw bytes or unscaled tables train without a copy in floating
        point. "standard": zero mean, unit variance; "maxabs": largest absolute value 1.
        Rows count by their weights. Sparse input is scaled, never shifted. `partial_fit` and
        `warm_start` keep the first call's. Use "maxabs" for pixels and counts, "standard" for
        tables.
    input_clip : float or None, default=None
        Smooth limit c of the inputs, after `input_scaling`: ``x / sqrt(1 + (x / c)**2)`` [5]_.
        Try 3 on standardised tables with heavy tails or outliers.
    dropout : float, "auto" or list of float, default="auto"
        Share of each hidden layer's outputs that is set to zero in training [6]_, or a list
        of one for each layer. "auto": 0.1 in the first hidden layer, none in the others and
        with "lbfgs". Raise it, with wider layers and more epochs, against overfitting.
    input_dropout : float, default=0.0
        The same for the inputs. Useful up to 0.2 where neighbouring features are redundant,
        as pixels are.
    input_noise : float, default=0.0
        Standard deviation of Gaussian noise on the inputs in training, in units of the
        scaled inputs. Not for sparse X, whose zeros it would fill. Try 0.1 to 0.3 against
        overfitting.
    normalization : {"batch", "layer"} or None, default=None
        Normalisation of the hidden layers before their activation, over the rows of a batch
        [7]_ or over the units of each row [8]_, with a scale and a shift that are learned.
        Helps deep networks and high rates. With "batch", running averages serve prediction.
    kernel_initializer : str, default="auto"
        Distribution of the initial weights: "glorot_normal", "glorot_uniform", "he_normal",
        "he_uniform", "lecun_normal", "lecun_uniform" or "orthogonal". "auto": what suits the
        activation (He's for rectifiers, LeCun's for "selu", else Glorot's), Glorot's for the
        outputs.
    label_smoothing : float or "auto", default="auto"
        Share of each target that is spread evenly over all classes, in [0, 1). "auto": 0.02,
        and none with "lbfgs". More of it (0.05) makes probabilities less extreme.
    max_norm : float or None, default=None
        Longest vector of weights into a hidden unit [6]_; longer ones are shortened after
        every step. Try 2 to 4 with dropout.
    gradient_clip_norm : float or None, default=None
        Longest gradient over all parameters; a longer one is shortened before the step. Set
        it when the loss has spikes.
    warmup : float, default=0.0
        Share of all steps during which the rate also rises in a straight line from zero. Try
        0.05 when a schedule without a rise of its own diverges early.
    ema_decay : float or None, default=None
        Decay of an exponential moving average of the parameters, in [0, 1), which takes the
        place of the last parameters in validation and prediction. Try 0.99 to 0.999 with a
        constant rate.
    scoring : str, callable or None, default=None
        What decides on the validation data: None for accuracy, "loss" for the least loss, a
        name of `sklearn.metrics.get_scorer_names`, or a callable
        ``scoring(estimator, X, y) -> float``, greater being better. A named metric of one
        positive class takes 1, or ``classes_[1]`` where 1 is no class. Choose "loss" when
        validation rows are few or probabilities count.
    calibration : {"temperature"} or None, default=None
        "temperature": after training, divide the scores by the number that makes the log-loss
        on the validation data least [9]_, and so the probabilities as certain as they should
        be; few rows, which cannot tell, leave it near 1. Without `X_val`, `validation_fraction`
        of the training rows are held out. Use it when decisions depend on the probabilities.

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
    feature_names_in_ : ndarray of shape (n_features,)
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
        Accuracy on the validation data after each epoch, or what `scoring` measures, weighted
        by class and sample weights; None without such data.
    best_validation_score_ : float or None
        The highest of them.
    validation_loss_curve_ : list of float or None
        Loss on the validation data after each epoch, without the penalty.
    history_ : list of dict
        A record for each epoch of the last `fit`, to which `partial_fit` appends: "epoch",
        "loss", "validation_score", "validation_loss", "learning_rate" and "gradient_norm" of
        its last step (the norm before clipping, without the penalty), and "seconds" without
        validation and callbacks. None where there is no such number.
    temperature_ : float
        What `calibration` has divided the scores by.
    alpha_ : float
        What "auto" was resolved to, as in those that follow.
    batch_size_ : int
        Rows of a batch.
    learning_rate_init_ : float
        The learning rate that the schedule multiplies.
    max_iter_ : int
        Most epochs.
    dropout_ : tuple of float
        A rate for each hidden layer.
    label_smoothing_ : float
        Share of each target that is spread over the classes.

    Raises
    ------
    ValueError
        By `fit`, if a parameter or the data cannot be used or training diverges at once.
    MemoryError
        By `fit`, if `hidden_layer_sizes` asks for a network larger than memory.

    See Also
    --------
    sklearn.neural_network.MLPClassifier : The estimator whose parameters this one shares.

    Notes
    -----
    A callback set with `set_callbacks` sees the task "fit" with a subtask "epoch" for every
    epoch; one whose `on_fit_task_end` returns True ends training.

    Ctrl-C in `fit`, `resume` or `partial_fit` ends training with a warning, keeps what was learned
    and raises `KeyboardInterrupt` again, so that a search, a cross-validation or an ensemble stops
    as well. Who calls `fit` directly, in a notebook or with ``except KeyboardInterrupt``, has a
    fitted estimator. Before the first epoch has ended, nothing is learned: the estimator stays as
    it was.

    `skann.callbacks.Checkpoint` saves a fit as it goes, and `resume` goes on from there. A
    callback of your own finds the state that it saves in the private attribute
    `_training_in_progress`, a `skann.checkpoint.FitInProgress`; there is one only while `fit`
    works on mini-batches, from before the first epoch to the end of the last.

    References
    ----------
    .. [1] Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015,
       https://arxiv.org/abs/1412.6980
    .. [2] Liu and Nocedal, "On the limited memory BFGS method for large scale optimization",
       Mathematical Programming 45, 1989.
    .. [3] Smith and Topin, "Super-convergence: very fast training of neural networks using
       large learning rates", 2018, https://arxiv.org/abs/1708.07120
    .. [4] Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019,
       https://arxiv.org/abs/1711.05101
    .. [5] Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and
       boosted trees on tabular data", NeurIPS 2024, https://arxiv.org/abs/2407.04491
    .. [6] Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way
       to prevent neural networks from overfitting", JMLR 15, 2014.
    .. [7] Ioffe and Szegedy, "Batch normalization: accelerating deep network training by
       reducing internal covariate shift", ICML 2015, https://arxiv.org/abs/1502.03167
    .. [8] Ba, Kiros and Hinton, "Layer normalization", 2016, https://arxiv.org/abs/1607.06450
    .. [9] Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML
       2017, https://arxiv.org/abs/1706.04599

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

    _parameter_constraints: dict = CONSTRAINTS

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
        input_clip=None,
        dropout="auto",
        input_dropout=0.0,
        input_noise=0.0,
        normalization=None,
        kernel_initializer="auto",
        label_smoothing="auto",
        max_norm=None,
        gradient_clip_norm=None,
        warmup=0.0,
        ema_decay=None,
        scoring=None,
        calibration=None,
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
        self.input_clip = input_clip
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.input_noise = input_noise
        self.normalization = normalization
        self.kernel_initializer = kernel_initializer
        self.label_smoothing = label_smoothing
        self.max_norm = max_norm
        self.gradient_clip_norm = gradient_clip_norm
        self.warmup = warmup
        self.ema_decay = ema_decay
        self.scoring = scoring
        self.calibration = calibration

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
        with self._unchanged_by_early_ctrl_c():
            return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val))

    @_fit_context(prefer_skip_nested_validation=True)
    def resume(
        self,
        path: str | os.PathLike,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
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
        saved = SavedFit.read(path, self)
        with self._unchanged_by_early_ctrl_c():
            return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), saved)

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
        with self._unchanged_by_early_ctrl_c():
            return self._partial_fit(X, y, classes, sample_weight)

    def _partial_fit(self, X: Any, y: Any, classes: Any, sample_weight: Any) -> Self:
        check_partial_fit(self)
        check_together(self)
        continues = hasattr(self, "_network")
        X, y = check_X_y(self, X, y, reset=not continues)
        X = lay_out(self, X, self._computing_dtype)
        labels = labels_for_partial_fit(y, classes, self._labels if continues else None)
        examples, _ = make_examples(X, y, sample_weight, self.class_weight, labels)
        architecture = make_architecture(self, labels.n_outputs)
        if continues:
            check_can_continue(self, labels, architecture)
        check_rows(self, examples)
        rng = self._random_stream(continues)
        at_once = {"max_iter": 1, "learning_rate": "constant", "warmup": 0.0}
        settings = self._settings(examples, labels, architecture, STREAM_ROWS, **at_once)
        self._prepare(labels, architecture, settings, continues)
        earlier = getattr(self, "_history", [])
        outcome = self._train(examples, None, architecture, settings, rng, Unwatched())
        self._history: list[Epoch] = earlier + self._history
        self._set_history()
        self.n_iter_ = len(outcome.stopping.history)
        stop_if_interrupted(outcome)
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
        return self._predict(X, lambda logits: self._labels.decode(logits))

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Compute the accuracy; for multilabel targets the share of rows without an error.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, of any numeric dtype.
        y : array-like of shape (n_samples,) or indicator matrix (n_samples, n_labels)
            Their labels. They may have another type than those of `fit`: 1 equals 1.0 and True.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None for equal ones.

        Returns
        -------
        float
        """
        check_is_fitted(self)
        return super().score(X, self._labels.as_classes(plain_labels(y)), sample_weight)

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
        return self._predict(X, lambda logits: LOSSES[self._target_kind].probabilities(logits))

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
        return self._predict(X, lambda logits: LOSSES[self._target_kind].log_probabilities(logits))

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
        return self._predict(X, _by_row)

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
        state.pop("_training_in_progress", None)
        network = state.pop("_network", None)
        if network is not None:
            state["_stored_network"] = tuple(network.architecture), network.parameters
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = {**state}
        stored = state.pop("_stored_network", None)
        super().__setstate__(state)
        if stored is not None:
            architecture, parameters = stored
            self._network = Network(Architecture(*architecture), parameters)

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

    def _random_stream(self, continues: bool) -> np.random.Generator:
        if continues and hasattr(self, "_stream"):
            return copy.deepcopy(self._stream)
        return np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))

    def _settings(
        self,
        examples: Examples,
        labels: Labels,
        architecture: Architecture,
        n_rows: int,
        **changes: Any,
    ) -> Settings:
        """Resolve every ``"auto"``; try a schedule of the user's, which may be bad."""
        values: dict[str, Any] = {name: getattr(self, name, None) for name in _SETTINGS}
        # A NumPy float64 would make arrays in float32 compute in float64: slower, other bits.
        values = {n: v.item() if isinstance(v, np.generic) else v for n, v in values.items()}
        values |= {"loss": labels.kind, **changes}
        if self.solver == "lbfgs":
            values["learning_rate"] = "constant"
        has_end = callable(values["learning_rate"]) or SCHEDULES[values["learning_rate"]].has_end
        given = {name: values[name] for name in Resolved._fields}
        n_hidden = len(architecture.activations)
        mean_weight = mean_positive_weight(examples.weights)
        resolved = resolve(self.solver, n_rows, n_hidden, has_end, mean_weight, **given)
        values |= resolved._asdict()
        settings = Settings(**values | {"dropout": dropout_rates(resolved.dropout, n_hidden)})
        settings.factor(-(-n_rows // settings.batch_size), n_rows)
        return settings

    def _fitted_state(self) -> dict[str, Any]:
        private = {"_network", "_optimizer_state", "_stream", "_scaling", "_history"}
        private |= {"_fit_record", "_uncalibrated", "_target_kind"}
        return {
            name: value
            for name, value in vars(self).items()
            if name in private or (name.endswith("_") and name[0] != "_")
        }

    def _clear(self, kept: Collection[str] = ("n_features_in_", "feature_names_in_")) -> None:
        """Delete what training sets; what validation sets has been set anew."""
        for name in self._fitted_state().keys() - kept:
            del self.__dict__[name]

    @contextmanager
    def _unchanged_by_early_ctrl_c(self) -> Iterator[None]:
        """Take the state before a fit back if Ctrl-C ends it before it has learned anything."""
        before = self._fitted_state()
        try:
            yield
        except KeyboardInterrupt:
            if getattr(self, "_network", None) in (None, before.get("_network")):
                self._clear(kept=())
                self.__dict__.update(before)
            raise

    def _prepare(
        self, labels: Labels, architecture: Architecture, settings: Settings, continues: bool
    ) -> None:
        """Drop what an earlier fit left, if it does not go on; set what training does not."""
        if not continues:
            self._clear()
            self.classes_ = labels.classes
            self._target_kind = labels.kind
            self.n_outputs_ = labels.n_outputs
            self.n_layers_ = len(architecture.layer_sizes)
            self.out_activation_ = LOSSES[labels.kind].out_activation
            self.t_ = 0
        self.__dict__.update({f"{name}_": getattr(settings, name) for name in Resolved._fields})

    def _input_scaling(self) -> Scaling | None:
        return Scaling(*self._scaling) if hasattr(self, "_scaling") else None

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation: tuple[Any, Any, Any],
        saved: SavedFit | None = None,
    ) -> Self:
        check_together(self)
        continues = self.warm_start and hasattr(self, "_network") and saved is None
        X, y = check_X_y(self, X, y, reset=not continues)
        by_rows = lay_out(self, X, self._computing_dtype)
        sample, X = RowSample.of(X, by_rows), by_rows
        labels = Labels.of(y)
        examples, sample_weight = make_examples(X, y, sample_weight, self.class_weight, labels)
        held_out = validation_examples(self, *validation, labels)
        architecture = make_architecture(self, labels.n_outputs)
        if continues:
            check_can_continue(self, labels, architecture)
            labels = self._labels
        rng = self._random_stream(continues) if saved is None else saved.random_stream()
        stream = rng.bit_generator.state
        start = FitStart(labels, sample, examples.targets, sample_weight, held_out, stream)
        if saved is not None:
            saved.check_data(start)
            saved.check_training(self, architecture)
        if (self.early_stopping or self.calibration) and held_out is None:
            seed = int(rng.integers(2**31))
            why = "early_stopping=True" if self.early_stopping else "calibration='temperature'"
            examples, held_out = hold_out(examples, labels, self.validation_fraction, seed, why)
        check_rows(self, examples)
        settings = self._settings(examples, labels, architecture, len(examples))
        scoring = make_scoring(self, held_out, labels)
        self._prepare(labels, architecture, settings, continues)
        tasks = EpochTasks(self, settings.max_iter, X, y, start, saved)
        outcome = self._train(
            examples, held_out, architecture, settings, rng, tasks, scoring, saved
        )
        if self.calibration is not None and held_out is not None:
            self._calibrate(held_out)
        if not self.warm_start:
            del self._optimizer_state, self._stream
        tasks.end_fit()
        stop_if_interrupted(outcome)
        warn_of(outcome, settings, examples, self._network, self._input_scaling())
        return self

    def _train(
        self,
        examples: Examples,
        held_out: Examples | None,
        architecture: Architecture,
        settings: Settings,
        rng: np.random.Generator,
        watcher: EpochWatcher,
        scoring: Callable[[Network, float], float] | None = None,
        saved: SavedFit | None = None,
    ) -> Outcome:
        """Train a new network, a saved one or a copy of the old one, then take it over."""
        if saved is not None:
            network = Network(architecture, aligned_copy(saved.training["parameters"]))
            saved.restore(self)
        elif hasattr(self, "_network"):
            parameters = aligned_copy(self._network.parameters, self._computing_dtype)
            network = Network(architecture, parameters)
            if hasattr(self, "temperature_"):
                undo_division(network, getattr(self, "_uncalibrated", None), self.temperature_)
        else:
            network = Network.random(
                architecture, self._computing_dtype, rng, self.kernel_initializer
            )
            self._scale_inputs(examples)
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
                scoring,
                None if saved is None else saved.training,
            )
        except BaseException as error:
            if not hasattr(self, "_network"):
                self._clear()
            if isinstance(error, DivergenceError):
                raise ValueError(f"{DIVERGED} Nothing was learned.") from None
            raise
        finally:
            self.__dict__.pop("_training_in_progress", None)
        self._record_fit()
        for name in ("temperature_", "_uncalibrated"):
            self.__dict__.pop(name, None)
        self._network = network
        self._optimizer_state = self.solver, outcome.optimizer_state
        self._stream = rng
        self._history = outcome.stopping.history
        self._set_history()
        self.t_ += outcome.n_rows_seen
        return outcome

    def _scale_inputs(self, examples: Examples) -> None:
        """Measure the scaling of the inputs, if there is to be one."""
        scaling = Scaling(None, None)
        if self.input_scaling is not None:
            scaling = measure_scaling(self.input_scaling, examples)
        if self.input_scaling is not None or self.input_clip is not None:
            clip = None if self.input_clip is None else float(self.input_clip)
            self._scaling: Any = tuple(scaling._replace(clip=clip))

    def _set_history(self) -> None:
        self.__dict__.update(history_attributes(self._history, self.early_stopping))

    def _calibrate(self, held_out: Examples) -> None:
        """Divide the scores by the temperature that suits the validation rows."""
        network = self._network
        at_once = chunk_rows(max(network.architecture.layer_sizes))
        rows = make_rows(
            held_out.X, network.parameters.dtype, at_once, self._input_scaling(), held_out.subset
        )
        logits = network.decision_function(rows, at_once)
        loss = LOSSES[self._target_kind](len(logits), len(rows), np.float64)
        self.temperature_ = best_temperature(logits, held_out.targets, held_out.weights, loss)
        self._uncalibrated = divide_logits(network, self.temperature_)

    def _predict(self, X: Any, answer: Callable[[NDArray], NDArray]) -> NDArray:
        """Validate rows; return what `answer` makes of their raw scores, chunk by chunk."""
        if not hasattr(self, "_network"):  # The check costs more than predicting a row.
            check_is_fitted(self)
        X = check_X(self, X)
        network = self._network
        at_once = chunk_rows(max(network.architecture.layer_sizes))
        rows = make_rows(X, network.parameters.dtype, at_once, self._input_scaling())
        result: Any = None
        with np.errstate(over="ignore", invalid="ignore"):
            if X.shape[0] <= at_once:
                return answer(_finite(network.decision_function(rows, at_once)))
            for part, logits in network.scores_by_chunk(rows, at_once):
                answers = answer(_finite(logits))
                if result is None:
                    result = np.empty((len(rows), *answers.shape[1:]), answers.dtype)
                result[part] = answers
        return result


def _finite(logits: NDArray) -> NDArray:
    """Return raw scores, if they are finite."""
    values = logits.ravel()
    # A finite sum of squares tells it of a single row faster.
    if not (math.isfinite(values.dot(values)) or np.isfinite(values).all()):
        raise ValueError(
            f"X has values too large to compute with in {logits.dtype}. Were they scaled like the"
            " training rows? If they are right, set dtype='float64' or input_scaling='standard'"
            " and fit again."
        )
    return logits


def _by_row(logits: NDArray) -> NDArray:
    """Return raw scores as scikit-learn has them: of one output a vector."""
    return logits[0] if len(logits) == 1 else logits.T.copy()
