"""A neural-network classifier for scikit-learn users, built on NumPy and SciPy."""

from skann.classifier import ANNClassifier
from skann.plotting import MisclassifiedDisplay, SearchDisplay, TrainingCurveDisplay, WeightsDisplay
from skann.summary import show_versions
from skann.version import VERSION

__version__ = VERSION

__all__ = [
    "ANNClassifier",
    "MisclassifiedDisplay",
    "SearchDisplay",
    "TrainingCurveDisplay",
    "WeightsDisplay",
    "__version__",
    "show_versions",
]
