"""A test set as Scenic's data set: shapes, shares, padding, bad images."""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax import normalize_images
from s3_jax.data.records import OpenedDataset
from s3_jax.integrations import scenic

pytestmark = pytest.mark.usefixtures("no_scenic")


def one_pass(dataset, batch: int, processes: int = 1) -> list[dict[str, Any]]:
  """As many batches as Scenic's trainers take."""
  images = dataset.meta_data["num_eval_examples"]
  steps = -(-images // (batch * processes))
  return list(itertools.islice(dataset.valid_iter, steps))


def rows(batches) -> dict[str, np.ndarray]:
  """Joins batches to what they held before they were dealt out."""
  return {
    name: np.concatenate(
      [b[name].reshape(-1, *b[name].shape[2:]) for b in batches]
    )
    for name in batches[0]
  }


def test_fields_and_meta_data(world, vit):
  dataset = scenic.make_dataset(world(5).opened, vit, classes=7, batch_size=8)
  assert isinstance(dataset, scenic.Dataset)
  assert dataset.train_iter is None and dataset.test_iter is None
  assert dataset.meta_data == {
    "num_classes": 7,
    "input_shape": (-1, 16, 16, 3),
    "num_train_examples": 0,
    "num_eval_examples": 5,
    "input_dtype": jnp.float32,
    "target_is_onehot": False,
  }


@pytest.mark.parametrize("images", [1, 8, 16, 45])
def test_a_pass_is_every_image_in_order_then_zeros(world, vit, images):
  made = world(images)
  dataset = scenic.make_dataset(made.opened, vit, classes=7, batch_size=16)
  batches = one_pass(dataset, 16)
  assert len(batches) == -(-images // 16)
  for batch in batches:
    assert batch["inputs"].shape == (8, 2, 16, 16, 3)
    assert batch["label"].shape == batch["batch_mask"].shape == (8, 2)
    assert [batch[k].dtype.name for k in ("inputs", "label", "batch_mask")] == [
      "float32",
      "int32",
      "float32",
    ]
  whole = rows(batches)
  expected = np.asarray(normalize_images(vit, made.pixels))
  np.testing.assert_allclose(whole["inputs"][:images], expected, atol=1e-6)
  np.testing.assert_array_equal(whole["label"][:images], made.labels)
  np.testing.assert_array_equal(
    whole["batch_mask"], np.arange(len(batches) * 16) < images
  )
  assert not whole["inputs"][images:].any()
  assert not whole["label"][images:].any()


def test_pixels_and_labels_in_rows(world, vit):
  made = world(11)
  dataset = scenic.make_dataset(
    made.opened,
    vit,
    classes=7,
    batch_size=6,
    num_shards=3,
    dtype="uint8",
    target_is_onehot=True,
  )
  assert dataset.meta_data["input_dtype"] == jnp.uint8
  assert dataset.meta_data["target_is_onehot"]
  batches = one_pass(dataset, 6)
  assert batches[0]["inputs"].shape == (3, 2, 16, 16, 3)
  whole = rows(batches)
  np.testing.assert_array_equal(whole["inputs"][:11], made.pixels)
  assert whole["inputs"].dtype == np.uint8
  labels = whole["label"]
  assert labels.dtype == np.float32
  np.testing.assert_array_equal(labels[:11], np.eye(7)[made.labels])
  assert not labels[11:].any()


@pytest.mark.parametrize(
  ("images", "processes", "batch"),
  [(23, 3, 4), (7, 3, 2), (4, 3, 2), (1, 3, 2), (17, 2, 8), (24, 3, 4)],
)
def test_every_image_on_one_host_alone(world, vit, images, processes, batch):
  """Simulated hosts: the same number of steps, every image exactly once."""
  seen, lengths = [], []
  for index in range(processes):
    dataset = scenic.make_dataset(
      world(images).opened,
      vit,
      classes=7,
      batch_size=batch,
      num_shards=2,
      dtype="uint8",
      process_index=index,
      process_count=processes,
      threads=0,
    )
    assert dataset.meta_data["num_eval_examples"] == images
    batches = one_pass(dataset, batch, processes)
    lengths.append({b["inputs"].shape for b in batches})
    whole = rows(batches)
    numbers = whole["inputs"][:, 0, 0, 0][whole["batch_mask"] > 0]
    seen.extend(numbers.tolist())
    # The next pass begins with the first image of the share, or with padding.
    following = rows([next(dataset.valid_iter)])
    for name in whole:
      np.testing.assert_array_equal(following[name], whole[name][:batch])
  assert sorted(seen) == list(range(images))
  assert lengths == [lengths[0]] * processes


def test_nothing_is_read_before_it_is_asked_for(world, vit):
  opened = world(9).opened
  dataset = scenic.make_dataset(opened, vit, classes=7, batch_size=8, threads=0)
  assert opened.records.asked == []
  next(dataset.valid_iter)
  assert 0 in opened.records.asked and len(opened.records.asked) <= 9


def spoiled(made) -> OpenedDataset:
  """The fifth image is no image, the eighth cannot be read."""
  records = made.opened.records.records
  records[4] = {"image": b"no image", "label": 2}
  records[7] = {"image": "its page is torn"}
  return made.opened


def test_bad_images_are_masked_and_listed(world, vit):
  """By their place in the whole data set, on the host that reads them."""
  bad: dict[int, str] = {}
  masks = []
  for index in range(2):
    dataset = scenic.make_dataset(
      spoiled(world(9)),
      vit,
      classes=7,
      batch_size=3,
      num_shards=1,
      process_index=index,
      process_count=2,
      bad=bad,
    )
    whole = rows(one_pass(dataset, 3, 2))
    masks.append(whole["batch_mask"])
    assert not whole["inputs"][whole["batch_mask"] == 0].any()
  assert masks[0].tolist() == [1, 1, 1, 1, 0, 0]
  assert masks[1].tolist() == [1, 1, 0, 1, 0, 0]
  assert sorted(bad) == [4, 7] and bad[7] == "its page is torn"


def test_bad_images_end_it_where_nobody_lists_them(world, vit):
  dataset = scenic.make_dataset(
    spoiled(world(9)),
    vit,
    classes=7,
    batch_size=3,
    num_shards=1,
    process_index=1,
    process_count=2,
  )
  with pytest.raises(ValueError, match="image 7, 'image_7.png'.*torn.*`bad`"):
    one_pass(dataset, 3, 2)


def test_a_label_without_a_class_is_named(world, vit):
  dataset = scenic.make_dataset(world(9).opened, vit, classes=3, batch_size=16)
  with pytest.raises(ValueError, match=r"image \d, 'image_\d.*0\.\.2, got"):
    next(dataset.valid_iter)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"batch_size": 12}, "`batch_size` must be a multiple of the 8.*got 12"),
    ({"batch_size": 0}, "`batch_size`.*got 0"),
    ({"num_shards": 0}, "multiple of the 0 shards"),
    ({"dtype": "bfloat16"}, "`dtype` must be one of float32, uint8"),
    ({"classes": 0}, "`classes` must be >= 1"),
    ({"process_index": 3, "process_count": 3}, r"in 0\.\.2.*got 3"),
  ],
)
def test_options_break_rules(world, vit, options, message):
  options = {"classes": 7, "batch_size": 8, **options}
  with pytest.raises(ValueError, match=message):
    scenic.make_dataset(world(3).opened, vit, **options)


