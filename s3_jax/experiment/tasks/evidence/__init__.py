"""The task "evidence": which texts to keep and how to score, on real CLIP.

From embeddings alone: sets whose texts are right, the same with wrong texts put
in, every rule that says which texts to keep, every metric. Classes are the unit
of all intervals, as images of one class share its texts.
"""

import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from s3_jax import hosts
from s3_jax.experiment.run_log import RunLog
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks.evidence.records import (
  COUNTS,
  Condition,
  Findings,
  Removed,
)
from s3_jax.experiment.tasks.evidence.scoring import METRICS, correct_by
from s3_jax.experiment.tasks.evidence.sets import (
  KINDS,
  SETS,
  EvidenceSet,
  Pool,
  read_pool,
  read_set,
  with_forms,
  with_wrong,
)
from s3_jax.experiment.tasks.evidence.studies import studies
from s3_jax.experiment.tasks.evidence.tables import write_evidence
from s3_jax.fields import Count, Given, Rule, Where, Whole, words
from s3_jax.messages import nearest
from s3_jax.space import build_space, weigh_texts
from s3_jax.storage.text_tables import TextTable

COMPARED = ("center", "local_center(4)")
"""Metrics that tables name: the mean of all names, and the old default."""

MAJORITY = "lvis1203, two texts"
"""The set in which wrong texts are most of a class."""

_SLOW = ("convex_hull",)
"""Tried with one seed: it costs as much as all others together."""

Mask = Bool[np.ndarray, "classes synonyms"]
Keep = Callable[[TextTable], Mask]


def _weighed(table: TextTable, **options: Any):
  return weigh_texts(table.embeddings, table.mask, forms=table.forms, **options)


def _everything(table: TextTable) -> Mask:
  return np.asarray(table.mask)


def _gap(table: TextTable, **options: Any) -> Mask:
  space = build_space(table.embeddings, table.mask, scale="gap", **options)
  return np.asarray(space.mask)


def _both(table: TextTable, **options: Any) -> Mask:
  return np.asarray(_weighed(table, **options).kept)


def _shape_alone(table: TextTable) -> Mask:
  """The first witness: what topology leaves out goes, names apart."""
  gone = np.array(_weighed(table).left_out)
  gone[:, 0] = False
  return np.asarray(table.mask) & ~gone


def _names_alone(table: TextTable) -> Mask:
  """The second witness: what is nearer to another class's name goes."""
  said = _weighed(table)
  gone = np.asarray(said.other) > np.asarray(said.own) + 1e-6
  gone[:, 0] = False
  return np.asarray(table.mask) & ~gone


# Rules that say which texts to keep. The first three are scored by every
# metric, the others by `config.metric`.
RULES: dict[str, Keep] = {
  "all": _everything,
  "gap": _gap,
  "two_witnesses": _both,
}
VARIANTS: dict[str, Keep] = {
  "gap, label": functools.partial(_gap, keep="label"),
  "two_witnesses, label": functools.partial(_both, keep="label"),
  "topology alone": _shape_alone,
  "names alone": _names_alone,
  **{
    f"two_witnesses, min_gap {gap}": functools.partial(_both, min_gap=gap)
    for gap in (0.0, 0.1, 0.15, 0.2, 0.3)
  },
}


