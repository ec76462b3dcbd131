"""Our towers against the reference networks, at full size.

  python benchmarks/parity.py --models=ViT-B/32,RN50 --json=parity.json

Weights are random: what `transformers` draws, with biases and scales moved off
their defaults, and for the ResNet, which it does not have, our own drawing,
with OpenAI's network written down in torch (tests/clip/torch_resnet.py). The
pictures are not square and go through our preprocessing; the pixels of both
sides are the same. The table holds the largest absolute difference, before and
after the embeddings are made unit vectors, in float32. The exit status is 1
where one of the unit vectors differs by more than 1e-5.

It needs torch and transformers, of requirements-dev.txt, and 8 GB of memory.
"""

import gc
import json
import pathlib
import sys
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers
from absl import app, flags
from PIL import Image

# The script runs from a checkout, whether that is installed or not.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks.networks import (  # noqa: E402
  ROWS,
  draw_resnet,
  transformers_model,
)
from s3_jax.clip.checkpoints import ZOO  # noqa: E402
from s3_jax.clip.layouts import to_params  # noqa: E402
from s3_jax.clip.preprocess import preprocess_image  # noqa: E402
from s3_jax.clip.towers import (  # noqa: E402
  embed_images,
  embed_texts,
  image_tower,
  normalize_images,
  text_tower,
)
from s3_jax.clip.zoo import ModelSpec  # noqa: E402
from tests.clip.torch_resnet import modified_resnet  # noqa: E402

TOLERANCE = 1e-5

_MODELS = flags.DEFINE_list("models", list(ROWS), f"Some of {list(ROWS)}.")
_JSON = flags.DEFINE_string("json", None, "Where to write the numbers.")


class Row(NamedTuple):
  """One line of the table.

  Attributes:
    model: the network.
    tower: "image" or "text".
    reference: whose network it is compared with.
    raw: largest absolute difference before normalisation.
    scale: largest absolute value there.
    unit: largest absolute difference of the unit vectors.
    seconds: that both took, loading and compilation included.
  """

  model: str
  tower: str
  reference: str
  raw: float
  scale: float
  unit: float
  seconds: float


def pictures() -> list[Image.Image]:
  """Draws two smooth pictures with noise, none of them square."""
  rng = np.random.default_rng(0)
  images = []
  for width, height in ((640, 427), (300, 500)):
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height)))
    noise = rng.integers(0, 40, smooth.shape, np.uint8)
    images.append(Image.fromarray(smooth // 5 * 4 + noise))
  return images


def texts(spec: ModelSpec) -> np.ndarray:
  """Draws ids of texts of three lengths."""
  rng = np.random.default_rng(0)
  shape = (3, spec.context_length)
  ids = rng.integers(3, spec.vocab_size - 2, shape).astype(np.int32)
  for row, length in enumerate((5, 20, spec.context_length - 1)):
    ids[row, length] = spec.end_token_id
    ids[row, length + 1 :] = spec.pad_token_id
  return ids


def compare(name: str) -> list[Row]:
  """Compares both towers of a network; of the ResNet its image tower."""
  spec = ZOO[ROWS[name]]
  pixels = np.stack([preprocess_image(spec, image) for image in pictures()])
  images = np.array(normalize_images(spec, pixels))
  ids = texts(spec)
  start = time.perf_counter()
  expected = {}
  if spec.image_tower == "resnet":
    reference, layout = "torch", "open_clip"
    arrays = draw_resnet(spec)
    expected["image"] = modified_resnet(arrays, images, spec.image_heads)
  else:
    reference, layout = "transformers", "hugging_face"
    model: Any = transformers_model(spec)
    with torch.inference_mode():
      expected["image"] = model.get_image_features(
        pixel_values=torch.tensor(images).permute(0, 3, 1, 2)
      ).pooler_output.numpy()
      expected["text"] = model.get_text_features(
        input_ids=torch.tensor(ids)
      ).pooler_output.numpy()
    arrays = {key: value.numpy() for key, value in model.state_dict().items()}
  params = to_params(arrays, spec, layout, name)
  towers = {
    "image": (image_tower, embed_images, jnp.asarray(images), pixels),
    "text": (text_tower, embed_texts, jnp.asarray(ids), ids),
  }
  rows = []
  for tower, reference_raw in expected.items():
    make, embed, inputs, given = towers[tower]
    raw = jax.jit(make(spec).apply)({"params": params[tower]}, inputs)
    lengths = np.linalg.norm(reference_raw, axis=1, keepdims=True)
    unit = embed(spec, params, given)
    error = np.abs(np.asarray(raw) - reference_raw).max()
    unit_error = np.abs(np.asarray(unit) - reference_raw / lengths).max()
    seconds = time.perf_counter() - start
    rows.append(
      Row(
        name,
        tower,
        reference,
        float(error),
        float(np.abs(reference_raw).max()),
        float(unit_error),
        seconds,
      )
    )
    start = time.perf_counter()
  return rows


def main(argv):
  """Prints the table of differences."""
  del argv
  if unknown := set(_MODELS.value) - ROWS.keys():
    raise app.UsageError(f"--models must be of {list(ROWS)}, got {unknown}.")
  transformers.utils.logging.set_verbosity_error()
  torch.manual_seed(0)
  print(  # noqa: T201
    f"jax {jax.__version__} on {jax.default_backend()}, torch "
    f"{torch.__version__}, transformers {transformers.__version__}, float32\n\n"
    "| network | tower | reference | raw | largest value | unit | s |\n"
    "|---|---|---|---|---|---|---|"
  )
  rows = []
  for name in _MODELS.value:
    for row in compare(name):
      rows.append(row)
      print(  # noqa: T201
        f"| {row.model} | {row.tower} | {row.reference} | {row.raw:.1e} "
        f"| {row.scale:.2f} | {row.unit:.1e} | {row.seconds:.0f} |",
        flush=True,
      )
    jax.clear_caches()
    gc.collect()
  if _JSON.value:
    document = {
      "schema": 1,
      "tolerance": TOLERANCE,
      "jax": jax.__version__,
      "platform": jax.default_backend(),
      "torch": torch.__version__,
      "transformers": transformers.__version__,
      "rows": [row._asdict() for row in rows],
    }
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    pathlib.Path(_JSON.value).write_text(text, "utf-8")
  if any(not row.unit <= TOLERANCE for row in rows):
    sys.exit(1)


if __name__ == "__main__":
  app.run(main)
