"""Images adapted to in a CPU second, beside a loop in torch.

  python benchmarks/adaptation.py --json=adaptation.json

prints, for classes of --texts vertices and for classes of one (TPS), the images
a CPU second that each contestant adapts to: a torch loop of TPS's structure
(one image after another, autograd through all views, vertices computed from
the shift, AdamW), this package for one image, and for a chunk of images at
once. Only adaptation is timed: embedded views in, scores out. Below them stand
the baselines that move the image's embedding instead. Beside the package's own
runs stand STS, whose shift lies in the span of the class centers' singular
vectors (found beforehand), and ZERO, which scores all views and counts votes;
TDA and DMN, of one view an image, score nothing and keep what they saw.

It also prints the temporary memory of the compiled programs, that memory for
four times as many images, and the bound that `adapt_in_chunks` states.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from absl import app, flags
from measuring import Row, machine, make_texts, measure, table

from s3_jax.adaptation import (
  adapt_in_chunks,
  adapted_scores,
  average_views,
  center_space,
  dmn_scores,
  majority_vote,
  robust_mean_shift,
  spectral_directions,
  tda_scores,
)
from s3_jax.embeddings import scale_logits
from s3_jax.point_to_space import point_to_local_center
from s3_jax.space import SynonymousSpace, build_space

_CLASSES = flags.DEFINE_integer("classes", 1000, "Number of classes.")
_TEXTS = flags.DEFINE_integer("texts", 8, "Texts a class.")
_DIM = flags.DEFINE_integer("dim", 512, "Size of an embedding.")
_VIEWS = flags.DEFINE_integer("views", 64, "Views an image.")
_IMAGES = flags.DEFINE_integer("images", 32, "Images of a run in chunks.")
_CHUNK = flags.DEFINE_integer("chunk", 8, "Images at a time.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Timed runs of each.")
_THREADS = flags.DEFINE_integer("torch_threads", 1, "Threads of torch.")
_JSON = flags.DEFINE_string("json", None, "Where to write the numbers.")

_NEIGHBORS = 4
_LOG_SCALE = float(np.log(100.0))
_BASELINES = "no gradients"
_STREAM = 64  # images of a timed run of a stream
_FEW = 4  # images of a timed run of a loop over images


def make_views(space: SynonymousSpace, images: int, views: int) -> np.ndarray:
  """Draws f32[images, views, dim]: unit, around a text, wider by the view.

  As those of CLIP's images, the similarities to texts are low.
  """
  rng = np.random.default_rng(1)
  points = np.asarray(space.points)
  classes, texts, dim = points.shape
  chosen = points[
    rng.integers(classes, size=images), rng.integers(texts, size=images)
  ]
  away = rng.normal(size=(images, 1, dim)) * (2.5 / np.sqrt(dim))
  noise = rng.normal(size=(images, views, dim)) / np.sqrt(dim)
  noise *= np.linspace(0.3, 1.5, views)[None, :, None]
  x = chosen[:, None] + away + noise
  x /= np.linalg.norm(x, axis=2, keepdims=True)
  return x.astype(np.float32)


def torch_loop(views: np.ndarray, space: SynonymousSpace):
  """TPS's structure: an image, autograd over all views, a step, a prediction.

  The local center in the way of the usual torch code: similarities to shifted
  vertices, top-k, and the Gram entries of the chosen.
  """
  x = torch.from_numpy(np.array(views))
  z = torch.from_numpy(np.array(space.points))
  classes, texts, dim = z.shape
  k = min(_NEIGHBORS, texts)
  rows = torch.arange(classes)[None, :, None, None]
  scale = float(np.exp(_LOG_SCALE))
  kept = int(0.1 * x.shape[1])

  def logits(image, shift):
    vertices = torch.nn.functional.normalize(z + shift[:, None], dim=2)
    flat = image @ vertices.reshape(-1, dim).T
    if texts == 1:
      return scale * flat
    top, index = flat.reshape(-1, classes, texts).topk(k, dim=2)
    gram = vertices @ vertices.transpose(1, 2)
    pairs = gram[rows, index[..., :, None], index[..., None, :]]
    return scale * top.sum(2) / pairs.sum((2, 3)).sqrt()

  def adapt(image):
    shift = torch.zeros(classes, dim, requires_grad=True)
    optimizer = torch.optim.AdamW([shift], lr=5e-3, weight_decay=0.01)
    output = logits(image, shift)
    logs = output.log_softmax(1)
    entropy = -(logs.exp() * logs).sum(1)
    output = output[entropy.argsort()[:kept]]
    mean = output.log_softmax(1).logsumexp(0) - np.log(kept)
    loss = -(mean * mean.exp()).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
      return logits(image[:1], shift)[0] / scale

  return lambda: torch.stack([adapt(image) for image in x])


def steered(space: SynonymousSpace) -> dict[str, Any]:
  """The options of `adapt_in_chunks` that make it STS."""
  directions = spectral_directions(center_space(space).points[:, 0])
  return {"shift": "shared", "directions": directions}


@jax.jit
def votes(views: jax.Array, space: SynonymousSpace) -> jax.Array:
  """ZERO on some images: scores of all views, and votes."""
  scores = point_to_local_center(views, space, neighbors=_NEIGHBORS)
  return jax.vmap(majority_vote)(scale_logits(scores, _LOG_SCALE))


def runs_of(views, space, chunk) -> dict[str, tuple[Callable[[], Any], float]]:
  """Runs over images, whose seconds are divided by the number of images."""
  few = views[:_FEW]
  one = [jnp.asarray(image) for image in few]
  some, sts = jnp.asarray(views[:chunk]), steered(space)
  return {
    "torch: a loop as TPS's": (torch_loop(few, space), 1 / len(few)),
    "s3_jax: adapted_scores, one image": (
      lambda: [adapted_scores(x, space, _LOG_SCALE) for x in one],
      1 / len(few),
    ),
    f"s3_jax: adapt_in_chunks, {chunk} images": (
      lambda: adapt_in_chunks(views, space, _LOG_SCALE, chunk=chunk),
      1 / len(views),
    ),
    f"s3_jax: STS, {len(sts['directions'])} directions, {chunk} images": (
      lambda: adapt_in_chunks(views, space, _LOG_SCALE, chunk=chunk, **sts),
      1 / len(views),
    ),
    f"s3_jax: ZERO, {len(some)} images": (
      lambda: votes(some, space),
      1 / len(some),
    ),
  }


def baseline_runs(views, space) -> dict[str, tuple[Callable[[], Any], float]]:
  """Runs of the baselines that move the image's embedding instead."""
  names = space.points[:, 0]
  some = [jnp.asarray(image) for image in views[:_FEW]]
  return {
    "robust_mean_shift (MTA)": (
      lambda: [robust_mean_shift(x, names, _LOG_SCALE) for x in some],
      1 / len(some),
    ),
    "average_views": (
      lambda: [average_views(x) for x in some],
      1 / len(some),
    ),
    **stream_runs(np.asarray(views[:, 0]), np.asarray(names)),
  }


