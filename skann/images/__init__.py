"""Image input: reading image files as rows, and random distortions for training."""

from skann.images.digits import split_digits
from skann.images.distortions import ElasticTransform, RandomAffine
from skann.images.opening import PictureError
from skann.images.reader import ImageReader

__all__ = ["ElasticTransform", "ImageReader", "PictureError", "RandomAffine", "split_digits"]
