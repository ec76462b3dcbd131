"""One image segmented at full size: how fast, and equal to the formulas?

  python benchmarks/segmentation.py --image=photo.png --parity

A ViT-B/16 of random weights labels one image under the protocols of the papers,
with as many random names as COCO-Stuff has. Queries and keys of its last block
are enlarged, or else every patch would attend to all alike. The names lie
around the mean patch of the image, all equally far from it, so that none of
them wins everywhere; "seen" says how many of them are in the map. Without
--image the image is 375 rows of 500 pixels, drawn.

"windows/s" are windows per CPU second of all threads, from the pixels to the
labels; "torch" is the same of the papers' loop, window by window, in torch and
float32. "outside" is the share of the CPU seconds that is not the tower's own:
resizing, cutting, scores, pixels, labels.

With --parity every map is compared with the same steps in torch and in float64
(tests/segmentation/torch_segmentation.py). "different" counts
pixels whose two best scores differ by more than 1e-4 and whose label is another
one nevertheless, "undecided" is the share of the pixels whose scores do not.
The exit status is 1 where a map has a different pixel.

It needs torch and transformers, of requirements-dev.txt.
"""

import pathlib
import sys
from typing import Any

import cv2
import jax
import numpy as np
import torch
from absl import app, flags
from PIL import Image

# The script runs from a checkout, whether that is installed or not.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks.measuring import machine, measure, table  # noqa: E402
from benchmarks.networks import ROWS, transformers_model  # noqa: E402
from s3_jax.clip.checkpoints import ZOO  # noqa: E402
from s3_jax.clip.dense import embed_patches  # noqa: E402
from s3_jax.clip.layouts import to_params  # noqa: E402
from s3_jax.embeddings import l2_normalize  # noqa: E402
from s3_jax.segmentation import (
  SEGMENTATION_PROTOCOLS,
  NameClassifier,
  embed_windows,
  segment_image,
  window_embedding,
  windows,
)
from tests.segmentation.torch_segmentation import (  # noqa: E402
  torch_logits,
  torch_segmentation,
)

_IMAGE = flags.DEFINE_string(
  "image", None, "A photograph instead of a drawing."
)
_NAMES = flags.DEFINE_integer("names", 171, "Names, one a class.")
_PROTOCOLS = flags.DEFINE_list(
  "protocols",
  ["sclip", "sclip/coco_stuff", "clearclip", "maskclip"],
  "Rows of SEGMENTATION_PROTOCOLS.",
)
_REPEATS = flags.DEFINE_integer("repeats", 3, "Runs after the first.")
_PARITY = flags.DEFINE_bool("parity", False, "Whether to compare with torch.")


def main(arguments):
  """Prints a table, and one line about the machine."""
  del arguments
  torch.set_num_threads(1)  # or CPU seconds of threads that wait would count
  spec = ZOO[ROWS["ViT-B/16"]]
  model: Any = transformers_model(spec)
  last = model.vision_model.encoder.layers[-1].self_attn
  with torch.no_grad():
    last.q_proj.weight *= 8
    last.k_proj.weight *= 8
  arrays = {name: value.numpy() for name, value in model.state_dict().items()}
  params = jax.device_put(to_params(arrays, spec, "hugging_face", "torch"))
  image = _read_image()
  rows, wrong = [], False
  for name in _PROTOCOLS.value:
    protocol = SEGMENTATION_PROTOCOLS[name]
    target = _draw_names(spec, params, image, protocol.attention)

    def run(protocol=protocol, target=target):
      return segment_image(spec, params, image, target, protocol=protocol)

    def loop(protocol=protocol, target=target):
      logits = torch_logits(
        model.float(),
        _resize(image, protocol),
        image.shape[:2],
        protocol,
        target.embeddings,
        torch.float32,
      )
      return logits.softmax(dim=0).argmax(dim=0).numpy()

    times, tower, theirs = measure(
      name,
      {
        "s3_jax": (run, 1.0),
        "tower": (_tower(spec, params, image, protocol), 1.0),
        "torch": (loop, 1.0),
      },
      _REPEATS.value,
    )
    # Only now: the first run compiles.
    (found,) = embed_windows(spec, params, [image], protocol=protocol)
    count = int(np.prod(found.embeddings.shape[:2]))
    row = [name, f"{times.first:.1f}", f"{times.cpu:.2f}", str(count)]
    row += [f"{count / times.cpu:.1f}", f"{count / theirs.cpu:.1f}"]
    row.append(f"{100 * (1 - tower.cpu / times.cpu):.0f} %")
    row.append(str(len(np.unique(run()))))
    if _PARITY.value:
      expected = torch_segmentation(
        model.double(),
        _resize(image, protocol),
        image.shape[:2],
        protocol,
        *target,
      )
      different = int(np.sum((run() != expected.labels) & expected.decided))
      wrong |= different > 0
      row += [str(different), f"{np.mean(~expected.decided):.2e}"]
    rows.append(row)
  head = ["protocol", "first, CPU s", "CPU s", "windows", "windows/s"]
  head += ["torch", "outside", "seen"]
  head += ["different", "undecided"] if _PARITY.value else []
  print(table(head, rows))  # noqa: T201
  size = f"{image.shape[0]} x {image.shape[1]} pixels"
  print(f"\n{size}, {_NAMES.value} names; {machine()}")  # noqa: T201
  sys.exit(int(wrong))


def _tower(spec, params, image, protocol):
  """Returns the tower's part of an image alone, on blank windows."""
  rows, cols = (
    windows.place_windows(
      size,
      window=protocol.window,
      stride=protocol.stride,
      patch=spec.patch_size,
      padding=protocol.padding,
    )
    for size in _resize(image, protocol).shape[:2]
  )
  count = len(rows.starts) * len(cols.starts)
  batches = -(-count // window_embedding._MAX_WINDOWS)
  sides = (axis.before + axis.window + axis.after for axis in (rows, cols))
  blank = np.zeros((-(-count // batches), *sides, 3), np.float32)

  def run():
    return [
      embed_patches(
        spec,
        params,
        blank,
        attention=protocol.attention,
        position_offset=protocol.position_offset,
      )
      for _ in range(batches)
    ]

  return run


def _read_image():
  if _IMAGE.value:
    return np.array(Image.open(_IMAGE.value).convert("RGB"))
  rng = np.random.default_rng(0)
  coarse = rng.integers(0, 256, (9, 12, 3), np.uint8)
  image = np.asarray(Image.fromarray(coarse).resize((500, 375)), int)
  image += rng.integers(-20, 20, image.shape)
  return np.clip(image, 0, 255).astype(np.uint8)


def _resize(image, protocol):
  new = windows.resized_shape(
    *image.shape[:2],
    short_side=protocol.short_side,
    long_side=protocol.long_side,
  )
  return cv2.resize(image, new[::-1], interpolation=cv2.INTER_LINEAR)


def _draw_names(spec, params, image, attention):
  rng = np.random.default_rng(1)
  patches = embed_patches(
    spec, params, image[None, :224, :224], attention=attention
  )
  mean = np.asarray(l2_normalize(np.asarray(patches).mean(axis=(0, 1, 2))))
  noise = rng.normal(size=(_NAMES.value, spec.embed_dim))
  noise -= (noise @ mean)[:, None] * mean
  names = np.asarray(l2_normalize(mean + l2_normalize(noise)))
  return NameClassifier(names, np.arange(_NAMES.value, dtype=np.int32))


if __name__ == "__main__":
  app.run(main)
