"""Embeddings of texts and images, from the cache where it has them."""

import functools
import hashlib
import json
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float32, Int, Int32
from tqdm import tqdm

from s3_jax.clip import Clip, ModelSpec, embed_images, embed_texts
from s3_jax.clip.text_batches import embed_in_buckets
from s3_jax.data.datasets import DatasetSpec, open_dataset
from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.data.input_pipeline import padded_batches
from s3_jax.data.records import OpenedDataset, Records
from s3_jax.evaluation import cache
from s3_jax.evaluation.embedding import embed_batches
from s3_jax.evaluation.shards import Rows, count_missing, fill_shards
from s3_jax.sharding import batch_sharding, data_mesh, replicated

TEXT_CHUNK = 1024
"""Texts that share one file of the cache."""

TEXT_ROWS = 256
"""Texts that the text tower takes at once."""


class Embedder(NamedTuple):
  """A checkpoint, where to run it and where to keep what it gave."""

  clip: Clip
  dtype: str  # of the towers' matrix products
  batch_size: int
  mesh: int  # devices that share the images; 0 for all
  cache_dir: pathlib.Path
  max_pixels: int = MAX_PIXELS  # of an image file; larger ones are bad


class TestSet(NamedTuple):
  """A test set as everything after the image tower sees it."""

  spec: DatasetSpec
  embeddings: Float32[np.ndarray, "images dim"]  # of the images that have one
  labels: Int32[np.ndarray, " images"]
  files: tuple[str, ...]  # of these images
  bad: tuple[tuple[str, str], ...]  # the other images: file and reason
  images_decoded: int  # 0 when the cache had them
  tower_batches: int


class EmbeddedTexts(NamedTuple):
  """Unit embeddings of a list of texts."""

  embeddings: Float32[np.ndarray, "texts dim"]
  tower_batches: int  # 0 when the cache had them


class Estimate(NamedTuple):
  """What is left to embed, and how long that will take."""

  texts: int
  images: int
  seconds: float


def _identity(embedder: Embedder) -> dict[str, Any]:
  """What an embedding depends on beside its input."""
  spec = json.loads(json.dumps(embedder.clip.spec._asdict()))
  return {
    "weights": embedder.clip.sha256,
    "spec": spec,
    "dtype": embedder.dtype,
  }


class _Chosen:
  """Some records of a data set, under their own numbers."""

  def __init__(self, records: Records, places: Int[np.ndarray, " images"]):
    self._records = records
    self._places = places

  def __len__(self) -> int:
    return self._places.size

  def __getitem__(self, index: int):
    return self._records[int(self._places[index])]


def find_test_set(
  embedder: Embedder,
  spec: DatasetSpec,
  *,
  data_dir: pathlib.Path | None = None,
  layout: str = "auto",
) -> OpenedDataset:
  """Finds a test set, on disk or in the embedded world.

  Args:
    embedder: whose cache folder holds the embedded world.
    spec: a row of DATASETS.
    data_dir: under which data sets lie.
    layout: of the data set's files; "auto" tries those that the spec names.

  Returns:
    The data set; nothing is decoded yet.

  Raises:
    ValueError: if it is not there.
  """
  if spec.family == "embedded":
    return open_dataset(spec, embedder.cache_dir / "tfds")
  if data_dir is None:
    raise ValueError(
      f"`config.data_dir` must be the folder that holds {spec.title}, and is"
      " not set."
    )
  return open_dataset(spec, data_dir, layout=layout)


