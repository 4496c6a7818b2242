"""`ANNClassifier`, the scikit-learn contract: parameters, validation, attributes, tags."""

from __future__ import annotations  # help() then names types in place of what they stand for.

from typing import Any

from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from skann.base import BaseANN
from skann.engine.losses import LOSSES
from skann.inputs import check_indices
from skann.targets import plain_labels


class ANNClassifier(ClassifierMixin, BaseANN):
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
    or set `input_scaling`. The parameters are grouped by topic: the network, its inputs and
    classes, regularisation, optimisation, the schedule, stopping, and all others.

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
    n_members : int, default=1
        Networks of these layers that are trained together and whose probabilities are averaged
        [9]_. They differ in their initial weights and in dropout, see the same batches and learn
        each from its own loss, as it would alone. Five give better probabilities, and mostly more
        accuracy, in three to five times the time. With sparse X of many features they take far
        longer: every step updates all weights. Not with "lbfgs".
    normalization : {"batch", "layer"} or None, default=None
        Normalisation of the hidden layers before their activation, over the rows of a batch
        [7]_ or over the units of each row [8]_, with a scale and a shift that are learned.
        Helps deep networks and high rates. With "batch", running averages serve prediction.
    kernel_initializer : str, default="auto"
        Distribution of the initial weights: "glorot_normal", "glorot_uniform", "he_normal",
        "he_uniform", "lecun_normal", "lecun_uniform" or "orthogonal". "auto": what suits the
        activation (He's for rectifiers, LeCun's for "selu", else Glorot's), Glorot's for the
        outputs.
    input_scaling : {"standard", "maxabs", "robust"} or None, default=None
        Per-feature scaling measured on the training rows before training and applied as a
        batch is cast, so that raw bytes or unscaled tables train without a copy in floating
        point. "standard": zero mean, unit variance; "maxabs": largest absolute value 1;
        "robust" [5]_: median 0, interquartile range 1 (a range of 2 where that is 0), measured on
        100,000 rows at most, and clipped smoothly at 3, unless `input_clip` says otherwise.
        Rows count by their weights. Sparse input is scaled, never shifted. `partial_fit` and
        `warm_start` keep the first call's. Use "maxabs" for pixels and counts, "standard" for
        tables.
    input_clip : float or None, default=None
        Smooth limit c of the inputs, after `input_scaling`: ``x / sqrt(1 + (x / c)**2)`` [5]_.
        Try 3 on standardised tables with heavy tails or outliers.
    categorical_features : "from_dtype", array-like or None, default="from_dtype"
        Which columns of X are categorical, given as for `HistGradientBoostingClassifier`: a mask,
        indices or names of columns; None for no columns. "from_dtype" selects the columns of a
        DataFrame (pandas, polars or any other that narwhals supports) with categories, strings,
        booleans, or objects that are not numbers. In arrays of numbers it selects none, so give
        the indices of columns that hold codes. Each level becomes an input of zeros and ones,
        which is never scaled; missing values are a level. Levels seen once, levels beyond the 99
        most frequent, and levels that `fit` has not seen share one input. A missing number is
        replaced by the median of its column, and an indicator input marks where. Levels and
        medians of the first call are kept by `partial_fit` and `warm_start`.
    numerical_embedding : {"periodic", "piecewise_linear"} or None, default=None
        Further inputs for each number, which let the network bend sharply where single features
        do: `embedding_width` combinations of 16 functions of it, whose weights are learned [10]_.
        "periodic": cosines of random frequencies and phases; "piecewise_linear": ramps between
        quantiles of the training rows. Numbers are embedded as scaled, so standardise them.
        Dense X only; categories are not embedded. Try it on tables of few features whose classes
        change abruptly.
    embedding_width : int, default=3
        Further inputs for each number. Without `numerical_embedding` it has no effect.
    embedding_scale : float, default=0.1
        Standard deviation of the frequencies of "periodic", in periods for each unit of the
        scaled number. Larger values follow finer structure, and overfit sooner.
    class_weight : dict, "balanced", list of dict or None, default=None
        Weights of the classes, as `sklearn.utils.class_weight.compute_class_weight` takes
        them; for multilabel targets as `compute_sample_weight`. Classes that a dict lacks weigh 1.
        They multiply the sample weights, of validation rows too. Use "balanced" when rare
        classes matter as much as frequent ones.
    alpha : float or "auto", default="auto"
        Strength of the L2 penalty. "auto": 1 with "lbfgs"; else 0.4 below 500 rows, 0.1 below
        2,500 and 0.05 from there on, times the mean of the rows' weights above 0 if that is below
        1. Raise it against overfitting. As in the objective above, it is divided by the rows of a
        batch (`batch_size_`), so that the weights are penalised more when batches are small. With
        "adamw" there is no penalty in the loss: each step multiplies the weights by one minus the
        learning rate times `alpha`; "auto" is 0.01 then.
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
    augmentation : callable or None, default=None
        Changes each training batch at random, ``(inputs, rng) -> inputs``: `inputs` has shape
        (n_rows, n_features), is not scaled yet, is in `dtype` and may be overwritten; `rng` is the
        generator of the fit. What it returns must have the same shape and be finite. Held-out rows
        and predictions stay as they are. `input_scaling` is measured on the rows as they are, but
        scales all features by the same factor then, that of the largest: a distortion moves values
        from one feature to another. Not for sparse X and "lbfgs". For images, see `skann.images`.
    label_smoothing : float or "auto", default="auto"
        Share of each target that is spread evenly over all classes, in [0, 1). "auto": 0.02,
        and none with "lbfgs". More of it (0.05) makes probabilities less extreme.
    max_norm : float or None, default=None
        Longest vector of weights into a hidden unit [6]_; longer ones are shortened after
        every step. Try 2 to 4 with dropout.
    solver : {"adam", "adamw", "sgd", "lbfgs"}, default="adam"
        How to minimise. "adam" [1]_, "adamw" (Adam with decoupled decay [4]_) and "sgd" work
        on mini-batches; "lbfgs" [2]_ on all rows at once in float64, which suits up to some
        thousand rows and smooth, strongly penalised problems.
    batch_size : int or "auto", default="auto"
        Rows of a mini-batch. "auto": the power of two next to three times the square root of
        the number of training rows, from 32 to 128, and 256 from 10,000 rows on. Never more
        than there are rows.
        Where the rows are no multiple of it, the last two batches of an epoch share what is left.
        "lbfgs" ignores it. Raise it for speed, with `learning_rate_init`; lower it when a
        small data set gets too few steps.
    shuffle : bool, default=True
        Whether to draw the rows in a new order every epoch. Leave it on, unless their order
        has to be kept.
    momentum : float, default=0.9
        Momentum of "sgd", in [0, 1). Lower it when the loss swings.
    nesterovs_momentum : bool, default=True
        Whether it is Nesterov's. Leave it on, unless you repeat results without it.
    beta_1 : float, default=0.9
        Decay rate of Adam's first moment, in [0, 1). There is seldom a reason to change it.
    beta_2 : float, default=0.999
        Decay rate of Adam's second moment, in [0, 1). Lower it, say to 0.99, when gradients
        change fast and the loss has spikes.
    epsilon : float, default=1e-8
        Added to the root of Adam's second moment. Raise it when steps are too long where
        gradients are tiny.
    gradient_clip_norm : float or None, default=None
        Longest gradient over all parameters of a network (of each member for itself); a longer
        one is shortened before the step. Set it when the loss has spikes.
    ema_decay : float or None, default=None
        Decay of an exponential moving average of the parameters, in [0, 1), which takes the
        place of the last parameters in validation and prediction. Try 0.99 to 0.999 with a
        constant rate.
    max_fun : int, default=15000
        Evaluations of the loss, at most, with "lbfgs". Raise it when its warning says so.
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
    warmup : float, default=0.0
        Share of all steps during which the rate also rises in a straight line from zero. Try
        0.05 when a schedule without a rise of its own diverges early.
    max_iter : int or "auto", default="auto"
        Epochs, at most; iterations with "lbfgs". "auto": for a schedule with an end as many
        epochs as show it 400,000 rows, but from 10 to 40; for the others 200; for "lbfgs" 2000.
        Raise it, with more dropout, when accuracy counts more than time.
    tol : float, default=1e-4
        Least improvement of the loss, or with `early_stopping` of the validation score, that
        counts as progress. With "lbfgs" the largest entry of the gradient at which to stop.
        Lower it when training stops too soon.
    n_iter_no_change : int or inf, default=10
        Epochs without progress to wait for. Raise it when the curve is noisy.
    early_stopping : bool, default=False
        Whether to stop when the score on validation data has not improved by `tol` for
        `n_iter_no_change` epochs, and to keep the weights of the best epoch. The data is
        `X_val` if `fit` is given it, else a split of the training rows, stratified unless the
        targets are multilabel. A class with one row is trained on only. Use it when epochs
        are many.
    validation_fraction : float, default=0.1
        Share of the rows that is split off, of those that have weight. Raise it where rows are few
        and the score jumps.
    scoring : str, callable or None, default=None
        What decides on the validation data: None for accuracy, "loss" for the least loss, a
        name of `sklearn.metrics.get_scorer_names`, or a callable
        ``scoring(estimator, X, y) -> float``, greater being better. A named metric of one
        positive class takes 1, or ``classes_[1]`` where 1 is no class. Choose "loss" when
        validation rows are few or probabilities count.
    dtype : {"float32", "float64"}, default="float32"
        Computing dtype. "lbfgs" always computes in float64. Choose "float64", half as fast, when
        digits beyond the sixth matter.
    random_state : int, RandomState instance or None, default=None
        Seed of the weights, the validation split and the order of the rows. With an int, the
        same data, versions and number of threads give the same model, bit for bit. Set
        it to compare settings.
    warm_start : bool, default=False
        Whether `fit` goes on from the last fit. Weights, moments of the optimizer, `t_` and
        the random stream are kept, with "lbfgs" the weights; the schedule starts anew.
        Use it to train on, or on rows like the former ones.
    verbose : bool, default=False
        Whether to print a line for every epoch. Use it when fits take long.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels; for multilabel targets the column numbers.
    coefs_ : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer, views of one vector; assigning writes into it. The first has a row
        for each input: of a table with categories those are more than its columns. Of several
        members the layers of the first come first, then those of the second, and so on.
    intercepts_ : list of ndarray of shape (fan_out,)
        Biases of each layer, views of the same vector, in the same order.
    n_features_in_ : int
        Number of features, the columns of X as given.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where X has names that are all strings.
    n_iter_ : int
        Epochs, or iterations of "lbfgs", of the last call.
    n_layers_ : int
        Number of layers of a network, those of inputs and outputs included.
    n_outputs_ : int
        Number of outputs: one for two classes.
    out_activation_ : {"logistic", "softmax"}
        Link of the outputs.
    t_ : int
        Training rows seen since the weights were drawn; 0 with "lbfgs".
    loss_ : float
        Training loss of the last epoch, with the penalty; of several members the mean of theirs.
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

    `skann.callbacks.Checkpoint` saves a fit as it goes, and `resume` goes on from there.

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
    .. [9] Lakshminarayanan, Pritzel and Blundell, "Simple and scalable predictive uncertainty
       estimation using deep ensembles", NeurIPS 2017, https://arxiv.org/abs/1612.01474
    .. [10] Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in tabular deep
       learning", NeurIPS 2022, https://arxiv.org/abs/2203.05556

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

    def __init__(
        self,
        hidden_layer_sizes=(128, 64),
        activation="relu",
        *,
        n_members=1,
        normalization=None,
        kernel_initializer="auto",
        input_scaling=None,
        input_clip=None,
        categorical_features="from_dtype",
        numerical_embedding=None,
        embedding_width=3,
        embedding_scale=0.1,
        class_weight=None,
        alpha="auto",
        dropout="auto",
        input_dropout=0.0,
        input_noise=0.0,
        augmentation=None,
        label_smoothing="auto",
        max_norm=None,
        solver="adam",
        batch_size="auto",
        shuffle=True,
        momentum=0.9,
        nesterovs_momentum=True,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        gradient_clip_norm=None,
        ema_decay=None,
        max_fun=15000,
        learning_rate="one_cycle",
        learning_rate_init="auto",
        power_t=0.5,
        warmup=0.0,
        max_iter="auto",
        tol=1e-4,
        n_iter_no_change=10,
        early_stopping=False,
        validation_fraction=0.1,
        scoring=None,
        dtype="float32",
        random_state=None,
        warm_start=False,
        verbose=False,
    ):
        # The network.
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.n_members = n_members
        self.normalization = normalization
        self.kernel_initializer = kernel_initializer
        # Its inputs and classes.
        self.input_scaling = input_scaling
        self.input_clip = input_clip
        self.categorical_features = categorical_features
        self.numerical_embedding = numerical_embedding
        self.embedding_width = embedding_width
        self.embedding_scale = embedding_scale
        self.class_weight = class_weight
        # Regularisation.
        self.alpha = alpha
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.input_noise = input_noise
        self.augmentation = augmentation
        self.label_smoothing = label_smoothing
        self.max_norm = max_norm
        # Optimisation.
        self.solver = solver
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.gradient_clip_norm = gradient_clip_norm
        self.ema_decay = ema_decay
        self.max_fun = max_fun
        # Schedule.
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.warmup = warmup
        self.max_iter = max_iter
        # Stopping.
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.scoring = scoring
        # Other.
        self.dtype = dtype
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose

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
        X = self._validated_rows(X)
        return self._model.predict(X, self._model.labels.decode)

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
        if sparse.issparse(y):
            check_indices(y, "y")
        return super().score(X, plain_labels(y), sample_weight)

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
        X = self._validated_rows(X)
        return self._model.predict(X, LOSSES[self._model.labels.kind].probabilities)

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
        X = self._validated_rows(X)
        return self._model.predict(X, LOSSES[self._model.labels.kind].log_probabilities)

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
        X = self._validated_rows(X)
        return self._model.predict(X, _by_row)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.classifier_tags.multi_label = True
        return tags


def _by_row(logits: NDArray) -> NDArray:
    """Return raw scores as scikit-learn has them: of one output a vector."""
    return logits[0] if len(logits) == 1 else logits.T.copy()
