r"""How well images of no class are told from those of a class.

  python benchmarks/reject.py --data_dir=FOLDER

prints the tables of docs/PREDICT.md, section "None of these". FOLDER holds
embeddings of CLIP ViT-B/32 that others published (docs/EVIDENCE.md names them):
`images/*.npz` with `x` and `y`, `texts/*.npz` with `v` and `texts/names.json`
with the names of their rows, `sets/*.npz` and `.json` with spaces.

Some classes of a set are drawn as those that a user gives; the images of all
other classes are of none. Unrelated names are the distinct names of the texts
"a {name}", less those that the user gave; under `unlisted` less the names of
all classes of the set, so that no image of no class has its own name there.
`generic` gives words such as "dog" and "bird" for the images of ImageNet's
breeds and species.

Intervals are 1.96 standard errors over the draws, whose images overlap.
"""

import functools
import json
import math
import pathlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import app, flags

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from s3_jax.evaluation.rejection import (
  answer_by_share,
  answer_by_texts,
  auroc,
  false_positive_rate,
  least_error,
  selective_precision,
  unrelated_names,
)
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import build_space

_DATA = flags.DEFINE_string("data_dir", None, "Where the embeddings are.")
_ERROR = flags.DEFINE_float("false_answers", 0.05, "As config.false_answers.")
_RELATED = flags.DEFINE_float("related", 0.005, "As of `unrelated_names`.")
_SEED = flags.DEFINE_integer("seed", 1000, "Of the first draw.")

NAME_FILES = (
  *("detic_lvis", "detic_o365", "detic_oid", "detic_coco"),
  "cliplt_imagenet_b",
)
DRAWS = {2: 40, 10: 20, 50: 10}
"""Classes that are given -> draws."""

LOGIT_SCALE = 100.0
GENERIC: Mapping[str, tuple[range, ...]] = {
  "dog": (range(151, 269),),
  "cat": (range(281, 286),),
  "bird": (range(7, 25), range(80, 101), range(127, 147)),
  "snake": (range(52, 69),),
  "spider": (range(72, 78),),
  "fish": (range(7), range(389, 398)),
  "monkey": (range(365, 383),),
  "butterfly": (range(321, 327),),
  "lizard": (range(38, 49),),
  "turtle": (range(33, 38),),
  "frog": (range(30, 33),),
  "bear": (range(294, 298),),
  "mushroom": (range(991, 998),),
}
"""Words, and the classes of ImageNet that they cover."""


class World(NamedTuple):
  """A set of which classes are drawn.

  Attributes:
    images: f32[images, dim].
    classes: of each image; -1 for images of none whatever is given.
    points: f32[classes, texts, dim], mask: bool[classes, texts].
    texts: their strings, by class.
  """

  images: np.ndarray
  classes: np.ndarray
  points: np.ndarray
  mask: np.ndarray
  texts: Sequence[Sequence[str]]


class Names(NamedTuple):
  """Names of things, and their unit embeddings."""

  keys: np.ndarray
  embeddings: np.ndarray


def unit(rows: np.ndarray) -> np.ndarray:
  """Returns rows of float32 with norm 1."""
  rows = rows.astype(np.float32)
  return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def comparable(name: str) -> str:
  """Returns letters and digits of a name, without what is in parentheses."""
  name = re.sub(r"\(.*?\)", "", name.lower())
  return re.sub(r"[^a-z0-9]+", " ", name).strip()


def read_names(folder: pathlib.Path) -> Names:
  """Reads the names in the form "a {name}", each once."""
  listed = json.loads((folder / "texts/names.json").read_text("utf-8"))
  found: dict[str, np.ndarray] = {}
  for file in NAME_FILES:
    rows = unit(np.load(folder / f"texts/{file}.npz")["v"])
    for name, row in zip(listed[file]["names"], rows, strict=True):
      found.setdefault(comparable(name), row)
  return Names(np.array(list(found)), np.stack(list(found.values())))


