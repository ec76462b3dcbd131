"""The task "predict": what is on images of one's own.

Images stream through the towers, and all files of a run appear together, when
the last image is through.
"""

import contextlib
import itertools
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from jax.tree_util import Partial

from s3_jax import hosts
from s3_jax.clip import MODELS, Clip
from s3_jax.experiment.checkpoint import load_checkpoint
from s3_jax.experiment.costs import Cost, announce_texts
from s3_jax.experiment.embedder import Embedder
from s3_jax.experiment.image_files import find_images
from s3_jax.experiment.methods.spaces import build_core
from s3_jax.experiment.session import Session
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks.predict.rejection import find_unrelated
from s3_jax.experiment.tasks.predict.report import (
  check_good,
  class_records,
  collect_facts,
  format_counts,
  format_table,
)
from s3_jax.experiment.tasks.predict.settings import Prediction
from s3_jax.experiment.tasks.predict.stream import FileStream, look_at
from s3_jax.experiment.text_embedding import TEXT_ROWS, EmbeddedTexts
from s3_jax.experiment.workdir import clear_results
from s3_jax.files import replacing
from s3_jax.lexicon.given_classes import ClassList, shared_texts
from s3_jax.lexicon.vertices import concept_vertices, distinct_prompts
from s3_jax.messages import visible
from s3_jax.named_classes.cores import space_scorer
from s3_jax.named_classes.vertices import embed_vertices
from s3_jax.results import contact_sheet
from s3_jax.results.predictions import write_csv, write_json
from s3_jax.space import SynonymousSpace


