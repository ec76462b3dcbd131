"""Embeddings of texts, from the cache where it has them."""

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int
from tqdm import tqdm

from s3_jax import hosts
from s3_jax.clip import embed_texts
from s3_jax.clip.text_batches import embed_in_buckets
from s3_jax.experiment.embedding import Embedder, identity
from s3_jax.experiment.settings import require_writable
from s3_jax.storage import cache

TEXT_CHUNK = 1024
"""Texts that share one file of the cache."""

TEXT_ROWS = 256
"""Texts that the text tower takes at once."""


class EmbeddedTexts(NamedTuple):
  """Unit embeddings of a list of texts."""

  embeddings: Float32[np.ndarray, "texts dim"]
  tower_batches: int  # 0 when the cache had them
  computed: int  # texts that the cache did not have


def embed_prompts(
  embedder: Embedder,
  prompts: Sequence[str],
  *,
  rows: int = TEXT_ROWS,
  progress: str | None = None,
) -> EmbeddedTexts:
  """Embeds texts, or reads their embeddings from the cache.

  Texts are stored in chunks as they are made, so a run that is killed goes on
  from the last chunk, and other texts cost only themselves. Several processes
  share out the chunks, and in the end all have all of them.
  """
  chunks = _chunks(prompts)
  own = _own_chunks(embedder, chunks)
  counts = {"batches": 0, "computed": 0}

  def embed() -> dict[str, np.ndarray]:
    # Now, and not after the first chunk; every task with a cache gets here.
    require_writable(embedder.cache_dir, "config.cache_dir")
    pieces = {}
    with tqdm(
      total=sum(len(chunks[number]) for number in own),
      desc=progress,
      unit="text",
      leave=False,
      disable=True if progress is None or not hosts.is_first() else None,
    ) as bar:
      for number in hosts.with_barriers(own):
        piece, ran = _embed_chunk(embedder, chunks[number], rows)
        pieces[str(number)] = piece
        counts["batches"] += ran
        counts["computed"] += len(piece) if ran else 0
        bar.update(len(piece))
    return pieces

  pieces: dict[str, np.ndarray] = {}
  for part in hosts.gather_arrays(hosts.raise_on_all(embed)):
    pieces |= part
  counts = hosts.add_up(counts)
  empty = np.zeros((0, embedder.clip.spec.embed_dim), np.float32)
  embeddings = np.concatenate(
    [empty, *(pieces[str(number)] for number in range(len(chunks)))]
  )
  return EmbeddedTexts(embeddings, counts["batches"], counts["computed"])


def _own_chunks(
  embedder: Embedder, chunks: Sequence[Sequence[str]]
) -> list[int]:
  """Lists the chunks that this process reads or makes."""
  if hosts.count() == 1:
    return list(range(len(chunks)))
  return np.flatnonzero(hosts.own_items(_stored(embedder, chunks))).tolist()


def _stored(
  embedder: Embedder, chunks: Sequence[Sequence[str]]
) -> Bool[np.ndarray, "processes chunks"]:
  stored = [_is_stored(embedder, chunk) for chunk in chunks]
  return hosts.gather_flags(np.asarray(stored, bool))


def _embed_chunk(
  embedder: Embedder, prompts: Sequence[str], rows: int
) -> tuple[Float32[np.ndarray, "texts dim"], int]:
  clip = embedder.clip
  token_ids = _tokenized(clip.tokenize, tuple(prompts))
  key = _texts_key(embedder, prompts, token_ids)
  folder = embedder.folder
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
      **identity(embedder),
      "prompts": list(prompts),
      # The tokenizer's part in it.
      "token_ids": hashlib.sha256(token_ids.tobytes()).hexdigest(),
    }
  )


def missing_chunks(
  embedder: Embedder, prompts: Sequence[str]
) -> Iterator[Int[np.ndarray, "texts context"]]:
  """Tokenizes the chunks of a list that no process has in its cache."""
  chunks = _chunks(prompts)
  stored = _stored(embedder, chunks).any(axis=0)
  for number in np.flatnonzero(~stored).tolist():
    yield _tokenized(embedder.clip.tokenize, tuple(chunks[number]))


def _chunks(prompts: Sequence[str]) -> list[Sequence[str]]:
  return [
    prompts[start : start + TEXT_CHUNK]
    for start in range(0, len(prompts), TEXT_CHUNK)
  ]


def _is_stored(embedder: Embedder, chunk: Sequence[str]) -> bool:
  token_ids = _tokenized(embedder.clip.tokenize, tuple(chunk))
  return cache.is_stored(
    embedder.folder, _texts_key(embedder, chunk, token_ids)
  )
