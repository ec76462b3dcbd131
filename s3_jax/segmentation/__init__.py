"""Open-vocabulary segmentation: protocols, sliding windows, mean IoU."""

from s3_jax.segmentation.inference import (
  NameClassifier,
  Target,
  label_windows,
  segment_image,
)
from s3_jax.segmentation.measures import (
  IGNORED,
  PixelCounts,
  SegmentationResult,
  compare_segmentations,
  confusion_matrix,
  count_pixels,
  image_iou,
  sum_pairs,
  summarise_segmentation,
)
from s3_jax.segmentation.protocols import (
  SEGMENTATION_PROTOCOLS,
  SegmentationProtocol,
)
from s3_jax.segmentation.window_embedding import (
  EMBEDDINGS,
  WindowPatches,
  check_embeddings,
  embed_windows,
)

__all__ = [
  "EMBEDDINGS",
  "IGNORED",
  "SEGMENTATION_PROTOCOLS",
  "NameClassifier",
  "PixelCounts",
  "SegmentationProtocol",
  "SegmentationResult",
  "Target",
  "WindowPatches",
  "check_embeddings",
  "compare_segmentations",
  "confusion_matrix",
  "count_pixels",
  "embed_windows",
  "image_iou",
  "label_windows",
  "segment_image",
  "sum_pairs",
  "summarise_segmentation",
]
