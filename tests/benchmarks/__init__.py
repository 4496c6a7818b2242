"""Benchmarks of skann and its peers: ``python -m tests.benchmarks --help``."""
