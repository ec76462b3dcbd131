"""Embeddings of texts and images: order, padding, devices, the cache."""

import functools
import hashlib
import io
import itertools
from dataclasses import replace

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
from s3_jax.data.drawn_sets import all_images
from s3_jax.data.records import OpenedDataset
from s3_jax.experiment import text_embedding
from s3_jax.experiment.embedder import SPLIT_BYTES, Embedder
from s3_jax.experiment.image_embedding import ViewOptions
from s3_jax.experiment.tasks.benchmark.sets import find_test_set
from s3_jax.sharding import shard_params

PROMPTS = tuple(f"a photo of a {word}." for word in ("sun", "eel", "anchor"))


def embed_set(embedder, spec):
  return embedder.images(spec, find_test_set(embedder.cache_dir, spec))


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

    monkeypatch.setattr("s3_jax.experiment.embedder.embed_texts", tower)
    monkeypatch.setattr("s3_jax.experiment.tower_batches.embed_images", tower)
    monkeypatch.setattr(
      "s3_jax.experiment.image_embedding.padded_batches", tower
    )

  return refuse


def test_texts_are_those_of_the_tower(embedder, clip):
  embedded = embedder.texts((*PROMPTS, PROMPTS[0]))
  assert list(embedded.rows) == list(PROMPTS)
  assert (embedded.tower_batches, embedded.computed) == (1, 3)
  expected = embed_texts(clip.spec, clip.params, clip.tokenize(PROMPTS))
  np.testing.assert_allclose(embedded.embeddings, expected, atol=1e-5)
  assert embedded.embeddings.dtype == np.float32
  assert np.linalg.norm(expected[0] - expected[1]) > 0.01
  some = embedded.of([PROMPTS[2], PROMPTS[0], PROMPTS[2]])
  np.testing.assert_array_equal(some, embedded.embeddings[[2, 0, 2]])
  assert embedder.texts(()).embeddings.shape == (0, 16)


def test_results_say_which_token_ids(embedder, clip):
  long = "a " * 40
  embedded = embedder.texts(["b", long, "a b"])
  ids = clip.tokenize(["a b", "b"]).astype("<i4")
  digest = hashlib.sha256(ids.tobytes()).hexdigest()
  said = {"truncated": 0, "token_ids_sha256": digest}
  assert embedded.describe(["a b", "b"]) == said
  assert embedded.describe(["b", "a b"])["token_ids_sha256"] != digest
  assert embedded.describe()["truncated"] == 1


def test_each_text_is_embedded_once_whatever_list_it_stands_in(
  embedder, no_tower
):
  first = embedder.texts(PROMPTS)
  more = embedder.texts(("an anchor", *PROMPTS[::-1], "an eel"))
  assert (first.computed, more.computed) == (3, 2)
  np.testing.assert_array_equal(more.of(PROMPTS), first.embeddings)
  no_tower()
  for texts in (PROMPTS, PROMPTS[1:], ("an eel", PROMPTS[2]), ()):
    again = embedder.texts(texts)
    assert (again.tower_batches, again.computed) == (0, 0)
    np.testing.assert_array_equal(again.embeddings, more.of(texts))


def test_texts_of_the_same_token_ids_are_one(embedder):
  embedded = embedder.texts(["A Sun", "a  sun"])
  assert embedded.computed == 1
  np.testing.assert_array_equal(*embedded.embeddings)


def test_what_changes_a_text_embedding_changes_its_key(embedder, no_tower):
  embedder.texts(PROMPTS)
  no_tower()
  other_weights = embedder.clip._replace(sha256="0" * 64)
  spec = embedder.clip.spec._replace(activation="gelu")
  for changed in (
    replace(embedder, dtype="bfloat16"),
    replace(embedder, clip=other_weights),
    replace(embedder, clip=embedder.clip._replace(spec=spec)),
  ):
    with pytest.raises(AssertionError, match="a tower ran"):
      changed.texts(PROMPTS)
  # Devices and the batch are no part of it.
  for same in (replace(embedder, mesh=1), replace(embedder, batch_size=7)):
    assert same.texts(PROMPTS).tower_batches == 0


def test_a_stopped_run_goes_on_from_its_last_block(embedder, monkeypatch):
  monkeypatch.setattr(text_embedding, "BLOCK_TEXTS", 2)
  embed, calls = text_embedding.embed_in_buckets, []

  def stop(*arguments, **options):
    calls.append(1)
    if len(calls) == 3:
      raise KeyboardInterrupt
    return embed(*arguments, **options)

  monkeypatch.setattr(text_embedding, "embed_in_buckets", stop)
  with pytest.raises(KeyboardInterrupt):
    embedder.texts(tuple("abcde"))
  assert embedder.look_up(tuple("abcde")).missing == 1
  rest = embedder.texts(tuple("abcde"))
  assert (rest.tower_batches, rest.computed) == (1, 1)


