"""Embeddings of texts and images: order, padding, devices, the cache."""

import functools
import io

import jax
import numpy as np
import pytest
from PIL import Image

from s3_jax.clip import (
  ZOO,
  embed_images,
  embed_texts,
  init_params,
  load_clip,
)
from s3_jax.data.datasets import DATASETS
from s3_jax.data.pictograph_sets import all_images
from s3_jax.data.records import OpenedDataset
from s3_jax.experiment import embedding, text_embedding
from s3_jax.experiment.embedding import (
  Embedder,
  bound_tower,
  embed_test_set,
  find_test_set,
  images_layout,
)
from s3_jax.experiment.estimate import estimate
from s3_jax.experiment.text_embedding import embed_prompts
from s3_jax.sharding import shard_params

PROMPTS = tuple(f"a photo of a {word}." for word in ("sun", "eel", "anchor"))


def embed_set(embedder, spec):
  return embed_test_set(embedder, spec, find_test_set(embedder.cache_dir, spec))


@pytest.fixture(scope="module")
def clip(checkpoint):
  return load_clip(checkpoint)


@pytest.fixture
def embedder(clip, tmp_path):
  return Embedder(clip, "float32", 64, 0, tmp_path)


@pytest.fixture
def no_tower(monkeypatch):
  """Makes every use of a tower an error."""

  def refuse():
    def tower(*_, **__):
      raise AssertionError("a tower ran")

    monkeypatch.setattr(text_embedding, "embed_texts", tower)
    monkeypatch.setattr(embedding, "embed_images", tower)
    monkeypatch.setattr(embedding, "padded_batches", tower)

  return refuse


