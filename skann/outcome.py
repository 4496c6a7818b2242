"""What a user is told of how training ended."""

import warnings

from sklearn.exceptions import ConvergenceWarning

from skann.engine.fitting import Outcome, Settings

DIVERGED = (
    "Training diverged: the loss is no longer a finite number. The likely causes are features on"
    " very different scales (try input_scaling='standard', or a StandardScaler in a Pipeline) and"
    " too high a learning_rate_init."
)


def warn_of(outcome: Outcome, settings: Settings) -> None:
    """Warn if training ended otherwise than it should, at the line that called `fit`.

    Parameters
    ----------
    outcome : Outcome
        How it ended.
    settings : Settings
        What it was to do.
    """
    stopping = outcome.stopping
    n_iter = len(stopping.loss_curve)
    if stopping.reason == "interrupted":
        warnings.warn("Training interrupted by user.", stacklevel=4)
        return
    message = ""
    if stopping.reason == "diverged":
        kept = "the best epoch" if settings.early_stopping else f"epoch {n_iter - 1}"
        message = f"{DIVERGED} The weights of {kept} are kept."
    elif stopping.reason == "max_iter":
        message = (
            f"Stochastic optimizer: maximum iterations ({settings.max_iter}) reached and the"
            " optimization hasn't converged yet. Raise max_iter, or choose a learning_rate"
            " schedule with an end."
        )
    elif outcome.message:
        message = (
            f"lbfgs failed to converge after {n_iter} iterations: {outcome.message}. Raise"
            " max_iter or max_fun, or scale the data."
        )
    if message:
        warnings.warn(message, ConvergenceWarning, stacklevel=4)
