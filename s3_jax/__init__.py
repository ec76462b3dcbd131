"""S3: classification by synonymous semantic spaces, in JAX.

A class is a space of many texts instead of one point. `two_witnesses` says
which texts belong, `build_space` makes the space of them, and the functions of
`POINT_TO_SPACE` score an image's embedding against every class; `adapt_space`
shifts the spaces at test time. `segment_image` labels every pixel by one of
`SEGMENTATION_PROTOCOLS`.
"""

from s3_jax.adaptation import (
  adapt_space,
  adapted_scores,
  average_views,
  majority_vote,
  robust_mean_shift,
  spectral_directions,
)
from s3_jax.clip import (
  ModelSpec,
  embed_images,
  embed_patches,
  embed_texts,
  list_models,
  load_clip,
  normalize_images,
)
from s3_jax.embeddings import (
  chordal_distances,
  gram_matrix,
  l2_normalize,
  probabilities,
  template_mean,
)
from s3_jax.named_classes import (
  NamedSpace,
  Predictions,
  classify,
  embed_classes,
)
from s3_jax.point_to_space import (
  POINT_TO_SPACE,
  Projection,
  point_to_center,
  point_to_local_center,
  point_to_mean_similarity,
  point_to_nearest_point,
  project_to_complex,
  project_to_hull,
)
from s3_jax.segmentation import (
  SEGMENTATION_PROTOCOLS,
  NameClassifier,
  segment_image,
)
from s3_jax.space import (
  SynonymousSpace,
  attach_complex,
  build_space,
  exclude_shared,
  load_space,
  save_space,
  two_witnesses,
)
from s3_jax.storage import (
  pad_texts,
  read_image_embeddings,
  read_text_embeddings,
)
from s3_jax.topology import (
  RipsComplex,
  connected_components,
  h0_persistence,
  persistence_pairs,
  rips_complex,
)
from s3_jax.zero_shot import (
  name_classifier,
  random_synonym_classifier,
  template_classifier,
  zero_shot_scores,
)

__version__ = "0.1.0"

__all__ = [
  "ModelSpec",
  "NameClassifier",
  "NamedSpace",
  "POINT_TO_SPACE",
  "Predictions",
  "Projection",
  "RipsComplex",
  "SEGMENTATION_PROTOCOLS",
  "SynonymousSpace",
  "adapt_space",
  "adapted_scores",
  "attach_complex",
  "average_views",
  "build_space",
  "chordal_distances",
  "classify",
  "connected_components",
  "embed_classes",
  "embed_images",
  "embed_patches",
  "embed_texts",
  "exclude_shared",
  "gram_matrix",
  "h0_persistence",
  "l2_normalize",
  "list_models",
  "load_clip",
  "load_space",
  "majority_vote",
  "name_classifier",
  "normalize_images",
  "pad_texts",
  "persistence_pairs",
  "point_to_center",
  "point_to_local_center",
  "point_to_mean_similarity",
  "point_to_nearest_point",
  "probabilities",
  "project_to_complex",
  "project_to_hull",
  "random_synonym_classifier",
  "read_image_embeddings",
  "read_text_embeddings",
  "rips_complex",
  "robust_mean_shift",
  "save_space",
  "segment_image",
  "spectral_directions",
  "template_classifier",
  "template_mean",
  "two_witnesses",
  "zero_shot_scores",
]
