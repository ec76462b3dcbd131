"""One image to one map of labels, by a protocol.

`segment_image` is `embed_windows`, which runs the tower, and then
`label_windows`, which several targets can share the embeddings of.

Every patch of every window is scored against the texts; scores are brought to
the original's pixels (`windows`) and make labels (`label_map`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int32, UInt8

from s3_jax.clip import ModelSpec
from s3_jax.messages import nearest
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.segmentation.label_map import label_pixels
from s3_jax.segmentation.protocols import (
  SegmentationProtocol,
  check_protocol,
)
from s3_jax.segmentation.window_embedding import WindowPatches, embed_windows
from s3_jax.space import SynonymousSpace
from s3_jax.zero_shot import zero_shot_scores


class NameClassifier(NamedTuple):
  """Names of classes, each with its own vector: the papers' baseline.

  The softmax runs over all names, and a class has the probability of its best
  name. Class 0 is what thresholds fall back to: the background, if there is
  one.

  Attributes:
    embeddings: f32[names, dim], one unit row a name.
    class_index: i32[names], the class of each; every class has a name.
  """

  embeddings: Float[Array | np.ndarray, "names dim"]
  class_index: Int[Array | np.ndarray, " names"]


Target = (
  NameClassifier
  | tuple[
    SynonymousSpace, str | Callable[[Any, SynonymousSpace], Float[Array, "..."]]
  ]
)


def segment_image(
  spec: ModelSpec,
  params: Any,
  image: UInt8[Array | np.ndarray, "rows cols 3"],
  target: Target,
  *,
  protocol: SegmentationProtocol,
  dtype: str = "float32",
) -> Int32[np.ndarray, "rows cols"]:
  """Gives every pixel of an image the class that its surroundings look like.

  In this order: resize; windows; cosines of patches and names, or scores of
  patches and spaces; bilinear to the window's size; mean over overlapping
  windows; bilinear to the image's own size; times the factor; softmax over all
  names, or over all classes where they are spaces; the best name of each class;
  classes that are too small given up; argmax, at equal scores the lowest class;
  class 0 where the best probability is below the threshold.

  Args:
    spec: the checkpoint's settings; a ViT with a class token.
    params: the checkpoint's parameters, both towers.
    image: RGB pixels at the size that the labels shall have.
    target: a `NameClassifier`, or a pair of a `SynonymousSpace` and a metric:
      a name of `POINT_TO_SPACE`, or a function of embeddings f32[..., dim] and
      the space that gives scores f32[..., classes], larger = closer.
    protocol: all other settings, such as `SEGMENTATION_PROTOCOLS["sclip"]`.
    dtype: type in which the tower multiplies, "float32" or "bfloat16".

  Returns:
    Class indices.

  Raises:
    ValueError: the protocol, the target or the checkpoint cannot be used, the
      image is empty or, after the resize, narrower than a patch, or a score is
      not finite.

  References:
    The order of the steps is that of SCLIP (github.com/wangf3014/SCLIP,
    clip_segmentor.py), as in ClearCLIP, and of mmseg's whole inference for
    MaskCLIP. Scores of spaces in the place of cosines are ours.
  """
  (patches,) = embed_windows(
    spec, params, [image], protocol=protocol, dtype=dtype
  )
  return label_windows(patches, target, protocol=protocol)


def label_windows(
  patches: WindowPatches, target: Target, *, protocol: SegmentationProtocol
) -> Int32[np.ndarray, "rows cols"]:
  """Labels an image whose patches are embedded.

  Args:
    patches: from `embed_windows`.
    target: as in `segment_image`.
    protocol: only its factor and its thresholds matter here.

  Returns:
    Class indices.

  Raises:
    ValueError: the protocol or the target cannot be used, or a score is not
      finite.

  References:
    As `segment_image`.
  """
  check_protocol(protocol)
  embeddings = patches.embeddings
  score, class_index = _read_target(target, embeddings.shape[-1])
  scores = np.asarray(score(jnp.asarray(embeddings)), np.float32)
  if not np.isfinite(scores).all():
    raise ValueError(
      "scores of patches must be finite, got NaN or inf; check `params`, "
      "`target` and the metric."
    )
  # [row of windows, row of patches, name, column of windows, of patches]
  scores = scores.transpose(0, 2, 4, 1, 3).reshape(
    patches.to_rows.shape[1], scores.shape[-1], patches.to_cols.shape[1]
  )
  return label_pixels(
    jnp.asarray(scores), patches.to_rows, patches.to_cols, class_index, protocol
  )


def _read_target(
  target: Target, dim: int
) -> tuple[Callable[[Array], Array], Int32[np.ndarray, " names"]]:
  """Gives a function of patch embeddings, and the class of each score.

  Names are put in the order of their classes, so that the first of equal
  scores belongs to the lowest class.
  """
  if not isinstance(target, NameClassifier):
    space, metric = target
    if isinstance(metric, str):
      if metric not in POINT_TO_SPACE:
        raise ValueError(
          f"the metric of `target` must be one of {nearest(POINT_TO_SPACE)}, "
          f"or a function, got {metric!r}."
        )
      metric = POINT_TO_SPACE[metric]
    classes = np.arange(space.mask.shape[0], dtype=np.int32)
    if not classes.size:
      raise ValueError("`target` must hold at least one class, got 0.")
    return lambda patches: metric(patches, space), classes
  embeddings = np.asarray(target.embeddings, np.float32)
  classes = np.asarray(target.class_index, np.int32)
  if embeddings.shape[1] != dim or len(embeddings) != len(classes):
    raise ValueError(
      "`target` must hold an embedding of the checkpoint's dim, "
      f"{dim}, and a class for each name, got embeddings "
      f"{list(embeddings.shape)} and {len(classes)} classes."
    )
  if not classes.size:
    raise ValueError("`target` must hold at least one name, got 0.")
  found = np.unique(classes)
  if found[0] < 0:
    raise ValueError(f"`class_index` of `target` must be >= 0, got {found[0]}.")
  if len(found) != found[-1] + 1:
    missing = int(np.flatnonzero(found != np.arange(len(found)))[0])
    raise ValueError(
      "`class_index` of `target` must hold every class from 0 to "
      f"{found[-1]}, got none of class {missing}; give each class a name."
    )
  order = np.argsort(classes, kind="stable")
  names = jnp.asarray(embeddings[order])
  return lambda patches: _score_names(patches, names), classes[order]


_score_names = jax.jit(zero_shot_scores)
