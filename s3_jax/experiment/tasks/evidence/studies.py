"""Smaller studies of a run of "evidence": other geometry, sizes, corrections.

No number of the rule belongs to one encoder: the same code runs on embeddings
that are turned, drawn together and stretched, and on classes of 2 to 30 texts.
Corrections for classes of unequal size are tried and reported.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32

from s3_jax.evaluation.statistics import cluster_interval
from s3_jax.experiment.tasks.evidence.records import Gain, make_table
from s3_jax.experiment.tasks.evidence.scoring import all_scores, correct_by
from s3_jax.experiment.tasks.evidence.sets import EvidenceSet, Pool, with_wrong
from s3_jax.results.document import Table
from s3_jax.space import build_space, exclude_shared, weigh_texts
from s3_jax.storage.text_tables import TextTable

Rows = Float32[np.ndarray, "*axes dim"]

SIZES = (2, 4, 8, 16, 30)
"""Right texts of a class, mixed from those that a set has."""

_NEAREST = 10
"""Other classes whose official names say what a space adds."""


def studies(
  sets: Sequence[EvidenceSet], pool: Pool, *, metric: str, seed: int
) -> list[Table]:
  """Makes the tables of all studies."""
  return [
    other_geometry(sets, pool, metric=metric, seed=seed),
    mixed_sizes(sets, pool, metric=metric, seed=seed),
    unequal_sizes(sets, metric=metric, seed=seed),
  ]


def other_geometry(
  sets: Sequence[EvidenceSet], pool: Pool, *, metric: str, seed: int
) -> Table:
  """The rule on embeddings that are turned, drawn together and stretched."""
  rows = []
  for given in sets:
    for count in (0, 1, 5):
      made = given
      if count:
        made = with_wrong(given, pool, "no class", count, seed=seed)
      for word, change in _changes(given.images.shape[1], seed).items():
        moved = _moved(made, change)
        rows.append((given.name, str(count), word, *_row(moved, metric=metric)))
  return make_table(
    "Other geometry",
    "Wrong texts of no class. Turned: by an orthogonal matrix. Drawn together:"
    " texts half the way to their mean, images to theirs. Stretched: every"
    " coordinate by a factor exp(0.5 x) with x normal. Removed of right and of"
    " wrong texts; top-1 in % with all kept and with what two witnesses keep.",
    (
      "set",
      "wrong a class",
      "embeddings",
      "right removed",
      "wrong removed",
      "all kept",
      "two witnesses",
    ),
    rows,
  )


def _changes(dim: int, seed: int) -> dict[str, Callable[[Rows, Rows], Rows]]:
  """Changes of vectors, given the mean of their kind."""
  draw = np.random.default_rng(seed)
  turn, _ = np.linalg.qr(draw.normal(size=(dim, dim)))
  stretch = np.exp(0.5 * draw.normal(size=dim))
  return {
    "as they are": lambda x, mean: x,
    "turned": lambda x, mean: x @ turn,
    "drawn together": lambda x, mean: (x + mean) / 2,
    "stretched": lambda x, mean: x * stretch,
  }


def _moved(given: EvidenceSet, change: Callable[[Rows, Rows], Rows]):
  table = given.table
  text_mean = table.embeddings[table.mask].mean(axis=0)
  texts = _unit(change(table.embeddings, text_mean))
  images = _unit(change(given.images, given.images.mean(axis=0)))
  texts[~table.mask] = 0
  return given._replace(table=table._replace(embeddings=texts), images=images)


def mixed_sizes(
  sets: Sequence[EvidenceSet], pool: Pool, *, metric: str, seed: int
) -> Table:
  """The rule on classes of 2 to 30 right texts, and as many wrong ones."""
  rows = []
  for given in sets:
    if given.table.mask.sum(axis=1).min() < 2:
      continue  # nothing to mix in a class of one text
    for size in SIZES:
      mixed = _mixed(given, size, seed=seed)
      for count in sorted({0, -(-size // 4), size}):
        made = mixed
        if count:
          made = with_wrong(mixed, pool, "no class", count, seed=seed)
        rows.append(
          (given.name, str(size), str(count), *_row(made, metric=metric))
        )
  return make_table(
    "Two to thirty texts a class",
    "Right texts beyond those of the set are mixtures of them with random"
    " weights, renormalised; wrong ones are names of no class.",
    (
      "set",
      "right a class",
      "wrong a class",
      "right removed",
      "wrong removed",
      "all kept",
      "two witnesses",
    ),
    rows,
  )


def _mixed(given: EvidenceSet, size: int, *, seed: int) -> EvidenceSet:
  """Gives every class `size` right texts, the official name first."""
  table, draw = given.table, np.random.default_rng(seed)
  classes, texts, _ = table.embeddings.shape
  weights = draw.gamma(0.5, size=(classes, size, texts))
  weights *= table.mask[:, None]
  known = min(size, texts)
  index = np.arange(known)
  weights[:, index] = np.where(
    table.mask[:, :known, None], np.eye(texts)[index], weights[:, index]
  )
  points = _unit(np.einsum("cst,ctd->csd", weights, table.embeddings))
  forms = np.take_along_axis(table.forms, weights.argmax(axis=2), axis=1)
  mask = np.ones((classes, size), bool)
  return given._replace(
    table=TextTable(table.texts, points, mask, forms.astype(np.int32)),
    right=mask.copy(),
  )


def _row(given: EvidenceSet, *, metric: str) -> tuple[str, ...]:
  table = given.table
  kept = np.asarray(
    weigh_texts(table.embeddings, table.mask, forms=table.forms).kept
  )
  wrong = table.mask & ~given.right
  accuracies = [
    100 * correct_by(build_space(table.embeddings, mask), metric, given).mean()
    for mask in (table.mask, kept)
  ]
  return (
    f"{(given.right & ~kept).sum()} of {given.right.sum()}",
    f"{(wrong & ~kept).sum()} of {wrong.sum()}",
    *(f"{accuracy:.1f}" for accuracy in accuracies),
  )


def unequal_sizes(
  sets: Sequence[EvidenceSet], *, metric: str, seed: int
) -> Table:
  """What corrections do for classes of unequal size."""
  rows = []
  for given in sets:
    table = given.table
    sizes = table.mask.sum(axis=1)
    alone = sizes[given.labels] == 1
    space = build_space(table.embeddings, table.mask)
    names = table.embeddings[:, 0]
    single = given.images @ names.T
    base = np.argmax(single, axis=1) == given.labels
    scores = all_scores(space, metric, given.images)
    reach = _reach(space, metric, names)
    tried = {
      "official name": single,
      "nearest_point": all_scores(space, "nearest_point", given.images),
      "mean_similarity": all_scores(space, "mean_similarity", given.images),
      metric: scores,
      f"{metric}, half of the reach less": scores - 0.5 * reach,
      f"{metric}, the reach less": scores - reach,
      f"{metric}, exclude_shared": all_scores(
        exclude_shared(space), metric, given.images
      ),
    }
    for word, values in tried.items():
      correct = np.argmax(values, axis=1) == given.labels
      gain = correct.astype(np.float64) - base
      low, high = cluster_interval(gain, given.labels, seed=seed)
      parts = [
        f"{100 * gain[part].mean():+.1f}" if part.any() else "-"
        for part in (alone, ~alone)
      ]
      rows.append(
        (
          given.name,
          word,
          f"{100 * correct.mean():.1f}",
          Gain(gain.mean(), low, high),
          *parts,
        )
      )
  return make_table(
    "Spaces of unequal size",
    "Top-1 in %, every text kept, and what it gains over the official name, for"
    " images of classes with one text and of those with more. The reach of a"
    " space is what it adds over its official name, on average, on the official"
    f" names of the {_NEAREST} other classes that are nearest.",
    ("set", "score", "top-1", "gain", "one text", "more texts"),
    rows,
  )


def _reach(space, metric, names) -> Float32[np.ndarray, " classes"]:
  """What each space adds over its official name near other classes' names."""
  similar = names @ names.T
  added = all_scores(space, metric, names) - similar
  np.fill_diagonal(similar, -np.inf)
  nearest = np.argsort(-similar, axis=0, kind="stable")[:_NEAREST]
  return np.take_along_axis(added, nearest, axis=0).mean(axis=0)


def _unit(rows: np.ndarray) -> Rows:
  length = np.linalg.norm(rows, axis=-1, keepdims=True)
  return (rows / np.maximum(length, 1e-12)).astype(np.float32)
