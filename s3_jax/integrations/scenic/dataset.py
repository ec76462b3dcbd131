"""An opened test set as one of Scenic's data sets.

Every process reads a share of its own, in the order of the records; all take
the same number of steps, the last of which may be padding alone, and every
image occurs exactly once a pass.
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, UInt8

from s3_jax.clip import ModelSpec
from s3_jax.clip.preprocess import preprocess_image
from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.data.input_pipeline import padded_batches
from s3_jax.data.records import OpenedDataset, Records
from s3_jax.integrations.scenic.package import find_dataset_class, find_registry

_DTYPES = ("float32", "uint8")


class Dataset(NamedTuple):
  """The fields that Scenic's trainers read of a data set.

  Attributes:
    train_iter: None, as a test set has nothing to train on.
    valid_iter: batches, pass after pass without an end.
    test_iter: None; Scenic's trainers evaluate `valid_iter`.
    meta_data: "num_classes", "input_shape" (-1, rows, cols, 3),
      "num_train_examples" (0), "num_eval_examples" of all processes, bad images
      among them, "input_dtype" and "target_is_onehot".
  """

  train_iter: Iterator[dict[str, np.ndarray]] | None
  valid_iter: Iterator[dict[str, np.ndarray]] | None
  test_iter: Iterator[dict[str, np.ndarray]] | None
  meta_data: dict[str, Any]


class _Share:
  """The records of one process, numbered from 0."""

  def __init__(self, records: Records, indices: range):
    self._records = records
    self._indices = indices

  def __len__(self) -> int:
    return len(self._indices)

  def __getitem__(self, index: int) -> Mapping[str, Any]:
    return self._records[self._indices[index]]


class _Plan(NamedTuple):
  """How one process reads its share."""

  opened: OpenedDataset
  spec: ModelSpec
  indices: range  # of the process's records
  steps: int  # of a pass, the same for all processes
  batch_size: int  # of the process
  shards: int
  classes: int
  dtype: str
  target_is_onehot: bool
  threads: int
  max_pixels: int
  bad: dict[int, str] | None


def make_dataset(
  opened: OpenedDataset,
  spec: ModelSpec,
  *,
  classes: int,
  batch_size: int,
  num_shards: int | None = None,
  dtype: str = "float32",
  target_is_onehot: bool = False,
  process_index: int | None = None,
  process_count: int | None = None,
  threads: int = 4,
  max_pixels: int = MAX_PIXELS,
  bad: dict[int, str] | None = None,
) -> Any:
  """Makes one of Scenic's data sets of an opened test set.

  A batch is {"inputs": [shards, images, rows, cols, 3], "label": i32[shards,
  images] or f32[shards, images, classes], "batch_mask": f32[shards, images]}.
  What pads the last batches is zero, with a mask of 0; so is an image that
  cannot be used. Reading starts when the first batch is asked for.

  Args:
    opened: the test set, as `s3_jax.data.datasets.open_dataset` returns it.
    spec: the checkpoint whose preprocessing and statistics are followed.
    classes: of the data set.
    batch_size: images of a batch of this process.
    num_shards: parts of a batch; by default the local devices.
    dtype: "float32", normalised by the checkpoint's statistics, which Scenic's
      CLIP reads; or "uint8", pixels, a quarter of the bytes, which `eval_step`
      takes as well.
    target_is_onehot: whether labels are rows.
    process_index: whose share is read; by default JAX's.
    process_count: among how many; by default JAX's.
    threads: that decode ahead; 0 decodes in the caller's own.
    max_pixels: greatest number of pixels of an image.
    bad: gets the reason of every image of this process's share that cannot be
      used, by its position in the whole data set. Without it the first such
      image is an error: nothing is lost unseen.

  Returns:
    Scenic's own `Dataset` where Scenic and what it imports are installed, else
    ours, which has the same fields.

  Raises:
    ValueError: an option breaks its rule, or PyPI's `scenic` is installed; and
      from the iterator, for a label out of range, and where `bad` is None for
      an image that cannot be used.
  """
  shards = jax.local_device_count() if num_shards is None else num_shards
  index = jax.process_index() if process_index is None else process_index
  processes = jax.process_count() if process_count is None else process_count
  if dtype not in _DTYPES:
    raise ValueError(
      f"`dtype` must be one of {', '.join(_DTYPES)}, got {dtype!r}."
    )
  if classes < 1:
    raise ValueError(f"`classes` must be >= 1, got {classes}.")
  if shards < 1 or batch_size < 1 or batch_size % shards:
    raise ValueError(
      f"`batch_size` must be a multiple of the {shards} shards, got"
      f" {batch_size}."
    )
  if not 0 <= index < processes:
    raise ValueError(
      f"`process_index` must be in 0..{processes - 1}, as there are"
      f" {processes} processes, got {index}."
    )
  images = len(opened.records)
  if images == 0:
    raise ValueError(
      f"`opened` must hold at least one image, got none: {opened.found}."
    )
  share = -(-images // processes)
  plan = _Plan(
    opened,
    spec,
    range(images)[index * share : (index + 1) * share],
    -(-share // batch_size),
    batch_size,
    shards,
    classes,
    dtype,
    target_is_onehot,
    threads,
    max_pixels,
    bad,
  )
  meta_data = {
    "num_classes": classes,
    "input_shape": (-1, spec.crop_size, spec.crop_size, 3),
    "num_train_examples": 0,
    "num_eval_examples": images,
    "input_dtype": jnp.uint8 if dtype == "uint8" else jnp.float32,
    "target_is_onehot": target_is_onehot,
  }
  made = find_dataset_class() or Dataset
  return made(
    train_iter=None,
    valid_iter=_passes(plan),
    test_iter=None,
    meta_data=meta_data,
  )


def register_dataset(
  name: str,
  opened: OpenedDataset,
  spec: ModelSpec,
  *,
  classes: int,
  target_is_onehot: bool = False,
  threads: int = 4,
  max_pixels: int = MAX_PIXELS,
  bad: dict[int, str] | None = None,
) -> None:
  """Registers a test set with Scenic, for `config.dataset_name = name`.

  Call it in a project's main before `train_utils.get_dataset`, which then gives
  the batch size of evaluation, the shards and `data_dtype_str`. What a training
  set would be told, `dataset_configs` among it, is not read.

  Args:
    name: that no other data set has.
    opened: as for `make_dataset`, as are all that follow.
    spec: of the checkpoint.
    classes: of the data set.
    target_is_onehot: whether labels are rows.
    threads: that decode ahead.
    max_pixels: greatest number of pixels of an image.
    bad: gets the reasons of images that cannot be used.

  Raises:
    ValueError: Scenic or what it imports is missing, PyPI's `scenic` is
      installed, or the name is taken.
  """

  def build(
    *,
    batch_size: int,
    eval_batch_size: int,
    num_shards: int,
    dtype_str: str = "float32",
    shuffle_seed: int | None = 0,
    rng: Any = None,
    dataset_configs: Any = None,
    dataset_service_address: str | None = None,
  ) -> Any:
    del batch_size, shuffle_seed, rng  # of a training set, as are the next
    del dataset_configs, dataset_service_address
    return make_dataset(
      opened,
      spec,
      classes=classes,
      batch_size=eval_batch_size,
      num_shards=num_shards,
      dtype=dtype_str,
      target_is_onehot=target_is_onehot,
      threads=threads,
      max_pixels=max_pixels,
      bad=bad,
    )

  try:
    find_registry().add_dataset(name)(build)
  except KeyError as error:
    raise ValueError(
      f"`name` must be one that Scenic has no data set of, got {name!r}."
    ) from error


def _passes(plan: _Plan) -> Iterator[dict[str, np.ndarray]]:
  while True:  # as Scenic's: a trainer asks for some batches at each evaluation
    yield from _one_pass(plan)


def _one_pass(plan: _Plan) -> Iterator[dict[str, np.ndarray]]:
  found: dict[int, str] = {}
  given = 0
  if len(plan.indices):
    batches = padded_batches(
      _Share(plan.opened.records, plan.indices),
      functools.partial(preprocess_image, plan.spec),
      batch_size=plan.batch_size,
      threads=plan.threads,
      max_pixels=plan.max_pixels,
      bad=found,
    )
    for batch in batches:
      _list_bad(plan, found)
      yield _scenic_batch(plan, batch)
      given += 1
  size = plan.spec.crop_size
  padding = {
    "image": np.zeros((plan.batch_size, size, size, 3), np.uint8),
    "label": np.zeros(plan.batch_size, np.int32),
    "mask": np.zeros(plan.batch_size, bool),
    "index": np.full(plan.batch_size, -1, np.int32),
  }
  for _ in range(plan.steps - given):  # others still have images
    yield _scenic_batch(plan, padding)


def _list_bad(plan: _Plan, found: dict[int, str]) -> None:
  """Moves reasons to the caller's dict, under the data set's positions."""
  for inner in sorted(found):
    position, reason = plan.indices[inner], found.pop(inner)
    if plan.bad is None:
      raise ValueError(
        f"image {position}, {plan.opened.files[position]!r}, must be one that"
        f" can be used: {reason}; give `bad`, a dict, to go on without it."
      )
    plan.bad[position] = reason


def _scenic_batch(
  plan: _Plan, batch: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
  mask, labels = batch["mask"], batch["label"]
  wrong = np.flatnonzero(mask & ((labels < 0) | (labels >= plan.classes)))
  if wrong.size:
    position = plan.indices[int(batch["index"][wrong[0]])]
    raise ValueError(
      f"the label of image {position}, {plan.opened.files[position]!r}, must be"
      f" in 0..{plan.classes - 1}, got {labels[wrong[0]]}."
    )
  labels = np.where(mask, labels, 0).astype(np.int32)
  if plan.target_is_onehot:
    rows = np.arange(plan.classes) == labels[:, None]
    labels = (rows & mask[:, None]).astype(np.float32)
  images = batch["image"]
  if plan.dtype == "float32":
    images = _normalized(plan.spec, images)
    images[~mask] = 0  # padding is zero, not black
  whole = {
    "inputs": images,
    "label": labels,
    "batch_mask": mask.astype(np.float32),
  }
  return {
    name: value.reshape(plan.shards, -1, *value.shape[1:])
    for name, value in whole.items()
  }


def _normalized(
  spec: ModelSpec, images: UInt8[np.ndarray, "batch rows cols 3"]
) -> Float32[np.ndarray, "batch rows cols 3"]:
  """Does on the host what `normalize_images` does on a device."""
  mean = np.asarray(spec.image_mean, np.float32)
  std = np.asarray(spec.image_std, np.float32)
  return (images.astype(np.float32) / np.float32(255) - mean) / std
