"""Cost of spaces, persistence and complexes beside loops over other libraries.

  python benchmarks/geometry.py --classes=1000 --texts=32 --dim=512

prints a markdown table of seconds and of ratios to ours; --json
writes the same as JSON, --figure draws how the costs grow. Runs of one task are
interleaved and the least of each counts. Compilation is timed apart. The loops
need gudhi and scipy, of requirements-dev.txt; ripser is added where installed.

The texts of a class are unit vectors around a center, with noise of few
dimensions and of another size for each text, so that classes have outliers and
complexes of very different sizes, as real texts do.
"""

import functools
import importlib.util
import json
from pathlib import Path

import gudhi
import jax
import jax.numpy as jnp
import numpy as np
import scipy
from absl import app, flags
from measuring import Row, machine, make_texts, measure, table
from scipy.cluster.hierarchy import linkage
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from s3_jax import topology
from s3_jax.embeddings import chordal_distances, gram_matrix
from s3_jax.space import SynonymousSpace, build_space, two_witnesses

_CLASSES = flags.DEFINE_integer("classes", 1000, "Number of classes.")
_TEXTS = flags.DEFINE_integer("texts", 32, "Texts a class.")
_DIM = flags.DEFINE_integer("dim", 512, "Size of an embedding.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Timed runs of each.")
_LOOP_CLASSES = flags.DEFINE_integer(
  "loop_classes", 0, "Classes that loops run over, scaled to all; 0 for all."
)
_JSON = flags.DEFINE_string("json", None, "Where to write the numbers.")
_FIGURE = flags.DEFINE_string("figure", None, "Where to draw scaling, a PNG.")

_MIN_GAP, _MIN_FRACTION = 0.15, 0.5


def numpy_distances(points: np.ndarray) -> np.ndarray:
  """Chordal distances of one class, as `s3_jax` defines them."""
  gram = points @ points.T
  squares = np.diag(gram)
  squared = squares[:, None] + squares[None, :] - 2 * gram
  squared[squared < 1e-6] = 0
  np.fill_diagonal(squared, 0)
  return np.sqrt(squared)


def gudhi_deaths(distances: np.ndarray) -> np.ndarray:
  """H0 deaths of one class, ascending, by gudhi."""
  rips = gudhi.RipsComplex(distance_matrix=distances)
  tree = rips.create_simplex_tree(max_dimension=1)
  tree.compute_persistence(min_persistence=-1)
  return tree.persistence_intervals_in_dimension(0)[:-1, 1]


def build_class(points: np.ndarray) -> tuple[np.ndarray, float]:
  """Core and scale of one class by numpy, gudhi and scipy."""
  distances = numpy_distances(points)
  deaths = np.sort(gudhi_deaths(distances))
  scale, gaps = deaths[-1], np.diff(deaths)
  # From the largest gap down: the first admissible cut is the one.
  for j in np.lexsort((np.arange(gaps.size), gaps))[::-1]:
    if gaps[j] < _MIN_GAP * deaths[-1]:
      break
    _, labels = connected_components(distances <= deaths[j], directed=False)
    enough = np.bincount(labels).max() >= _MIN_FRACTION * len(points) - 1e-4
    if deaths[j] > 0 and enough:
      scale = (deaths[j] + deaths[j + 1]) / 2
      break
  # A hair more: gudhi's doubles are not the float32 that they came from.
  near = distances <= scale + 1e-7
  _, labels = connected_components(near, directed=False)
  sizes = np.bincount(labels)
  best = np.flatnonzero(sizes == sizes.max())
  if best.size > 1:
    within = [distances[np.ix_(labels == b, labels == b)].sum() for b in best]
    best = best[[np.argmin(within)]]
  return labels == best[0], scale


def gudhi_skeleton(distances: np.ndarray, scale: float, as_list: bool) -> int:
  """Expands one class to triangles, and counts simplices, by gudhi."""
  rips = gudhi.RipsComplex(distance_matrix=distances, max_edge_length=scale)
  tree = rips.create_simplex_tree(max_dimension=2)
  return len(list(tree.get_simplices())) if as_list else tree.num_simplices()


# A jitted function copies what it returns, so the points stay outside.
_jit_spaces = jax.jit(
  lambda points, mask: build_space(points, mask, scale="gap")[1:]
)
_product = jax.jit(
  lambda texts, names: jnp.matmul(texts, names.T, precision="highest")
)
_jit_witnesses = jax.jit(two_witnesses)
_h0 = jax.jit(jax.vmap(topology.h0_persistence))


@functools.partial(jax.jit, static_argnames="max_simplices")
def _jit_skeletons(distances, mask, scales, max_simplices):
  complexes = functools.partial(
    topology.rips_complex, max_dimension=2, max_simplices=max_simplices
  )
  return jax.vmap(complexes)(distances, mask, scales)


