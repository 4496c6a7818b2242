"""Pictures of a network: how it learned, its weights, its search, its mistakes.

matplotlib is imported where something is drawn, never before.
"""

from skann.plotting.misclassified import MisclassifiedDisplay
from skann.plotting.search import SearchDisplay
from skann.plotting.training_curve import TrainingCurveDisplay
from skann.plotting.weights import WeightsDisplay

__all__ = ["MisclassifiedDisplay", "SearchDisplay", "TrainingCurveDisplay", "WeightsDisplay"]