def stream_runs(images, names) -> dict[str, tuple[Callable[[], Any], float]]:
  """Runs of the methods that learn from the images before one."""
  images = np.tile(images, (-(-_STREAM // len(images)), 1))[:_STREAM]
  scores = images @ names.T
  return {
    "tda_scores (TDA), one view": (
      lambda: tda_scores(images, scores, _LOG_SCALE)[0],
      1 / _STREAM,
    ),
    "dmn_scores (DMN-ZS), one view": (
      lambda: dmn_scores(images, scores, names, _LOG_SCALE)[0],
      1 / _STREAM,
    ),
  }


def check(views, space) -> str:
  """Compares what is timed: the same scores but for rounding's signs."""
  expected = torch_loop(views[:_FEW], space)().numpy()
  scores = np.asarray(adapt_in_chunks(views[:_FEW], space, _LOG_SCALE))
  if np.any(scores.argmax(axis=1) != expected.argmax(axis=1)):
    raise AssertionError("predictions differ")
  error = np.abs(scores - expected)
  if np.mean(error < 1e-4) < 0.999:
    raise AssertionError(f"scores differ, by up to {error.max()}")
  return f"scores differ from torch's by at most {error.max():.1e}"


def temporary_bytes(
  images: int, space, views: int, chunk: int, **options: Any
) -> int:
  """Memory that the compiled program needs beside inputs and outputs."""
  dim = space.points.shape[-1]
  program = jax.jit(
    lambda x, space: adapt_in_chunks(
      x, space, _LOG_SCALE, chunk=chunk, **options
    )
  )
  x = jax.ShapeDtypeStruct((images, views, dim), jnp.float32)
  analysis = program.lower(x, space).compile().memory_analysis()
  assert analysis is not None
  return analysis.temp_size_in_bytes


def _line(row: Row) -> tuple[str, ...]:
  return (
    row.task,
    row.who,
    f"{1e3 * row.cpu:.2f}",
    f"{1 / row.cpu:.0f}",
    "" if row.task == _BASELINES else f"{1 / row.ratio:.1f} x",
  )


def main(argv):
  """Measures, prints the tables and writes what the flag asks for."""
  del argv
  torch.set_num_threads(_THREADS.value)
  classes, dim, views = _CLASSES.value, _DIM.value, _VIEWS.value
  chunk = _CHUNK.value
  rows, memory, checks = [], [], []
  for texts in (_TEXTS.value, 1):
    points = make_texts(classes, texts, dim)
    mask = np.ones(points.shape[:2], bool)
    space = build_space(points, mask, scale=None, keep="all")
    x = make_views(space, _IMAGES.value, views)
    checks.append(check(x, space))
    task = f"{texts} vertices" if texts > 1 else "1 vertex (TPS)"
    rows += measure(task, runs_of(x, space, chunk), _REPEATS.value)
    if texts == 1:
      runs = baseline_runs(x, space)
      rows += measure(_BASELINES, runs, _REPEATS.value)
    bound = 16 * chunk * classes * (dim + views) + (32 << 20)
    for who, options in ((task, {}), (f"STS, {task}", steered(space))):
      sizes = [
        temporary_bytes(images, space, views, chunk, **options)
        for images in (_IMAGES.value, 4 * _IMAGES.value)
      ]
      memory.append((who, *(f"{n / 2**20:.1f} MiB" for n in (*sizes, bound))))
  about = (
    f"{classes} classes x {dim}, {views} views, {_NEIGHBORS} neighbors; least "
    f"of {_REPEATS.value} runs, {machine()}, torch {torch.__version__} with "
    f"{_THREADS.value} thread(s); {'; '.join(checks)}"
  )
  print(about + "\n")  # noqa: T201
  head = ("task", "who", "CPU ms an image", "images a CPU s", "against torch")
  print(table(head, [_line(row) for row in rows]) + "\n")  # noqa: T201
  some = _IMAGES.value
  head = ("task", f"{some} images", f"{4 * some} images", "stated bound")
  print(table(head, memory))  # noqa: T201
  if _JSON.value:
    report = {
      "about": about,
      "rows": [row._asdict() for row in rows],
      "temporaries": memory,
    }
    Path(_JSON.value).write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
  app.run(main)