def embed_test_set(
  embedder: Embedder, spec: DatasetSpec, opened: OpenedDataset
) -> TestSet:
  """Embeds a test set's images, or reads their embeddings from the cache.

  Args:
    embedder: the checkpoint.
    spec: of the data set.
    opened: its images.

  Returns:
    The images that have an embedding, in the data set's order, and the others
    with the reason.

  Raises:
    ValueError: if no image at all has one.
  """
  total = len(opened.records)
  key = _images_key(embedder, spec, opened)
  mesh = data_mesh(embedder.mesh)
  rows = _rows(embedder)
  reasons: dict[int, str] = {}
  batches = 0

  def embed(places: Int[np.ndarray, " images"]) -> Iterator[Rows]:
    nonlocal batches
    params = jax.device_put(embedder.clip.params, replicated(mesh))
    found: dict[int, str] = {}
    stream = padded_batches(
      _Chosen(opened.records, places),
      embedder.clip.preprocess,
      batch_size=rows,
      max_pixels=embedder.max_pixels,
      bad=found,
    )
    on_devices = (
      {**batch, "image": jax.device_put(batch["image"], batch_sharding(mesh))}
      for batch in stream
    )
    tower = Partial(_image_tower(embedder.clip.spec, embedder.dtype), params)
    with tqdm(
      total=total,
      initial=total - places.size,
      desc=f"embed {spec.name}",
      unit="image",
      leave=False,
      disable=None,
    ) as bar:
      for piece in embed_batches(tower, on_devices):
        index = places[piece.places]  # in the whole data set
        for inner in piece.places[~piece.good].tolist():
          reasons[int(places[inner])] = found.get(
            inner, "its embedding is zero or not finite"
          )
        batches += 1
        bar.update(index.size)
        yield piece._replace(places=index)

  shards = fill_shards(
    embedder.cache_dir / "embeddings",
    key,
    embed,
    reasons,
    name=spec.name,
    total=total,
    dim=embedder.clip.spec.embed_dim,
    batch_size=rows,
  )
  bad = tuple(
    (_printable(opened.files[place]), reason)
    for place, reason in sorted(shards.reasons.items())
  )
  if not shards.good.any():
    raise ValueError(
      f"{spec.title} must hold an image that can be embedded, got {total} bad"
      f" ones; the first is {bad[0][0]}: {bad[0][1]}."
    )
  return TestSet(
    spec,
    shards.embeddings[shards.good],
    shards.labels[shards.good],
    tuple(
      _printable(opened.files[place])
      for place in np.flatnonzero(shards.good).tolist()
    ),
    bad,
    shards.computed,
    batches,
  )


def _printable(name: str) -> str:
  """Shows the bytes of a file name that are no text."""
  return name.encode("utf-8", "backslashreplace").decode()


