"""Displays: plots of training curves, first-layer weights, searches and misclassified samples.

matplotlib is imported only when something is drawn.
"""

from skann.plotting.misclassified import MisclassifiedDisplay
from skann.plotting.search import SearchDisplay
from skann.plotting.training_curve import TrainingCurveDisplay
from skann.plotting.weights import WeightsDisplay

__all__ = ["MisclassifiedDisplay", "SearchDisplay", "TrainingCurveDisplay", "WeightsDisplay"]
