"""Many texts through the text tower, at no more length than they need.

A prompt for one class has ten tokens or so of a context of 77. A causal tower
that pools the end token never looks at what stands behind it, so the columns
behind the longest text of a batch can be cut off without changing a result.
Lengths are rounded up to a few buckets, which bounds how often XLA compiles.
"""

from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Float32, Int, Int32

from s3_jax.clip.towers import may_cut_padding
from s3_jax.clip.zoo import ModelSpec

LENGTHS = (16, 24, 32, 48)
"""Columns that a batch of texts may have, beside the context length."""


def text_lengths(
  spec: ModelSpec, token_ids: Int32[np.ndarray, "texts context"]
) -> Int32[np.ndarray, " texts"]:
  """Counts the columns of each text that its embedding depends on."""
  if not may_cut_padding(spec):
    return np.full(len(token_ids), spec.context_length, np.int32)
  ends = (token_ids == spec.end_token_id).argmax(axis=1)
  return (ends + 1).astype(np.int32)


def bucket(spec: ModelSpec, length: int) -> int:
  """Rounds a length up to a bucket."""
  fitting = [known for known in LENGTHS if known >= length]
  return min([*fitting, spec.context_length])


def embed_in_buckets(
  embed: Callable[
    [Int32[np.ndarray, "rows length"]], Float32[jax.Array, "rows dim"]
  ],
  spec: ModelSpec,
  token_ids: Int32[np.ndarray, "texts context"],
  *,
  rows: int = 256,
) -> Float32[np.ndarray, "texts dim"]:
  """Embeds texts batch by batch, the short ones first.

  Texts are sorted by length, so that a batch holds texts of about one length;
  the results come back in the texts' own order. The last batch is filled up
  with texts that it has, so every batch has the same number of rows and `embed`
  meets at most `len(LENGTHS) + 1` shapes.
  """
  embeddings = np.zeros((len(token_ids), spec.embed_dim), np.float32)
  # Left on the device, so that it works while the next batch is cut.
  pieces = [
    (texts, embed(batch))
    for texts, batch in bucket_batches(spec, token_ids, rows=rows)
  ]
  for texts, piece in pieces:
    embeddings[texts] = np.asarray(piece)[: len(texts)]
  return embeddings


def bucket_batches(
  spec: ModelSpec, token_ids: Int32[np.ndarray, "texts context"], *, rows: int
) -> Iterator[
  tuple[Int[np.ndarray, " places"], Int32[np.ndarray, "rows length"]]
]:
  """Cuts texts into the batches of `embed_in_buckets`, with their places."""
  lengths = text_lengths(spec, token_ids)
  order = np.argsort(lengths, kind="stable")
  for start in range(0, len(order), rows):
    texts = order[start : start + rows]
    length = bucket(spec, int(lengths[texts].max()))
    yield texts, np.resize(token_ids[texts, :length], (rows, length))
