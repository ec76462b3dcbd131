"""Cost and memory of a large vocabulary, on one device and shared out.

  python benchmarks/vocabulary.py --json=vocabulary.json

prints for --classes classes of --texts texts: CPU and wall seconds of one batch
scored with the local center and counted as `evaluate_scores` does, with classes
on one device and shared out over --devices devices of this CPU; their ratio to
the bare product with all texts, written out for 1000 classes at a time; and the
same for building the spaces. Beside them the memory of a device: what it is
given, and the temporaries of the compiled program. Both ways must count and
predict the same.
"""

import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from measuring import Row, machine, measure, table

from s3_jax.evaluation import classification, vocabulary
from s3_jax.evaluation.accumulators import init_counts
from s3_jax.evaluation.classification import Scoring
from s3_jax.evaluation.score_layout import (
  ScoreLayout,
  place_images,
  place_score,
)
from s3_jax.evaluation.vocabulary import build_sharded_space, top_classes
from s3_jax.named_classes.cores import space_scorer
from s3_jax.sharding import local_mesh, replicated
from s3_jax.space import SynonymousSpace, build_space

_CLASSES = flags.DEFINE_integer("classes", 21_000, "Number of classes.")
_TEXTS = flags.DEFINE_integer("texts", 32, "Texts a class.")
_DIM = flags.DEFINE_integer("dim", 512, "Size of an embedding.")
_BATCH = flags.DEFINE_integer("batch", 1024, "Images a batch.")
_DEVICES = flags.DEFINE_integer("devices", 8, "Devices of the CPU.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Timed runs of each.")
_JSON = flags.DEFINE_string("json", None, "Where to write the numbers.")

_BLOCK = 1000
_LOGIT_SCALE = 4.6


def draw_texts(classes: int, texts: int, dim: int) -> np.ndarray:
  """Draws unit vectors f32[classes, texts, dim] around a center a class."""
  points = np.empty((classes, texts, dim), np.float32)
  rng = np.random.default_rng(0)
  for start in range(0, classes, _BLOCK):  # never all of them in float64
    part = points[start : start + _BLOCK]
    rng.standard_normal(out=part, dtype=np.float32)
    part *= 0.8
    part += rng.standard_normal((len(part), 1, dim), np.float32)
    part /= np.linalg.norm(part, axis=2, keepdims=True)
  return points


def draw_images(
  points: np.ndarray, batch: int
) -> tuple[np.ndarray, np.ndarray]:
  """Draws unit rows near texts, and the classes of these."""
  rng = np.random.default_rng(1)
  classes, texts, dim = points.shape
  labels = rng.integers(classes, size=batch).astype(np.int32)
  x = points[labels, rng.integers(texts, size=batch)]
  x = x + rng.normal(size=x.shape) * (1.5 / np.sqrt(dim))
  x /= np.linalg.norm(x, axis=1, keepdims=True)
  return x.astype(np.float32), labels


@jax.jit
def _similarities(images, points):
  flat = points.reshape((-1, points.shape[-1]))
  return jnp.matmul(images, flat.T, precision=jax.lax.Precision.HIGHEST)


def bare_product(images: np.ndarray, points: np.ndarray) -> None:
  """Multiplies a batch by all texts, with those of a block at a time."""
  for start in range(0, len(points), _BLOCK):
    _similarities(images, points[start : start + _BLOCK]).block_until_ready()


def make_scoring(space: SynonymousSpace, layout: ScoreLayout) -> Scoring:
  """Makes what `evaluate_scores` uses."""
  return Scoring(
    space_scorer(space, "local_center", neighbors=4),
    classes=_CLASSES.value,
    batch_size=_BATCH.value,
    logit_scale=_LOGIT_SCALE,
    mesh=layout.mesh,
    per_class=layout.per_class,
  )


def scoring_memory(space: SynonymousSpace, layout: ScoreLayout) -> Any:
  """Compiles the scoring step and asks for its memory on one device."""
  batch, classes = _BATCH.value, _CLASSES.value
  counts = init_counts(classes)
  if layout.mesh is not None:
    counts = jax.device_put(counts, replicated(layout.mesh))
  arrays = (
    np.zeros((batch, _DIM.value), np.float32),
    np.zeros(batch, np.int32),
    np.ones(batch, bool),
  )
  scorer = space_scorer(space, "local_center", neighbors=4)
  step = classification._score_batch.lower(
    place_score(scorer, classes=classes, layout=layout),
    counts,
    *(place_images(array, layout) for array in arrays),
    np.float32(_LOGIT_SCALE),
    layout,
  )
  return step.compile().memory_analysis()