def read_set(folder: pathlib.Path, name: str, images: str) -> World:
  """Reads a set of spaces."""
  stored = np.load(folder / f"sets/{name}.npz")
  texts = json.loads((folder / f"sets/{name}.json").read_text())["texts"]
  rows = np.load(folder / f"images/{images}.npz")["x"][stored["image_rows"]]
  counts = np.bincount(stored["class_index"])
  mask = np.arange(counts.max()) < counts[:, None]
  points = np.zeros((*mask.shape, rows.shape[1]), np.float32)
  points[mask] = unit(stored["v"])
  return World(unit(rows), stored["y"], points, mask, texts)


def first_texts(world: World) -> World:
  """Keeps the official name of each class."""
  return world._replace(
    points=world.points[:, :1],
    mask=world.mask[:, :1],
    texts=[texts[:1] for texts in world.texts],
  )


def generic_words(imagenet: World, names: Names) -> World:
  """Gives images of ImageNet the classes of GENERIC, 120 images at most."""
  classes = np.full(len(imagenet.classes), -1)
  for index, ranges in enumerate(GENERIC.values()):
    members = np.isin(imagenet.classes, np.concatenate(ranges))
    classes[members] = index
  rows = [np.flatnonzero(classes == -1)]
  for index in range(len(GENERIC)):
    of_class = np.flatnonzero(classes == index)
    rows.append(of_class[:: math.ceil(len(of_class) / 120)])
  kept = np.sort(np.concatenate(rows))
  index = [int(np.flatnonzero(names.keys == word)[0]) for word in GENERIC]
  return World(
    imagenet.images[kept],
    classes[kept],
    names.embeddings[index][:, None],
    np.ones((len(GENERIC), 1), bool),
    [[word] for word in GENERIC],
  )


def softmax_of_best(scores: np.ndarray, factor: float) -> np.ndarray:
  """Returns the highest probability of each row."""
  logits = factor * (scores - scores.max(axis=1, keepdims=True))
  return 1 / np.exp(logits).sum(axis=1)


class Draw(NamedTuple):
  """What one draw gives of every image."""

  scores: np.ndarray  # of the given classes
  nearest: np.ndarray  # cosine of the best class's nearest text
  names: np.ndarray  # cosines of the unrelated names
  above: np.ndarray


def neg_label(draw: Draw) -> np.ndarray:
  """Returns NegLabel's score, its logarithm, without groups of names."""
  largest = np.maximum(draw.scores.max(axis=1), draw.names.max(axis=1))[:, None]
  own, other = (
    np.log(np.exp(LOGIT_SCALE * (x - largest)).sum(axis=1) + 1e-30)
    for x in (draw.scores, draw.names)
  )
  return own - other


STATISTICS: Mapping[str, Callable[[Draw], np.ndarray]] = {
  "best cosine": lambda draw: draw.nearest,
  "softmax": lambda draw: softmax_of_best(draw.scores, LOGIT_SCALE),
  "MCM": lambda draw: softmax_of_best(draw.scores, 1.0),
  "margin": lambda draw: (
    -np.diff(np.sort(draw.scores, axis=1)[:, :-3:-1])[:, 0]
  ),
  "NegLabel": neg_label,
  "names above": lambda draw: -draw.above.astype(float),
}


