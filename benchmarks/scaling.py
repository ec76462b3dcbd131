"""What a run on many devices sends and computes, without many devices.

  python benchmarks/scaling.py --json=scaling.json

compiles the programs of a run for eight virtual devices of this processor, on
meshes 8x1, 4x2 and 2x4 (`data` x `model`), from shapes alone, and prints every
exchange between devices that the compiled programs hold; then arithmetic: the
bytes and operations of each step, and how many images a batch must have before
the gathering of weights takes less time than computing, at published peaks.

It measures one thing, as it is a processor's: the images that the input
pipeline decodes and preprocesses in a CPU second, and how much faster it is
with a thread for each core, on --pictures drawn JPEG files of 500 x 375 pixels.
"""

import functools
import io
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import app, flags
from jax.sharding import Mesh
from jax.stages import Compiled
from measuring import machine, table
from PIL import Image

from benchmarks.collectives import Collective, collectives
from benchmarks.scaling_arithmetic import (
  HARDWARE,
  efficiency,
  held_bytes,
  least_images,
  tower_flops,
)
from benchmarks.scaling_programs import (
  Classes,
  adaptation_program,
  scoring_program,
  space_program,
  tower_program,
)
from s3_jax.clip import ZOO, ModelSpec
from s3_jax.clip.preprocess import preprocess_image
from s3_jax.data.input_pipeline import padded_batches
from s3_jax.experiment.embedder import SPLIT_BYTES
from s3_jax.sharding import local_mesh
from s3_jax.storage.embedding_shards import SHARD_ROWS

_CLASSES = flags.DEFINE_integer("classes", 21_000, "Classes of scoring.")
_TEXTS = flags.DEFINE_integer("texts", 32, "Texts a class.")
_ADAPTED = flags.DEFINE_integer("adapted", 1000, "Classes of adaptation.")
_IMAGES = flags.DEFINE_integer("images", 32, "Images of a device's batch.")
_PICTURES = flags.DEFINE_integer("pictures", 512, "Drawn files; 0 for none.")
_JSON = flags.DEFINE_string("json", None, "Where to write the numbers.")

_DEVICES = 8
_DIM = 512
_SCORED = 1024  # images of a batch of scoring
_VIEWS = 64
_TOWERS = {
  "B/16": ZOO["openai/ViT-B/16"],
  "L/14": ZOO["openai/ViT-L/14"],
  "H/14": ZOO["laion/CLIP-ViT-H-14-laion2B-s32B-b79K"],
  "g-opt/16": ZOO["google/siglip2-giant-opt-patch16-256"],
}


def programs(mesh: Mesh) -> dict[str, Compiled]:
  """Compiles the programs of a run for a mesh."""
  classes = Classes(_CLASSES.value, _TEXTS.value, _DIM)
  adapted = classes._replace(classes=_ADAPTED.value)
  images = _IMAGES.value * mesh.size
  found = {
    f"image tower {name}": tower_program(spec, mesh, images, in_parts=False)
    for name, spec in _TOWERS.items()
    if name in ("B/16", "L/14")
  }
  if mesh.shape["model"] > 1:
    found["image tower L/14 in parts"] = tower_program(
      _TOWERS["L/14"], mesh, images, in_parts=True
    )
  return found | {
    f"scoring, {classes.classes} classes": scoring_program(
      classes, mesh, _SCORED
    ),
    f"spaces, {classes.classes} classes": space_program(classes, mesh),
    f"TS3, {adapted.classes} classes": adaptation_program(
      adapted, mesh, 8 * mesh.size, _VIEWS
    ),
  }


def exchange_lines(
  name: str, mesh: Mesh, moved: list[Collective]
) -> list[tuple[str, ...]]:
  """Formats the exchanges of one program."""
  shape = "x".join(map(str, mesh.devices.shape))
  counted = Counter((each.kind, each.axis) for each in moved)
  if not counted:
    return [(name, shape, "none", "", "0", "0")]
  lines = []
  for (kind, axis), number in sorted(counted.items()):
    size = sum(
      each.size for each in moved if (each.kind, each.axis) == (kind, axis)
    )
    lines.append((name, shape, kind, axis, str(number), f"{size:,}"))
  return lines