@pytest.mark.parametrize("where", [0, 15, 45, 99])  # % of the file
def test_a_damaged_block_is_embedded_again(embedder, where):
  first = embedder.texts(PROMPTS)
  embedder.texts(("an eel",))
  block, _ = sorted(
    embedder.folder.rglob("*.npz"), key=lambda path: path.stat().st_size
  )[::-1]
  content = bytearray(block.read_bytes())
  content[len(content) * where // 100] ^= 1
  block.write_bytes(content)
  with pytest.warns(UserWarning, match="; computing again"):
    again = embedder.texts((*PROMPTS, "an eel"))
  assert again.computed == 3
  np.testing.assert_array_equal(again.of(PROMPTS), first.embeddings)
  assert embedder.texts((*PROMPTS, "an eel")).computed == 0


@pytest.fixture
def opened(monkeypatch, make_small):
  return make_small(monkeypatch)


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
  shared = replace(
    embedder,
    mesh=mesh,
    batch_size=batch_size,
    cache_dir=embedder.cache_dir / str(mesh),
  )
  test_set = embed_set(shared, spec)
  assert test_set.tower_batches == batches
  np.testing.assert_allclose(test_set.embeddings, all_devices, atol=1e-5)


def opened_jpegs(clip):
  """Photographs of eight times the checkpoint's size."""
  rng, records = np.random.default_rng(0), []
  for label in range(3):
    coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8))
    side = 8 * clip.spec.resize_size
    buffer = io.BytesIO()
    coarse.resize((side, side + 5), Image.Resampling.BICUBIC).save(
      buffer, "JPEG"
    )
    records.append({"image": buffer.getvalue(), "label": label})
  return OpenedDataset(records, "abc", "in memory", "memory", "jpegs")


def test_fast_decoding_has_keys_of_its_own(embedder, clip):
  pytest.importorskip("simplejpeg")
  opened = opened_jpegs(clip)
  spec = DATASETS["plain"]
  exact = embedder.images(spec, opened)
  fast = replace(embedder, decoding="fast")
  made = fast.images(spec, opened)
  assert made.images_decoded == 3  # none of which the cache had
  cosines = (made.embeddings * exact.embeddings).sum(axis=1)
  assert (cosines > 0.98).all()
  assert not np.array_equal(made.embeddings, exact.embeddings)
  again = embedder.images(spec, opened), fast.images(spec, opened)
  for first, second in zip((exact, made), again, strict=True):
    assert second.images_decoded == 0
    np.testing.assert_array_equal(first.embeddings, second.embeddings)


def test_fast_decoding_is_not_of_views(embedder, clip):
  pytest.importorskip("simplejpeg")
  opened = opened_jpegs(clip)
  options = ViewOptions(4, False, 0)
  layouts = [
    replace(embedder, decoding=decoding).layout(
      DATASETS["plain"], opened, options
    )
    for decoding in ("exact", "fast")
  ]
  assert layouts[0].key == layouts[1].key


