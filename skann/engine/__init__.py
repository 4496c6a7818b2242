"""The engine: networks and their training, with NumPy and SciPy only.

No module in this package imports scikit-learn. The modules in ``skann`` connect the two.
"""
