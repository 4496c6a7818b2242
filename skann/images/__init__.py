"""Images: from files to rows of inputs, and random distortions to train with."""

from skann.images.digits import split_digits
from skann.images.distortions import ElasticTransform, RandomAffine
from skann.images.reader import ImageReader

__all__ = ["ElasticTransform", "ImageReader", "RandomAffine", "split_digits"]
