"""Embeddings of texts: each distinct one once, from the cache where it is."""

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float32, Int, Int32

from s3_jax import hosts
from s3_jax.clip import ModelSpec
from s3_jax.clip.text_batches import bucket_batches, embed_in_buckets
from s3_jax.clip.tokenizer import TextTokenizer, Tokens
from s3_jax.experiment.run_log import time_some
from s3_jax.storage.text_blocks import BLOCK_TEXTS, TextBlocks

TEXT_ROWS = 256
"""Texts that the text tower takes at once. As many in every benchmark: then, on
a CPU, the others of a batch change no bit of an embedding, and counts of
pixels, whose key is made of embedded texts, are found again."""


class TextLookup(NamedTuple):
  """Texts, and where the cache has them.

  Attributes:
    texts: different ones.
    tokens: of the texts.
    contents: sha256 of their token ids, each once.
    of_text: of each text, its place among the contents.
    blocks: what the cache of this process has.
    stored: which contents each process has.
  """

  texts: tuple[str, ...]
  tokens: Tokens
  contents: tuple[bytes, ...]
  of_text: Int[np.ndarray, " texts"]
  blocks: TextBlocks
  stored: Bool[np.ndarray, "processes contents"]

  @property
  def missing(self) -> int:
    """How many have to be embedded."""
    return int((~self.stored.any(axis=0)).sum())


class EmbeddedTexts(NamedTuple):
  """Unit embeddings of different texts.

  Attributes:
    rows: text -> its row.
    embeddings: of the texts.
    tokens: of the texts.
    tower_batches: 0 when the cache had them all.
    computed: texts that the cache did not have.
  """

  rows: dict[str, int]
  embeddings: Float32[np.ndarray, "texts dim"]
  tokens: Tokens
  tower_batches: int
  computed: int

  def of(self, texts: Sequence[str]) -> Float32[np.ndarray, "_ dim"]:
    """Returns the embeddings of some of the texts."""
    return self.embeddings[self._indices(texts)]

  def describe(self, texts: Sequence[str] | None = None) -> dict[str, Any]:
    """Says in results what the text tower was given for all or some texts."""
    indices = self._indices(list(self.rows) if texts is None else texts)
    token_ids = self.tokens.token_ids[indices].astype("<i4")
    return {
      "truncated": int(self.tokens.is_cut[indices].sum()),
      "token_ids_sha256": hashlib.sha256(token_ids.tobytes()).hexdigest(),
    }

  def _indices(self, texts: Sequence[str]) -> Int[np.ndarray, " _"]:
    return np.asarray([self.rows[text] for text in texts], np.int64)


def look_up(
  tokenize: TextTokenizer, blocks: TextBlocks, texts: Sequence[str]
) -> TextLookup:
  """Finds out which texts the cache has; all processes must ask for the same.

  Texts that become the same token ids are one.
  """
  distinct = tuple(dict.fromkeys(texts))
  tokens = _tokenized(tokenize, distinct)
  digests: dict[bytes, int] = {}
  of_text = [
    digests.setdefault(hashlib.sha256(row.tobytes()).digest(), len(digests))
    for row in tokens.token_ids.astype("<i4")
  ]
  hosts.agree(
    {
      "the texts": distinct,
      "the token ids": hashlib.sha256(b"".join(digests)).hexdigest(),
    }
  )
  stored = np.asarray([content in blocks for content in digests], bool)
  return TextLookup(
    distinct,
    tokens,
    tuple(digests),
    np.asarray(of_text, np.int64),
    blocks,
    hosts.gather_flags(stored),
  )


@lru_cache(maxsize=2)
def _tokenized(tokenize: TextTokenizer, texts: tuple[str, ...]) -> Tokens:
  """Tokenizes texts once to count them and to embed them."""
  return tokenize.encode(texts)


def time_texts(
  found: TextLookup,
  tower: Callable[[Int32[np.ndarray, "rows length"]], jax.Array],
  spec: ModelSpec,
  clock: Callable[[], float],
  made: dict[bytes, jax.Array],
  *,
  rows: int = TEXT_ROWS,
) -> float | None:
  """Embeds the first batches that `embed_or_read` will ask for, by their bytes.

  Returns the seconds of the whole share: the towers' work grows with the
  columns of a batch.
  """
  own = hosts.own_items(found.stored) & ~found.stored.any(axis=0)
  left = np.unique(found.of_text, return_index=True)[1][own]
  token_ids = [found.tokens.token_ids[block] for block in _cut(left)]
  blocks = [
    [batch for _, batch in bucket_batches(spec, block, rows=rows)]
    for block in token_ids
  ]
  columns = sum(batch.shape[1] for block in blocks for batch in block)
  if left.size <= rows:
    return None

  def embed(batch: Int32[np.ndarray, "rows length"]) -> None:
    made[batch.tobytes()] = jax.block_until_ready(tower(batch))

  first = (
    (functools.partial(embed, batch), batch.shape[1]) for batch in blocks[0]
  )
  return columns * time_some(first, clock)


def embed_or_read(
  found: TextLookup,
  tower: Callable[[Int32[np.ndarray, "rows length"]], jax.Array],
  spec: ModelSpec,
  *,
  prepare: Callable[[], None],
  rows: int = TEXT_ROWS,
) -> EmbeddedTexts:
  """Reads texts from the cache, and embeds and stores those it lacks.

  Several processes share them out, and in the end all have all of them. Blocks
  are stored as they are made, so a run that is killed goes on from there.
  """
  firsts = np.unique(found.of_text, return_index=True)[1]
  own = np.flatnonzero(hosts.own_items(found.stored))
  contents = [found.contents[index] for index in own.tolist()]
  counts = {"batches": 0, "computed": 0}

  def embed() -> Float32[np.ndarray, "own dim"]:
    prepare()
    embeddings, is_there = found.blocks.read(contents)
    left = np.flatnonzero(~is_there)
    with hosts.progress_bar(
      total=own.size,
      initial=own.size - left.size,
      desc="embed texts",
      unit="text",
    ) as bar:
      for block in hosts.with_barriers(_cut(left)):
        token_ids = found.tokens.token_ids[firsts[own[block]]]
        made = embed_in_buckets(tower, spec, token_ids, rows=rows)
        found.blocks.store([contents[i] for i in block.tolist()], made)
        embeddings[block] = made
        counts["batches"] += -(-block.size // rows)
        counts["computed"] += block.size
        bar.update(block.size)
    return embeddings

  part = {"own": own, "embeddings": hosts.raise_on_all(embed)}
  whole = np.zeros((len(found.contents), spec.embed_dim), np.float32)
  for each in hosts.gather_arrays(part):
    whole[each["own"]] = each["embeddings"]
  counts = hosts.add_up(counts)
  return EmbeddedTexts(
    {text: row for row, text in enumerate(found.texts)},
    whole[found.of_text],
    found.tokens,
    counts["batches"],
    counts["computed"],
  )


def _cut(
  left: Int[np.ndarray, " left"],
) -> Iterator[Int[np.ndarray, " block"]]:
  for start in range(0, left.size, BLOCK_TEXTS):
    yield left[start : start + BLOCK_TEXTS]
