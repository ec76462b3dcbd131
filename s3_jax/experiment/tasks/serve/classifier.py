"""What the page asks: classes and pictures in, rankings and their reasons out.

Embeddings stay in memory, so that whoever edits one name waits for one text.
Shapes are rounded up, so that few edits wait for a compilation.
"""

import functools
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float32

from s3_jax.clip import Clip, embed_images, embed_texts
from s3_jax.clip.text_batches import embed_in_buckets
from s3_jax.data.loading import prepare_image
from s3_jax.embeddings import probabilities
from s3_jax.evaluation.predictions import Ranking, rank_classes
from s3_jax.experiment.methods.spaces import SpaceOptions, build_core
from s3_jax.experiment.tasks.predict import notes_on
from s3_jax.experiment.tasks.serve.cells import join_names, split_names
from s3_jax.lexicon.given_classes import (
  ClassList,
  read_classes,
  read_written_classes,
)
from s3_jax.lexicon.vertices import concept_vertices, distinct_prompts
from s3_jax.named_classes import NamedSpace
from s3_jax.named_classes.cores import space_scorer
from s3_jax.named_classes.spaces import batch_rows
from s3_jax.named_classes.vertices import embed_vertices
from s3_jax.results.space_plots import principal_plane
from s3_jax.storage.text_tables import TextTable

T = TypeVar("T")

MAX_PICTURES = 256
"""Pictures whose embeddings are kept, and that one question may name."""

_MAX_KEPT_TEXTS = 1 << 15
_FEW_TEXTS, _MANY_TEXTS = 8, 64  # that the text tower takes at once
_LEAST = (16, 8)  # classes and synonyms of an array
_FIELD = "the classes"


class _Kept(Generic[T]):
  """The values used last, of which the oldest go."""

  def __init__(self, most: int):
    self._most = most
    self._values: OrderedDict[str, T] = OrderedDict()

  def get(self, key: str) -> T | None:
    if key in self._values:
      self._values.move_to_end(key)
    return self._values.get(key)

  def put(self, key: str, value: T) -> None:
    self._values[key] = value
    self._values.move_to_end(key)
    while len(self._values) > self._most:
      self._values.popitem(last=False)


class _Text(NamedTuple):
  embedding: Float32[np.ndarray, " dim"]
  is_cut: bool  # longer than the checkpoint reads


class _Words(NamedTuple):
  """Classes with their spaces, and what scores them."""

  space: NamedSpace
  score: Partial
  embedded: int  # texts that were not yet known
  truncated: int


