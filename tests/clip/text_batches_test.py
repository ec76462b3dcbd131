"""Texts embedded at the lengths that they need: equal, ordered, few shapes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax.clip import ModelSpec, embed_texts, init_params
from s3_jax.clip.checkpoints import ZOO
from s3_jax.clip.text_batches import (
  LENGTHS,
  bucket,
  embed_in_buckets,
  text_lengths,
)

START, END = 38, 39
SPEC = ZOO["openai/ViT-B/32"]._replace(
  name="tiny",
  image_size=8,
  patch_size=4,
  image_width=8,
  image_layers=1,
  image_heads=1,
  image_mlp_dim=8,
  text_width=16,
  text_layers=2,
  text_heads=2,
  text_mlp_dim=32,
  vocab_size=40,
  embed_dim=8,
  start_token_id=START,
  end_token_id=END,
)
SIGLIP = ZOO["google/siglip-base-patch16-224"]


def random_ids(lengths, *, pad: int, seed: int = 0) -> np.ndarray:
  """Texts of given lengths, start and end included; words may be the pad."""
  rng = np.random.default_rng(seed)
  ids = np.full((len(lengths), SPEC.context_length), pad, np.int32)
  for row, length in zip(ids, lengths, strict=True):
    row[0] = START
    row[1:length] = rng.integers(0, 30, length - 1)
    row[length - 1] = END
  return ids


@pytest.fixture(scope="module")
def tower():
  params = init_params(jax.random.key(1), SPEC)
  return functools.partial(embed_texts, SPEC, params)


def test_length_is_that_of_the_first_end():
  ids = np.full((4, 77), 0, np.int32)
  ids[0, 4] = END
  ids[1, 1:] = END
  ids[2, [9, 30]] = END
  lengths = text_lengths(SPEC, ids)
  assert lengths.tolist() == [5, 2, 10, 1]
  assert lengths.dtype == np.int32


@pytest.mark.parametrize(
  "spec",
  [
    SIGLIP,
    SPEC._replace(text_pooling="last"),
    SPEC._replace(text_causal=False),
  ],
)
def test_a_tower_that_sees_what_follows_gets_every_column(spec: ModelSpec):
  ids = np.full((3, spec.context_length), spec.end_token_id, np.int32)
  assert text_lengths(spec, ids).tolist() == [spec.context_length] * 3
  shapes = []

  def embed(batch):
    shapes.append(batch.shape)
    return jnp.zeros((len(batch), spec.embed_dim))

  embed_in_buckets(embed, spec, ids, rows=2)
  assert shapes == [(2, spec.context_length)] * 2


@pytest.mark.parametrize(
  ("context", "length", "expected"),
  [
    (77, 1, 16),
    (77, 16, 16),
    (77, 17, 24),
    (77, 33, 48),
    (77, 49, 77),
    (77, 77, 77),
    (16, 3, 16),
    (12, 3, 12),
    (20, 17, 20),
  ],
)
def test_buckets(context, length, expected):
  assert bucket(SPEC._replace(context_length=context), length) == expected


@pytest.mark.parametrize("pad", [0, END])
@pytest.mark.parametrize("rows", [3, 7, 64])
def test_equal_to_the_full_length_in_the_texts_order(tower, rows, pad):
  lengths = np.random.default_rng(rows).integers(2, 78, 23)
  ids = random_ids(lengths, pad=pad)
  ours = embed_in_buckets(tower, SPEC, ids, rows=rows)
  np.testing.assert_allclose(ours, tower(ids), atol=1e-6)
  assert np.ptp(ours, axis=0).min() > 0.05


def test_the_padding_does_not_matter(tower):
  """OpenAI pads with 0, which is also a word, Hugging Face with the end."""
  lengths = [3, 9, 30, 77]
  zero, end = (random_ids(lengths, pad=pad) for pad in (0, END))
  assert (zero[0, 1:5] != end[0, 1:5]).any()
  full = [np.asarray(tower(ids)) for ids in (zero, end)]
  np.testing.assert_allclose(*full, atol=1e-6)


@pytest.mark.parametrize("texts", [1, 5, 1000])
def test_few_shapes_whatever_the_texts(texts):
  traced = []

  @jax.jit
  def embed(batch):
    traced.append(batch.shape)
    return jnp.zeros((len(batch), SPEC.embed_dim))

  for seed in range(3):
    lengths = np.random.default_rng(seed).integers(2, 78, texts)
    ids = random_ids(lengths, pad=0, seed=seed)
    embed_in_buckets(embed, SPEC, ids, rows=10)
  assert len(traced) == len(set(traced)) <= len(LENGTHS) + 1
  assert {rows for rows, _ in traced} == {10}
  assert {length for _, length in traced} <= {*LENGTHS, 77}


def test_short_texts_do_not_pay_for_a_long_one():
  columns = []

  def embed(batch):
    columns.append(batch.shape[1])
    return jnp.zeros((len(batch), SPEC.embed_dim))

  embed_in_buckets(embed, SPEC, random_ids([9, 77, 8, 20, 9, 5], pad=0), rows=2)
  assert columns == [16, 16, 77]


def test_no_text_at_all(tower):
  ids = np.zeros((0, 77), np.int32)
  assert embed_in_buckets(tower, SPEC, ids).shape == (0, SPEC.embed_dim)
