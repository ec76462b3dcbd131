"""The settings files of a checkpoint in the Hugging Face CLIP layout.

`read_spec` turns config.json, preprocessor_config.json and the tokenizer's
special tokens into a `ModelSpec`; `config_files` writes them. A setting that
the towers or the preprocessing cannot follow is an error, never ignored.
"""

import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NoReturn

from tokenizers import Tokenizer

from s3_jax.clip.tokenizer import END, START, special_ids
from s3_jax.clip.zoo import ModelSpec

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"

_BICUBIC = 3  # PIL's number of the filter

# The layout's own values of settings that a config.json may leave out.
_TEXT_DEFAULTS = {
  "vocab_size": 49408,
  "hidden_size": 512,
  "intermediate_size": 2048,
  "num_hidden_layers": 12,
  "num_attention_heads": 8,
  "max_position_embeddings": 77,
  "hidden_act": "quick_gelu",
  "layer_norm_eps": 1e-5,
  "eos_token_id": 49407,
}
_VISION_DEFAULTS = {
  "hidden_size": 768,
  "intermediate_size": 3072,
  "num_hidden_layers": 12,
  "num_attention_heads": 12,
  "num_channels": 3,
  "image_size": 224,
  "patch_size": 32,
  "hidden_act": "quick_gelu",
  "layer_norm_eps": 1e-5,
}
# Settings of preprocessor_config.json that have one value here.
_PREPROCESSOR_FIXED = {
  "do_resize": True,
  "do_center_crop": True,
  "do_rescale": True,
  "do_normalize": True,
  "do_convert_rgb": True,
  "resample": _BICUBIC,
}
# And those that say nothing about the pixels.
_PREPROCESSOR_IGNORED = {
  "data_format",
  "device",
  "disable_grouping",
  "feature_extractor_type",
  "image_processor_type",
  "input_data_format",
  "processor_class",
  "return_tensors",
}
_LEGACY_END = 2
"""Old configs give this end id, and mean the highest id of the vocabulary."""


def read_spec(
  folder: pathlib.Path, tokenizer: Tokenizer, *, name: str
) -> ModelSpec:
  """Reads the settings of a checkpoint.

  The start and end ids come from the tokenizer: texts are padded with the end
  token, as CLIP's tokenizer does, whatever `pad_token_id` of config.json says.

  Args:
    folder: holds config.json and preprocessor_config.json.
    tokenizer: the checkpoint's tokenizer.
    name: what to call the checkpoint.

  Returns:
    The settings.

  Raises:
    ValueError: a file is missing or broken, or holds a setting that is not
      supported; the message names file, key and value.
  """
  config = _Document(folder / CONFIG)
  config.require("model_type", "clip")
  config.require("quantization_config", None, default=None)
  text = config.section("text_config", _TEXT_DEFAULTS)
  vision = config.section("vision_config", _VISION_DEFAULTS)
  vision.require("num_channels", 3)
  vision.require("hidden_act", text.get("hidden_act"))
  vision.require("layer_norm_eps", text.get("layer_norm_eps"))
  if text.get("hidden_act") not in ("quick_gelu", "gelu"):
    text.fail("hidden_act", "must be quick_gelu or gelu")
  image_size = vision.square("image_size")
  patch_size = vision.square("patch_size")
  if image_size % patch_size:
    vision.fail("patch_size", f"must divide the image size {image_size}")
  for tower in (text, vision):
    heads = tower.count("num_attention_heads")
    if tower.count("hidden_size") % heads:
      tower.fail("hidden_size", f"must be divisible by the {heads} heads")
  start, end = special_ids(tokenizer)
  if text.get("eos_token_id") == _LEGACY_END:
    text.values["eos_token_id"] = text.count("vocab_size") - 1
  text.require("eos_token_id", end)
  text.require("vocab_size", tokenizer.get_vocab_size())
  preprocessor = _Document(folder / PREPROCESSOR)
  return ModelSpec(
    name=name,
    image_size=image_size,
    patch_size=patch_size,
    image_width=vision.count("hidden_size"),
    image_layers=vision.count("num_hidden_layers"),
    image_heads=vision.count("num_attention_heads"),
    image_mlp_dim=vision.count("intermediate_size"),
    text_width=text.count("hidden_size"),
    text_layers=text.count("num_hidden_layers"),
    text_heads=text.count("num_attention_heads"),
    text_mlp_dim=text.count("intermediate_size"),
    vocab_size=text.count("vocab_size"),
    context_length=text.count("max_position_embeddings"),
    embed_dim=config.count("projection_dim", default=512),
    activation=text.get("hidden_act"),
    layer_norm_eps=text.positive("layer_norm_eps"),
    **_read_preprocessor(preprocessor, image_size),
    interpolation="bicubic",
    school="transformers",
    start_token_id=start,
    end_token_id=end,
    pad_token_id=end,
  )


