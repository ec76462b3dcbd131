"""Batches of images through the image tower, one batch ahead of the host."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Float32

from s3_jax.clip import ModelSpec, embed_images
from s3_jax.storage.embedding_shards import Rows

__all__ = ["embed_batches", "image_tower", "run_tower"]


@functools.cache
def image_tower(
  spec: ModelSpec, dtype: str, gather: Callable[..., Any] | None = None
) -> Callable[..., Any]:
  """Returns one function object a network, so that it compiles once."""

  def tower(params, images):
    return embed_images(spec, params, images, dtype=dtype, gather=gather)

  return tower


@jax.jit
def run_tower(tower: Partial, images: Array) -> Float32[Array, "batch dim"]:
  """Compiles a tower once; its weights are an argument."""
  return tower(images).astype(jnp.float32)


def embed_batches(
  embed_fn: Callable[[Array], Float[Array, "batch dim"]],
  batches: Iterable[Mapping[str, Any]],
) -> Iterator[Rows]:
  """Embeds batch after batch; the host waits for a batch only with the next.

  A batch may have several images in a row for each of its rows, which keep
  their order; one useless embedding among them spoils the row.
  """
  embed = embed_fn if isinstance(embed_fn, Partial) else Partial(embed_fn)
  waiting: tuple[Mapping[str, Any], Array] | None = None
  for batch in batches:
    embedded = run_tower(embed, batch["image"])
    if waiting is not None:
      yield _rows(*waiting)
    waiting = (batch, embedded)
  if waiting is not None:
    yield _rows(*waiting)


def _rows(batch: Mapping[str, Any], embedded: Array) -> Rows:
  index = np.asarray(batch["index"])
  real = index >= 0
  rows = np.asarray(embedded)
  several = len(rows) != len(index)
  rows = rows.reshape((len(index), -1, rows.shape[-1]))[real]
  norms = np.linalg.norm(rows.astype(np.float64), axis=-1)
  usable = np.isfinite(norms) & (norms > 0)
  rows = np.where(usable[..., None], rows, np.float32(0))
  return Rows(
    indices=index[real],
    embeddings=rows if several else rows[:, 0],
    good=np.asarray(batch["mask"])[real] & usable.all(axis=-1),
  )
