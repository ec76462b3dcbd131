"""From scores of patches to labels of pixels, in bounded memory.

Everything between the patch scores and the softmax is linear, so that it is two
products with small matrices (`windows.axis_weights`), and the map is made in
blocks of rows: scores of all names at all pixels never exist at once.

Memory: the patch scores, and two arrays of at most 2^22 numbers (16 MiB) for a
block, unless one row of the image needs more.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int32

from s3_jax.segmentation.protocols import SegmentationProtocol

_MAX_NUMBERS = 1 << 22
"""Numbers in the largest array of a block of rows."""

_MULTIPLE = 64
"""Sizes are padded to a multiple of it: images of other sizes share code."""


def label_pixels(
  scores: Float32[Array, "patch_rows names patch_cols"],
  to_rows: Float32[np.ndarray, "rows patch_rows"],
  to_cols: Float32[np.ndarray, "cols patch_cols"],
  class_index: Int32[np.ndarray, " names"],
  protocol: SegmentationProtocol,
) -> Int32[np.ndarray, "rows cols"]:
  """Brings scores to the pixels and decides, block by block of rows.

  Rows and columns of patches run over windows, then patches; `class_index` is
  ascending and holds every class from 0.

  References:
    The decisions are those of SCLIP's `postprocess_result`.
  """
  (rows, _), cols = to_rows.shape, len(to_cols)
  to_cols = np.pad(to_cols, ((0, -cols % _MULTIPLE), (0, 0)))
  block = block_rows(rows, len(to_cols), len(class_index), to_cols.shape[1])
  to_rows = np.pad(to_rows, ((0, -rows % block), (0, 0)))

  def label(kept, threshold):
    labels = [
      _label_block(
        scores,
        to_rows[start : start + block],
        to_cols,
        class_index,
        kept[class_index],
        np.float32(protocol.logit_factor),
        np.float32(threshold) if threshold else None,
      )
      for start in range(0, len(to_rows), block)
    ]
    return np.concatenate([np.asarray(part) for part in labels])[:rows, :cols]

  kept = np.ones((class_index[-1] + 1,), bool)
  if protocol.area_threshold > 0:
    labels = label(kept, 0.0)
    areas = np.bincount(labels.ravel(), minlength=len(kept))
    kept = areas > protocol.area_threshold * np.sum(areas[1:])
    kept[0] = True
  return label(kept, protocol.prob_threshold)


def block_rows(rows: int, cols: int, names: int, patch_cols: int) -> int:
  """Says how many rows of an image the bound on memory allows, at least 1."""
  fitting = _MAX_NUMBERS // (names * max(cols, patch_cols))
  return max(1, min(fitting, rows + -rows % _MULTIPLE))


@jax.jit
def _label_block(
  scores: Float32[Array, "patch_rows names patch_cols"],
  to_rows: Float32[Array, "rows patch_rows"],
  to_cols: Float32[Array, "cols patch_cols"],
  class_index: Int32[Array, " names"],
  kept: Bool[Array, " names"],
  factor: Float32[Array, ""],
  threshold: Float32[Array, ""] | None,
) -> Int32[Array, "rows cols"]:
  """Labels a block of rows.

  The best of all names belongs to the class whose best name is best, so the
  maximum over a class's names needs no step of its own. A name that is not
  kept has no part in the maximum, and still one in the softmax; without a
  threshold nobody asks for that, and it is as dear as all the rest.
  """
  exact = jax.lax.Precision.HIGHEST
  scores = jnp.einsum("rp,pnq->rnq", to_rows, scores, precision=exact)
  logits = jnp.einsum("rnq,cq->rnc", scores, to_cols, precision=exact)
  logits *= factor
  candidates = jnp.where(kept[None, :, None], logits, -jnp.inf)
  labels = class_index[jnp.argmax(candidates, axis=1)]
  if threshold is None:
    return labels
  total = jax.nn.logsumexp(logits, axis=1)
  probability = jnp.exp(jnp.max(candidates, axis=1) - total)
  return jnp.where(probability < threshold, 0, labels)