def _read_preprocessor(
  document: "_Document", image_size: int
) -> dict[str, Any]:
  for key, value in _PREPROCESSOR_FIXED.items():
    document.require(key, value, default=value)
  factor = document.get("rescale_factor", 1 / 255)
  if not _is_number(factor) or not math.isclose(factor, 1 / 255, rel_tol=1e-6):
    document.fail("rescale_factor", "must be 1/255")
  known = {"size", "crop_size", "rescale_factor", "image_mean", "image_std"}
  known |= _PREPROCESSOR_FIXED.keys() | _PREPROCESSOR_IGNORED
  for key, value in document.values.items():
    if key not in known and value not in (None, False):
      document.fail(key, "is not supported")
  resize = document.get("size")
  if isinstance(resize, dict):
    resize = resize["shortest_edge"] if list(resize) == ["shortest_edge"] else 0
  if not _is_count(resize):
    document.fail("size", 'must be pixels or {"shortest_edge": pixels}')
  crop = document.square("crop_size")
  if crop != image_size:
    document.fail("crop_size", f"must be the image size {image_size}")
  if resize < crop:
    document.fail("size", f"must be at least the crop size {crop}")
  return {
    "image_mean": document.three("image_mean"),
    "image_std": document.three("image_std", positive=True),
    "resize_size": resize,
    "crop_size": crop,
  }


def config_files(spec: ModelSpec) -> dict[str, bytes]:
  """Writes a spec as the layout's settings files.

  Args:
    spec: the checkpoint's settings.

  Returns:
    File names and contents: config.json, preprocessor_config.json and
    tokenizer_config.json (for `transformers` alone; `read_spec` needs it not).
  """
  shared = {
    "hidden_act": spec.activation,
    "layer_norm_eps": spec.layer_norm_eps,
    "attention_dropout": 0.0,
    "projection_dim": spec.embed_dim,
  }
  config = {
    "architectures": ["CLIPModel"],
    "model_type": "clip",
    # What to compute in; the tensors may be stored in half precision.
    "dtype": "float32",
    "projection_dim": spec.embed_dim,
    "text_config": {
      "model_type": "clip_text_model",
      "vocab_size": spec.vocab_size,
      "hidden_size": spec.text_width,
      "intermediate_size": spec.text_mlp_dim,
      "num_hidden_layers": spec.text_layers,
      "num_attention_heads": spec.text_heads,
      "max_position_embeddings": spec.context_length,
      "bos_token_id": spec.start_token_id,
      "eos_token_id": spec.end_token_id,
      "pad_token_id": spec.pad_token_id,
      **shared,
    },
    "vision_config": {
      "model_type": "clip_vision_model",
      "hidden_size": spec.image_width,
      "intermediate_size": spec.image_mlp_dim,
      "num_hidden_layers": spec.image_layers,
      "num_attention_heads": spec.image_heads,
      "num_channels": 3,
      "image_size": spec.image_size,
      "patch_size": spec.patch_size,
      **shared,
    },
  }
  preprocessor = {
    "image_processor_type": "CLIPImageProcessor",
    **_PREPROCESSOR_FIXED,
    "size": {"shortest_edge": spec.resize_size},
    "crop_size": {"height": spec.crop_size, "width": spec.crop_size},
    "rescale_factor": 1 / 255,
    "image_mean": list(spec.image_mean),
    "image_std": list(spec.image_std),
  }
  tokenizer = {
    "tokenizer_class": "CLIPTokenizer",
    "model_max_length": spec.context_length,
    "bos_token": START,
    "eos_token": END,
    "pad_token": END,
    "unk_token": END,
  }
  documents = {
    CONFIG: config,
    PREPROCESSOR: preprocessor,
    TOKENIZER_CONFIG: tokenizer,
  }
  return {
    name: (json.dumps(document, indent=2) + "\n").encode()
    for name, document in documents.items()
  }


