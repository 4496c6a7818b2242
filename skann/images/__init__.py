"""Images: from files to rows of inputs, and random distortions to train with."""

from skann.images.distortions import ElasticTransform, RandomAffine

__all__ = ["ElasticTransform", "RandomAffine"]