def building_memory(space: SynonymousSpace, layout: ScoreLayout) -> Any:
  """Compiles the construction and asks for its memory on one device."""
  if layout.mesh is None:
    # Without the points, which are those given and no result.
    build = jax.jit(
      lambda points, mask: build_space(points, mask, scale="gap")[1:]
    )
    return build.lower(space.points, space.mask).compile().memory_analysis()
  step = vocabulary._build.lower(
    space.points,
    space.mask,
    space.max_edge_length,
    np.float32(0.5),
    np.float32(0.15),
    mesh=layout.mesh,
    scale="gap",
    keep="largest",
    max_dimension=2,
    max_simplices=None,
  )
  return step.compile().memory_analysis()


def check_equal(one: Scoring, shared: Scoring) -> None:
  """Compares what is timed: the same counts, the same predictions."""
  left, right = one.counted(), shared.counted()
  np.testing.assert_array_equal(left.predictions, right.predictions)
  for mine, other in zip(left.counts, right.counts, strict=True):
    np.testing.assert_array_equal(mine, other)


def _line(row: Row, memory: Any, ratio: bool) -> tuple[str, ...]:
  mebibytes = "", ""
  if memory is not None:
    mebibytes = (
      f"{memory.argument_size_in_bytes / 2**20:,.0f}",
      f"{memory.temp_size_in_bytes / 2**20:.1f}",
    )
  share = f"{row.ratio:.2f} x" if ratio else ""
  seconds = f"{row.cpu:.2f}", f"{row.wall:.2f}", share
  return (row.task, row.who, *seconds, *mebibytes)


def main(argv):
  """Measures, prints the table and writes what the flags ask for."""
  del argv
  jax.config.update("jax_num_cpu_devices", _DEVICES.value)
  points = draw_texts(_CLASSES.value, _TEXTS.value, _DIM.value)
  mask = np.ones(points.shape[:2], bool)
  images, labels = draw_images(points, _BATCH.value)
  one = ScoreLayout(per_class=True)
  shared = ScoreLayout(
    local_mesh(_DEVICES.value, model=_DEVICES.value), per_class=True
  )
  alone, together = "one device", f"{_DEVICES.value} devices"
  build = functools.partial(build_sharded_space, points, mask)
  building = measure(
    "building",
    {
      alone: (lambda: build_space(points, mask, scale="gap"), 1.0),
      together: (lambda: build(mesh=shared.mesh), 1.0),
    },
    _REPEATS.value,
  )
  space, parts = build_space(points, mask, scale="gap"), build(mesh=shared.mesh)
  scorings = {
    alone: make_scoring(space, one),
    together: make_scoring(parts, shared),
  }

  def score(name: str) -> None:
    scorings[name].add(images, labels)
    scorings[name].counted()

  scoring = measure(
    "scoring a batch",
    {
      "bare product": (lambda: bare_product(images, points), 1.0),
      alone: (lambda: score(alone), 1.0),
      together: (lambda: score(together), 1.0),
    },
    _REPEATS.value,
  )
  check_equal(scorings[alone], scorings[together])
  best = top_classes(
    images,
    space_scorer(parts, "local_center", neighbors=4),
    classes=_CLASSES.value,
    batch_size=_BATCH.value,
    mesh=shared.mesh,
  )
  predictions = scorings[alone].counted().predictions[: len(images)]
  np.testing.assert_array_equal(best.classes[:, 0], predictions)
  memory = {
    ("building", alone): building_memory(space, one),
    ("building", together): building_memory(parts, shared),
    ("scoring a batch", alone): scoring_memory(space, one),
    ("scoring a batch", together): scoring_memory(parts, shared),
  }
  about = (
    f"{_CLASSES.value} classes x {_TEXTS.value} texts x {_DIM.value}, batch "
    f"{_BATCH.value}, least of {_REPEATS.value} runs, {machine()}"
  )
  print(about + "\n")  # noqa: T201
  head = ("work", "on", "CPU s", "wall s", "ratio")
  lines = [
    _line(row, memory.get((row.task, row.who)), row in scoring)
    for row in [*building, *scoring]
  ]
  print(table((*head, "given, MiB", "temporaries, MiB"), lines))  # noqa: T201
  if _JSON.value:
    report = {
      "about": about,
      "rows": [row._asdict() for row in [*building, *scoring]],
      "memory": {
        f"{task}, {who}": {
          "arguments": found.argument_size_in_bytes,
          "temporaries": found.temp_size_in_bytes,
        }
        for (task, who), found in memory.items()
      },
    }
    Path(_JSON.value).write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
  app.run(main)