@pytest.fixture(scope="module")
def all_devices(clip, make_small, tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    make_small(patch)
    folder = tmp_path_factory.mktemp("all")
    embedder = Embedder(clip, "float32", 64, 0, folder)
    return embed_set(embedder, DATASETS["plain"]).embeddings


@pytest.mark.parametrize(("limit", "in_parts"), [(1, True), (1 << 30, False)])
def test_a_large_tower_is_stored_in_parts(
  embedder, opened, monkeypatch, all_devices, limit, in_parts
):
  monkeypatch.setattr("s3_jax.experiment.embedder.SPLIT_BYTES", limit)
  small = functools.partial(shard_params, min_bytes=1)
  monkeypatch.setattr("s3_jax.experiment.embedder.shard_params", small)
  shared = replace(embedder, model_axis=4)
  (params,) = shared.tower.args
  query = params["image"]["block_0"]["attention"]["query"]["kernel"]
  part = query.addressable_shards[0].data
  assert part.shape == (query.shape[0], query.shape[1] // (1 + 3 * in_parts))
  # One device a row of `model`: nothing to share the parameters with.
  (whole,) = embedder.tower.args
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
  assert (size >= SPLIT_BYTES) == large


def test_more_devices_than_there_are_is_an_error(embedder, opened):
  with pytest.raises(ValueError, match="`mesh` must be at most the 8 devices"):
    embed_set(replace(embedder, mesh=9), DATASETS["plain"])
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
  test_set = embedder.images(spec, open_these(mixed))
  assert test_set.labels.tolist() == [0, 2, 5]
  files, reasons = zip(*test_set.bad, strict=True)
  assert files == ("empty.png", "text.jpg", "\\udcff<i>.png")
  assert all(reasons)
  alone = [(f"{i}.png", good[i]) for i in (0, 1, 3)]
  fresh = replace(embedder, cache_dir=embedder.cache_dir / "fresh")
  clean = fresh.images(spec, open_these(alone, "two"))
  assert clean.images_decoded == 3
  np.testing.assert_allclose(test_set.embeddings, clean.embeddings, atol=1e-6)
  again = embedder.images(spec, open_these(mixed))
  assert again.images_decoded == 0 and again.bad == test_set.bad


def test_a_data_set_of_bad_images_is_an_error(embedder):
  opened = open_these([("a.png", b""), ("b.png", b"x")])
  with pytest.raises(ValueError, match=r"got 2 bad ones; the first is a.png"):
    embedder.images(DATASETS["plain"], opened)


def test_pixels_and_content_are_part_of_the_key(embedder):
  opened = open_these([("a.png", encoded((9, 9, 9)))])
  spec = DATASETS["plain"]
  assert embedder.images(spec, opened).images_decoded == 1
  assert embedder.images(spec, opened).images_decoded == 0
  # What an image is counts, and not what the data set or the file is called.
  renamed = open_these([("b.png", encoded((9, 9, 9)))], "two")
  other = DATASETS["outline"]
  assert embedder.images(other, renamed).images_decoded == 0
  changed = open_these([("a.png", encoded((9, 9, 8)))])
  assert embedder.images(spec, changed).images_decoded == 1
  small = replace(embedder, max_pixels=300)
  with pytest.raises(ValueError, match="got 1 bad ones"):
    small.images(spec, opened)


def test_what_is_left_is_what_the_cache_lacks(embedder, opened):
  spec = DATASETS["plain"]
  found = find_test_set(embedder.cache_dir, spec)

  def left(texts):
    layout = embedder.layout(spec, found)
    return embedder.look_up(texts).missing, embedder.count_missing(layout)

  assert left((*PROMPTS, "sun", PROMPTS[0])) == (4, 180)
  embedder.texts(PROMPTS)
  embed_set(embedder, spec)
  assert left((*PROMPTS, "sun")) == (1, 0)


@pytest.fixture
def clock():
  """A clock by which each piece of work takes forty seconds."""
  return functools.partial(next, itertools.count(0, 40))


def test_the_first_texts_are_timed_and_kept(
  embedder, tmp_path, monkeypatch, clock
):
  embedder = replace(embedder, text_rows=2)
  monkeypatch.setattr(text_embedding, "BLOCK_TEXTS", 4)
  texts = tuple("abcdefg")
  untimed = replace(embedder, cache_dir=tmp_path / "untimed").texts(texts)
  calls = []

  def count(spec, params, token_ids, **options):
    calls.append(token_ids)
    return embed_texts(spec, params, token_ids, **options)

  monkeypatch.setattr("s3_jax.experiment.embedder.embed_texts", count)
  # Blocks of 4 and 3 are four batches, of which the first takes 40 s.
  assert embedder.time_texts(embedder.look_up(texts), clock) == 160.0
  assert len(calls) == 1
  embedded = embedder.texts(texts)
  assert len(calls) == embedded.tower_batches == 4
  assert len({call.tobytes() for call in calls}) == 4
  np.testing.assert_array_equal(embedded.embeddings, untimed.embeddings)
  more = embedder.look_up((*texts, "h", "i"))
  assert embedder.time_texts(more, clock) is None, "no more than a batch"


def test_longer_texts_cost_more(embedder, clock):
  embedder = replace(embedder, text_rows=2)
  columns = embedder.clip.spec.context_length
  long = tuple(f"{each} " * (columns - 2) for each in "ab")
  whole = embedder.time_texts(embedder.look_up(("a", "b", *long)), clock)
  # The first batch has 16 columns, the second all that there are.
  assert whole == pytest.approx(40.0 * (16 + columns) / 16)


def test_the_first_images_are_timed_and_kept(embedder, tmp_path, clock):
  files = [(f"{index}.png", encoded((index, 9, 9))) for index in range(180)]
  spec, opened = DATASETS["plain"], open_these(files)
  other = replace(embedder, cache_dir=tmp_path / "untimed")
  untimed = other.images(spec, opened)
  decoded = []
  preprocess = embedder.clip.preprocess

  def count(image):
    decoded.append(image)
    return preprocess(image)

  counting = replace(embedder, clip=embedder.clip._replace(preprocess=count))
  assert counting.time_images(spec, opened, None, clock) == 40.0 / 64
  first = len(decoded)
  test_set = counting.images(spec, opened)
  assert (test_set.images_decoded, test_set.tower_batches) == (180, 3)
  # And four fixed pictures, by which pixels are known, each time.
  assert (first, len(decoded)) == (4 + 64, 2 * 4 + 180)
  np.testing.assert_array_equal(test_set.embeddings, untimed.embeddings)
  assert counting.time_images(spec, opened, None, clock) is None


def test_bad_images_of_the_first_batch_are_known(embedder, clock):
  good = [(f"{index}.png", encoded((index, 9, 9))) for index in range(150)]
  files = [good[0], ("bad.png", b"no image"), *good[1:]]
  spec, opened = DATASETS["plain"], open_these(files)
  assert embedder.time_images(spec, opened, None, clock) == 40.0 / 64
  test_set = embedder.images(spec, opened)
  ((file, reason),) = test_set.bad
  assert file == "bad.png" and "image" in reason
  assert len(test_set.files) == 150 and "bad.png" not in test_set.files


def test_a_real_data_set_needs_its_folder(embedder):
  with pytest.raises(ValueError, match="`config.data_dir` must be the folder"):
    find_test_set(embedder.cache_dir, DATASETS["dtd"])
