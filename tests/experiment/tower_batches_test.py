"""Batches through a tower: padding, bad images, one compilation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from s3_jax.experiment.tower_batches import embed_batches


def make_batches(count, batch_size, bad=()):
  """Images whose pixels are their place + 1; padding has index -1."""
  for start in range(0, count, batch_size):
    index = np.arange(start, start + batch_size)
    index = np.where(index < count, index, -1)
    pixels = (index + 1).astype(np.uint8)[:, None, None, None]
    yield {
      "image": np.tile(pixels, (1, 2, 2, 3)),
      "label": np.where(index >= 0, index % 3, -7).astype(np.int32),
      "mask": (index >= 0) & ~np.isin(index, bad),
      "index": index,
    }


def embed(images):
  x = images.astype(jnp.float32)[:, 0, 0, 0]
  return jnp.stack([x, x + 1], axis=-1)


def joined(rows):
  return [
    np.concatenate(parts)
    for parts in zip(*(row[:3] for row in rows), strict=True)
  ]


@pytest.mark.parametrize("count", [1, 6, 7])
@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_rows_are_the_images_without_padding(count, batch_size):
  pieces = list(embed_batches(embed, make_batches(count, batch_size)))
  assert len(pieces) == -(-count // batch_size)
  indices, embeddings, good = joined(pieces)
  expected = np.arange(count)
  np.testing.assert_array_equal(indices, expected)
  np.testing.assert_array_equal(
    embeddings, np.stack([expected + 1, expected + 2], axis=-1)
  )
  assert good.all() and embeddings.dtype == np.float32


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_bad_images_and_useless_embeddings_are_marked(value):
  def tower(images):
    x = embed(images)
    return jnp.where(x[:, :1] == 5, value * jnp.ones_like(x), x)

  pieces = embed_batches(tower, make_batches(6, 4, bad=[1]))
  indices, embeddings, good = joined(pieces)
  assert indices[~good].tolist() == [1, 4]
  assert np.isfinite(embeddings).all()


def test_one_compilation_and_weights_as_arguments():
  traces = []

  def tower(weights, images):
    traces.append(images.shape)
    return embed(images) * weights

  for factor in (1.0, 2.0):
    pieces = embed_batches(
      Partial(tower, jnp.float32(factor)), make_batches(5, 2)
    )
    assert joined(pieces)[1][4, 0] == 5 * factor
  assert traces == [(2, 2, 2, 3)]


def test_the_next_batch_is_read_before_the_first_is_awaited():
  read = []

  def batches():
    for number, batch in enumerate(make_batches(6, 2)):
      read.append(number)
      yield batch

  stream = embed_batches(jax.jit(embed), batches())
  next(stream)
  assert read == [0, 1]


def test_half_precision_towers_give_float32():
  tower = lambda x: embed(x).astype(jnp.bfloat16)
  (piece,) = embed_batches(tower, make_batches(1, 1))
  assert piece.embeddings.dtype == np.float32
