"""Cost of point-to-space metrics beside the bare similarity matmul.

  python benchmarks/scoring.py --classes=1000 --synonyms=32 --dim=512

prints, for each metric, the CPU seconds of one batch and their ratio to a
jitted `x @ z.T` that writes all similarities out. Runs are interleaved and the
least of them counts, compilation apart.
"""

import time

import jax
import jax.numpy as jnp
from absl import app, flags

import s3_jax.point_to_space as metrics
from s3_jax.embeddings import l2_normalize
from s3_jax.space import build_space

_CLASSES = flags.DEFINE_integer("classes", 200, "Number of classes.")
_SYNONYMS = flags.DEFINE_integer("synonyms", 32, "Texts a class.")
_DIM = flags.DEFINE_integer("dim", 512, "Size of an embedding.")
_BATCH = flags.DEFINE_integer("batch", 256, "Images a batch.")
_NEIGHBORS = flags.DEFINE_integer("neighbors", 4, "Size of a local center.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "Timed runs of each.")


@jax.jit
def _similarities(images, points):
  flat = points.reshape((-1, points.shape[-1]))
  return jnp.matmul(images, flat.T, precision=jax.lax.Precision.HIGHEST)


def _cpu_seconds(function):
  start = time.process_time()
  jax.block_until_ready(function())
  return time.process_time() - start


def main(argv):
  """Prints the table of costs."""
  del argv
  shape = (_CLASSES.value, _SYNONYMS.value, _DIM.value)
  key_points, key_images = jax.random.split(jax.random.key(0))
  points = l2_normalize(jax.random.normal(key_points, shape))
  images = jax.random.normal(key_images, (_BATCH.value, _DIM.value))
  images = l2_normalize(images)
  space = build_space(points, jnp.ones(shape[:2], bool), scale=None)
  runs = {"similarities": lambda: _similarities(images, space.points)}
  for name, metric in metrics.POINT_TO_SPACE.items():
    runs[name] = lambda metric=metric: metric(images, space)
  runs["local_center"] = lambda: metrics.point_to_local_center(
    images, space, neighbors=_NEIGHBORS.value
  )
  for run in runs.values():
    jax.block_until_ready(run())
  seconds = {name: [] for name in runs}
  for _ in range(_REPEATS.value):
    for name, run in runs.items():
      seconds[name].append(_cpu_seconds(run))
  bare = min(seconds["similarities"])
  print(  # noqa: T201
    f"{shape[0]} classes x {shape[1]} synonyms x {shape[2]}, batch "
    f"{_BATCH.value}, {_NEIGHBORS.value} neighbors, {jax.default_backend()}"
  )
  for name, values in seconds.items():
    print(  # noqa: T201
      f"{name:16} {min(values):8.4f} CPU s  {min(values) / bare:6.2f} x"
    )


if __name__ == "__main__":
  app.run(main)
