"""The programs of a run, compiled for a mesh from shapes alone.

Nothing is computed and no array is made, so a tower of 24 blocks and 21,000
classes fit on any computer.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.stages import Compiled
from jax.tree_util import Partial

from s3_jax.adaptation import adapt_in_chunks
from s3_jax.clip import ModelSpec, embed_images, init_params
from s3_jax.evaluation import classification, vocabulary
from s3_jax.evaluation.accumulators import init_counts
from s3_jax.evaluation.score_layout import ScoreLayout
from s3_jax.experiment.methods.views import CHUNK
from s3_jax.named_classes.cores import space_scorer
from s3_jax.sharding import (
  batch_sharding,
  class_sharding,
  gather_params,
  param_shardings,
  replicated,
)
from s3_jax.space import SynonymousSpace, build_space

_LOGIT_SCALE = 4.6


class Classes(NamedTuple):
  """A vocabulary.

  Attributes:
    classes: how many.
    texts: of each class.
    dim: of their embeddings.
  """

  classes: int
  texts: int
  dim: int


def image_params(spec: ModelSpec) -> Any:
  """Says which parameters an image tower has, as shapes."""
  key = jax.random.key(0)
  return jax.eval_shape(lambda key: init_params(key, spec)["image"], key)


def tower_program(
  spec: ModelSpec,
  mesh: Mesh,
  images: int,
  *,
  in_parts: bool,
  min_bytes: int = 1 << 20,
) -> Compiled:
  """Compiles the image tower as a run does.

  Args:
    spec: the architecture.
    mesh: devices that share the images.
    images: of a batch.
    in_parts: whether parameters are stored in parts over `model`.
    min_bytes: from which on they are.

  Returns:
    The program.
  """
  params = image_params(spec)
  shardings = jax.tree.map(lambda _: replicated(mesh), params)
  if in_parts:
    shardings = param_shardings(params, mesh, min_bytes=min_bytes)
  params = jax.tree.map(_placed, params, shardings)
  size = spec.image_size
  pixels = jax.ShapeDtypeStruct((images, size, size, 3), jnp.uint8)
  gather = gather_params(mesh) if in_parts else None
  return embed_images.lower(
    spec,
    {"image": params},
    _placed(pixels, batch_sharding(mesh)),
    gather=gather,
  ).compile()


def scoring_program(classes: Classes, mesh: Mesh, images: int) -> Compiled:
  """Compiles the local center of a batch, and the counts of what is right.

  Args:
    classes: shared out over `model`.
    mesh: devices; images are shared out over the others.
    images: of a batch.

  Returns:
    The program.
  """
  space = _space(_padded(classes, mesh), class_sharding(mesh))
  scorer = space_scorer(space, "local_center", neighbors=4)
  layout = ScoreLayout(mesh, per_class=True)
  with_classes = layout.parts > 1
  rows = batch_sharding(mesh, with_classes=with_classes)
  vectors = jax.ShapeDtypeStruct((images, classes.dim), jnp.float32)
  return _counted(scorer, classes.classes, vectors, rows, layout)


def adaptation_program(
  classes: Classes, mesh: Mesh, images: int, views: int
) -> Compiled:
  """Compiles TS3 for a batch of images, each adapted to by itself.

  Args:
    classes: whole on every device.
    mesh: devices that share the images.
    images: of a batch.
    views: of each image.

  Returns:
    The program.
  """
  space = _space(classes, replicated(mesh))
  shape = (images, views, classes.dim)
  vectors = jax.ShapeDtypeStruct(shape, jnp.float32)
  return _counted(
    Partial(_adapted, space),
    classes.classes,
    vectors,
    batch_sharding(mesh),
    ScoreLayout(mesh),
  )


def space_program(classes: Classes, mesh: Mesh) -> Compiled:
  """Compiles the construction of the spaces.

  Args:
    classes: shared out over `model`.
    mesh: devices.

  Returns:
    The program.
  """
  space = _space(_padded(classes, mesh), class_sharding(mesh))
  return vocabulary._build.lower(
    space.points,
    space.mask,
    space.max_edge_length,
    np.float32(0.5),
    np.float32(0.15),
    mesh=mesh,
    scale="gap",
    keep="largest",
    max_dimension=2,
    max_simplices=None,
  ).compile()


def _adapted(space, views):
  return adapt_in_chunks(views, space, _LOGIT_SCALE, chunk=CHUNK)


def _counted(scorer, classes, vectors, rows, layout) -> Compiled:
  images = vectors.shape[0]
  counts = jax.eval_shape(lambda: init_counts(classes))
  whole = replicated(layout.mesh)
  return classification._score_batch.lower(
    scorer,
    jax.tree.map(lambda leaf: _placed(leaf, whole), counts),
    _placed(vectors, rows),
    _placed(jax.ShapeDtypeStruct((images,), jnp.int32), rows),
    _placed(jax.ShapeDtypeStruct((images,), jnp.bool_), rows),
    np.float32(_LOGIT_SCALE),
    layout,
  ).compile()


def _padded(classes: Classes, mesh: Mesh) -> Classes:
  parts = mesh.shape["model"]
  return classes._replace(classes=-(-classes.classes // parts) * parts)


def _space(classes: Classes, sharding: NamedSharding) -> SynonymousSpace:
  shape = jax.ShapeDtypeStruct(classes, jnp.float32)
  mask = jax.ShapeDtypeStruct(classes[:2], jnp.bool_)
  space = jax.eval_shape(
    lambda x, mask: build_space(x, mask, scale="gap"), shape, mask
  )
  return jax.tree.map(lambda leaf: _placed(leaf, sharding), space)


def _placed(leaf, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