class Evidence(NamedTuple):
  """The settings."""

  config: Given
  data_dir: str = ""  # has `sets` and `images`, docs/EVIDENCE.md
  # Of classes, names and images.
  sets: Annotated[tuple[str, ...], words(SETS)] = (
    "imagenet84",
    "imagenet189",
    "imagenet1000",
    "lvis1203",
  )
  # The headline's.
  metric: Annotated[str, Rule(choices=METRICS)] = "soft_local_center"
  # Those that every condition is scored by.
  metrics: Annotated[tuple[str, ...], words(METRICS)] = (
    "nearest_point",
    "mean_similarity",
    "center",
    "local_center(2)",
    "local_center(4)",
    "soft_local_center",
    "star_center",
    "simplex_center",
    "subspace",
    "affine_hull",
    "convex_hull",
    "complex",
  )
  studies: bool = True  # other geometry, 2 to 30 texts, unequal sizes
  seeds: Count = 8  # draws of wrong texts
  seed: Whole = 0  # of the bootstrap

  def check(self, where: Where) -> None:
    """Refuses metrics without those that the tables compare."""
    for metric in (self.metric, *COMPARED):
      if metric not in self.metrics:
        raise ValueError(
          f"`{where.path}.metrics` must hold {metric!r}, which the tables"
          f" compare, got {nearest(self.metrics, metric)}."
        )


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of the evidence."""
  evidence = settings.read(Evidence)
  return lambda folder: run_evidence(evidence, folder)


def run_evidence(evidence: Evidence, folder: pathlib.Path) -> Findings:
  """Measures everything and writes evidence.md and evidence.json."""
  data_dir = pathlib.Path(evidence.data_dir)
  if not data_dir.is_dir():
    raise ValueError(
      "`config.data_dir` must be a folder with `sets` and `images`, as"
      f" docs/EVIDENCE.md says, got {str(data_dir)!r:.80}."
    )
  log = RunLog(folder / "log.txt")
  pool = read_pool(data_dir)
  found = {name: read_set(data_dir, name) for name in evidence.sets}
  if "lvis1203" in found:
    two = with_forms(found["lvis1203"], (0, 3))
    found[MAJORITY] = two._replace(name=MAJORITY)
  findings = Findings(evidence.metrics, {}, {}, {}, {}, {}, {})
  for each in found.values():
    table = each.table
    log(
      f"{each.name}: {len(table.mask):,} classes, {table.mask.sum():,} texts,"
      f" {len(each.labels):,} images."
    )
    findings.labels[each.name] = each.labels
    findings.sizes[each.name] = table.mask.sum(axis=1)
    names = each.images @ table.embeddings[:, 0].T
    right = np.argmax(names, axis=1) == each.labels
    findings.named[each.name] = right.astype(np.float32)
    findings.drawn[each.name] = _drawn_names(each, seed=evidence.seed)
  work = list(_work(found, pool, evidence))
  for condition, made in hosts.progress_bar(
    work, desc="measure", unit="condition", leave=True
  ):
    _measure(condition, made, evidence.metric, findings)
  write_evidence(
    findings,
    metric=evidence.metric,
    seed=evidence.seed,
    config=evidence.config,
    more=studies(
      list(found.values()), pool, metric=evidence.metric, seed=evidence.seed
    )
    if evidence.studies
    else [],
    folder=folder,
  )
  log(f"Tables: {folder / 'evidence.md'}")
  return findings


def _work(
  found: Mapping[str, EvidenceSet], pool: Pool, evidence: Evidence
) -> Iterator[tuple[Condition, Callable[[], list[EvidenceSet]]]]:
  """Lists the conditions, each with what makes its sets, one a seed."""
  for name, given in found.items():
    yield Condition(name, "", 0), functools.partial(list, [given])
    # Two right texts stand for the wrong majority alone.
    counts = COUNTS[-1:] if name == MAJORITY else COUNTS
    for kind, count in itertools.product(KINDS, counts):
      seeds = 1 if kind == "sibling" else evidence.seeds
      make = functools.partial(with_wrong, given, pool, kind, count)
      yield (
        Condition(name, kind, count),
        functools.partial(_made, make, evidence.seed, seeds),
      )


def _made(make, first, seeds):
  return [make(seed=first + seed) for seed in range(seeds)]


def _measure(
  condition: Condition,
  made: Callable[[], list[EvidenceSet]],
  metric: str,
  findings: Findings,
) -> None:
  """Scores one condition by every rule and metric."""
  sums: dict[tuple[str, str], list[np.ndarray]] = {}
  for seed, given in enumerate(made()):
    known: dict[tuple[bytes, str], np.ndarray] = {}
    for rule, keep in {**RULES, **VARIANTS}.items():
      kept = keep(given.table)
      counted = _count(given, kept)
      so_far = findings.removed.get((condition, rule), Removed())
      findings.removed[condition, rule] = Removed(
        *(a + b for a, b in zip(so_far, counted, strict=True))
      )
      space = None
      for name in findings.metrics if rule in RULES else (metric,):
        if name in _SLOW and seed:
          continue
        key = (kept.tobytes(), name)
        if key not in known:
          if space is None:
            space = build_space(given.table.embeddings, kept)
          known[key] = correct_by(space, name, given)
        sums.setdefault((rule, name), []).append(known[key])
  for (rule, name), each in sums.items():
    mean = np.mean(each, axis=0)
    findings.correct[condition, rule, name] = mean.astype(np.float32)


def _count(given: EvidenceSet, kept: Mask) -> Removed:
  """Counts right and wrong texts, and those of classes with three or more."""
  right, real = given.right, given.table.mask
  wrong = real & ~right
  large = right.sum(axis=1)[:, None] >= 3
  counts = []
  for of in (np.ones_like(large), large):
    counts += [
      (right & of).sum(),
      (right & kept & of).sum(),
      (wrong & of).sum(),
      (wrong & ~kept & of).sum(),
    ]
  return Removed(*map(int, counts))


def _drawn_names(
  given: EvidenceSet, *, seed: int, draws: int = 64
) -> Float32[np.ndarray, " images"]:
  """Scores images by one text of each class, drawn at random, many times."""
  random = np.random.default_rng(seed)
  table = given.table
  sizes, rows = table.mask.sum(axis=1), np.arange(len(table.mask))
  hits = np.zeros(len(given.labels))
  for _ in range(draws):
    index = random.integers(0, sizes)
    scores = given.images @ table.embeddings[rows, index].T
    hits += np.argmax(scores, axis=1) == given.labels
  return (hits / draws).astype(np.float32)
