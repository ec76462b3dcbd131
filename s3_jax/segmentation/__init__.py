"""Open-vocabulary segmentation: protocols, sliding windows, mean IoU."""

from s3_jax.segmentation.inference import (
  NameClassifier,
  Target,
  WindowPatches,
  embed_windows,
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
  merge_counts,
  stack_counts,
  summarise_segmentation,
)
from s3_jax.segmentation.protocols import (
  SEGMENTATION_PROTOCOLS,
  SegmentationProtocol,
)

__all__ = [
  "IGNORED",
  "SEGMENTATION_PROTOCOLS",
  "NameClassifier",
  "PixelCounts",
  "SegmentationProtocol",
  "SegmentationResult",
  "Target",
  "WindowPatches",
  "compare_segmentations",
  "confusion_matrix",
  "count_pixels",
  "embed_windows",
  "label_windows",
  "merge_counts",
  "segment_image",
  "stack_counts",
  "summarise_segmentation",
]
