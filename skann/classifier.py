"""The classifier: its parameters and their documentation, and its prediction methods."""

from __future__ import annotations  # So that help() shows the names of type aliases.

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
    r"""Multi-layer perceptron classifier.

    The network is trained with NumPy, and with Numba if it is installed. Training minimises the
    mean log-loss plus an L2 penalty on the weights,

    .. math::

        \frac{1}{\sum_i w_i} \left( \sum_i w_i \, \ell(y_i, f(x_i))
        + \frac{\alpha}{2} \lVert W \rVert^2 \right),

    where :math:`f` is a stack of fully connected layers, the sums run over all training rows,
    :math:`w_i` is the weight of row i, and :math:`\ell` is the log-loss: binary cross-entropy for
    two classes, cross-entropy for more classes, and the sum of the binary cross-entropies of all
    labels for multilabel targets.

    A mini-batch solver first divides the weight of each row by the mean weight of all training
    rows. The loss of a batch is the sum of the weighted losses of its rows, divided by the number
    of its rows. A batch with small weights therefore makes a small step. While the formula
    above divides the penalty by the sum of all row weights, a mini-batch solver divides it by
    `batch_size_` times their mean, also in a batch with fewer than `batch_size_` rows.

    All parameters of `MLPClassifier` exist here under the same names. Several defaults differ, and
    some parameters behave differently. Two differences matter most: with the default schedule,
    `max_iter` is the number of epochs, not only a limit; and ``hidden_layer_sizes=()`` gives
    logistic regression with label smoothing and a stronger L2 penalty. Features should have similar
    scales: put a `StandardScaler` before the classifier or set `input_scaling`.

    The parameters are grouped by topic:

    - the network: from `hidden_layer_sizes` to `kernel_initializer`;
    - inputs and classes: from `input_scaling` to `class_weight`;
    - regularisation: from `alpha` to `max_norm`;
    - optimisation: from `solver` to `max_fun`;
    - the learning-rate schedule: from `learning_rate` to `max_iter`;
    - stopping and validation: from `tol` to `scoring`;
    - the fit itself: from `dtype` to `verbose`.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(128, 64)
        Number of units in each hidden layer. An int means one layer. ``()`` means no hidden layer,
        which gives logistic regression, by default with an L2 penalty and label smoothing. Use more
        units if the training loss stays high, and fewer units for speed.
    activation : str or list of str, default="relu"
        Activation of the hidden layers, or a list with one activation for each of them: "elu",
        "gelu", "identity", "leaky_relu", "logistic", "mish", "relu", "selu", "silu", "softplus"
        or "tanh". "relu" is the fastest. On average over tables, the smooth activations "gelu" and
        "silu" are as accurate as "relu"; include them in a search to see which suits your table.
    n_members : int, default=1
        Number of networks that are trained together, all with the same layers. Predictions average
        their probabilities [9]_. The members see the same batches, but differ in their initial
        weights and in dropout, and each minimises its own loss. Five members give better
        probabilities and at times a higher accuracy. They take three to four times as long with
        small layers, and about five times as long with wide ones. With sparse X of many features
        they take much longer, because every step updates all weights. Cannot be used with "lbfgs".
    normalization : {"batch", "layer"} or None, default=None
        Normalisation of the hidden layers before the activation. "batch" normalises each unit over
        the rows of a batch [7]_, and predicts with running averages. "layer" normalises each row
        over the units of the layer [8]_. Both learn a scale and a shift for each unit.
        Normalisation helps deep networks and high learning rates.
    kernel_initializer : str, default="auto"
        Distribution of the initial weights: "glorot_normal", "glorot_uniform", "he_normal",
        "he_uniform", "lecun_normal", "lecun_uniform" or "orthogonal". "auto" chooses the one that
        suits the activation of the layer: LeCun for "selu", Glorot for "identity", "logistic",
        "tanh" and the output layer, and He for all other activations.
    input_scaling : {"standard", "maxabs", "robust"} or None, default=None
        Scaling of each feature. "standard" gives each feature mean 0 and variance 1. "maxabs"
        divides by the largest absolute value. "robust" [5]_ subtracts the median, divides by the
        interquartile range (if that is 0, by half the difference between maximum and minimum), and
        sets `input_clip` to 3 if it is None. Use "maxabs" for pixels and counts, "standard" for
        tables.

        The statistics come from the training rows, with their sample weights; those of "robust"
        come from at most 100,000 rows. Each batch is scaled when it is cast to `dtype`, so scaling
        needs no copy of X, even if X holds integers. Sparse X is scaled but not shifted, and cannot
        be used with "robust".
        `partial_fit` and `warm_start` keep the statistics of the first call.
    input_clip : float or None, default=None
        Smooth limit c of the inputs, applied after `input_scaling`:
        ``x / sqrt(1 + (x / c)**2)`` [5]_. Try 3 for standardised tables with outliers or
        heavy-tailed features.
    categorical_features : "from_dtype", array-like or None, default="from_dtype"
        Categorical columns of X, as in `HistGradientBoostingClassifier`: a mask, indices or names
        of columns, or None for no columns. "from_dtype" selects the columns of a DataFrame
        (pandas, polars or any other library that narwhals supports) that hold categories, strings,
        booleans, or objects other than numbers. It selects no column of a numeric array: if a
        column holds codes, give its index.

        Each level (distinct value) of a categorical column becomes an input of zeros and ones,
        which is not scaled. Missing values are a level of their own. If there are rare levels, one
        more input stands for all of them: those that occur once, those beyond the 99 most frequent,
        and in `predict` those that were not in `fit`. Without rare levels, a level that was not in
        `fit` sets all inputs of the column to 0. In numeric columns, the median replaces missing
        values, and an additional input of zeros and ones marks them. `partial_fit` and `warm_start`
        keep the levels and medians of the first call.
    numerical_embedding : {"periodic", "piecewise_linear"} or None, default=None
        Additional inputs for each numeric feature. They help the network to fit classes that change
        abruptly along a feature. Each numeric feature gets `embedding_width` additional inputs.
        Each of these is a trained combination of 16 functions of the feature [10]_. The functions
        themselves are not trained: with "periodic", they are cosines with random frequencies and
        phases; with "piecewise_linear", ramps between quantiles of the training rows. They are
        applied to the features after `input_scaling`, so standardise the features. Categories are
        not embedded, and X must be dense. Try it on tables with few features.
    embedding_width : int, default=3
        Number of additional inputs for each numeric feature. Without `numerical_embedding` it has
        no effect.
    embedding_scale : float, default=0.1
        Standard deviation of the random frequencies of "periodic", in cycles per unit of the scaled
        feature. Larger values fit finer structure, but overfit sooner.
    class_weight : dict, "balanced", list of dict or None, default=None
        Weights of the classes, in the form that `sklearn.utils.class_weight.compute_class_weight`
        takes, or `compute_sample_weight` for multilabel targets. Classes that a dict does not
        contain have weight 1. Class weights multiply the sample weights, also on validation data.
        Use "balanced" if rare classes matter as much as frequent ones.
    alpha : float or "auto", default="auto"
        Strength of the L2 penalty. Raise it to reduce overfitting. In mini-batch training, the
        penalty of a step is divided by `batch_size_` times the mean weight of the training rows, so
        it is stronger with small batches.

        With "adamw", the loss has no penalty. Instead, each step multiplies the weights by 1 minus
        `alpha` times the current learning rate.

        "auto" is 225 divided by the number of training rows, but at least 0.05 and at most 0.6.
        With "lbfgs", it is 1. In `partial_fit`, it is 0.05 times `batch_size_` / 128, because the
        total number of rows is unknown. If the mean weight of the rows is less than 1, the
        value of "auto" is multiplied by this mean. The weight of a row is its sample weight times
        its class weight. Rows of weight 0 do not count in the mean. With "adamw", "auto" is always
        0.01.
    dropout : float, "auto" or list of float, default="auto"
        Share of the outputs of each hidden layer that is set to zero in training [6]_, or a list
        with one share for each hidden layer. "auto" is 0.1 in the first hidden layer and 0 in the
        others; with "lbfgs" it is 0 in all. Raise it to reduce overfitting, together with wider
        layers and more epochs.
    input_dropout : float, default=0.0
        Share of the inputs that is set to zero in training. Values up to 0.2 help if neighbouring
        features are redundant, as in images.
    input_noise : float, default=0.0
        Standard deviation of the Gaussian noise that is added to the scaled inputs in training.
        Try 0.1 to 0.3 to reduce overfitting. Cannot be used with sparse X, because noise would
        replace its zeros.
    augmentation : callable or None, default=None
        Function that changes each training batch at random, ``(inputs, rng) -> inputs``. `inputs`
        is an array of shape (n_rows, n_features) and dtype `dtype`, before scaling; the function
        may overwrite it. `rng` is the random generator of the fit. The function must return finite
        values of the same shape. Validation data and predictions are not changed. For images, see
        `skann.images`.

        With an augmentation, `input_scaling` multiplies all features by one factor, because
        distortions move values from one feature to another. This factor is the smallest of those
        that the features would have without an augmentation. Cannot be used with sparse X or
        "lbfgs".
    label_smoothing : float or "auto", default="auto"
        Share of each target that is spread evenly over all classes, in [0, 1). "auto" is 0.02, and
        0 with "lbfgs". Larger values such as 0.05 make the probabilities less extreme.
    max_norm : float or None, default=None
        Maximum norm of the weights into each hidden unit [6]_. After every step, larger weight
        vectors are rescaled to this norm. Try 2 to 4 together with dropout.
    solver : {"adam", "adamw", "sgd", "lbfgs"}, default="adam"
        Optimisation algorithm. "adam" [1]_, "adamw" (Adam with decoupled weight decay [4]_) and
        "sgd" (stochastic gradient descent) use mini-batches. "lbfgs" [2]_ uses all rows at once,
        in float64. It suits smooth, strongly penalised problems with up to a few thousand rows.
    batch_size : int or "auto", default="auto"
        Number of rows in a mini-batch, at most the number of training rows. "auto" is 256 from
        10,000 rows on; below that, ``3 * sqrt(n_rows)``, rounded to a power of two from 32 to 128.
        If the last batch would not be full, its rows and those of the batch before are divided
        evenly between the two. "lbfgs" ignores `batch_size`. Raise it for speed,
        together with `learning_rate_init`. Lower it if a small data set gets too few steps.
    shuffle : bool, default=True
        Whether to shuffle the rows before every epoch. Disable it only if the rows must keep their
        order.
    momentum : float, default=0.9
        Momentum of "sgd", in [0, 1). Lower it if the loss oscillates.
    nesterovs_momentum : bool, default=True
        Whether "sgd" uses Nesterov's momentum. Disable it only to reproduce results without it.
    beta_1 : float, default=0.9
        Decay rate of the first moment in "adam" and "adamw", in [0, 1). It rarely needs to be
        changed.
    beta_2 : float or "auto", default="auto"
        Decay rate of the second moment in "adam" and "adamw", in [0, 1). "auto" is 0.999 from
        10,000 rows on. With fewer rows, and in `partial_fit`, it is 0.95, which is more accurate on
        small tables [5]_.
    epsilon : float, default=1e-8
        Number that "adam" and "adamw" add to the square root of the second moment. Raise it if
        parameters with tiny gradients change too much.
    gradient_clip_norm : float or None, default=None
        Maximum norm of the gradient with respect to all parameters of a network. A larger gradient
        is rescaled to this norm before the step. Each member has its own gradient. Set it if the
        loss has spikes.
    ema_decay : float or None, default=None
        Decay of an exponential moving average of the parameters, in [0, 1). Validation and
        prediction use the average in place of the last parameters. Try 0.99 to 0.999 with a
        constant learning rate.
    max_fun : int, default=15000
        Maximum number of loss evaluations with "lbfgs". Raise it if a warning advises you to.
    learning_rate : str or callable, default="one_cycle"
        Schedule of the learning rate: a factor for every step, which multiplies
        `learning_rate_init`. Of the schedules below, the first five have an end: they run over all
        `max_iter` epochs.

        - "one_cycle": rises along a cosine for 30 % of the steps, then falls along a cosine to
          a factor of 1/10,000 [3]_.
        - "cosine": falls along a cosine to 0.
        - "linear": falls linearly to 0.
        - "exponential": falls by the same ratio at every step, to 1/100.
        - a callable: takes the number of completed steps and returns a factor of at least 0.
        - "constant": always 1.
        - "invscaling": ``(t + 1) ** -power_t``, where t is the number of rows seen in this fit.
        - "adaptive": constant, but divided by five whenever progress stops. If progress
          stops when the rate is already 1e-6 or less, training ends.

        Training with "constant" and "invscaling" ends when progress stops (see `tol`). If training
        with these two or with "adaptive" has not ended after `max_iter` epochs, there is a warning.
    learning_rate_init : float or "auto", default="auto"
        Learning rate that the schedule multiplies. For a schedule with an end, "auto" is 0.01 with
        "adam" and "adamw" (0.015 with "adam" and fewer than 10,000 rows) and 0.05 with "sgd". For
        other schedules and in `partial_fit`, it is 0.001 with "adam" and "adamw" and 0.01 with
        "sgd". Lower it if training diverges or the loss curve is noisy.
    power_t : float, default=0.5
        Exponent of "invscaling". Lower it if the learning rate falls too fast.
    warmup : float, default=0.0
        Length of the warm-up, as a share of all steps. During the warm-up, the learning rate of the
        schedule is multiplied by a factor that rises linearly from 0 to 1. Try 0.05 if training
        diverges early with a schedule that has no rise of its own.
    max_iter : int or "auto", default="auto"
        Maximum number of epochs, or of iterations with "lbfgs". It is also the length of a schedule
        with an end. "auto" is 200 for a schedule without an end and 2000 for "lbfgs". Otherwise it
        is ``400_000 / n_rows``, limited to 10 to 40. Raise it, together with dropout, if accuracy
        matters more than time.
    tol : float, default=1e-4
        Smallest improvement that counts as progress: of the training loss, or with `early_stopping`
        of the validation score. "lbfgs" stops when no entry of the gradient is larger than `tol`,
        or when an iteration lowers the loss by less than ``1e-4 * tol`` times the loss. Lower it if
        training stops too early.
    n_iter_no_change : int or inf, default=10
        Number of epochs without progress to tolerate. Raise it if the loss curve is noisy.
    early_stopping : bool, default=False
        Whether to stop when the score on validation data has not improved by at least `tol` for
        more than `n_iter_no_change` epochs, and to keep the weights of the best epoch. The
        validation data is `X_val` if you pass it to `fit`, otherwise a share of the training rows,
        stratified by class except for multilabel targets. A class with a single row stays in the
        training part. Use it when you train for many epochs.
    validation_fraction : float, default=0.1
        Share of the training rows to hold out with `early_stopping`. Rows with weight 0 are not
        held out. Raise it if there are few rows and the score is noisy.
    scoring : str, callable or None, default=None
        Score on the validation data: None for accuracy, "loss" for minus the loss, a name from
        `sklearn.metrics.get_scorer_names`, or a callable ``scoring(estimator, X, y) -> float``.
        Greater is always better. The positive class of a metric is the label 1 or, if no label is
        1, ``classes_[1]``. Choose "loss" if there are few validation rows or if probabilities
        matter.
    dtype : {"float32", "float64"}, default="float32"
        Data type of all computations. "float64" takes about twice as long; use it if more than six
        digits matter, or if the probabilities are to be calibrated. "lbfgs" always uses "float64".
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the validation split, the order of the rows, dropout, noise,
        augmentation, and the functions of a "periodic" embedding. With an int, the same data,
        versions and number of threads give exactly the same model. Set an int to compare settings.
    warm_start : bool, default=False
        Whether `fit` continues from the previous fit. It then keeps the weights, the state of the
        optimizer, `t_` and the random stream; with "lbfgs" it keeps the weights only. The
        learning-rate schedule starts again. Use it to train for longer, or on new rows of the same
        kind.
    verbose : bool, default=False
        Whether to print a line for every epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; the column numbers for multilabel targets.
    coefs_ : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer, in the order of the layers. With several members, all layers of the
        first member come first. The first matrix has one row for each input; if columns are
        encoded, there are more inputs than columns. The arrays are views of one vector with all
        parameters. To change the weights, assign an array to an entry of the list.
    intercepts_ : list of ndarray of shape (fan_out,)
        Biases of each layer, in the same order. The arrays are views of the same vector.
    n_features_in_ : int
        Number of features: the columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features. Defined only if X has feature names that are all strings.
    n_iter_ : int
        Number of epochs in the last call, or of iterations with "lbfgs".
    n_layers_ : int
        Number of layers, including the input and the output layer.
    n_outputs_ : int
        Number of outputs: one for two classes, otherwise one for each class or label.
    out_activation_ : {"logistic", "softmax"}
        Activation of the output layer.
    t_ : int
        Number of training rows seen since the weights were initialised; 0 with "lbfgs".
    loss_ : float
        Training loss of the last epoch, including the penalty. With several members, the mean of
        their losses.
    best_loss_ : float or None
        Lowest training loss of all epochs; None with `early_stopping`.
    loss_curve_ : list of float
        Training loss of each epoch. `fit` starts a new list; `partial_fit` appends to it.
    validation_scores_ : list of float or None
        Score on the validation data after each epoch: accuracy, or the score that `scoring`
        selects, with class and sample weights. None without validation data.
    best_validation_score_ : float or None
        Highest validation score; None without validation data.
    validation_loss_curve_ : list of float or None
        Loss on the validation data after each epoch, without the penalty. None without validation
        data.
    history_ : list of dict
        Record of each epoch. `fit` starts a new list; `partial_fit` appends to it. The keys are
        "epoch", "loss", "validation_score", "validation_loss", "learning_rate", "gradient_norm"
        and "seconds". The learning rate and the gradient norm are those of the last step; the norm
        is measured before clipping and without the penalty. The seconds do not include validation
        and callbacks. A value that does not exist is None.
    alpha_ : float
        Value of `alpha` that the fit used. If `alpha` is "auto", this is the number that "auto"
        stood for. The same holds for the attributes below.
    batch_size_ : int
        Number of rows in a batch.
    learning_rate_init_ : float
        Learning rate that the schedule multiplies.
    max_iter_ : int
        Maximum number of epochs.
    dropout_ : tuple of float
        Dropout rate of each hidden layer.
    label_smoothing_ : float
        Share of each target that is spread over all classes.
    beta_2_ : float
        Decay rate of the second moment.

    Raises
    ------
    ValueError
        Raised by `fit` if a parameter or the data is invalid, or if training diverges in the first
        epoch.
    MemoryError
        Raised by `fit` if the network does not fit into memory.

    See Also
    --------
    sklearn.neural_network.MLPClassifier : Scikit-learn's multi-layer perceptron.

    Notes
    -----
    For callbacks that you attach with `set_callbacks`, a fit is a task "fit" with one subtask
    "epoch" for every epoch. Training stops if the method `on_fit_task_end` of a callback returns
    True. `skann.callbacks.Checkpoint` saves a fit after every epoch, or after every few epochs; the
    method `resume` continues a saved fit.

    If you press Ctrl-C during `fit`, `resume` or `partial_fit`, training stops with a warning, the
    estimator keeps what it has learned, and `KeyboardInterrupt` is raised again, so that a search,
    a cross-validation or an ensemble stops as well. In a notebook, or if you catch
    `KeyboardInterrupt`, you can use the fitted estimator. If the first epoch has not ended, the
    estimator is not changed.

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
        beta_2="auto",
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
        # Inputs and classes.
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
        # The learning-rate schedule.
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.warmup = warmup
        self.max_iter = max_iter
        # Stopping and validation.
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.scoring = scoring
        # The fit itself.
        self.dtype = dtype
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose

    def predict(self, X: ArrayLike) -> NDArray:
        """Predict class labels.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Rows with the features that `fit` was given.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            The most probable class of each row; for multilabel targets, zeros and ones.
        """
        X = self._validated_rows(X)
        return self._model.predict(X, self._model.labels.decode)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy; for multilabel targets, the share of rows without any error.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Rows with the features that `fit` was given.
        y : array-like of shape (n_samples,) or indicator matrix (n_samples, n_labels)
            True labels of the rows. They may have another type than in `fit`: 1 equals 1.0 and
            True.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None for equal weights.

        Returns
        -------
        float
        """
        check_is_fitted(self)
        if sparse.issparse(y):
            check_indices(y, "y")
        return super().score(X, plain_labels(y), sample_weight)

    def predict_proba(self, X: ArrayLike) -> NDArray:
        """Predict class probabilities, which are always greater than 0 and less than 1.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Rows with the features that `fit` was given.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), in the computing dtype
            Probabilities, in the order of `classes_`. Each row sums to 1, except for multilabel
            targets, where each column is the probability of one label.
        """
        X = self._validated_rows(X)
        return self._model.predict(X, LOSSES[self._model.labels.kind].probabilities)

    def predict_log_proba(self, X: ArrayLike) -> NDArray:
        """Predict the logarithms of the class probabilities.

        They are computed from the raw scores, so they are accurate even if the dtype cannot
        represent a probability that is close to 0 or 1.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Rows with the features that `fit` was given.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), in the computing dtype
            Logarithms of the probabilities, in the order of `classes_`.
        """
        X = self._validated_rows(X)
        return self._model.predict(X, LOSSES[self._model.labels.kind].log_probabilities)

    def decision_function(self, X: ArrayLike) -> NDArray:
        """Return the raw scores (logits).

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Rows with the features that `fit` was given.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes), in the computing dtype
            Raw scores, in the order of `classes_`. For two classes, there is one score per row; it
            is positive for ``classes_[1]``.
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
    """Return raw scores in scikit-learn's shape: a vector if there is a single output."""
    return logits[0] if len(logits) == 1 else logits.T.copy()