@pytest.mark.parametrize("rows", [2, 3])
def test_prompts_keep_their_order_whatever_the_batch(embedder, clip, rows):
  embedded = embed_prompts(embedder, PROMPTS, rows=rows)
  assert embedded.tower_batches == -(-len(PROMPTS) // rows)
  expected = embed_texts(clip.spec, clip.params, clip.tokenize(PROMPTS))
  np.testing.assert_allclose(embedded.embeddings, expected, atol=1e-5)
  assert embedded.embeddings.dtype == np.float32
  assert np.linalg.norm(expected[0] - expected[1]) > 0.01


def test_prompts_are_embedded_once(embedder, no_tower):
  first = embed_prompts(embedder, PROMPTS, rows=4)
  no_tower()
  again = embed_prompts(embedder, PROMPTS, rows=4)
  assert (first.tower_batches, again.tower_batches) == (1, 0)
  np.testing.assert_array_equal(first.embeddings, again.embeddings)


def test_what_changes_an_embedding_changes_its_key(embedder, no_tower):
  embed_prompts(embedder, PROMPTS, rows=4)
  no_tower()
  other_weights = embedder.clip._replace(sha256="0" * 64)
  spec = embedder.clip.spec._replace(activation="gelu")
  for changed in (
    embedder._replace(dtype="bfloat16"),
    embedder._replace(clip=other_weights),
    embedder._replace(clip=embedder.clip._replace(spec=spec)),
  ):
    with pytest.raises(AssertionError, match="a tower ran"):
      embed_prompts(changed, PROMPTS)
  for prompts in (PROMPTS[:2], PROMPTS[::-1], (*PROMPTS[:2], "a photo")):
    with pytest.raises(AssertionError, match="a tower ran"):
      embed_prompts(embedder, prompts)
  # Devices and the batch are no part of it.
  for same in (embedder._replace(mesh=1), embedder._replace(batch_size=7)):
    assert embed_prompts(same, PROMPTS).tower_batches == 0


@pytest.fixture
def opened(monkeypatch, make_small):
  return make_small(monkeypatch, embedding)


def test_images_are_those_of_the_set_in_its_order(
  embedder, clip, opened, records
):
  spec = DATASETS["outline"]
  test_set = embed_set(embedder, spec)
  images, labels = all_images(records(spec), clip.preprocess)
  expected = embed_images(clip.spec, clip.params, images)
  np.testing.assert_allclose(test_set.embeddings, expected, atol=1e-5)
  np.testing.assert_array_equal(test_set.labels, labels)
  assert (test_set.images_decoded, test_set.tower_batches) == (180, 3)
  assert test_set.spec == spec and opened == ["outline"]


def test_images_are_embedded_once(embedder, opened, no_tower):
  first = embed_set(embedder, DATASETS["plain"])
  no_tower()
  again = embed_set(embedder, DATASETS["plain"])
  assert (again.images_decoded, again.tower_batches) == (0, 0)
  assert opened == ["plain"], "the second time nothing is opened"
  np.testing.assert_array_equal(first.embeddings, again.embeddings)
  np.testing.assert_array_equal(first.labels, again.labels)
  with pytest.raises(AssertionError, match="a tower ran"):
    embed_set(embedder, DATASETS["outline"])
  # Another version is looked at again; the same pictures are known.
  opened.clear()
  tfds = DATASETS["plain"].tfds._replace(version="2.0.0")
  renewed = embed_set(embedder, DATASETS["plain"]._replace(tfds=tfds))
  assert opened == ["plain"] and renewed.images_decoded == 0


@pytest.mark.parametrize(
  ("mesh", "batch_size", "batches"), [(1, 64, 3), (8, 60, 3), (3, 64, 3)]
)
def test_devices_change_nothing(
  embedder, opened, mesh, batch_size, batches, all_devices
):
  spec = DATASETS["plain"]
  shared = embedder._replace(
    mesh=mesh, batch_size=batch_size, cache_dir=embedder.cache_dir / str(mesh)
  )
  test_set = embed_set(shared, spec)
  assert test_set.tower_batches == batches
  np.testing.assert_allclose(test_set.embeddings, all_devices, atol=1e-5)


@pytest.fixture(scope="module")
def all_devices(clip, make_small, tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    make_small(patch, embedding)
    folder = tmp_path_factory.mktemp("all")
    embedder = Embedder(clip, "float32", 64, 0, folder)
    return embed_set(embedder, DATASETS["plain"]).embeddings


@pytest.mark.parametrize(("limit", "in_parts"), [(1, True), (1 << 30, False)])
def test_a_large_tower_is_stored_in_parts(
  embedder, opened, monkeypatch, all_devices, limit, in_parts
):
  monkeypatch.setattr(embedding, "SPLIT_BYTES", limit)
  small = functools.partial(shard_params, min_bytes=1)
  monkeypatch.setattr(embedding, "shard_params", small)
  shared = embedder._replace(model_axis=4)
  (params,) = bound_tower(shared).args
  query = params["image"]["block_0"]["attention"]["query"]["kernel"]
  part = query.addressable_shards[0].data
  assert part.shape == (query.shape[0], query.shape[1] // (1 + 3 * in_parts))
  # One device a row of `model`: nothing to share the parameters with.
  (whole,) = bound_tower(embedder).args
  kernel = whole["image"]["block_0"]["attention"]["query"]["kernel"]
  assert kernel.sharding.is_fully_replicated
  # As many images a device as without: the same to the last bit.
  test_set = embed_set(shared, DATASETS["plain"])
  np.testing.assert_array_equal(test_set.embeddings, all_devices)


@pytest.mark.parametrize(
  ("name", "large"),
  [
    ("openai/ViT-B/16", False),
    ("openai/RN50x16", False),
    ("openai/ViT-L/14", True),
    ("openai/RN50x64", True),
  ],
)
def test_which_towers_are_large(name, large):
  params = jax.eval_shape(
    lambda key: init_params(key, ZOO[name])["image"], jax.random.key(0)
  )
  size = sum(4 * leaf.size for leaf in jax.tree.leaves(params))
  assert (size >= embedding.SPLIT_BYTES) == large


def test_more_devices_than_there_are_is_an_error(embedder, opened):
  with pytest.raises(ValueError, match="`mesh` must be at most the 8 devices"):
    embed_set(embedder._replace(mesh=9), DATASETS["plain"])
  assert len(jax.devices()) == 8


def encoded(color, kind="PNG"):
  buffer = io.BytesIO()
  Image.new("RGB", (20, 17), color).save(buffer, kind)
  return buffer.getvalue()


def open_these(files, fingerprint="one"):
  """A data set of (name, bytes) pairs, labels counting up."""
  records = [
    {"image": data, "label": label} for label, (_, data) in enumerate(files)
  ]
  names = [name for name, _ in files]
  return OpenedDataset(records, names, "in memory", "memory", fingerprint)


def test_bad_images_are_listed_and_leave_the_others_alone(embedder, clip):
  spec = DATASETS["plain"]._replace(examples=6)
  good = [encoded((40 * i, 90, 200 - 30 * i)) for i in range(4)]
  mixed = [
    ("a.png", good[0]),
    ("empty.png", b""),
    ("b.png", good[1]),
    ("text.jpg", b"no picture at all"),
    ("\udcff<i>.png", good[2][:60]),
    ("c.png", good[3]),
  ]
  test_set = embed_test_set(embedder, spec, open_these(mixed))
  assert test_set.labels.tolist() == [0, 2, 5]
  files, reasons = zip(*test_set.bad, strict=True)
  assert files == ("empty.png", "text.jpg", "\\udcff<i>.png")
  assert all(reasons)
  alone = [(f"{i}.png", good[i]) for i in (0, 1, 3)]
  fresh = embedder._replace(cache_dir=embedder.cache_dir / "fresh")
  clean = embed_test_set(fresh, spec, open_these(alone, "two"))
  assert clean.images_decoded == 3
  np.testing.assert_allclose(test_set.embeddings, clean.embeddings, atol=1e-6)
  again = embed_test_set(embedder, spec, open_these(mixed))
  assert again.images_decoded == 0 and again.bad == test_set.bad


def test_a_data_set_of_bad_images_is_an_error(embedder):
  opened = open_these([("a.png", b""), ("b.png", b"x")])
  with pytest.raises(ValueError, match=r"got 2 bad ones; the first is a.png"):
    embed_test_set(embedder, DATASETS["plain"], opened)


def test_pixels_and_content_are_part_of_the_key(embedder):
  opened = open_these([("a.png", encoded((9, 9, 9)))])
  spec = DATASETS["plain"]
  assert embed_test_set(embedder, spec, opened).images_decoded == 1
  assert embed_test_set(embedder, spec, opened).images_decoded == 0
  # What an image is counts, and not what the data set or the file is called.
  renamed = open_these([("b.png", encoded((9, 9, 9)))], "two")
  other = DATASETS["outline"]
  assert embed_test_set(embedder, other, renamed).images_decoded == 0
  changed = open_these([("a.png", encoded((9, 9, 8)))])
  assert embed_test_set(embedder, spec, changed).images_decoded == 1
  small = embedder._replace(max_pixels=300)
  with pytest.raises(ValueError, match="got 1 bad ones"):
    embed_test_set(small, spec, opened)


def test_texts_are_stored_chunk_by_chunk(embedder, monkeypatch):
  monkeypatch.setattr(text_embedding, "TEXT_CHUNK", 2)
  texts = tuple("abcde")
  whole = embed_prompts(embedder, texts)
  assert whole.tower_batches == 3
  more = embed_prompts(embedder, (*"abcd", "x"))
  assert more.tower_batches == 1, "only the chunk that changed"
  assert (whole.computed, more.computed) == (5, 1)
  np.testing.assert_array_equal(more.embeddings[:4], whole.embeddings[:4])
  assert embed_prompts(embedder, ()).embeddings.shape == (0, 16)


def test_the_estimate_counts_what_the_cache_lacks(embedder, opened):
  spec = DATASETS["plain"]
  found = find_test_set(embedder.cache_dir, spec)
  before = estimate(
    embedder, [PROMPTS, ("sun",)], [images_layout(embedder, spec, found)]
  )
  assert (before.texts, before.images) == (4, 180)
  assert before.seconds > 0
  embed_prompts(embedder, PROMPTS)
  embed_set(embedder, spec)
  after = estimate(
    embedder, [PROMPTS, ("sun",)], [images_layout(embedder, spec, found)]
  )
  assert (after.texts, after.images) == (1, 0)
  embed_prompts(embedder, ("sun",))
  assert estimate(
    embedder, [PROMPTS], [images_layout(embedder, spec, found)]
  ) == (0, 0, 0.0)


def test_a_real_data_set_needs_its_folder(embedder):
  with pytest.raises(ValueError, match="`config.data_dir` must be the folder"):
    find_test_set(embedder.cache_dir, DATASETS["dtd"])
