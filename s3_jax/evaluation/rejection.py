"""Whether an image is of none of the classes, judged by names of other things.

The names of things that have nothing to do with the classes are a sample of
what a wrong name scores on an image. An image of none of the classes has only
wrong names, so the cosine of its nearest class text is the highest of some
draws from that sample; the count of unrelated names that reach it says how
likely that is. No image and no label is needed to set the threshold.

What the bound rests on is that texts of classes and unrelated names are
exchangeable on such an image; docs/PREDICT.md has what was measured.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

__all__ = [
  "answer_by_share",
  "answer_by_texts",
  "auroc",
  "count_names_above",
  "false_positive_rate",
  "least_error",
  "none_p_values",
  "selective_precision",
  "unrelated_names",
]

RELATED = 0.005
"""A class is related to a name that has it among this share of its nearest."""

_ROUNDING = 1e-12  # of a p-value, which may be just what is allowed

_BLOCK = 1024  # names that are compared with all others at a time


def unrelated_names(
  names: Float[Array | np.ndarray, "names dim"],
  texts: Float[Array | np.ndarray, "texts dim"],
  *,
  related: float = RELATED,
) -> Bool[np.ndarray, " names"]:
  """Says which names have nothing to do with any text of the classes.

  A name is related to a text that is among its nearest: nearer than all but
  fewer than `related` · names of the other names. That leaves out the breeds
  where "dog" is a class, whatever the scale of a checkpoint's cosines.

  Args:
    names: unit embeddings of candidates.
    texts: unit embeddings of all texts of all classes, in the same template.
    related: share of the names, in [0, 1]; 0 leaves out none.

  Returns:
    True where a name is unrelated.

  References:
    Ours. NegLabel (arXiv 2403.20078) takes the names that are farthest from the
    classes instead, on which no share of false answers can rest.
  """
  candidates = np.asarray(names, np.float32)
  nearest = np.max(candidates @ np.asarray(texts, np.float32).T, axis=1)
  least = math.ceil(related * len(candidates))
  kept = np.ones(len(candidates), bool)
  for start in range(0, len(candidates), _BLOCK):
    block = slice(start, start + _BLOCK)
    cosines = candidates[block] @ candidates.T
    rows = np.arange(len(cosines))
    cosines[rows, start + rows] = -np.inf  # a name is none of the others
    nearer = np.sum(cosines > nearest[block, None], axis=1)
    kept[block] = nearer >= least
  return kept


def count_names_above(
  embeddings: Float[Array | np.ndarray, "images dim"],
  cosines: Float[Array | np.ndarray, " images"],
  names: Float[Array | np.ndarray, "names dim"],
) -> Int[Array, " images"]:
  """Counts the unrelated names that are as near to an image as its best text.

  Args:
    embeddings: of images, unit.
    cosines: of each image and the nearest text of its best class.
    names: unit embeddings of unrelated names.

  Returns:
    i32, names whose cosine is not below.

  References:
    Ours.
  """
  return _count(
    *(jnp.asarray(x, jnp.float32) for x in (embeddings, names)),
    jnp.asarray(cosines, jnp.float32),
  )


@functools.partial(jax.jit)
def _count(embeddings, names, cosines):
  found = jnp.matmul(embeddings, names.T, precision=jax.lax.Precision.HIGHEST)
  return jnp.sum(found >= cosines[:, None], axis=1, dtype=jnp.int32)


def none_p_values(
  above: Int[np.ndarray, " images"], *, texts: int, names: int
) -> Float[np.ndarray, " images"]:
  """Returns how often an image of no class would look as good by chance.

  If the T texts of the classes and the M unrelated names are exchangeable on an
  image, at most k of the names reach the best of the texts with probability

      1 - C(M, k + 1) / C(M + T, k + 1),

  as the k + 1 best of all must then hold a text. The p-value is exact for that
  best text, and too large for any other: the nearest text of the class that a
  metric prefers keeps the bound.

  Args:
    above: k, names that reach the text's cosine, in 0..M.
    texts: T, of all classes, >= 1.
    names: M, >= 1.

  Returns:
    f64 in [0, 1], small where the image is of a class.

  Raises:
    ValueError: for counts outside their ranges.

  References:
    A permutation test of ranks; its use here is ours.
  """
  if texts < 1 or names < 1:
    raise ValueError(
      f"`texts` and `names` must be >= 1, got {texts} and {names}."
    )
  above = np.asarray(above)
  if above.size and not 0 <= above.min() <= above.max() <= names:
    raise ValueError(
      f"`above` must be in 0..{names}, got {above.min()} to {above.max()}."
    )
  ranks = np.arange(names + 1, dtype=np.float64)
  with np.errstate(divide="ignore"):  # all M names above: p is 1
    logs = np.log((names - ranks) / (names + texts - ranks))
  return -np.expm1(np.cumsum(logs))[above]


def least_error(*, texts: int, names: int) -> float:
  """Returns the smallest p-value there is: no name reaches the text."""
  return texts / (texts + names)


def answer_by_texts(
  above: Int[np.ndarray, " images"],
  *,
  texts: int,
  names: int,
  false_answers: float,
) -> Bool[np.ndarray, " images"]:
  """Says which images get an answer: those with a small enough p-value.

  Args:
    above: as `count_names_above` counts.
    texts: of all classes.
    names: that are unrelated.
    false_answers: share of images of no class that may get one, in (0, 1).

  Returns:
    True where an image is answered, False for "none of these".

  References:
    Ours.
  """
  p_values = none_p_values(above, texts=texts, names=names)
  return p_values <= false_answers + _ROUNDING


def answer_by_share(
  above: Int[np.ndarray, " images"],
  cosines: Float[np.ndarray, " images"],
  *,
  share: float,
) -> Bool[np.ndarray, " images"]:
  """Refuses a share of the images: those that most unrelated names reach.

  Of equal counts the lower cosine goes first, then the later image.

  Args:
    above: as `count_names_above` counts.
    cosines: of each image and its nearest text.
    share: of the images, in [0, 1], rounded to a whole number of them.

  Returns:
    True where an image is answered.

  References:
    Selective classification (Geifman and El-Yaniv, arXiv 1705.08500) with
    coverage 1 - share; the order is ours.
  """
  places = -np.arange(len(above))
  order = np.lexsort((places, cosines, -np.asarray(above)))
  answered = np.ones(len(above), bool)
  answered[order[: math.floor(share * len(above) + 0.5)]] = False
  return answered


def auroc(
  of_classes: Float[np.ndarray, " images"],
  of_none: Float[np.ndarray, " others"],
) -> float:
  """Returns how often an image of a class is above one of none.

  Equal values count one half. 0.5 is chance, 1 separates them.

  Args:
    of_classes: any statistic, larger = of a class; >= 1 image.
    of_none: the same of images of no class; >= 1.

  References:
    Area under the receiver operating characteristic, as Hendrycks and Gimpel
    (arXiv 1610.02136) use it; computed as the Mann-Whitney statistic.
  """
  _require_both(of_classes, of_none)
  ordered = np.sort(of_none)
  below = np.searchsorted(ordered, of_classes, side="left")
  not_above = np.searchsorted(ordered, of_classes, side="right")
  wins = np.sum(below + not_above, dtype=np.float64) / 2
  return float(wins / (len(of_classes) * len(of_none)))


def false_positive_rate(
  of_classes: Float[np.ndarray, " images"],
  of_none: Float[np.ndarray, " others"],
  *,
  recall: float = 0.95,
) -> float:
  """Returns the share of images of no class that are answered.

  The threshold is the highest at which at least `recall` of the images of
  classes are answered; values at the threshold are.

  Args:
    of_classes: any statistic, larger = of a class; >= 1 image.
    of_none: the same of images of no class; >= 1.
    recall: in (0, 1].

  References:
    "FPR at 95 % TPR" of ODIN (arXiv 1706.02690).
  """
  _require_both(of_classes, of_none)
  answered = math.ceil(recall * len(of_classes) - 1e-9)
  threshold = np.sort(of_classes)[::-1][max(answered, 1) - 1]
  return float(np.mean(np.asarray(of_none) >= threshold))


def _require_both(of_classes: np.ndarray, of_none: np.ndarray) -> None:
  if not (len(of_classes) and len(of_none)):
    raise ValueError(
      "`of_classes` and `of_none` must hold an image each, got"
      f" {len(of_classes)} and {len(of_none)}."
    )


def selective_precision(
  answered: Bool[np.ndarray, " images"], correct: Bool[np.ndarray, " images"]
) -> tuple[float, float]:
  """Returns coverage, the share answered, and precision, the right of these.

  Args:
    answered: which images get an answer.
    correct: whose answer is right; of no class, none is.

  Returns:
    Coverage, NaN without an image; precision, NaN without an answer.

  References:
    Selective classification (arXiv 1705.08500); precision is one less the
    selective risk.
  """
  images, given = len(answered), int(np.sum(answered))
  right = int(np.sum(np.asarray(answered) & np.asarray(correct)))
  coverage = given / images if images else math.nan
  return coverage, right / given if given else math.nan
