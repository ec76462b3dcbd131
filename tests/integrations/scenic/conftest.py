"""Tiny checkpoints, a tiny data set, and packages named scenic."""

import io
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from s3_jax.clip import ModelSpec
from s3_jax.clip.layouts import param_shapes
from s3_jax.data.decoding import BadImage
from s3_jax.data.records import OpenedDataset


@pytest.fixture(scope="session")
def vit() -> ModelSpec:
  return ModelSpec(
    name="tiny vit",
    image_size=16,
    patch_size=8,
    image_width=16,
    image_layers=2,
    image_heads=2,
    image_mlp_dim=64,
    text_width=24,
    text_layers=2,
    text_heads=3,
    text_mlp_dim=96,
    vocab_size=60,
    context_length=8,
    embed_dim=12,
    activation="quick_gelu",
    layer_norm_eps=1e-5,
    image_mean=(0.5, 0.4, 0.3),
    image_std=(0.25, 0.3, 0.2),
    resize_size=16,
    crop_size=16,
    interpolation="bicubic",
    school="openai",
    start_token_id=58,
    end_token_id=59,
    pad_token_id=0,
  )


@pytest.fixture(scope="session")
def resnet(vit) -> ModelSpec:
  return vit._replace(
    name="tiny resnet",
    image_size=32,
    resize_size=32,
    crop_size=32,
    patch_size=32,
    image_width=4,
    image_layers=5,
    image_heads=2,
    image_mlp_dim=0,
    image_tower="resnet",
    image_stages=(1, 2, 1, 1),
    image_pooling="attention",
    pre_norm=False,
    image_projection=False,
  )


@pytest.fixture(scope="session")
def draw() -> Callable[[ModelSpec], dict[str, Any]]:
  """Random parameters that float16 holds exactly; variances stay positive."""

  def drawn(spec: ModelSpec) -> dict[str, Any]:
    rng = np.random.default_rng(0)

    def leaf(path, shape):
      if path[-1] == "kernel":
        value = rng.normal(size=shape) / max(shape[0], 1) ** 0.5
      elif path[-1] in ("scale", "variance"):
        value = rng.uniform(0.5, 1.5, shape)
      else:
        value = 0.3 * rng.normal(size=shape)
      return jnp.asarray(value.astype(np.float16), jnp.float32)

    shapes = param_shapes(spec)
    return unflatten_dict({path: leaf(path, shapes[path]) for path in shapes})

  return drawn


class ListedRecords:
  """Records in a list; a text in place of an image is the reason of its end."""

  def __init__(self, records: list[dict[str, Any]]):
    self.records = records
    self.asked: list[int] = []

  def __len__(self) -> int:
    return len(self.records)

  def __getitem__(self, index: int) -> dict[str, Any]:
    self.asked.append(index)
    record = self.records[index]
    if isinstance(record["image"], str):
      raise BadImage(record["image"])
    return record


class World(NamedTuple):
  """A data set and what is in it."""

  opened: OpenedDataset
  pixels: np.ndarray
  labels: np.ndarray


@pytest.fixture(scope="session")
def world() -> Callable[..., World]:
  """Makes a data set of images that all differ, the first pixel by number."""
  from PIL import Image

  def make(images: int, *, classes: int = 7, size: int = 16) -> World:
    rng = np.random.default_rng(images)
    pixels = rng.integers(0, 256, (images, size, size, 3), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(images)
    labels = rng.integers(0, classes, images).astype(np.int32)
    records = []
    for image, label in zip(pixels, labels, strict=True):
      buffer = io.BytesIO()
      Image.fromarray(image).save(buffer, "PNG")
      records.append({"image": buffer.getvalue(), "label": int(label)})
    opened = OpenedDataset(
      ListedRecords(records),
      [f"image_{number}.png" for number in range(images)],
      "a list",
      "list",
      "0",
    )
    return World(opened, pixels, labels)

  return make


@pytest.fixture
def install(no_scenic, monkeypatch) -> Callable[..., types.ModuleType]:
  """Puts modules where an import finds them, until the test's end."""

  def put(name: str, *, package: bool = False, **contents) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__dict__.update(contents)
    if package:
      module.__path__ = []
    monkeypatch.setitem(sys.modules, name, module)
    parent, _, child = name.rpartition(".")
    if parent:
      monkeypatch.setattr(sys.modules[parent], child, module, raising=False)
    return module

  return put


class Hidden:
  """Makes imports of Scenic fail as they do where it is not installed."""

  def find_spec(self, name, path=None, target=None):
    if name == "scenic":
      raise ModuleNotFoundError("No module named 'scenic'", name="scenic")


def _scenics_modules() -> dict[str, types.ModuleType]:
  return {
    name: module
    for name, module in sys.modules.items()
    if name.partition(".")[0] == "scenic"
  }


@pytest.fixture
def no_scenic(monkeypatch) -> Iterator[None]:
  installed = _scenics_modules()
  for name in installed:
    del sys.modules[name]
  monkeypatch.setattr(sys, "meta_path", [Hidden(), *sys.meta_path])
  yield
  for name in _scenics_modules():  # what a test put there
    del sys.modules[name]
  sys.modules.update(installed)