def space_rows(points: np.ndarray, loop: int, repeats: int) -> list[Row]:
  """Times whole spaces: distances, H0, gap rule, core and Gram matrix."""
  task, factor = "spaces", len(points) / loop
  on_device, mask = jnp.asarray(points), jnp.ones(points.shape[:2], bool)
  built: list[SynonymousSpace] = []

  def ours():
    built[:] = [build_space(on_device, mask, scale="gap")]
    return built

  cores = np.asarray([build_class(cloud)[0] for cloud in points[:loop]])
  rows = measure(
    task,
    {
      "s3_jax": (ours, 1.0),
      "s3_jax, under jit (no checks of values)": (
        lambda: _jit_spaces(on_device, mask),
        1.0,
      ),
      "numpy + gudhi + scipy loop": (
        lambda: [build_class(cloud) for cloud in points[:loop]],
        factor,
      ),
    },
    repeats,
  )
  same = np.all(cores == np.asarray(built[0].mask)[:loop], axis=1)
  # Rounding may tip a gap that is just min_gap wide; nothing else may differ.
  if np.mean(same) < 0.99:
    raise AssertionError(f"only {np.mean(same):.3f} of the cores are equal")
  return rows


def witness_rows(points: np.ndarray, repeats: int) -> list[Row]:
  """Times the rule of two witnesses beside the product that it cannot avoid."""
  on_device, mask = jnp.asarray(points), jnp.ones(points.shape[:2], bool)
  rows, names = on_device.reshape(-1, points.shape[2]), on_device[:, 0]
  return measure(
    "which texts to keep",
    {
      "product of all texts with the official names, written out": (
        lambda: _product(rows, names),
        1.0,
      ),
      "two_witnesses": (lambda: two_witnesses(on_device, mask), 1.0),
      "two_witnesses, under jit (no checks of values)": (
        lambda: _jit_witnesses(on_device, mask),
        1.0,
      ),
    },
    repeats,
  )


def persistence_rows(distances: np.ndarray, loop: int, repeats: int):
  """Times the deaths of H0, given distances."""
  factor = len(distances) / loop
  on_device = jnp.asarray(distances)
  mask = jnp.ones(distances.shape[:2], bool)

  def scipy_deaths(cloud):
    return linkage(squareform(cloud, checks=False), "single")[:, 2]

  others = {"scipy single linkage": scipy_deaths, "gudhi": gudhi_deaths}
  if importlib.util.find_spec("ripser") is not None:
    from ripser import ripser

    def ripser_deaths(cloud):
      pairs = ripser(cloud, maxdim=0, distance_matrix=True)["dgms"][0]
      return pairs[:-1, 1]

    others["ripser"] = ripser_deaths
  runs = {"s3_jax": (lambda: _h0(on_device, mask), 1.0)}
  for name, other in others.items():
    runs[f"{name} loop"] = (
      lambda other=other: [other(cloud) for cloud in distances[:loop]],
      factor,
    )
  rows = measure("H0", runs, repeats)
  deaths = np.asarray(_h0(on_device, mask))[:loop]
  for name, other in others.items():
    theirs = np.stack([np.sort(other(cloud)) for cloud in distances[:loop]])
    np.testing.assert_allclose(theirs, deaths, atol=1e-6, err_msg=name)
  return rows


def skeleton_rows(distances: np.ndarray, loop: int, repeats: int):
  """Times 2-skeletons at the scale that just connects each class.

  Returns:
    The rows, and the mean number of simplices a class.
  """
  factor = len(distances) / loop
  mask = np.ones(distances.shape[:2], bool)
  scales = np.asarray(_h0(distances, mask))[:, -1]
  capacity = topology.simplex_capacity(distances, mask, scales, max_dimension=2)
  arrays = tuple(jnp.asarray(x) for x in (distances, mask, scales))

  def host():
    return topology.enumerate_rips(
      distances, mask, scales, max_dimension=2, max_simplices=capacity
    )

  def loop_of_gudhi(as_list):
    return [
      gudhi_skeleton(cloud, float(scale), as_list)
      for cloud, scale in zip(distances[:loop], scales[:loop], strict=True)
    ]

  count = np.asarray(host().count)
  np.testing.assert_array_equal(loop_of_gudhi(False), count[:loop])
  rows = measure(
    "2-skeletons",
    {
      "s3_jax, host": (host, 1.0),
      "s3_jax, jit": (lambda: _jit_skeletons(*arrays, capacity), 1.0),
      "gudhi loop, Python list": (lambda: loop_of_gudhi(True), factor),
      "gudhi loop, tree only": (lambda: loop_of_gudhi(False), factor),
    },
    repeats,
  )
  return rows, float(np.mean(count))


@jax.jit
def _distances(points):
  return chordal_distances(gram_matrix(points))