def draw_pictures(count: int) -> list[dict[str, Any]]:
  """Draws JPEG files that take about as many bytes as photos of their size."""
  rng = np.random.default_rng(0)
  records = []
  for label in range(count):
    pixels = np.full((375, 500, 3), 127.0)
    for cells in (4, 12, 40, 125, 375):
      noise = rng.normal(size=(cells, cells * 4 // 3, 3)).astype(np.float32)
      parts = [
        Image.fromarray(noise[..., color]).resize(
          (500, 375), Image.Resampling.BICUBIC
        )
        for color in range(3)
      ]
      pixels += (
        40 * (4 / cells) ** 0.1 * np.stack([*map(np.asarray, parts)], axis=-1)
      )
    buffer = io.BytesIO()
    picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    picture.save(buffer, "JPEG", quality=90)
    records.append({"image": buffer.getvalue(), "label": label})
  return records


def decoding(spec: ModelSpec, records: Any) -> tuple[float, int, float]:
  """Measures the input pipeline.

  Args:
    spec: of the checkpoint whose preprocessing is done.
    records: encoded images.

  Returns:
    Images a CPU second, all threads counted; threads, one a core; and how many
    times faster by the clock that many are than one.
  """
  preprocess = functools.partial(preprocess_image, spec)
  cores = len(os.sched_getaffinity(0))

  def run(threads: int) -> tuple[float, float]:
    start = time.process_time(), time.perf_counter()
    for _ in padded_batches(
      records, preprocess, batch_size=64, threads=threads
    ):
      pass
    return time.process_time() - start[0], time.perf_counter() - start[1]

  run(cores)
  # In turn, so that all meet the same load.
  pairs = [(run(1), run(cores)) for _ in range(5)]
  cpu = min(many[0] for _, many in pairs)
  alone, together = (min(pair[i][1] for pair in pairs) for i in (0, 1))
  return len(records) / cpu, cores, alone / together


def main(argv):
  """Compiles, counts, prints the tables and writes what the flag asks for."""
  del argv
  jax.config.update("jax_platforms", "cpu")
  jax.config.update("jax_num_cpu_devices", _DEVICES)
  meshes = [local_mesh(_DEVICES, model=model) for model in (1, 2, 4)]
  print(f"{machine()}; programs of {_DEVICES} devices\n")  # noqa: T201
  exchanges = [
    line
    for mesh in meshes
    for name, program in programs(mesh).items()
    for line in exchange_lines(
      name, mesh, collectives(program.as_text() or "", mesh)
    )
  ]
  exchanges.sort(key=lambda line: line[0])
  head = ("program", "mesh", "exchange", "axis", "number", "bytes")
  print(table(head, exchanges) + "\n")  # noqa: T201
  stored = []
  for name, spec in _TOWERS.items():
    sizes = [
      held_bytes(spec, local_mesh(_DEVICES, model=model))
      for model in (1, 2, 4, 8)
    ]
    split = sizes[0] >= SPLIT_BYTES
    cells = [f"{size / 2**20:,.0f}" for size in sizes]
    if not split:
      cells[1:] = [cells[0]] * 3
    gigaflops = f"{tower_flops(spec) / 1e9:.1f}"
    stored.append((name, gigaflops, *cells, "parts" if split else "whole"))
  head = ("tower", "GFLOP an image")
  head += tuple(f"MiB, model = {model}" for model in (1, 2, 4, 8))
  print(table((*head, "stored"), stored) + "\n")  # noqa: T201
  least = [
    (
      who,
      *(
        f"{least_images(_TOWERS[name], local_mesh(_DEVICES, model=8), of):.1f}"
        for name in ("L/14", "H/14", "g-opt/16")
      ),
      *(f"{of.flops / tower_flops(_TOWERS[n]):,.0f}" for n in ("B/16", "L/14")),
    )
    for who, of in HARDWARE.items()
  ]
  head = ("published peak", "b*, L/14", "b*, H/14", "b*, g-opt/16")
  head += ("B/16 images a s", "L/14 images a s")
  print(table(head, least) + "\n")  # noqa: T201
  sets = {
    "DTD": 1692,
    "Oxford Pets": 3669,
    "SUN397": 19_850,
    "ImageNet": 50_000,
  }
  counts = (2, 4, 8, 16, 64)
  shares = [
    (
      name,
      f"{images:,}",
      str(-(-images // SHARD_ROWS)),
      *(
        f"{100 * efficiency(images, count, rows=SHARD_ROWS):.0f} %"
        for count in counts
      ),
    )
    for name, images in sets.items()
  ]
  head = ("test set", "images", "shards", *(f"{n} processes" for n in counts))
  print(table(head, shares))  # noqa: T201
  rate = cores = faster = None
  if _PICTURES.value:
    records = draw_pictures(_PICTURES.value)
    size = np.mean([len(record["image"]) for record in records])
    rate, cores, faster = decoding(_TOWERS["L/14"], records)
    print(  # noqa: T201
      f"\n{rate:.0f} images a CPU second decoded and preprocessed, JPEG files"
      f" of 500 x 375 pixels and {size / 1000:.0f} kB; {cores} threads take"
      f" {faster:.2f} times as many by the clock as one"
    )
  if _JSON.value:
    report = {
      "about": machine(),
      "exchanges": exchanges,
      "stored": stored,
      "least_images": least,
      "shards": shares,
      "decoded_per_cpu_second": rate,
      "threads": cores,
      "times_one_thread": faster,
    }
    Path(_JSON.value).write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
  app.run(main)