class Words(NamedTuple):
  """What became of the classes.

  Attributes:
    space: with the core of each class's texts.
    score: its metric, f32[images, dim] -> f32[images, classes].
    embedded: the distinct prompts, in the order of the classes.
    notes: what a reader should know of the classes or the model.
  """

  space: SynonymousSpace
  score: Partial
  embedded: EmbeddedTexts
  notes: tuple[str, ...]


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a prediction."""
  prediction = settings.read(Prediction)
  return lambda folder: predict(prediction, folder)


def predict(prediction: Prediction, folder: pathlib.Path) -> pathlib.Path:
  """Predicts the classes of images and writes what was found."""
  found = find_images(prediction.images)
  session = Session(
    folder,
    config=prediction.config,
    dtype=prediction.dtype,
    mesh=prediction.mesh,
    clears=False,
  )
  with session.timed("load"):
    clip = load_checkpoint(prediction.model)
  # Names that images are compared with are thousands.
  texts = sum(map(len, prediction.classes.texts))
  embedder = Embedder(
    clip,
    prediction.dtype,
    _fitting(len(found.files), prediction.batch_size),
    prediction.mesh,
    prediction.cache_dir,
    text_rows=TEXT_ROWS if prediction.reject else _fitting(texts, TEXT_ROWS),
  )
  stream = FileStream(
    found.files, prediction, embedder, thumbnails=prediction.contact_sheet
  )
  words = _read_words(prediction, session, embedder, stream)
  about = _about(prediction, clip)
  log = session.log
  log(f"{about}\nFiles: {len(found.files):,}.")
  if prediction.classes.taken:
    log(f"Classes of {visible(prediction.classes.taken)}")
  for note in words.notes:
    log(f"Note: {visible(note)}")
  rejection = None
  if prediction.reject:
    with session.timed("embed_text"):
      rejection = find_unrelated(prediction, embedder, words.space)
    log(rejection.about)
  sheet = contact_sheet.Sheet(about, words.notes, len(found.files))
  with contextlib.ExitStack() as stack:
    # They appear when the stack is unwound, the last one first: once
    # predictions.json is there, everything is.
    report, table = (
      stack.enter_context(replacing(folder / name))
      for name in ("predictions.json", "predictions.csv")
    )
    thumbnails = None
    if prediction.contact_sheet:
      # It has no name: nothing is left of it where a run is killed.
      file = stack.enter_context(tempfile.TemporaryFile())
      thumbnails = contact_sheet.Thumbnails(file)
    with session.timed("predict"):
      looked = look_at(
        stream,
        prediction,
        embedder,
        words.space,
        words.score,
        names=None if rejection is None else rejection.names,
        keep_thumbnail=None if thumbnails is None else thumbnails.add,
      )
    session.rate("images_per_second", len(found.files), "predict")
    counts: dict[str, Any] = {}
    if rejection is not None:
      answered = rejection.answer(looked)
      looked = looked._replace(answered=answered)
      counts["rejection"] = rejection.describe(
        answered=int(answered.sum()), good=int(looked.good.sum())
      )
    pages: list[str] = []
    if thumbnails is not None:
      cards = map(contact_sheet.Card, looked.rows(), thumbnails)
      for number in range(1, sheet.pages + 1):
        some = list(itertools.islice(cards, contact_sheet.CARDS))
        page = contact_sheet.render_page(sheet, some, page=number)
        pages.append(contact_sheet.page_name(number))
        path = stack.enter_context(replacing(folder / pages[-1]))
        path.write_text(page, encoding="utf-8")
    write_csv(table, looked.rows(), rejects=rejection is not None)
    write_json(
      report,
      {
        **collect_facts(session.head(), clip, found, looked),
        **counts,
        "notes": list(words.notes),
        "pages": pages,
        "timings": session.times(),
        "texts": _describe_texts(prediction, words),
      },
      class_records(prediction.classes, words.space),
      (row for row in looked.rows() if not row.problem),
    )
    clear_results(folder)  # of an earlier run, all of which these replace
  log(format_table(looked))
  log(format_counts(found, looked, pages, folder))
  check_good(looked, folder, strict=prediction.strict)
  return folder / "predictions.json"


def _fitting(count: int, most: int) -> int:
  """Returns how many rows a batch needs: a power of four, or the most.

  A picture alone would cost a processor what a whole batch costs.
  """
  rows = 1
  while rows < min(count, most):
    rows *= 4
  return min(rows, most)


def _about(prediction: Prediction, clip: Clip) -> str:
  classes = prediction.classes
  texts = sum(map(len, classes.texts))
  source = f" of {visible(classes.title)}" * (classes.title != "classes")
  return (
    f"{clip.spec.name} (sha256 {clip.sha256[:12]}…), {len(classes.names):,}"
    f" classes{source}, {texts:,} texts in"
    f" {visible(prediction.template)!r}, metric {prediction.options.metric}."
  )


def _read_words(
  prediction: Prediction,
  session: Session,
  embedder: Embedder,
  stream: FileStream,
) -> Words:
  """Says what the run costs, embeds the texts and builds the spaces."""
  options = prediction.options
  vertices = concept_vertices(prediction.classes.texts, (prediction.template,))
  prompts = distinct_prompts([vertices])
  with session.timed("predict"), hosts.step("time the image tower"):
    seconds = stream.time(session.worked)
  images = Cost("images", len(stream.files), seconds=seconds)
  announce_texts(session, embedder, prompts, images)
  with session.timed("embed_text"):
    embedded = embedder.texts(prompts)
    table = embed_vertices(vertices, prompts, embedded.embeddings)
  with session.timed("build_space"):
    space = build_core(table, options)
    score = space_scorer(space, options.metric, neighbors=options.neighbors)
  truncated = embedded.describe()["truncated"]
  notes = tuple(notes_on(prediction.classes, embedder.clip, truncated))
  return Words(space, score, embedded, notes)


def notes_on(classes: ClassList, clip: Clip, truncated: int) -> Iterator[str]:
  """Yields what a reader should know of the classes or the model."""
  if clip.spec.name in MODELS:
    world = MODELS[clip.spec.name].name
    yield (
      f"The embedded checkpoint knows {world} only: what it says of"
      " photographs means nothing; openai/clip-vit-base-patch16 is a model for"
      " those."
    )
  shared = shared_texts(classes.texts)
  if shared:
    text, labels = shared[0]
    yield (
      f"Texts that several classes share: {len(shared):,}, such as {text!r} of"
      f" {', '.join(map(str, labels))}; equal scores go to the class that comes"
      " first."
    )
  if truncated:
    yield f"Texts longer than the model reads, which were cut: {truncated:,}."
  if classes.unnamed:
    first = classes.names[classes.unnamed[0]]
    yield (
      f"Classes without a text, which got their name: {len(classes.unnamed):,};"
      f" the first is {first!r}."
    )


def _describe_texts(prediction: Prediction, words: Words) -> dict[str, Any]:
  classes = prediction.classes
  return {
    "sha256": classes.sha256,
    "source": classes.title,
    "taken": classes.taken,
    "template": prediction.template,
    "distinct": len(words.embedded.rows),
    **words.embedded.describe(),
    "repeated": classes.repeated,
    "empty": classes.empty,
    "classes_without": list(classes.unnamed),
    "shared": [
      {"text": text, "classes": list(labels)}
      for text, labels in shared_texts(classes.texts)
    ],
  }
