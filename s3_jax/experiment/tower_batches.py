"""Batches of images through the image tower, one batch ahead of the host."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from s3_jax.storage.embedding_shards import Rows

__all__ = ["embed_batches"]


@jax.jit
def _embed(embed, images):
  return embed(images).astype(jnp.float32)


def embed_batches(
  embed_fn: Callable[[Array], Float[Array, "batch dim"]],
  batches: Iterable[Mapping[str, Any]],
) -> Iterator[Rows]:
  """Embeds batch after batch; the host waits for a batch only with the next."""
  embed = embed_fn if isinstance(embed_fn, Partial) else Partial(embed_fn)
  waiting: tuple[Mapping[str, Any], Array] | None = None
  for batch in batches:
    embedded = _embed(embed, batch["image"])
    if waiting is not None:
      yield _rows(*waiting)
    waiting = (batch, embedded)
  if waiting is not None:
    yield _rows(*waiting)


def _rows(batch: Mapping[str, Any], embedded: Array) -> Rows:
  index = np.asarray(batch["index"])
  real = index >= 0
  rows = np.asarray(embedded)[real]
  norms = np.linalg.norm(rows.astype(np.float64), axis=-1)
  usable = np.isfinite(norms) & (norms > 0)
  return Rows(
    indices=index[real],
    embeddings=np.where(usable[:, None], rows, np.float32(0)),
    good=np.asarray(batch["mask"])[real] & usable,
  )
