"""Embedded data sets in, result files out: what runs of several kinds share.

Whether a tower has made the embeddings or a file held them, from here on a data
set is its images and a table of texts for each method.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from s3_jax import hosts
from s3_jax.evaluation.classification import ClassificationResult
from s3_jax.evaluation.statistics import INTERVALS
from s3_jax.experiment.embedder import EmbeddedImages
from s3_jax.experiment.figures import DrawnSpaces, draw_spaces
from s3_jax.experiment.methods.images import Method, MethodPlan, Scorers
from s3_jax.experiment.methods.prompts import (
  MethodTexts,
  concepts,
  concepts_with_wrong_ones,
)
from s3_jax.experiment.methods.spaces import count_removed
from s3_jax.experiment.methods.streams import (
  StreamMethod,
  score_stream,
  stream_rows,
)
from s3_jax.experiment.methods.views import ViewMethod
from s3_jax.experiment.rows import comparison_rows, method_rows, texts_part
from s3_jax.experiment.run_log import RunLog
from s3_jax.experiment.scoring import score_images
from s3_jax.experiment.session import Session
from s3_jax.experiment.tasks.benchmark.report import write_benchmark
from s3_jax.lexicon.spelling import first_spellings
from s3_jax.lexicon.synonyms import ClassEntry
from s3_jax.lexicon.vertices import Vertices
from s3_jax.results.results_index import HEADLINE
from s3_jax.space import Evidence
from s3_jax.space.weighing import MIN_CLASSES
from s3_jax.storage.text_tables import TextTable

# Compared with each other, beside every method with the baseline.
_PAIRS = (
  ("s3", "templates_80"),
  ("s3", "random_synonym"),
  ("s3_descriptors", "s3"),
  ("ts3", "s3"),
  ("ts3", "tps"),
  ("ts3", "tps_synonyms"),
  ("ts3", "mta"),
  ("ts3", "s3_view_average"),
  ("ts3", "zero"),
  ("ts3", "sts"),
  ("ts3", "zero_s3"),
  ("ts3", "sts_s3"),
  ("zero_s3", "zero"),
  ("sts_s3", "sts"),
  ("zero_s3", "s3"),
  ("sts_s3", "s3"),
  ("s3_anchored", "s3"),
  ("s3_anchored", "ts3"),
  ("polluted_core", "polluted_all"),
  ("polluted_core", "polluted_gap"),
)

_UNEQUAL = 2
"""Times as many texts at the 90 % as at the 10 % class, from which on a run
says so."""

# A method's `vertices` -> its texts, embedded.
Tables = Mapping[Callable[[MethodTexts], Vertices], TextTable]


class Outcome(NamedTuple):
  """What one data set gave.

  Attributes:
    row: of `datasets` in results.json.
    class_names: in label order.
    test_set: its embedded images.
    results: of every method.
    texts: what results say of its texts.
    spaces: of the texts that `figure_classes` shows; None where no method has
      names with a core.
    orders: rows that depend on the order of the images -> its seed.
  """

  row: dict[str, Any]
  class_names: tuple[str, ...]
  test_set: EmbeddedImages
  results: dict[str, ClassificationResult]
  texts: dict[str, Any]
  spaces: DrawnSpaces | None = None
  orders: Mapping[str, int] = {}


def score_plan(
  session: Session,
  plan: Sequence[MethodPlan],
  tables: Tables,
  test_set: EmbeddedImages,
  scorers: Scorers,
  *,
  classes: int,
  logit_scale: float,
  order_seeds: Sequence[int] = (0,),
) -> dict[str, ClassificationResult]:
  """Scores every image by every method of one vector an image."""
  results = {}
  bar = hosts.progress_bar(
    [each for each in plan if not isinstance(each.method, ViewMethod)],
    desc=f"score {test_set.spec.title}",
    unit="method",
  )
  for prepared in bar:
    method, table = prepared.method, tables[prepared.method.vertices]
    if isinstance(method, StreamMethod):
      prepared = prepared._replace(method=method.base)
    with session.timed("build_space"):
      scorer = scorers.scorer(prepared, table)
    if isinstance(method, StreamMethod):
      space = scorers.core(method.base, table).space
      for name, seed in stream_rows(prepared.name, order_seeds).items():
        with session.timed("adapt"):
          results[name] = score_stream(
            method,
            scorer,
            space,
            test_set,
            seed=seed,
            classes=classes,
            logit_scale=logit_scale,
            mesh=session.devices,
          )
      continue
    with session.timed("score"):
      results[prepared.name] = score_images(
        scorer,
        test_set,
        classes=classes,
        per_class=not callable(prepared.method.metric),
        logit_scale=logit_scale,
        mesh=session.devices,
      )
  return results


def describe_core(
  plan: Sequence[MethodPlan],
  tables: Tables,
  scorers: Scorers,
  *,
  title: str,
  log: RunLog,
) -> dict[str, Any]:
  """Lists what the core of the concepts left out, and logs what matters."""
  if not any(
    prepared.method.vertices is concepts
    and getattr(prepared.method, "core", False)
    for prepared in plan
  ):
    return {}
  table = tables[concepts]
  counts = table.mask.sum(1)
  low, high = np.quantile(counts, [0.1, 0.9])
  if high >= _UNEQUAL * low:
    log(
      f"{title}: the numbers of texts differ, {counts.min()} to"
      f" {counts.max()} a class; classes with more have more chances to be"
      " near (docs/GEOMETRY.md)."
    )
  core = scorers.built(Method(concepts, core=True))
  # Classes of one text each need no space.
  kept = table.mask if core is None else np.asarray(core.space.mask)
  facts: dict[str, Any] = {
    "per_class": counts.tolist(),
    "core_per_class": kept.sum(1).tolist(),
    "removed": removed_rows(table, kept, core and core.evidence),
  }
  if core is not None and core.evidence is not None:
    evidence = core.evidence
    facts["witnesses"] = {
      "on": bool(evidence.is_on),
      "common_scale": round(float(evidence.common_scale), 6),
      "common_scale_for_all": bool(evidence.is_common),
    }
    if not evidence.is_on:
      log(
        f"{title}: fewer than {MIN_CLASSES} classes, too few for the rule"
        ' "two_witnesses"; every text is kept.'
      )
    if evidence.is_common:
      log(
        f"{title}: most texts lie nearer to another class's name than to their"
        " own, and no class can see it from its own texts: one scale for all"
        " classes left them out. Check the texts (docs/EVIDENCE.md)."
      )
  if facts["removed"]:
    log(
      f"{title}: the core left out {len(facts['removed']):,} of"
      f" {table.mask.sum():,} texts; results.json lists them."
    )
  return facts


def removed_rows(
  table: TextTable,
  kept: Bool[np.ndarray, "classes synonyms"],
  evidence: Evidence | None,
) -> list[dict[str, Any]]:
  """Lists the texts that are not kept, with what the witnesses said of each."""
  rows = []
  for label, index in np.argwhere(table.mask & ~kept).tolist():
    row = {"label": label, "text": table.texts[label][index]}
    if evidence is not None:
      row["own"] = round(float(evidence.own[label, index]), 4)
      row["other"] = round(float(evidence.other[label, index]), 4)
    rows.append(row)
  return rows


def built_spaces(
  classes: Sequence[ClassEntry], tables: Tables, scorers: Scorers
) -> DrawnSpaces | None:
  """Returns the spaces of the names, with the wrong entries if a method has."""
  right = [first_spellings(entry.names) for entry in classes]
  every = [first_spellings((*e.names, *e.polluted)) for e in classes]
  for vertices, names in (
    (concepts_with_wrong_ones, every),
    (concepts, right),
  ):
    core = scorers.built(Method(vertices, core=True))
    if core is not None:
      table = tables[vertices]
      whole = scorers.core(Method(vertices), table).space
      sizes = list(map(len, right))
      return DrawnSpaces(names, sizes, table, whole, core.space)
  return None


def pruning_part(outcomes: Sequence[Outcome]) -> dict[str, Any]:
  """Counts what the core removed of texts that are known to be right or wrong.

  All data sets of a run that have wrong entries have the same ones.
  """
  for outcome in outcomes:
    spaces = outcome.spaces
    if spaces and spaces.table.mask.sum() > sum(spaces.right):
      mask, kept = spaces.table.mask, np.asarray(spaces.core.mask)
      removed = [
        {
          "name": outcome.class_names[label],
          "text": spaces.names[label][index],
          "wrong": index >= spaces.right[label],
        }
        for label, index in np.argwhere(mask & ~kept).tolist()
      ]
      counts = count_removed(spaces.right, mask, kept)._asdict()
      return {"pruning": {**counts, "removed": removed}}
  return {}


def write_outcomes(
  session: Session,
  outcomes: Sequence[Outcome],
  *,
  model: dict[str, Any],
  baseline: str,
  seed: int,
  figure_classes: Sequence[int] = (),
  diagnosis: bool = True,
) -> dict[str, Any]:
  """Puts the results together and writes all files of a run."""
  measured = {
    (outcome.row["name"], name): result
    for outcome in outcomes
    for name, result in outcome.results.items()
  }
  results = session.document(
    intervals=INTERVALS,
    model=model,
    texts=texts_part({each.row["name"]: each.texts for each in outcomes}),
    datasets=[outcome.row for outcome in outcomes],
    methods=method_rows(
      measured,
      seed=seed,
      orders={k: v for each in outcomes for k, v in each.orders.items()},
    ),
    comparisons=comparison_rows(
      measured,
      baseline=baseline,
      pairs=_pairs([name for _, name in measured]),
      seed=seed,
    ),
    **pruning_part(outcomes),
  )
  if figure_classes and (spaces := outcomes[0].spaces):
    draw_spaces(figure_classes, spaces, session.folder / "figures")
  return write_benchmark(
    results,
    measured,
    {each.row["name"]: each.class_names for each in outcomes},
    {each.row["name"]: each.test_set for each in outcomes},
    session.folder,
    baseline=baseline,
    diagnosis=diagnosis,
    log=session.log,
  )


def _pairs(methods: Sequence[str]) -> list[tuple[str, str]]:
  """Lists which methods are compared with each other."""
  headline = next((name for name in HEADLINE if name in methods), "")
  return [(headline, "synonyms_mean"), *_PAIRS]
