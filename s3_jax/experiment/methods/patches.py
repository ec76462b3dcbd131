"""The methods of a segmentation run by name: which texts, scored how.

The papers' methods give every name of a class a vector of its own and take the
best. Those of S3 score each patch against the space of a class.
"""

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float32

from s3_jax.data.segmentation_sets import (
  SegmentationSpec,
  benchmark_names,
  class_entries,
)
from s3_jax.experiment.methods.spaces import SpaceOptions, build_core
from s3_jax.lexicon.spelling import comparison_key
from s3_jax.lexicon.synonyms import ClassEntry
from s3_jax.lexicon.vertices import Vertices, concept_vertices
from s3_jax.named_classes.cores import space_scorer
from s3_jax.named_classes.vertices import embed_vertices
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.segmentation import NameClassifier, Target
from s3_jax.space import SynonymousSpace
from s3_jax.storage.text_tables import TextTable

Names = tuple[tuple[str, ...], ...]
"""The names of each class."""


class PatchMethod(NamedTuple):
  """One row of a results table.

  Attributes:
    names: from the classes, and the names with which the benchmark is
      evaluated, to the names of each class.
    metric: a name of POINT_TO_SPACE, on the core of the names; "" for the
      config's; None where each name stands alone and the best of a class
      counts.
  """

  names: Callable[[Sequence[ClassEntry], Names], Names]
  metric: str | None


def _official(classes: Sequence[ClassEntry], benchmark: Names) -> Names:
  del benchmark
  return tuple((entry.names[0],) for entry in classes)


def _benchmark(classes: Sequence[ClassEntry], benchmark: Names) -> Names:
  del classes
  return benchmark


def _all(classes: Sequence[ClassEntry], benchmark: Names) -> Names:
  del benchmark
  return tuple(entry.names for entry in classes)


# Keys of the results and of `config.methods`, in the order of the table.
PATCH_METHODS: dict[str, PatchMethod] = {
  "class_name": PatchMethod(_official, None),
  "names_max": PatchMethod(_benchmark, None),
  "synonyms_max": PatchMethod(_all, None),
  **{name: PatchMethod(_all, name) for name in POINT_TO_SPACE},
  "s3": PatchMethod(_all, ""),
}


class PatchTexts(NamedTuple):
  """What the methods of one data set may make prompts of.

  Attributes:
    classes: of the lexicon, in label order.
    benchmark: the names with which the benchmark is evaluated.
    templates: whose prompts are averaged, with one `{}` each.
  """

  classes: tuple[ClassEntry, ...]
  benchmark: Names
  templates: tuple[str, ...]


def texts_of(
  spec: SegmentationSpec, templates: tuple[str, ...], kinds: str = ""
) -> PatchTexts:
  """Collects the texts of a data set; `kinds` as for `class_entries`."""
  classes = class_entries(spec, kinds)
  return PatchTexts(classes, benchmark_names(spec), templates)


def official_names(texts: PatchTexts) -> Bool[np.ndarray, "classes synonyms"]:
  """Marks the names of a space with which the benchmark is evaluated."""
  concepts = [entry.concepts for entry in texts.classes]
  official = np.zeros((len(concepts), max(map(len, concepts))), bool)
  official[:, 0] = True
  for label, (of_class, known) in enumerate(
    zip(concepts, texts.benchmark, strict=True)
  ):
    keys = {comparison_key(name) for name in known}
    official[label, : len(of_class)] |= [
      not keys.isdisjoint(map(comparison_key, spellings))
      for spellings in of_class
    ]
  return official


def method_vertices(
  methods: Mapping[str, PatchMethod], texts: PatchTexts
) -> dict[str, Vertices]:
  """Makes the prompts of every method."""
  return {
    name: concept_vertices(
      method.names(texts.classes, texts.benchmark), texts.templates
    )
    for name, method in methods.items()
  }


class PatchTarget(NamedTuple):
  """A method, ready to label images.

  Attributes:
    target: what patches are compared with.
    key: changes whenever labels may: of the vectors and how they are scored.
    space: the space, where the method has one.
  """

  target: Target
  key: str
  space: SynonymousSpace | None


def make_targets(
  methods: Mapping[str, PatchMethod],
  vertices: Mapping[str, Vertices],
  prompts: Sequence[str],
  embeddings: Float32[np.ndarray, "prompts dim"],
  options: SpaceOptions,
  *,
  official: Bool[np.ndarray, "classes synonyms"] | None = None,
) -> dict[str, PatchTarget]:
  """Turns embedded prompts into what patches are compared with."""
  tables: dict[Vertices, TextTable] = {}
  spaces: dict[Vertices, SynonymousSpace] = {}
  targets = {}
  for name, method in methods.items():
    made = vertices[name]
    if made not in tables:
      tables[made] = embed_vertices(made, prompts, embeddings)
    table = tables[made]
    if method.metric is None:
      targets[name] = _names_target(table)
      continue
    if made not in spaces:
      spaces[made] = build_core(table._replace(official=official), options)
    targets[name] = _space_target(
      spaces[made], method.metric or options.metric, options.neighbors
    )
  return targets


def _names_target(table: TextTable) -> PatchTarget:
  classes, indices = np.nonzero(table.mask)  # in the order of the classes
  target = NameClassifier(
    np.asarray(table.embeddings)[classes, indices], classes.astype(np.int32)
  )
  return PatchTarget(target, _digest("best name", *target), None)


def _space_target(
  space: SynonymousSpace, metric: str, neighbors: int
) -> PatchTarget:
  scorer = space_scorer(space, metric, neighbors=neighbors)
  about = f"{metric} {neighbors}" if metric == "local_center" else metric
  key = _digest(about, space.points, space.mask, space.max_edge_length)
  target = (space, functools.partial(_score_patches, scorer))
  return PatchTarget(target, key, space)


def _score_patches(
  scorer: Partial, patches: Float32[Array, "..."], space: SynonymousSpace
) -> Float32[Array, "..."]:
  """Scores patches by a metric that is bound to its space already."""
  del space
  return _compiled(scorer, patches)


@jax.jit
def _compiled(
  scorer: Partial, patches: Float32[Array, "..."]
) -> Float32[Array, "..."]:
  """Compiles once a metric and shape; the space is an argument."""
  return scorer(patches)


def _digest(about: str, *arrays) -> str:
  digest = hashlib.sha256(about.encode())
  for array in arrays:
    array = np.ascontiguousarray(array)
    digest.update(f"{array.shape} {array.dtype}".encode())
    digest.update(array.tobytes())
  return digest.hexdigest()