class _Document:
  """A JSON object and where it came from, for errors that name all three."""

  def __init__(
    self,
    path: pathlib.Path,
    *,
    values: dict[str, Any] | None = None,
    prefix: str = "",
  ):
    self.path = path
    self.prefix = prefix
    self.values = _read_json(path) if values is None else values

  def section(self, key: str, defaults: Mapping[str, Any]) -> "_Document":
    """Returns an inner object with the layout's defaults filled in."""
    # Old files hold a second copy under this name, which wins as a whole.
    values = self.values.get(f"{key}_dict") or self.values.get(key) or {}
    if not isinstance(values, dict):
      self.fail(key, "must be an object")
    return _Document(
      self.path, values={**defaults, **values}, prefix=f"{self.prefix}{key}."
    )

  def fail(self, key: str, rule: str) -> NoReturn:
    got = json.dumps(self.values[key]) if key in self.values else "nothing"
    raise ValueError(f"{self.path}: {self.prefix}{key} {rule}, got {got}.")

  def get(self, key: str, default: Any = None) -> Any:
    return self.values.get(key, default)

  def require(self, key: str, value: Any, *, default: Any = None) -> None:
    if self.get(key, default) != value:
      self.fail(key, f"must be {json.dumps(value)}")

  def count(self, key: str, *, default: Any = None) -> int:
    value = self.get(key, default)
    if not _is_count(value):
      self.fail(key, "must be a whole number >= 1")
    return value

  def positive(self, key: str) -> float:
    value = self.get(key)
    if not _is_number(value) or value <= 0:
      self.fail(key, "must be a number > 0")
    return float(value)

  def square(self, key: str) -> int:
    value = self.get(key)
    if isinstance(value, dict) and sorted(value) == ["height", "width"]:
      value = [value["height"], value["width"]]
    sides: list[Any] = value if isinstance(value, list) else [value, value]
    if len(sides) != 2 or sides[0] != sides[1] or not _is_count(sides[0]):
      self.fail(key, "must be one number of pixels for rows and columns")
    return sides[0]

  def three(
    self, key: str, *, positive: bool = False
  ) -> tuple[float, float, float]:
    value = self.get(key)
    good = isinstance(value, list) and len(value) == 3
    good = good and all(map(_is_number, value))
    if not good or (positive and min(value) <= 0):
      rule = "three numbers > 0" if positive else "three numbers"
      self.fail(key, f"must be {rule}")
    red, green, blue = map(float, value)
    return red, green, blue


def _is_number(value: Any) -> bool:
  real = isinstance(value, int | float) and not isinstance(value, bool)
  return real and math.isfinite(value)


def _is_count(value: Any) -> bool:
  return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _read_json(path: pathlib.Path) -> dict[str, Any]:
  try:
    document = json.loads(path.read_text(encoding="utf-8"))
  except OSError as error:
    raise ValueError(
      f"{path} must be a readable file, got: {error.strerror}."
    ) from error
  except ValueError as error:
    raise ValueError(f"{path} must hold JSON, got: {error}.") from error
  if not isinstance(document, dict):
    raise ValueError(f"{path} must hold an object, got {document!r:.40}.")
  return document
