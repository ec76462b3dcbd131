"""The task "lexicon_report": what a person needs to see to mend a table."""

import itertools
import pathlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

from s3_jax.clip import MODELS
from s3_jax.experiment.checkpoint import (
  CheckpointSource,
  load_checkpoint,
)
from s3_jax.experiment.embedder import Embedder
from s3_jax.experiment.methods.spaces import SpaceOptions, build_core
from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import CacheDir, Settings, Template
from s3_jax.fields import Inline, NonNegative, Rule, Share, Where, raw
from s3_jax.files import atomic_write, write_json
from s3_jax.lexicon.given_classes import shared_texts
from s3_jax.lexicon.prompts import NAME_TEMPLATE, fill_template
from s3_jax.lexicon.synonyms import (
  BENCHMARK_TABLES,
  Lexicon,
  load_lexicon,
)
from s3_jax.named_classes.cores import TWO_WITNESSES
from s3_jax.results.lexicon_page import (
  ClassWords,
  NearerWord,
  TableWords,
  render_page,
  summarize,
)
from s3_jax.space import build_space, exclude_shared, kept_report, shared_report
from s3_jax.storage.text_tables import pad_classes


def _read_tables(values: tuple[Any, ...], where: Where) -> tuple[str, ...]:
  for table in values:
    if not isinstance(table, str):
      where.refuse("must hold names", table)
  return values or BENCHMARK_TABLES


class LexiconReport(NamedTuple):
  """Settings of the report."""

  model: Inline[CheckpointSource]
  # Names of tables, or paths; default: all packaged ones.
  tables: Annotated[tuple[str, ...], Rule(given=tuple, read=_read_tables)] = (
    raw(())
  )
  template: Template = NAME_TEMPLATE  # that the names stand in
  min_fraction: Share = 0.5  # as of a run's core
  min_gap: NonNegative = 0.05  # as of a run's core
  margin: float = 0.0  # by how much nearer to another class counts
  cache_dir: CacheDir = raw("")  # default: the user's cache folder


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a lexicon report."""
  report = settings.read(LexiconReport)
  return lambda folder: report_lexicon(report, folder)


def report_lexicon(
  report: LexiconReport, folder: pathlib.Path
) -> list[dict[str, Any]]:
  """Checks tables and writes lexicon.html and lexicon.json."""
  lexicons = [load_lexicon(name) for name in report.tables]
  embedder = None
  if report.model.model:
    clip = load_checkpoint(report.model)
    embedder = Embedder(clip, "float32", 256, 1, report.cache_dir)
  tables = [_examine(lexicon, embedder, report) for lexicon in lexicons]
  about = "Counts of every table."
  if embedder is not None:
    about = (
      f"Similarities by {embedder.clip.spec.name} (sha256 "
      f"{embedder.clip.sha256}), texts in {report.template!r}; core by "
      f"two witnesses, min_gap {report.min_gap}, min_fraction "
      f"{report.min_fraction}."
    )
    if embedder.clip.spec.name in MODELS:
      about += (
        " The embedded checkpoint knows pictographs only: what it says of other"
        " words means nothing."
      )
  page = render_page(tables, about)
  summaries = [summarize(table) for table in tables]
  record = {
    "schema": 1,
    "about": about,
    "summaries": summaries,
    "tables": [_plain(table) for table in tables],
  }
  write_json(folder / "lexicon.json", record, ascii=False)
  atomic_write(folder / "lexicon.html", page.encode())
  for row in summaries:
    tell(
      f"{row['dataset']:20} {row['classes']:5} classes, "
      f"{row['synonyms']:5} synonyms (median {row['synonyms_median']}), "
      f"{row['shared']} shared"
      + (
        ""
        if row["classes_cut"] is None
        else f", {row['truncated']} truncated, {row['removed']} removed in "
        f"{row['classes_cut']} classes, "
        f"{row['nearer_to_another']} nearer to another class"
      )
      + "\n"
    )
  tell(f"{folder / 'lexicon.html'}\n")
  return summaries


def _plain(table: TableWords) -> dict[str, Any]:
  record = table._asdict()
  record["classes"] = [
    entry._asdict() | {"nearer": [word._asdict() for word in entry.nearer]}
    for entry in table.classes
  ]
  return record


def _examine(
  lexicon: Lexicon, embedder: Embedder | None, report: LexiconReport
) -> TableWords:
  texts = [entry.names for entry in lexicon.classes]
  removed: Sequence[tuple[str, ...]] = [()] * len(texts)
  nearer: list[list[NearerWord]] = [[] for _ in texts]
  truncated: Sequence[tuple[str, ...]] = [()] * len(texts)
  cut = None
  if embedder is not None:
    truncated = [
      _truncated(embedder, report.template, (*entry.names, *entry.descriptors))
      for entry in lexicon.classes
    ]
    removed, nearer, cut = _compare(texts, embedder, report, lexicon)
  names = [entry.name for entry in lexicon.classes]
  return TableWords(
    lexicon.dataset,
    lexicon.sha256,
    lexicon.provenance,
    tuple(
      ClassWords(
        entry.label,
        entry.name,
        entry.names,
        entry.descriptors,
        truncated[entry.label],
        removed[entry.label],
        tuple(nearer[entry.label]),
      )
      for entry in lexicon.classes
    ),
    tuple(
      # As a table spells it, so that the page can point at it.
      (text, tuple(names[label] for label in labels))
      for text, labels in shared_texts(texts)
    ),
    cut,
  )


def _truncated(embedder, template, texts):
  filled = [fill_template(template, text) for text in texts]
  is_cut = embedder.clip.tokenize.encode(filled).is_cut
  return tuple(itertools.compress(texts, is_cut))


def _compare(texts, embedder, report, lexicon):
  """Builds the spaces; lists what they remove and what lies elsewhere."""
  prompts = [
    [fill_template(report.template, text) for text in names] for names in texts
  ]
  embedded = embedder.texts(list(itertools.chain.from_iterable(prompts)))
  table = pad_classes(texts, [embedded.of(of_class) for of_class in prompts])
  options = SpaceOptions(
    "center", 1, TWO_WITNESSES, "largest", report.min_fraction, report.min_gap
  )
  kept = kept_report(build_core(table, options), table.mask, texts)
  whole = build_space(table.embeddings, table.mask)
  after = exclude_shared(whole, margin=report.margin)
  nearer: list[list[NearerWord]] = [[] for _ in texts]
  for row in shared_report(whole, after, texts):
    nearer[row.label].append(
      NearerWord(
        row.text,
        row.own,
        row.other,
        lexicon.classes[row.other_label].name,
        row.other_text,
      )
    )
  return [row.removed for row in kept], nearer, sum(row.is_cut for row in kept)
