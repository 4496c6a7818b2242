"""A neural-network classifier for scikit-learn users, on NumPy alone."""

from skann.classifier import ANNClassifier

__version__ = "0.1.0"

__all__ = ["ANNClassifier", "__version__"]
