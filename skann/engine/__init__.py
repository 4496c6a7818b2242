"""The engine: networks and their training on NumPy and SciPy alone.

Nothing below this package imports scikit-learn; ``skann.classifier`` is the only
place where the two meet.
"""
