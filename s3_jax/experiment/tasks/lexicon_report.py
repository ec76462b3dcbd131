"""The task "lexicon_report": what a person needs to see to mend a table."""

import itertools
import pathlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from jaxtyping import Float32

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
from s3_jax.lexicon.spelling import first_spellings, plain_key
from s3_jax.lexicon.synonyms import (
  BENCHMARK_TABLES,
  Lexicon,
  load_lexicon,
)
from s3_jax.lexicon.vertices import concept_vertices, distinct_prompts
from s3_jax.named_classes.cores import TWO_WITNESSES
from s3_jax.named_classes.vertices import embed_vertices
from s3_jax.results.lexicon_page import (
  ClassWords,
  NearerWord,
  TableWords,
  render_page,
  summarize,
)
from s3_jax.space import kept_report
from s3_jax.storage import TextEmbeddings, read_text_embeddings

_SAME = 1 - 1e-5  # cosine of two classes that are called the same


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
  embeddings: str = ""  # a file of embedded names in place of a checkpoint
  cache_dir: CacheDir = raw("")  # default: the user's cache folder

  def check(self, where: Where) -> None:
    """Refuses two sources of embeddings."""
    if self.model.model and self.embeddings:
      where.at("embeddings").refuse(
        "must be left out beside `model`", self.embeddings
      )


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a lexicon report."""
  report = settings.read(LexiconReport)
  return lambda folder: report_lexicon(report, folder)


def report_lexicon(
  report: LexiconReport, folder: pathlib.Path
) -> list[dict[str, Any]]:
  """Checks tables and writes lexicon.html and lexicon.json."""
  lexicons = [load_lexicon(name) for name in report.tables]
  embedder = given = None
  if report.model.model:
    clip = load_checkpoint(report.model)
    embedder = Embedder(clip, "float32", 256, 1, report.cache_dir)
  elif report.embeddings:
    given = read_text_embeddings(report.embeddings)
    if given.names is None:
      raise ValueError(
        f"`config.embeddings` must hold names beside the vectors, got none in"
        f" {report.embeddings}: docs/EMBEDDINGS.md shows how."
      )
  tables = [_examine(lexicon, embedder, given, report) for lexicon in lexicons]
  about = "Counts of every table."
  if given is not None:
    about = (
      f"Similarities of {len(given.embeddings):,} embedded names (sha256"
      f" {given.sha256}); texts that are not among them are not compared."
    )
  if embedder is not None:
    about = (
      f"Similarities by {embedder.clip.spec.name} (sha256 "
      f"{embedder.clip.sha256}), texts in {report.template!r}; core by "
      f"two witnesses, min_gap {report.min_gap}, min_fraction "
      f"{report.min_fraction}."
    )
    if embedder.clip.spec.name in MODELS:
      world = MODELS[embedder.clip.spec.name].name
      about += (
        f" The embedded checkpoint knows {world} only: what it says of other"
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
        f"{row['classes_cut']} classes"
      )
      + (
        ""
        if row["compared"] is None
        else f", {row['nearer_to_another']} of {row['compared']} nearer to"
        " another class's name"
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


class _Points(NamedTuple):
  """Embedded texts of classes, as far as there are any.

  Attributes:
    texts: of each class, those that are embedded.
    points: of each class, unit rows.
    official: whether the first of them is the official name.
  """

  texts: tuple[tuple[str, ...], ...]
  points: tuple[Float32[np.ndarray, "texts dim"], ...]
  official: tuple[bool, ...]


def _examine(
  lexicon: Lexicon,
  embedder: Embedder | None,
  given: TextEmbeddings | None,
  report: LexiconReport,
) -> TableWords:
  removed: Sequence[tuple[str, ...]] = [()] * len(lexicon.classes)
  truncated: Sequence[tuple[str, ...]] = removed
  cut = points = None
  if embedder is not None:
    truncated = [
      _truncated(embedder, report.template, (*entry.names, *entry.descriptors))
      for entry in lexicon.classes
    ]
    points = _embed(lexicon, embedder, report.template)
    removed = _left_out(lexicon, embedder, report)
    cut = sum(map(bool, removed))
  elif given is not None:
    points = _look_up(lexicon, given, report.template)
  nearer = () if points is None else _find_nearer(lexicon, points)
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
        tuple(word for label, word in nearer if label == entry.label),
      )
      for entry in lexicon.classes
    ),
    tuple(
      # As a table spells it, so that the page can point at it.
      (text, tuple(names[label] for label in labels))
      for text, labels in shared_texts([e.names for e in lexicon.classes])
    ),
    cut,
    None if points is None else _count_compared(points),
  )


def _truncated(embedder, template, texts):
  filled = [fill_template(template, text) for text in texts]
  is_cut = embedder.clip.tokenize.encode(filled).is_cut
  return tuple(itertools.compress(texts, is_cut))


def _embed(lexicon: Lexicon, embedder: Embedder, template: str) -> _Points:
  texts = tuple(entry.names for entry in lexicon.classes)
  prompts = [[fill_template(template, name) for name in each] for each in texts]
  embedded = embedder.texts(list(itertools.chain.from_iterable(prompts)))
  points = tuple(embedded.of(each) for each in prompts)
  return _Points(texts, points, (True,) * len(texts))


def _look_up(lexicon: Lexicon, given: TextEmbeddings, template: str) -> _Points:
  """Finds the texts that a file has, as names or in the template."""
  assert given.names is not None  # `_read_embeddings` refuses others
  row_of = {}
  for row, name in enumerate(given.names):
    row_of.setdefault(plain_key(name), row)

  def find(name: str) -> int | None:
    row = row_of.get(plain_key(name))
    return row_of.get(plain_key(fill_template(template, name)), row)

  texts, points, official = [], [], []
  for entry in lexicon.classes:
    rows = {name: find(name) for name in entry.names}
    found = {name: row for name, row in rows.items() if row is not None}
    texts.append(tuple(found))
    points.append(given.embeddings[list(found.values())])
    official.append(entry.names[0] in found)
  return _Points(tuple(texts), tuple(points), tuple(official))


def _left_out(
  lexicon: Lexicon, embedder: Embedder, report: LexiconReport
) -> list[tuple[str, ...]]:
  """Lists what the core of each class leaves out, as in a run."""
  texts = [entry.only().names for entry in lexicon.classes]
  vertices = concept_vertices(texts, (report.template,))
  prompts = distinct_prompts([vertices])
  table = embed_vertices(vertices, prompts, embedder.texts(prompts).embeddings)
  options = SpaceOptions(
    "center", 1, TWO_WITNESSES, "largest", report.min_fraction, report.min_gap
  )
  names = [first_spellings(each) for each in texts]
  kept = kept_report(build_core(table, options), table.mask, names)
  return [row.removed for row in kept]


def _find_nearer(
  lexicon: Lexicon, points: _Points
) -> list[tuple[int, NearerWord]]:
  """Lists the synonyms whose nearest official name is another class's."""
  labels = np.flatnonzero(points.official)
  if not labels.size:
    return []
  names = np.stack([points.points[label][0] for label in labels])
  found = []
  for place, label in enumerate(labels.tolist()):
    cosines = points.points[label][1:] @ names.T
    own = cosines[:, place].copy()
    # Classes of one official name are told apart by nothing here.
    twins = names @ names[place] > _SAME
    cosines[:, twins] = -np.inf
    for text, row, mine in zip(
      points.texts[label][1:], cosines, own.tolist(), strict=True
    ):
      other = int(row.argmax())
      if row[other] > mine:
        name = lexicon.classes[labels[other]].name
        word = NearerWord(text, mine, float(row[other]), name)
        found.append((label, word))
  return found


def _count_compared(points: _Points) -> int:
  sizes = map(len, points.texts)
  return sum(
    n - 1 for n, has in zip(sizes, points.official, strict=True) if has
  )
