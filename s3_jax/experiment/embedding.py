"""Embeddings of texts and images, from the cache where it has them."""

import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float32, Int32

from s3_jax.clip import Clip, embed_images, embed_texts
from s3_jax.clip.text_batches import embed_in_buckets
from s3_jax.data.datasets import DatasetSpec, open_dataset
from s3_jax.data.input_pipeline import padded_batches
from s3_jax.evaluation import cache
from s3_jax.evaluation.classification import embed_dataset
from s3_jax.sharding import batch_sharding, data_mesh, replicated


class Embedder(NamedTuple):
  """A checkpoint, where to run it and where to keep what it gave."""

  clip: Clip
  dtype: str  # of the towers' matrix products
  batch_size: int
  mesh: int  # devices that share the images; 0 for all
  cache_dir: pathlib.Path


class TestSet(NamedTuple):
  """A test set as everything after the image tower sees it."""

  spec: DatasetSpec
  embeddings: Float32[np.ndarray, "images dim"]
  labels: Int32[np.ndarray, " images"]
  images_decoded: int  # 0 when the cache had them
  tower_batches: int


class EmbeddedTexts(NamedTuple):
  """Unit embeddings of a list of texts."""

  embeddings: Float32[np.ndarray, "texts dim"]
  tower_batches: int  # 0 when the cache had them


def _identity(embedder: Embedder) -> dict[str, Any]:
  """What an embedding depends on beside its input."""
  spec = json.loads(json.dumps(embedder.clip.spec._asdict()))
  return {
    "weights": embedder.clip.sha256,
    "spec": spec,
    "dtype": embedder.dtype,
  }


def embed_test_set(embedder: Embedder, spec: DatasetSpec) -> TestSet:
  """Embeds a test set's images, or reads their embeddings from the cache.

  Args:
    embedder: the checkpoint.
    spec: a row of DATASETS.

  Returns:
    The test set, in the data set's order.
  """
  key = cache.content_key(
    {
      **_identity(embedder),
      "dataset": [spec.name, spec.config, spec.split, spec.version],
      "examples": spec.examples,
    }
  )
  folder = embedder.cache_dir / "embeddings"
  dim = embedder.clip.spec.embed_dim
  stored = cache.load(
    folder,
    key,
    expected={
      "embeddings": ((spec.examples, dim), "float32"),
      "labels": ((spec.examples,), "int32"),
    },
  )
  if stored is not None:
    return TestSet(spec, stored["embeddings"], stored["labels"], 0, 0)
  records = open_dataset(spec, embedder.cache_dir / "tfds")
  mesh = data_mesh(embedder.mesh)
  params = jax.device_put(embedder.clip.params, replicated(mesh))
  rows = -(-embedder.batch_size // mesh.size) * mesh.size
  batches = (
    {**batch, "image": jax.device_put(batch["image"], batch_sharding(mesh))}
    for batch in padded_batches(
      records, embedder.clip.preprocess, batch_size=rows
    )
  )
  embedded = embed_dataset(
    Partial(_image_tower(embedder.clip.spec, embedder.dtype), params),
    batches,
    total=len(records),
    progress=f"embed {spec.name}",
  )
  arrays = {"embeddings": embedded.embeddings, "labels": embedded.labels}
  cache.store(folder, key, arrays, {"dataset": spec.name, "split": spec.split})
  return TestSet(
    spec,
    embedded.embeddings,
    embedded.labels,
    embedded.images_decoded,
    embedded.tower_batches,
  )


def _image_tower(spec, dtype):
  def tower(params, images):
    return embed_images(spec, params, images, dtype=dtype)

  return tower


def embed_prompts(
  embedder: Embedder, prompts: Sequence[str], *, rows: int = 256
) -> EmbeddedTexts:
  """Embeds texts, or reads their embeddings from the cache.

  Args:
    embedder: the checkpoint.
    prompts: any texts.
    rows: how many the text tower takes at once.

  Returns:
    One unit row a text.
  """
  clip = embedder.clip
  token_ids = clip.tokenize(prompts)
  key = cache.content_key(
    {
      **_identity(embedder),
      "prompts": list(prompts),
      "token_ids": token_ids.tolist(),  # the tokenizer's part in it
    }
  )
  folder = embedder.cache_dir / "embeddings"
  shape = (len(prompts), clip.spec.embed_dim)
  stored = cache.load(folder, key, expected={"embeddings": (shape, "float32")})
  if stored is not None:
    return EmbeddedTexts(stored["embeddings"], 0)
  embeddings = embed_in_buckets(
    functools.partial(
      embed_texts, clip.spec, clip.params, dtype=embedder.dtype
    ),
    clip.spec,
    token_ids,
    rows=rows,
  )
  cache.store(folder, key, {"embeddings": embeddings}, {"kind": "texts"})
  return EmbeddedTexts(embeddings, -(-len(prompts) // rows))