def test_a_data_set_without_images(world, vit):
  with pytest.raises(ValueError, match="`opened` must hold.*none: a list"):
    scenic.make_dataset(world(0).opened, vit, classes=7, batch_size=8)


def test_one_image_too_large_for_the_limit(world, vit):
  bad: dict[int, str] = {}
  dataset = scenic.make_dataset(
    world(2).opened, vit, classes=7, batch_size=8, max_pixels=100, bad=bad
  )
  assert not next(dataset.valid_iter)["batch_mask"].any()
  assert sorted(bad) == [0, 1]


@dataclasses.dataclass(frozen=True)
class TheirDataset:
  """As Scenic's: more fields than ours, all with defaults."""

  train_iter: Any = None
  valid_iter: Any = None
  test_iter: Any = None
  meta_data: Any = None
  train_ds: Any = None


class Registry:
  """As Scenic's `datasets` module registers."""

  def __init__(self):
    self.builders: dict[str, Any] = {}

  def add_dataset(self, name):
    def add(builder):
      if name in self.builders:
        raise KeyError(f"Dataset with name ({name}) already registered.")
      self.builders[name] = builder
      return builder

    return add


@pytest.fixture
def registry(install) -> Registry:
  registry = Registry()
  install("scenic", package=True)
  install("scenic.dataset_lib", package=True)
  install("scenic.dataset_lib.dataset_utils", Dataset=TheirDataset)
  install("scenic.dataset_lib.datasets", add_dataset=registry.add_dataset)
  return registry


