"""Cost of point-to-space metrics beside the bare similarity matmul.

  python benchmarks/scoring.py --json=scoring.json

prints for each metric the CPU seconds of one batch, their ratio to a jitted
`x @ z.T` that writes all similarities out, and the temporary memory of the
compiled program. Beside them: the usual torch code for the local center, the
naive one that gathers embeddings, and scipy for projections. What takes long
runs on fewer images or classes and is scaled, which the table says. --figure
draws how the costs grow with classes, texts and simplices.

Complexes have up to 4 vertices a simplex and the scale at which a class has at
most --simplices of them.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import torch
from absl import app, flags
from measuring import Row, machine, make_texts, measure, table

from s3_jax import topology
from s3_jax.embeddings import chordal_distances
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import SynonymousSpace, attach_complex, build_space

_CLASSES = flags.DEFINE_integer("classes", 1000, "Number of classes.")
_TEXTS = flags.DEFINE_integer("texts", 32, "Texts a class.")
_DIM = flags.DEFINE_integer("dim", 512, "Size of an embedding.")
_BATCH = flags.DEFINE_integer("batch", 1024, "Images a batch.")
_SIMPLICES = flags.DEFINE_integer("simplices", 200, "Most simplices a class.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "Timed runs of each.")
_JSON = flags.DEFINE_string("json", None, "Where to write the numbers.")
_FIGURE = flags.DEFINE_string("figure", None, "Where to draw scaling, a PNG.")

_NEIGHBORS = 4
_FEW = {"convex_hull": 16}  # a metric -> by what its batch is divided
_BARE = "similarities alone"


@jax.jit
def _similarities(images, points):
  flat = points.reshape((-1, points.shape[-1]))
  return jnp.matmul(images, flat.T, precision=jax.lax.Precision.HIGHEST)


def make_space(
  classes: int, texts: int, dim: int, simplices: int
) -> SynonymousSpace:
  """Builds spaces whose complexes have at most so many simplices a class."""
  points = make_texts(classes, texts, dim)
  mask = np.ones(points.shape[:2], bool)
  space = build_space(points, mask, scale=None, keep="all")
  distances = np.asarray(jax.vmap(chordal_distances)(space.gram))
  low, high = np.zeros(classes, np.float32), np.full(classes, 2.0, np.float32)
  for _ in range(12):  # bisection, all classes at once
    middle = (low + high) / 2
    count = np.asarray(
      topology.enumerate_rips(
        distances, mask, middle, max_dimension=3, max_simplices=simplices + 1
      ).count
    )
    fits = count <= simplices
    low, high = np.where(fits, middle, low), np.where(fits, high, middle)
  # The core stays whole, so that every metric sees all texts.
  space = build_space(points, mask, scale=low, keep="all")
  return attach_complex(space, max_dimension=3)


def temporary_bytes(metric: Callable[..., Any], images, space) -> int:
  """Memory that the compiled program needs beside inputs and outputs."""
  program = jax.jit(metric).lower(images, space).compile()
  return program.memory_analysis().temp_size_in_bytes


def metric_runs(images, space) -> dict[str, tuple[Callable[[], Any], float]]:
  """Runs of the bare product and of every metric."""
  runs: dict[str, tuple[Callable[[], Any], float]] = {
    _BARE: (lambda: _similarities(images, space.points), 1.0)
  }
  for name, metric in POINT_TO_SPACE.items():
    divisor = _FEW.get(name, 1)
    few = images[: max(1, len(images) // divisor)]
    runs[name] = (
      lambda metric=metric, few=few: metric(few, space),
      len(images) / len(few),
    )
  return runs


def torch_local_center(images: np.ndarray, space: SynonymousSpace):
  """The usual way: all similarities, top-k, a gather of Gram entries."""
  x = torch.from_numpy(np.array(images))
  z = torch.from_numpy(np.array(space.points))
  gram = torch.from_numpy(np.array(space.gram))
  classes, texts, dim = z.shape

  def score():
    with torch.inference_mode():
      s = (x @ z.reshape(-1, dim).T).reshape(-1, classes, texts)
      top, index = s.topk(_NEIGHBORS, dim=2)
      pairs = index[..., :, None] * texts + index[..., None, :]
      flat = gram.reshape(1, classes, -1).expand(len(x), -1, -1)
      chosen = flat.gather(2, pairs.reshape(len(x), classes, -1))
      return top.sum(2) / chosen.sum(2).sqrt()

  return score


@jax.jit
def _gather_local_center(images, points):
  s = jnp.einsum("bd,cmd->bcm", images, points)
  _, index = jax.lax.top_k(s, _NEIGHBORS)
  classes = jnp.arange(points.shape[0])[None, :, None]
  mean = jnp.mean(points[classes, index], axis=2)
  mean = mean / jnp.linalg.norm(mean, axis=2, keepdims=True)
  return jnp.einsum("bd,bcd->bc", images, mean)


def scipy_hull(images: np.ndarray, space: SynonymousSpace):
  """Non-negative least squares for each pair of image and class, float64."""
  points = np.asarray(space.points, np.float64)

  def project():
    for x in images.astype(np.float64):
      for z in points:
        rows = np.concatenate([(z - x).T, np.ones((1, len(z)))])
        scipy.optimize.nnls(rows, np.eye(len(rows))[-1])

  return project


def scipy_complex(images: np.ndarray, space: SynonymousSpace):
  """The same for each simplex of each class."""
  points = np.asarray(space.points, np.float64)
  assert space.simplices is not None
  rows_of = np.asarray(space.simplices.simplices)

  def project():
    for x in images.astype(np.float64):
      for z, simplices in zip(points, rows_of, strict=True):
        for simplex in simplices[simplices[:, 0] >= 0]:
          few = z[simplex[simplex >= 0]]
          rows = np.concatenate([(few - x).T, np.ones((1, len(few)))])
          scipy.optimize.nnls(rows, np.eye(len(rows))[-1])

  return project


def peer_runs(images, space) -> dict[str, tuple[Callable[[], Any], float]]:
  """Runs of other ways to compute the same, on few images and classes."""
  x = np.asarray(images)
  few = jax.tree.map(lambda part: part[:2], space)
  pairs = len(x) * len(space.mask)
  one = 32 if len(x) >= 32 else len(x)
  gather = images[: max(1, len(x) // 64)]
  return {
    _BARE: (lambda: _similarities(images, space.points), 1.0),
    "s3_jax: local_center": (
      lambda: POINT_TO_SPACE["local_center"](images, space),
      1.0,
    ),
    "torch: topk, gather of G": (
      torch_local_center(x[: len(x) // 8 or 1], space),
      len(x) / (len(x) // 8 or 1),
    ),
    "jax: top_k, gather of embeddings": (
      lambda: _gather_local_center(gather, space.points),
      len(x) / len(gather),
    ),
    "scipy: nnls a pair, convex hull": (
      scipy_hull(x[:one], few),
      pairs / (one * len(few.mask)),
    ),
    "scipy: nnls a simplex, complex": (
      scipy_complex(x[:1], few),
      pairs / len(few.mask),
    ),
  }


def check(images, space) -> None:
  """Compares what is timed: the peers compute the same local centers."""
  ours = np.asarray(POINT_TO_SPACE["local_center"](images[:8], space))
  others = (
    torch_local_center(np.asarray(images[:8]), space)().numpy(),
    np.asarray(_gather_local_center(images[:8], space.points)),
  )
  for other in others:
    # The k-th neighbour may be a tie, which other rounding breaks otherwise.
    if np.mean(np.abs(ours - other) < 1e-4) < 0.999:
      raise AssertionError("local centers differ")


def make_images(space: SynonymousSpace, batch: int):
  """Draws unit embeddings near texts, as those of images are."""
  rng = np.random.default_rng(1)
  points = np.asarray(space.points)
  classes, texts, dim = points.shape
  x = points[rng.integers(classes, size=batch), rng.integers(texts, size=batch)]
  x = x + rng.normal(size=x.shape) * (1.5 / np.sqrt(dim))
  x /= np.linalg.norm(x, axis=1, keepdims=True)
  return jnp.asarray(x, jnp.float32)


def measure_scaling(batch: int, dim: int, repeats: int) -> list[dict[str, Any]]:
  """Times metrics over numbers of classes, of texts and of simplices."""
  sizes = [("classes", (c, 32, 200)) for c in (30, 100, 300, 1000)]
  sizes += [("texts", (100, m, 200)) for m in (4, 8, 16, 32, 64)]
  sizes += [("simplices", (100, 32, n)) for n in (50, 100, 200, 400, 800)]
  records = []
  for axis, (classes, texts, simplices) in sizes:
    space = make_space(classes, texts, dim, simplices)
    images = make_images(space, batch)
    rows = measure("scores", metric_runs(images, space), repeats)
    records.append(
      {"axis": axis, "classes": classes, "texts": texts}
      | {"simplices": simplices, "rows": [row._asdict() for row in rows]}
    )
  return records


def draw(records: list[dict[str, Any]], path: Path) -> None:
  """Draws ratios to the bare product over classes, texts and simplices."""
  from s3_jax.results.drawing import open_figure

  with open_figure(path, (12.0, 5.2)) as figure:
    axes = figure.subplots(1, 3, sharey=True)
    for axis, word in zip(axes, ("classes", "texts", "simplices"), strict=True):
      chosen = [record for record in records if record["axis"] == word]
      ticks = [record[word] for record in chosen]
      for index, name in enumerate(POINT_TO_SPACE):
        ratios = [
          next(row["ratio"] for row in record["rows"] if row["who"] == name)
          for record in chosen
        ]
        style = ("o-", "s--", "^:")[index % 3]
        axis.plot(ticks, ratios, style, label=name, markersize=4)
      axis.axhline(1.0, color="0.5", linewidth=0.8)
      axis.set(xscale="log", yscale="log", xlabel=word)
      axis.set_xticks(ticks, [str(tick) for tick in ticks])
      axis.minorticks_off()
      axis.grid(True)
    axes[0].set_ylabel("CPU seconds, in units of the bare matmul")
    axes[0].yaxis.set_major_formatter("{x:g}")
    figure.legend(
      *axes[0].get_legend_handles_labels(),
      loc="outside lower center",
      ncols=6,
      frameon=False,
    )


def _line(row: Row, scaled: bool, temporary: str) -> tuple[str, ...]:
  who = row.who + (" (scaled)" if scaled else "")
  return who, f"{row.cpu:.3f}", f"{row.ratio:.2f} x", temporary


def main(argv):
  """Measures, prints the tables and writes what the flags ask for."""
  del argv
  space = make_space(_CLASSES.value, _TEXTS.value, _DIM.value, _SIMPLICES.value)
  images = make_images(space, _BATCH.value)
  check(images, space)
  assert space.simplices is not None
  runs = metric_runs(images, space)
  rows = measure("scores", runs, _REPEATS.value)
  memory = {
    name: temporary_bytes(metric, images, space)
    for name, metric in POINT_TO_SPACE.items()
  }
  others = peer_runs(images, space)
  peers = measure("peers", others, min(_REPEATS.value, 3))
  about = (
    f"{_CLASSES.value} classes x {_TEXTS.value} texts x {_DIM.value}, batch "
    f"{_BATCH.value}, {_NEIGHBORS} neighbors, complexes of "
    f"{np.mean(np.asarray(space.simplices.count)):.0f} simplices on average "
    f"(at most {_SIMPLICES.value}); least of {_REPEATS.value} runs, "
    f"{machine()}, torch {torch.__version__}, scipy {scipy.__version__}"
  )
  print(about + "\n")  # noqa: T201
  head = ("metric", "CPU s a batch", "ratio", "temporaries")
  print(  # noqa: T201
    table(
      head,
      [
        _line(
          row,
          runs[row.who][1] != 1,
          f"{memory[row.who] / 2**20:.1f} MiB" if row.who in memory else "",
        )
        for row in rows
      ],
    )
  )
  print()  # noqa: T201
  print(  # noqa: T201
    table(head, [_line(row, others[row.who][1] != 1, "") for row in peers])
  )
  records = []
  if _FIGURE.value:
    records = measure_scaling(256, _DIM.value, 3)
    draw(records, Path(_FIGURE.value))
  if _JSON.value:
    report = {
      "about": about,
      "rows": [row._asdict() for row in rows],
      "temporaries": memory,
      "peers": [row._asdict() for row in peers],
      "scaling": records,
    }
    Path(_JSON.value).write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
  app.run(main)
