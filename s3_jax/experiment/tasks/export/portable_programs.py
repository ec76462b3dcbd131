"""Programs as bytes that JAX runs without this package.

A program is StableHLO with a symbolic batch, lowered for several platforms at
once. Weights and spaces are not constants of it but its first argument, one
flat mapping from names to arrays, so that `numpy.load` of one file is all that
a caller needs.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jax.tree_util import Partial

from s3_jax.clip import Clip, embed_images, embed_texts

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
"""What JAX can lower for, whatever machine it runs on."""


# Programs name the source files of their steps. JAX's setting of what to leave
# out of the paths: all folders, which are nobody else's business.
_PATHS = ("jax_hlo_source_file_canonicalization_regex", ".*/")


class PortableProgram(NamedTuple):
  """A program and its arguments.

  Attributes:
    program: what `jax.export.deserialize` reads.
    arrays: the program's first argument.
    calling_convention: JAX's number of the form of the program.
  """

  program: bytes
  arrays: dict[str, np.ndarray]
  calling_convention: int


def portable_classifier(
  clip: Clip, score: Partial, *, dtype: str, platforms: tuple[str, ...]
) -> PortableProgram:
  """Makes one program of image tower, space and metric.

  References:
    Ours.
  """
  (space,) = score.args
  metric = score.func

  def classify(tree, pixels):
    image_params, space = tree["image"], tree["space"]
    params = {"image": image_params}
    embeddings = embed_images(clip.spec, params, pixels, dtype=dtype)
    # The metrics cut a batch into chunks, and how many depends on its size,
    # which is not known here; image by image there is nothing to cut.
    return jax.vmap(lambda embedding: metric(space, embedding))(embeddings)

  size = clip.spec.crop_size
  tree = {"image": clip.params["image"], "space": space}
  return _export(classify, tree, "batch", (size, size, 3), jnp.uint8, platforms)


def portable_text_tower(
  clip: Clip, *, dtype: str, platforms: tuple[str, ...]
) -> PortableProgram:
  """Makes a program of the text tower.

  References:
    Ours.
  """

  def embed(tree, token_ids):
    return embed_texts(clip.spec, tree, token_ids, dtype=dtype)

  tree = {"text": clip.params["text"]}
  columns = (clip.spec.context_length,)
  return _export(embed, tree, "texts", columns, jnp.int32, platforms)


def _export(
  function: Callable[[Any, Any], Any],
  tree: Mapping[str, Any],
  axis: str,
  shape: tuple[int, ...],
  dtype: Any,
  platforms: tuple[str, ...],
) -> PortableProgram:
  """Exports a function of a tree and of an array with a symbolic first axis."""
  paths, treedef = jax.tree_util.tree_flatten_with_path(tree)
  arrays = {
    jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf)
    for path, leaf in paths
  }

  def flat(arrays, rows):
    leaves = [arrays[name] for name in names]
    return function(treedef.unflatten(leaves), rows)

  names = tuple(arrays)
  sizes = export.symbolic_shape(axis)
  rows = jax.ShapeDtypeStruct((*sizes, *shape), dtype)
  setting, leave_out = _PATHS
  before = getattr(jax.config, setting)
  jax.config.update(setting, leave_out)
  try:
    exported = export.export(jax.jit(flat), platforms=platforms)(arrays, rows)
  finally:
    jax.config.update(setting, before)
  return PortableProgram(
    bytes(exported.serialize()), arrays, exported.calling_convention_version
  )