class Classifier:
  """A checkpoint, and the embeddings that it has made; one question at a time.

  Attributes:
    clip: the checkpoint.
  """

  def __init__(
    self,
    clip: Clip,
    options: SpaceOptions,
    *,
    template: str,
    top: int,
    exif_orientation: bool,
    max_pixels: int,
    max_texts: int,
    dtype: str,
  ):
    self.clip = clip
    self._options = options
    self._template = template
    self._top = top
    self._max_texts = max_texts
    self._dtype = dtype
    self._prepare: Callable[[bytes], Any] = functools.partial(
      prepare_image,
      preprocess=clip.preprocess,
      max_pixels=max_pixels,
      thumbnail=False,
      exif_orientation=exif_orientation,
    )
    self._lock = threading.Lock()
    self._texts = _Kept[_Text](max(_MAX_KEPT_TEXTS, max_texts))
    self._pictures = _Kept[Float32[np.ndarray, " dim"]](MAX_PICTURES)

  def start(self, classes: ClassList) -> dict[str, Any]:
    """Describes the first classes, and compiles what most questions need."""
    first = self._describe(classes)
    side = self.clip.spec.crop_size
    blank = self._embed_image(np.zeros((side, side, 3), np.uint8))
    self._rank(self._read_words(classes), blank)
    self._embed_prompts([""])
    return first

  def read_list(self, value: Any) -> dict[str, Any]:
    """Reads a list of classes as a person has written or pasted it."""
    text = value.get("list") if isinstance(value, dict) else None
    if not isinstance(text, str):
      raise ValueError(f"`list` must be a text, got {type(text).__name__}.")
    return self._describe(read_written_classes(text, _FIELD))

  def add_picture(self, data: bytes) -> dict[str, Any]:
    """Embeds a picture, and says by which name to ask for it."""
    name = hashlib.sha256(data).hexdigest()
    loaded = self._prepare(data)
    if loaded.pixels is None:
      raise ValueError(f"the picture cannot be used: {loaded.problem}.")
    with self._lock:
      if self._pictures.get(name) is None:
        self._pictures.put(name, self._embed_image(loaded.pixels))
    return {"picture": name, "width": loaded.width, "height": loaded.height}

  def answer(self, value: Any) -> dict[str, Any]:
    """Ranks the classes of a table for pictures that were added.

    Args:
      value: {"classes": [{"name", "names"}], "pictures": [name]}, where `names`
        are the texts of a class as its cell has them.

    Returns:
      Of each class its texts outside the core, of each picture its ranking and
      its map; a picture that is not known any more is absent.
    """
    start = time.perf_counter()
    rows, pictures = _read_question(value)
    classes = read_classes(rows, _FIELD)
    self._check_size(classes)
    with self._lock:
      words = self._read_words(classes)
      known = {name: self._pictures.get(name) for name in pictures}
      answers = [
        {"picture": name}
        | ({} if image is None else self._answer(words, image))
        for name, image in known.items()
      ]
    return {
      "left_out": words.space.left_out,
      "texts": sum(map(len, classes.texts)),
      "embedded": words.embedded,
      "notes": list(notes_on(classes, self.clip, words.truncated)),
      "answers": answers,
      "seconds": time.perf_counter() - start,
    }

  def _describe(self, classes: ClassList) -> dict[str, Any]:
    self._check_size(classes)
    rows = zip(classes.names, classes.texts, strict=True)
    return {
      "classes": [
        {"name": name, "names": join_names(texts)} for name, texts in rows
      ],
      "taken": classes.taken,
    }

  def _check_size(self, classes: ClassList) -> None:
    texts = sum(map(len, classes.texts))
    if texts > self._max_texts:
      raise ValueError(
        f"{_FIELD} must have at most {self._max_texts:,} texts, got {texts:,};"
        " --max_texts allows more."
      )

  def _read_words(self, classes: ClassList) -> _Words:
    """Makes the spaces that `embed_classes` makes, of texts that are kept."""
    vertices = concept_vertices(classes.texts, (self._template,))
    prompts = distinct_prompts([vertices])
    texts, embedded = self._embed_prompts(prompts)
    table = embed_vertices(
      vertices, prompts, np.stack([text.embedding for text in texts])
    )
    options = self._options
    padded = build_core(_round_up(table), options)
    return _Words(
      NamedSpace(
        padded,
        classes.names,
        classes.concepts,
        float(self.clip.params["logit_scale"]),
      ),
      space_scorer(padded, options.metric, neighbors=options.neighbors),
      embedded,
      sum(text.is_cut for text in texts),
    )

  def _embed_prompts(self, prompts: Sequence[str]) -> tuple[list[_Text], int]:
    """Returns the texts of prompts, and how many were not yet known."""
    known = {prompt: self._texts.get(prompt) for prompt in prompts}
    new = [prompt for prompt, text in known.items() if text is None]
    if new:
      token_ids, is_cut = self.clip.tokenize.encode(new)
      embeddings = embed_in_buckets(
        functools.partial(
          embed_texts, self.clip.spec, self.clip.params, dtype=self._dtype
        ),
        self.clip.spec,
        token_ids,
        rows=_FEW_TEXTS if len(new) <= _FEW_TEXTS else _MANY_TEXTS,
      )
      for prompt, row, cut in zip(new, embeddings, is_cut, strict=True):
        known[prompt] = _Text(row, bool(cut))
        self._texts.put(prompt, _Text(row, bool(cut)))
    return [text for text in known.values() if text is not None], len(new)

  def _embed_image(self, pixels: np.ndarray) -> Float32[np.ndarray, " dim"]:
    spec, params = self.clip.spec, self.clip.params
    found = embed_images(spec, params, pixels[None], dtype=self._dtype)
    return np.asarray(found, np.float32)[0]

  def _rank(self, words: _Words, image: Float32[np.ndarray, " dim"]) -> Ranking:
    """Ranks all classes, without those that only fill the arrays up."""
    scale = words.space.logit_scale
    ranking = rank_classes(
      words.score,
      words.space.space,
      image[None],
      logit_scale=scale,
      top=words.space.space.mask.shape[0],
    )
    labels = np.asarray(ranking.labels)[0]
    real = labels < len(words.space.names)
    scores = np.where(real, np.asarray(ranking.scores)[0], -np.inf)
    found = ranking._replace(
      labels=ranking.labels[0],
      scores=scores,
      probabilities=probabilities(scores, scale),
      texts=ranking.texts[0],
      cosines=ranking.cosines[0],
    )
    return Ranking(*(np.asarray(values)[real] for values in found))

  def _answer(
    self, words: _Words, image: Float32[np.ndarray, " dim"]
  ) -> dict[str, Any]:
    space = words.space
    ranking = self._rank(words, image)
    best = [np.asarray(values)[: self._top].tolist() for values in ranking]
    rows = [
      {
        "label": label,
        "name": space.names[label],
        "score": score,
        "probability": share,
        "text": space.texts[label][place],
        "cosine": cosine,
      }
      for label, score, share, place, cosine in zip(*best, strict=True)
    ]
    places = dict(zip(best[0], best[3], strict=True))
    return {"ranking": rows, "map": _draw_map(space, image, places)}