def _rows(embedder: Embedder) -> int:
  """Rounds the batch up to what the devices can share."""
  devices = data_mesh(embedder.mesh).size
  return -(-embedder.batch_size // devices) * devices


def _images_key(
  embedder: Embedder, spec: DatasetSpec, opened: OpenedDataset
) -> str:
  return cache.content_key(
    {
      **_identity(embedder),
      "dataset": spec.name,
      "content": opened.fingerprint,
      "max_pixels": embedder.max_pixels,
    }
  )


@functools.cache
def _image_tower(spec: ModelSpec, dtype: str):
  """One function object a network, so that it compiles once."""

  def tower(params, images):
    return embed_images(spec, params, images, dtype=dtype)

  return tower


def embed_prompts(
  embedder: Embedder,
  prompts: Sequence[str],
  *,
  rows: int = TEXT_ROWS,
  progress: str | None = None,
) -> EmbeddedTexts:
  """Embeds texts, or reads their embeddings from the cache.

  Texts are stored in chunks as they are made, so a run that is killed goes on
  from the last chunk, and other texts cost only themselves.

  Args:
    embedder: the checkpoint.
    prompts: any texts.
    rows: how many the text tower takes at once.
    progress: what a progress bar says; None for no bar.

  Returns:
    One unit row a text.
  """
  pieces = []
  batches = 0
  with tqdm(
    total=len(prompts),
    desc=progress,
    unit="text",
    leave=False,
    disable=True if progress is None else None,
  ) as bar:
    for start in range(0, len(prompts), TEXT_CHUNK):
      piece, ran = _embed_chunk(
        embedder, prompts[start : start + TEXT_CHUNK], rows
      )
      pieces.append(piece)
      batches += ran
      bar.update(len(piece))
  if not pieces:
    pieces = [np.zeros((0, embedder.clip.spec.embed_dim), np.float32)]
  return EmbeddedTexts(np.concatenate(pieces), batches)


def _embed_chunk(
  embedder: Embedder, prompts: Sequence[str], rows: int
) -> tuple[Float32[np.ndarray, "texts dim"], int]:
  clip = embedder.clip
  token_ids = _tokenized(clip.tokenize, tuple(prompts))
  key = _texts_key(embedder, prompts, token_ids)
  folder = embedder.cache_dir / "embeddings"
  shape = (len(prompts), clip.spec.embed_dim)
  stored = cache.load(folder, key, expected={"embeddings": (shape, "float32")})
  if stored is not None:
    return stored["embeddings"], 0
  embeddings = embed_in_buckets(
    functools.partial(
      embed_texts, clip.spec, clip.params, dtype=embedder.dtype
    ),
    clip.spec,
    token_ids,
    rows=rows,
  )
  cache.store(folder, key, {"embeddings": embeddings}, {"kind": "texts"})
  return embeddings, -(-len(prompts) // rows)


@functools.lru_cache(maxsize=128)
def _tokenized(
  tokenize: Callable[[Sequence[str]], Int[np.ndarray, "texts context"]],
  prompts: tuple[str, ...],
) -> Int[np.ndarray, "texts context"]:
  """Tokenizes a chunk once for the estimate and the embedding."""
  return tokenize(prompts)


def _texts_key(
  embedder: Embedder,
  prompts: Sequence[str],
  token_ids: Int[np.ndarray, "texts context"],
) -> str:
  return cache.content_key(
    {
      **_identity(embedder),
      "prompts": list(prompts),
      # The tokenizer's part in it.
      "token_ids": hashlib.sha256(token_ids.tobytes()).hexdigest(),
    }
  )


def estimate(
  embedder: Embedder,
  prompts: Sequence[Sequence[str]],
  test_sets: Sequence[tuple[DatasetSpec, OpenedDataset]],
) -> Estimate:
  """Says how much the cache lacks, and times both towers on one batch of it.

  Args:
    embedder: the checkpoint.
    prompts: lists of texts, as `embed_prompts` will be given them.
    test_sets: that `embed_test_set` will be given.

  Returns:
    Texts and images to embed, and the seconds that the towers need for them.
  """
  clip, folder = embedder.clip, embedder.cache_dir / "embeddings"
  texts, sample = 0, None
  for of_method in prompts:
    for start in range(0, len(of_method), TEXT_CHUNK):
      chunk = of_method[start : start + TEXT_CHUNK]
      token_ids = _tokenized(clip.tokenize, tuple(chunk))
      key = _texts_key(embedder, chunk, token_ids)
      if not cache.is_stored(folder, key):
        texts += len(chunk)
        sample = token_ids
  images = sum(
    count_missing(
      folder,
      _images_key(embedder, spec, opened),
      total=len(opened.records),
    )
    for spec, opened in test_sets
  )
  seconds = 0.0
  if sample is not None:
    sampled = np.resize(sample, (TEXT_ROWS, sample.shape[1]))
    tower = functools.partial(
      embed_texts, clip.spec, clip.params, dtype=embedder.dtype
    )
    once = _second_run(
      lambda: embed_in_buckets(tower, clip.spec, sampled, rows=TEXT_ROWS)
    )
    seconds += once * texts / TEXT_ROWS
  if images:
    mesh, rows = data_mesh(embedder.mesh), _rows(embedder)
    size = clip.spec.image_size
    black = np.zeros((rows, size, size, 3), np.uint8)
    tower = Partial(
      _image_tower(clip.spec, embedder.dtype),
      jax.device_put(clip.params, replicated(mesh)),
    )
    batch = {
      "image": jax.device_put(black, batch_sharding(mesh)),
      "label": np.zeros((rows,), np.int32),
      "mask": np.ones((rows,), bool),
      "index": np.arange(rows),
    }
    once = _second_run(lambda: list(embed_batches(tower, [batch])))
    seconds += once * images / rows
  return Estimate(texts, images, seconds)


def _second_run(run) -> float:
  """Times a function's second run; the first one compiles."""
  run()
  start = time.perf_counter()
  run()
  return time.perf_counter() - start
