"""A neural-network classifier for scikit-learn users, built on NumPy and SciPy.

Import from here the classifier, the functions and displays for it. Optional additions are in
submodules: `skann.callbacks`, `skann.images` (image input) and `skann.export` (ONNX and skops).
"""

from skann.classifier import ANNClassifier
from skann.learning_rate import LearningRateDisplay, find_learning_rate
from skann.plotting import MisclassifiedDisplay, SearchDisplay, TrainingCurveDisplay, WeightsDisplay
from skann.summary import show_versions
from skann.version import VERSION

__version__ = VERSION

__all__ = [
    "ANNClassifier",
    "LearningRateDisplay",
    "MisclassifiedDisplay",
    "SearchDisplay",
    "TrainingCurveDisplay",
    "WeightsDisplay",
    "__version__",
    "find_learning_rate",
    "show_versions",
]


def __dir__() -> list[str]:
    """Return the public names, without the internal modules."""
    return __all__