def _read_question(value: Any) -> tuple[list[dict[str, Any]], list[str]]:
  """Reads the rows of the table and the names of pictures."""
  value = value if isinstance(value, dict) else {}
  rows, pictures = value.get("classes"), value.get("pictures")
  if not _are_rows(rows):
    raise ValueError(
      f"{_FIELD} must be a list of rows with the texts `name` and `names`."
    )
  for row in rows:
    if not row["name"].strip():
      raise ValueError(
        f"every class must have a name, got none for {row['names']!r:.80}:"
        " write it in the first column."
      )
  if not isinstance(pictures, list) or not all(
    isinstance(name, str) for name in pictures
  ):
    raise ValueError("`pictures` must be a list of names.")
  if len(pictures) > MAX_PICTURES:
    raise ValueError(
      f"`pictures` must be at most {MAX_PICTURES}, got {len(pictures)}: remove"
      " some."
    )
  return (
    [
      {"name": row["name"], "synonyms": split_names(row["names"])}
      for row in rows
    ],
    pictures,
  )


def _are_rows(rows: Any) -> bool:
  return isinstance(rows, list) and all(
    isinstance(row, Mapping)
    and isinstance(row.get("name"), str)
    and isinstance(row.get("names"), str)
    for row in rows
  )


def _round_up(table: TextTable) -> TextTable:
  """Fills a table up with classes and synonyms that are none."""
  rows, columns = (
    batch_rows(max(size, least), 1 << 30)
    for size, least in zip(table.mask.shape, _LEAST, strict=True)
  )
  more = (rows - table.mask.shape[0], columns - table.mask.shape[1])
  grown = ((0, more[0]), (0, more[1]))
  return TextTable(
    (*table.texts, *((("",),) * more[0])),
    np.pad(table.embeddings, (*grown, (0, 0))),
    np.pad(table.mask, grown),
    np.pad(table.forms, grown),
  )


def _draw_map(
  space: NamedSpace,
  image: Float32[np.ndarray, " dim"],
  places: Mapping[int, int],
) -> list[dict[str, Any]]:
  """Lays the texts of some classes on a plane that says why they won.

  Images of CLIP lie apart from texts, so no plane of both shows which text is
  near. Across is therefore the cosine with the picture itself; up is the first
  principal component of what that leaves of the texts.

  Args:
    space: classes, padded.
    image: unit embedding.
    places: label -> its text that is nearest to the picture.
  """
  points, core = np.asarray(space.space.points), np.asarray(space.space.mask)
  chosen = [
    (label, place)
    for label in places
    for place in range(len(space.texts[label]))
  ]
  texts = np.array([points[each] for each in chosen], np.float64)
  cosines = texts @ image.astype(np.float64)
  rest = principal_plane(texts - cosines[:, None] * image).places[:, 0]
  return [
    {
      "label": label,
      "text": space.texts[label][place],
      "x": x,
      "y": y,
      "in_core": bool(core[label, place]),
      "decides": places[label] == place,
      "official": place == 0,
    }
    for (label, place), x, y in zip(
      chosen, cosines.tolist(), rest.tolist(), strict=True
    )
  ]
