"""What became of the texts of each class, in rows that a person can read."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool

from s3_jax.space import checks
from s3_jax.space.build import SynonymousSpace

_BLOCK = 64
"""Classes at a time, when the nearest text of another class is looked up."""


class KeptRow(NamedTuple):
  """What a class's core kept.

  Attributes:
    label: index of the class.
    name: its text 0, the class name; empty for a class without texts.
    texts: number of its real texts.
    kept: number of texts in its core.
    removed: the texts outside the core, in the order given.
    max_edge_length: its scale, chordal.
    is_cut: whether texts were left out when its space was built: the scale is
      below the one that connects them, or they were no texts of the space.
  """

  label: int
  name: str
  texts: int
  kept: int
  removed: tuple[str, ...]
  max_edge_length: float
  is_cut: bool


class SharedRow(NamedTuple):
  """A text that its class lost to another class.

  Attributes:
    label: index of the class.
    name: its text 0, the class name.
    text: the text that was dropped.
    own: its largest similarity to another core text of its class.
    other: its largest similarity to a core text of another class.
    other_label: index of that class.
    other_text: that core text.
  """

  label: int
  name: str
  text: str
  own: float
  other: float
  other_label: int
  other_text: str


def kept_report(
  space: SynonymousSpace,
  mask: Bool[Array | np.ndarray, "classes synonyms"],
  texts: Sequence[Sequence[str]],
) -> tuple[KeptRow, ...]:
  """Lists what each class's core kept and what it left out.

  Args:
    space: the spaces; after `exclude_shared` shared texts count as removed.
    mask: which texts are real, as given to `build_space`.
    texts: of each class, in the order of the vertices; those of padding may be
      left off at the end.

  Returns:
    One row a class.

  Raises:
    ValueError: the arguments disagree in shape or number.

  References:
    Ours.
  """
  checks.check_mask(mask, space.mask.shape, "space")
  real, core = np.asarray(mask), np.asarray(space.mask)
  _check_texts(texts, real)
  scales = np.asarray(space.max_edge_length)
  deaths = np.asarray(space.deaths)
  finite = np.where(np.isfinite(deaths), deaths, 0.0)
  connecting = np.max(finite, axis=1, initial=0.0)
  built = np.isfinite(deaths).sum(axis=1) + 1  # texts that a space was built of
  rows = []
  for label, names in enumerate(texts):
    removed = np.flatnonzero(real[label] & ~core[label])
    rows.append(
      KeptRow(
        label,
        names[0] if names else "",
        int(real[label].sum()),
        int(core[label].sum()),
        tuple(names[text] for text in removed.tolist()),
        float(scales[label]),
        bool(
          scales[label] < connecting[label] or built[label] < real[label].sum()
        ),
      )
    )
  return tuple(rows)


def shared_report(
  before: SynonymousSpace,
  after: SynonymousSpace,
  texts: Sequence[Sequence[str]],
) -> tuple[SharedRow, ...]:
  """Lists the texts that `exclude_shared` dropped, and what each is close to.

  Args:
    before: spaces as given to `exclude_shared`.
    after: spaces as it returned them.
    texts: of each class, in the order of the vertices; those of padding may be
      left off at the end.

  Returns:
    One row for each dropped text, by class, then in the order given.

  Raises:
    ValueError: the arguments disagree in shape or number.

  References:
    Ours.
  """
  core, kept = np.asarray(before.mask), np.asarray(after.mask)
  checks.check_mask(kept, core.shape, "before")
  _check_texts(texts, core)
  dropped = np.argwhere(core & ~kept)
  others = _nearest_others(np.asarray(before.points), core, dropped)
  gram = np.asarray(before.gram)
  rows = []
  for (label, text), (other, other_label, other_text) in zip(
    dropped.tolist(), others, strict=True
  ):
    beside = core[label] & (np.arange(core.shape[1]) != text)
    own = np.max(gram[label, text], where=beside, initial=-np.inf)
    rows.append(
      SharedRow(
        label,
        texts[label][0],
        texts[label][text],
        float(own),
        other,
        other_label,
        texts[other_label][other_text],
      )
    )
  return tuple(rows)


def _nearest_others(points, core, dropped):
  """Finds the nearest core text of another class, for each dropped text."""
  rows = points[dropped[:, 0], dropped[:, 1]]
  best = np.full(len(rows), -np.inf, np.float32)
  index = np.zeros(len(rows), np.int64)
  synonyms = core.shape[1]
  for start in range(0, len(core) if len(rows) else 0, _BLOCK):
    block = points[start : start + _BLOCK].reshape(-1, points.shape[-1])
    similarities = rows @ block.T
    label = start + np.arange(len(block)) // synonyms
    is_other = core[start : start + _BLOCK].reshape(-1) & (
      label != dropped[:, :1]
    )
    similarities = np.where(is_other, similarities, -np.inf)
    nearest = np.argmax(similarities, axis=1)
    value = np.take_along_axis(similarities, nearest[:, None], axis=1)[:, 0]
    index = np.where(value > best, start * synonyms + nearest, index)
    best = np.maximum(best, value)
  return [
    (float(value), *divmod(int(where), synonyms))
    for value, where in zip(best, index, strict=True)
  ]


def _check_texts(texts, mask):
  if len(texts) != len(mask):
    raise ValueError(
      f"`texts` must hold the texts of all {len(mask)} classes, got "
      f"{len(texts)}."
    )
  for label, names in enumerate(texts):
    needed = int(np.max(np.flatnonzero(mask[label]), initial=-1)) + 1
    if len(names) < needed or isinstance(names, str):
      raise ValueError(
        f"`texts` must hold the {needed} texts of class {label}, got {names!r}."
      )