def measure(
  world: World,
  names: Names,
  cosines: np.ndarray,
  given: int,
  seed: int,
  *,
  listed: bool,
) -> dict[str, Any]:
  """Draws classes and measures every statistic and both rules."""
  rng = np.random.default_rng(seed)
  chosen = rng.choice(len(world.points), given, replace=False)
  points, mask = world.points[chosen], world.mask[chosen]
  taken = chosen if listed else range(len(world.points))
  own = {comparable(text) for index in taken for text in world.texts[index]}
  candidates = np.flatnonzero(~np.isin(names.keys, list(own)))
  unrelated = candidates[
    unrelated_names(
      names.embeddings[candidates], points[mask], related=_RELATED.value
    )
  ]
  space = build_space(points, mask, scale=None)
  scores = np.asarray(POINT_TO_SPACE["soft_local_center"](world.images, space))
  best = scores.argmax(axis=1)
  to_texts = np.einsum("id,isd->is", world.images, points[best])
  nearest = np.where(mask[best], to_texts, -1).max(axis=1)
  to_names = cosines[:, unrelated]
  above = np.sum(to_names >= nearest[:, None], axis=1)
  draw = Draw(scores, nearest, to_names, above)
  inside = np.isin(world.classes, chosen)
  correct = chosen[best] == world.classes
  found: dict[str, Any] = {}
  for name, statistic in STATISTICS.items():
    values = statistic(draw)
    found[f"AUROC {name}"] = auroc(values[inside], values[~inside])
    found[f"FPR {name}"] = false_positive_rate(values[inside], values[~inside])
  texts, count = int(mask.sum()), len(unrelated)
  answered = answer_by_texts(
    above, texts=texts, names=count, false_answers=_ERROR.value
  )
  found["false"] = np.mean(answered[~inside])
  found["coverage"], _ = selective_precision(answered[inside], correct[inside])
  # As many images of no class as of classes.
  others = rng.choice(np.flatnonzero(~inside), int(inside.sum()), replace=False)
  mixed = np.concatenate([np.flatnonzero(inside), others])
  _, found["precision"] = selective_precision(answered[mixed], correct[mixed])
  if least_error(texts=texts, names=count) > _ERROR.value:
    # More texts than so many names can judge: the program refuses.
    found |= dict.fromkeys(("false", "coverage", "precision"), math.nan)
  found["precision of all"] = np.mean(correct[mixed])
  half = answer_by_share(above[mixed], nearest[mixed], share=0.5)
  _, found["precision of half"] = selective_precision(half, correct[mixed])
  return found


def worlds(
  folder: pathlib.Path, names: Names
) -> Iterator[tuple[str, World, bool]]:
  """Yields the sets, and whether names of images of no class are listed."""
  imagenet = read_set(folder, "imagenet1000", "imagenet_train4")
  lvis = read_set(folder, "lvis1203", "lvis_exemplar_mean5")
  yield "ImageNet", first_texts(imagenet), True
  yield "ImageNet, unlisted", first_texts(imagenet), False
  yield "LVIS", first_texts(lvis), True
  yield "LVIS, unlisted", first_texts(lvis), False
  yield "generic words", generic_words(imagenet, names), True
  several = read_set(folder, "imagenet189", "imagenet_train4")
  yield "ImageNet, 2-5 texts", several, True
  yield "LVIS, 4 texts", lvis, True


def share(values: Sequence[float], *, interval: bool = True) -> str:
  """Formats percentages of draws as their mean and interval."""
  values = 100 * np.array(values, float)
  values = values[np.isfinite(values)]
  if not values.size:
    return "–"
  half = 1.96 * np.std(values, ddof=1) / math.sqrt(len(values))
  return f"{values.mean():.1f}" + (f" ±{half:.1f}" if interval else "")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """Writes a table in Markdown."""
  lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
  return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(_: Sequence[str]) -> None:
  """Measures all sets and prints both tables."""
  folder = pathlib.Path(_DATA.value)
  names = read_names(folder)
  separated, decided = [], []
  for title, world, listed in worlds(folder, names):
    cosines = world.images @ names.embeddings.T
    for given, draws in DRAWS.items():
      if given >= len(world.points):
        continue
      one = functools.partial(
        measure, world, names, cosines, given, listed=listed
      )
      found = [one(_SEED.value + number) for number in range(draws)]
      of = {key: [each[key] for each in found] for key in found[0]}
      separated.append(
        [
          f"{title}, {given}",
          *(
            f"{share(of[f'AUROC {name}'])} / "
            f"{share(of[f'FPR {name}'], interval=False)}"
            for name in STATISTICS
          ),
        ]
      )
      decided.append(
        [
          f"{title}, {given}",
          *(share(of[key]) for key in ("false", "coverage", "precision")),
          *(
            share(of[f"precision of {which}"], interval=False)
            for which in ("all", "half")
          ),
        ]
      )
  sys.stdout.write(f"{len(names.keys):,} names\n\n")
  head = ["set, classes given", *STATISTICS]
  sys.stdout.write(table(head, separated) + "\n\n")
  head = [
    "set, classes given",
    *("false answers", "coverage", "precision"),
    *("precision, all answered", "precision, reject=0.5"),
  ]
  sys.stdout.write(table(head, decided) + "\n")


if __name__ == "__main__":
  flags.mark_flag_as_required("data_dir")
  app.run(main)
