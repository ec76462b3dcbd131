"""What a benchmark run costs beside its image tower, and from a warm cache.

  python benchmarks/benchmark_run.py --json=benchmark_run.json

prints three tables. The first: CPU seconds for one image of the image tower
(random weights), of scoring it with S3 on as many concepts as ImageNet's table
has, and of building these spaces, shared over --images. The second: every
method over --images synthetic embeddings, --classes classes and --texts texts a
class, as `evaluate_scores` runs it, beside the bare products that it needs; the
convex hull on --hull_images. The last column is the temporary memory of the
compiled scoring step. The third: CPU seconds until --lookup_texts texts that
the cache holds are tokenized, found and read.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from measuring import machine, make_texts, table

from s3_jax.clip import ZOO, embed_images, init_params, load_clip
from s3_jax.evaluation import classification
from s3_jax.evaluation.accumulators import init_counts
from s3_jax.evaluation.classification import evaluate_scores
from s3_jax.experiment.methods.spaces import classifier_scorer
from s3_jax.experiment.scoring import SCORE_ROWS
from s3_jax.experiment.text_embedding import look_up
from s3_jax.lexicon.synonyms import load_lexicon
from s3_jax.named_classes.cores import space_scorer
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import attach_complex, build_space
from s3_jax.storage.text_blocks import BLOCK_TEXTS, TextBlocks

_IMAGES = flags.DEFINE_integer("images", 50_000, "Images.")
_CLASSES = flags.DEFINE_integer("classes", 1000, "Classes.")
_TEXTS = flags.DEFINE_integer("texts", 32, "Texts a class.")
_HULL = flags.DEFINE_integer("hull_images", 1000, "Images of the convex hull.")
_MODEL = flags.DEFINE_string(
  "model", "openai/clip-vit-base-patch16", "Row of the zoo."
)
_BATCH = flags.DEFINE_integer("batch", 32, "Images a batch of the tower.")
_LOOKUP = flags.DEFINE_integer("lookup_texts", 90_000, "Texts of the cache.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Timed runs of the tower.")
_JSON = flags.DEFINE_string("json", None, "Where to write the numbers.")

_DIM = 512
_LOGIT_SCALE = 4.6


def cpu_seconds(run) -> float:
  """Times one call, all threads."""
  start = time.process_time()
  jax.block_until_ready(run())
  return time.process_time() - start


def draw_images(count: int) -> np.ndarray:
  """Draws unit rows f32[count, dim]."""
  rows = np.random.default_rng(1).normal(size=(count, _DIM))
  return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("f4")


def score_seconds(scorer, images: np.ndarray, classes: int) -> float:
  """Times a method over all images, compiled beforehand."""
  labels = np.arange(len(images), dtype=np.int32) % classes

  def run(rows):
    return evaluate_scores(
      scorer,
      images[:rows],
      labels[:rows],
      classes=classes,
      batch_size=SCORE_ROWS,
      logit_scale=_LOGIT_SCALE,
    ).top1

  run(min(SCORE_ROWS, len(images)))
  return cpu_seconds(lambda: run(len(images)))


def bare_seconds(points: np.ndarray, images: np.ndarray) -> float:
  """Times the bare product with all vertices, in the same batches."""
  flat = jnp.asarray(points.reshape(-1, points.shape[-1]))
  product = jax.jit(
    lambda x: jnp.matmul(x, flat.T, precision=jax.lax.Precision.HIGHEST)
  )
  starts = range(0, len(images), SCORE_ROWS)
  batches = [
    np.resize(images[s : s + SCORE_ROWS], (SCORE_ROWS, _DIM)) for s in starts
  ]
  jax.block_until_ready(product(batches[0]))

  def run():
    for batch in batches:
      jax.block_until_ready(product(batch))

  return cpu_seconds(run)


def temporary_bytes(scorer, classes: int) -> int:
  """Memory of the compiled scoring step beside its inputs and outputs."""
  batch = np.zeros((SCORE_ROWS, _DIM), np.float32)
  step = classification._score_batch.lower(
    scorer,
    init_counts(classes),
    batch,
    np.zeros(SCORE_ROWS, np.int32),
    np.ones(SCORE_ROWS, bool),
    np.float32(_LOGIT_SCALE),
  )
  return step.compile().memory_analysis().temp_size_in_bytes


def share_of_tower() -> dict[str, float]:
  """CPU seconds for one image: the tower, scoring, building spaces."""
  spec = ZOO[_MODEL.value]
  params = init_params(jax.random.key(0), spec)
  size = spec.image_size
  pixels = np.random.default_rng(0).integers(
    0, 256, (_BATCH.value, size, size, 3), np.uint8
  )
  tower = [
    cpu_seconds(lambda: embed_images(spec, params, pixels))
    for _ in range(_REPEATS.value + 1)
  ][1:]
  counts = [len(entry.names) for entry in load_lexicon("imagenet").classes]
  points = make_texts(len(counts), max(counts), _DIM)
  mask = np.arange(max(counts)) < np.array(counts)[:, None]
  jax.block_until_ready(build_space(points, mask, scale="gap"))
  building = cpu_seconds(lambda: build_space(points, mask, scale="gap"))
  scorer = space_scorer(
    build_space(points, mask, scale="gap"), "local_center", neighbors=4
  )
  images = draw_images(8 * SCORE_ROWS)
  scoring = score_seconds(scorer, images, len(counts))
  return {
    "image tower": min(tower) / _BATCH.value,
    "scoring": scoring / len(images),
    "building": building / _IMAGES.value,
  }


def from_warm_cache() -> list[dict[str, Any]]:
  """Every method over all images, beside the product that it needs."""
  classes, images = _CLASSES.value, draw_images(_IMAGES.value)
  points = make_texts(classes, _TEXTS.value, _DIM)
  mask = np.ones(points.shape[:2], bool)
  core = attach_complex(build_space(points, mask, scale="gap", min_gap=0.15))
  whole = build_space(points, mask, scale=None, keep="all")
  scorers = {
    "one vector a class": classifier_scorer(jnp.asarray(points[:, 0])),
    "synonyms_mean": space_scorer(whole, "center", neighbors=4),
    "synonyms_nearest": space_scorer(whole, "nearest_point", neighbors=4),
    **{name: space_scorer(core, name, neighbors=4) for name in POINT_TO_SPACE},
  }
  few = images[: _HULL.value]
  bare = {
    "vector": bare_seconds(points[:, :1], images),
    "vertices": bare_seconds(points, images),
    "few": bare_seconds(points, few),
  }
  rows = []
  for name, scorer in scorers.items():
    hull = name == "convex_hull"
    kind = "few" if hull else "vertices"
    kind = "vector" if name.startswith("one vector") else kind
    seconds = score_seconds(scorer, few if hull else images, classes)
    rows.append(
      {
        "method": name,
        "images": len(few) if hull else len(images),
        "seconds": seconds,
        "bare": bare[kind],
        "temporaries": temporary_bytes(scorer, classes),
      }
    )
    print(rows[-1], flush=True)  # noqa: T201
  return rows


def look_up_seconds() -> dict[str, float]:
  """CPU seconds for texts that a cache holds, by the parts of the way."""
  texts = [f"a photo of a thing, number {i}." for i in range(_LOOKUP.value)]
  tokenize = load_clip("s3_jax/pictographs").tokenize
  rows, seconds = draw_images(len(texts)), {}
  with tempfile.TemporaryDirectory() as name:

    def open_blocks() -> TextBlocks:
      return TextBlocks(Path(name), "0" * 64, dim=_DIM)

    def timed(part: str, run):
      start = time.process_time()
      result = run()
      seconds[part] = time.process_time() - start
      return result

    contents = timed(
      "tokenize", lambda: look_up(tokenize, open_blocks(), texts)
    ).contents
    blocks = open_blocks()
    for start in range(0, len(contents), BLOCK_TEXTS):
      part = slice(start, start + BLOCK_TEXTS)
      blocks.store(contents[part], rows[part])
    found = timed("find", lambda: look_up(tokenize, open_blocks(), texts))
    assert not found.missing
    timed("read", lambda: found.blocks.read(contents))
  return seconds


def main(argv):
  """Prints both tables."""
  del argv
  share = share_of_tower()
  cheap = share["scoring"] + share["building"]
  lines = [
    [name, f"{1000 * value:.3f}", f"{100 * value / share['image tower']:.2f} %"]
    for name, value in share.items()
  ]
  lines.append(
    [
      "both",
      f"{1000 * cheap:.3f}",
      f"{100 * cheap / share['image tower']:.2f} %",
    ]
  )
  print(f"{machine()}, {_MODEL.value}")  # noqa: T201
  print(table(["part", "CPU ms an image", "of the tower"], lines))  # noqa: T201
  rows = from_warm_cache()
  fast = [row for row in rows if row["method"] != "convex_hull"]
  seconds, bare = (sum(row[key] for row in fast) for key in ("seconds", "bare"))
  head = [
    "method",
    "images",
    "CPU s",
    "bare CPU s",
    "ratio",
    "temporaries, MiB",
  ]
  body = [
    [
      row["method"],
      f"{row['images']:,}",
      f"{row['seconds']:.1f}",
      f"{row['bare']:.1f}",
      f"{row['seconds'] / row['bare']:.2f}",
      f"{row['temporaries'] / 2**20:.1f}",
    ]
    for row in rows
  ]
  body.append(
    [
      "all but convex_hull",
      "",
      f"{seconds:.1f}",
      f"{bare:.1f}",
      f"{seconds / bare:.2f}",
      "",
    ]
  )
  print(table(head, body))  # noqa: T201
  found = look_up_seconds()
  body = [[part, f"{seconds:.2f}"] for part, seconds in found.items()]
  print(table([f"{_LOOKUP.value:,} texts", "CPU s"], body))  # noqa: T201
  if _JSON.value:
    numbers = {"machine": machine(), "share": share, "methods": rows}
    numbers["texts"] = found
    Path(_JSON.value).write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
  app.run(main)