def test_scenics_class_where_there_is_one(registry, world, vit):
  dataset = scenic.make_dataset(world(3).opened, vit, classes=7, batch_size=8)
  assert type(dataset) is TheirDataset
  assert dataset.meta_data["num_eval_examples"] == 3
  assert next(dataset.valid_iter)["batch_mask"].sum() == 3


def test_registered_and_built_as_get_dataset_builds(registry, world, vit):
  made = world(5)
  scenic.register_dataset("mine", made.opened, vit, classes=7)
  dataset = registry.builders["mine"](
    batch_size=64,
    eval_batch_size=4,
    num_shards=2,
    dtype_str="uint8",
    rng=jax.random.key(0),
    shuffle_seed=None,
    dataset_configs={},
    dataset_service_address=None,
  )
  assert type(dataset) is TheirDataset
  assert next(dataset.valid_iter)["inputs"].shape == (2, 2, 16, 16, 3)
  with pytest.raises(ValueError, match="`name` must be one.*got 'mine'"):
    scenic.register_dataset("mine", made.opened, vit, classes=7)


def test_a_namesake_is_refused(install, world, vit):
  """What `pip install scenic` brings: another project altogether."""
  install("scenic", package=True)
  opened = world(3).opened
  message = "Google's Scenic.*has no scenic.dataset_lib: PyPI's.*Uninstall"
  with pytest.raises(ValueError, match=message):
    scenic.make_dataset(opened, vit, classes=7, batch_size=8)
  with pytest.raises(ValueError, match=message):
    scenic.register_dataset("mine", opened, vit, classes=7)
  install("scenic.dataset_lib", package=True)
  install("scenic.dataset_lib.dataset_utils")
  with pytest.raises(ValueError, match="has no .*dataset_utils.Dataset"):
    scenic.make_dataset(opened, vit, classes=7, batch_size=8)


def test_scenic_without_its_libraries(
  install, monkeypatch, tmp_path, world, vit
):
  """There, but TensorFlow is not: our class has the same fields."""
  library = tmp_path / "scenic" / "dataset_lib"
  library.mkdir(parents=True)
  for name in ("dataset_utils", "datasets"):
    (library / f"{name}.py").write_text("import no_such_library\n", "utf-8")
  install("scenic", package=True).__path__ = [str(library.parent)]
  opened = world(3).opened
  made = scenic.make_dataset(opened, vit, classes=7, batch_size=8)
  assert isinstance(made, scenic.Dataset)
  with pytest.raises(ValueError, match="must find.*'no_such_library'"):
    scenic.register_dataset("mine", opened, vit, classes=7)
  for module in ("dataset_utils", "datasets"):
    (library / f"{module}.py").write_text("raise ImportError('broken')\n")
  with pytest.raises(ImportError, match="broken"):
    scenic.make_dataset(opened, vit, classes=7, batch_size=8)


def test_nothing_to_register_with(world, vit):
  with pytest.raises(ValueError, match="`register_dataset` must find Google's"):
    scenic.register_dataset("mine", world(3).opened, vit, classes=7)
