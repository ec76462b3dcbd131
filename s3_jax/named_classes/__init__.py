"""From words to spaces and from images to names, as two functions.

What a run of predictions does, for a program of one's own.
"""

from s3_jax.named_classes.answers import Predictions, classify
from s3_jax.named_classes.spaces import NamedSpace, embed_classes

__all__ = ["NamedSpace", "Predictions", "classify", "embed_classes"]
