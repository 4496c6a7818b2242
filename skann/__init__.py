"""A neural-network classifier for scikit-learn users, on NumPy alone."""

from skann.classifier import ANNClassifier
from skann.inspection import show_versions
from skann.plotting import (
    MisclassifiedDisplay,
    SearchDisplay,
    TrainingCurveDisplay,
    WeightsDisplay,
)

__version__ = "0.1.0"

__all__ = [
    "ANNClassifier",
    "MisclassifiedDisplay",
    "SearchDisplay",
    "TrainingCurveDisplay",
    "WeightsDisplay",
    "__version__",
    "show_versions",
]