def measure_scaling(repeats: int, dim: int, classes: int, texts: int):
  """Times all tasks over numbers of classes and of texts.

  Returns:
    Records with classes, texts, mean simplices and rows.
  """
  sizes = [(max(1, round(classes * x)), texts) for x in (0.03, 0.1, 0.3, 1.0)]
  few = max(1, classes // 5)
  sizes += [(few, m) for m in (4, 8, 16, 32, 64)]
  records = []
  for size in sizes:
    points = make_texts(*size, dim)
    distances = np.asarray(_distances(points))
    rows, simplices = skeleton_rows(distances, size[0], repeats)
    rows += space_rows(points, size[0], repeats)
    rows += persistence_rows(distances, size[0], repeats)
    records.append(
      {"classes": size[0], "texts": size[1], "simplices": simplices}
      | {"rows": [row._asdict() for row in rows], "over_texts": size[0] == few}
    )
  return records


def draw(records: list[dict], path: Path) -> None:
  """Draws CPU seconds over classes, texts and simplices."""
  from s3_jax.results.drawing import BLUE, GREEN, RED, open_figure

  lines = {
    "spaces: s3_jax": (BLUE, "o-", ("spaces", "s3_jax")),
    "spaces: numpy + gudhi + scipy": (
      RED,
      "s-",
      ("spaces", "numpy + gudhi + scipy loop"),
    ),
    "2-skeletons: s3_jax, host": (
      BLUE,
      "o:",
      ("2-skeletons", "s3_jax, host"),
    ),
    "2-skeletons: s3_jax, jit": (GREEN, "^:", ("2-skeletons", "s3_jax, jit")),
    "2-skeletons: gudhi, Python list": (
      RED,
      "s:",
      ("2-skeletons", "gudhi loop, Python list"),
    ),
  }
  over_classes = [r for r in records if not r["over_texts"]]
  over_texts = [r for r in records if r["over_texts"]]
  panels = (
    (over_classes, "classes", f"{over_classes[0]['texts']} texts a class"),
    (over_texts, "texts", f"{over_texts[0]['classes']} classes"),
    (over_texts, "simplices", f"{over_texts[0]['classes']} classes"),
  )
  with open_figure(path, (12.0, 4.6)) as figure:
    for axis, (chosen, word, title) in zip(
      figure.subplots(1, 3, sharey=True), panels, strict=True
    ):
      for label, (color, style, (task, who)) in lines.items():
        if word == "simplices" and task == "spaces":
          continue
        seconds = [
          next(
            row["cpu"]
            for row in record["rows"]
            if (row["task"], row["who"]) == (task, who)
          )
          for record in chosen
        ]
        axis.plot(
          [record[word] for record in chosen],
          seconds,
          style,
          color=color,
          label=label,
          markersize=5,
        )
      axis.set(xscale="log", yscale="log", title=title)
      ending = " a class, mean" if word == "simplices" else ""
      axis.set_xlabel(("texts a class" if word == "texts" else word) + ending)
      ticks = [record[word] for record in chosen]
      axis.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
      axis.minorticks_off()
      axis.grid(True)
    figure.axes[0].set_ylabel("CPU seconds")
    figure.axes[0].yaxis.set_major_formatter("{x:g}")
    figure.legend(
      *figure.axes[0].get_legend_handles_labels(),
      loc="outside lower center",
      ncols=3,
      frameon=False,
    )


def main(argv):
  """Measures, prints the table and writes what the flags ask for."""
  del argv
  classes, texts = _CLASSES.value, _TEXTS.value
  loop = min(classes, _LOOP_CLASSES.value or classes)
  points = make_texts(classes, texts, _DIM.value)
  distances = np.asarray(_distances(points))
  rows = space_rows(points, loop, _REPEATS.value)
  rows += persistence_rows(distances, loop, _REPEATS.value)
  rows += witness_rows(points, _REPEATS.value)
  skeletons, simplices = skeleton_rows(distances, loop, _REPEATS.value)
  rows += skeletons
  about = (
    f"{classes} classes x {texts} texts x {_DIM.value}, mean of "
    f"{simplices:.0f} simplices a class, least of {_REPEATS.value} runs, "
    f"{machine()}, gudhi {gudhi.__version__}, scipy {scipy.__version__}"
  )
  if loop < classes:
    about += f"; loops over {loop} classes, scaled to {classes}"
  print(about + "\n")  # noqa: T201
  lines = [
    (
      row.task,
      row.who,
      f"{row.cpu:.3f}",
      f"{row.wall:.3f}",
      f"{row.first:.2f}" if row.who.startswith("s3_jax") else "",
      f"{row.ratio:.1f} x",
    )
    for row in rows
  ]
  head = ("task", "by", "CPU s", "wall s", "first call, CPU s", "ratio")
  print(table(head, lines))  # noqa: T201
  records = []
  if _FIGURE.value:
    records = measure_scaling(_REPEATS.value, _DIM.value, classes, texts)
    draw(records, Path(_FIGURE.value))
  if _JSON.value:
    report = {
      "about": about,
      "rows": [row._asdict() for row in rows],
      "scaling": records,
    }
    Path(_JSON.value).write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
  app.run(main)
