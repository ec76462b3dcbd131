"""Between the named arrays of a school's files and our parameters.

Reading a file gives a dict of names and arrays. `detect` finds out by the names
whose files are written so, `to_params` makes our parameter tree of the arrays
and accounts for every one of them, and `from_params` goes the other way. Files
themselves, and the settings beside them, are not this package's business.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from s3_jax.clip.layouts import big_vision, hugging_face, open_clip, scenic
from s3_jax.clip.layouts.tensor import (
  Tensor,
  least_numbers,
  param_shapes,
  read,
  write,
)
from s3_jax.clip.towers import check_dtype
from s3_jax.clip.zoo import ModelSpec

__all__ = [
  "LAYOUTS",
  "Layout",
  "detect",
  "from_params",
  "param_shapes",
  "to_params",
]


class Layout(NamedTuple):
  """How a school's files name and shape the parameters.

  Attributes:
    tensors: lists the arrays of a spec's file.
    own_name: a name as `tensors` has it, from one of a file; None for what is
      no parameter and is skipped.
    stated: scalars that a file may hold beside the parameters, and the fields
      of the spec that they must equal.
  """

  tensors: Callable[[ModelSpec], dict[str, Tensor]]
  own_name: Callable[[str], str | None]
  stated: Mapping[str, str] = {}


LAYOUTS = {
  "hugging_face": Layout(hugging_face.tensors, hugging_face.own_name),
  "open_clip": Layout(open_clip.tensors, open_clip.own_name, open_clip.STATED),
  "scenic": Layout(scenic.tensors, scenic.own_name),
  "big_vision": Layout(big_vision.tensors, big_vision.own_name),
  "big_vision_scanned": Layout(
    functools.partial(big_vision.tensors, scanned=True), big_vision.own_name
  ),
}

# How a name of each layout begins; the more particular one stands first.
_SIGNS = {
  "hugging_face": ("text_model.", "vision_model."),
  "open_clip": ("visual.",),
  "scenic": ("params/visual/",),
  "big_vision_scanned": ("params/img/Transformer/encoderblock/",),
  "big_vision": ("params/img/",),
}
_SHOWN = 10  # names of a kind in an error
_FAR = 4  # times a file's numbers: settings of another checkpoint altogether


def detect(names: Iterable[str], where: str = "the weights") -> str:
  """Finds the layout that a file's names belong to."""
  names = sorted(names)
  for layout, signs in _SIGNS.items():
    own_name = LAYOUTS[layout].own_name
    if any((own_name(name) or "").startswith(signs) for name in names):
      return layout
  raise ValueError(
    f"{where} must hold arrays named as in one of the layouts "
    f"{', '.join(LAYOUTS)}, got {_first(names, shown=3) or 'no array'}."
  )


def to_params(
  arrays: Mapping[str, np.ndarray],
  spec: ModelSpec,
  layout: str,
  where: str,
  *,
  dtype: str = "float32",
) -> dict[str, Any]:
  """Makes our parameters of the arrays of a file.

  Every array must be one of the layout's, of its shape, of floating point and
  finite, and none may be missing. Names that carry no parameter are skipped.
  """
  check_dtype(dtype)
  _check_size(arrays, spec, layout, where)
  tensors = _layout(layout).tensors(spec)
  named, wrong = _account(arrays, spec, _layout(layout), tensors)
  leaves, infinite = {}, []
  for name, tensor in tensors.items():
    if name not in named:
      continue
    with np.errstate(over="ignore"):
      value = np.asarray(arrays[named[name]]).astype(np.float32)
    if not np.isfinite(value).all():
      infinite.append(named[name])
    elif not wrong:
      value = value.reshape(tensor.theirs)  # a scalar may be stored as [1]
      for path, part in read(tensor, value):
        kept = dtype if len(path) > 1 else "float32"
        leaves[path] = jnp.asarray(part, kept)
  if infinite:
    wrong.append(f"not finite: {_first(infinite)}")
  if wrong:
    raise ValueError(
      f"{where} must hold the parameters of {spec.name} in the {layout} "
      f"layout, got {'; '.join(wrong)}."
    )
  return unflatten_dict(leaves)


def _layout(name: str) -> Layout:
  if name not in LAYOUTS:
    raise ValueError(
      f"`layout` must be one of {', '.join(LAYOUTS)}, got {name!r}."
    )
  return LAYOUTS[name]


def _check_size(
  arrays: Mapping[str, np.ndarray], spec: ModelSpec, layout: str, where: str
) -> None:
  """Refuses settings far beyond a file's arrays, before anything is traced."""
  held = sum(value.size for value in arrays.values())
  needed = least_numbers(spec)
  most = max(needed, key=lambda setting: needed[setting])
  # Below that the names of what is missing say more.
  if sum(needed.values()) > _FAR * held:
    raise ValueError(
      f"{where} must hold the parameters of {spec.name}, at least"
      f" {sum(needed.values())} numbers, of which {needed[most]} are for its"
      f" {most} of {getattr(spec, most)}, got {held}."
    )
  # A file has arrays for each block, or joins them along the first axis.
  blocks = len(arrays)
  if layout == "big_vision_scanned":
    joined = (value.shape[0] for value in arrays.values() if value.ndim)
    blocks = max(blocks, *joined)
  for setting in ("text_layers", "image_layers"):
    if getattr(spec, setting) > blocks:
      raise ValueError(
        f"{where} must hold the parameters of {spec.name}, whose {setting} is"
        f" {getattr(spec, setting)}, got {len(arrays)} arrays."
      )


def _account(
  arrays: Mapping[str, np.ndarray],
  spec: ModelSpec,
  layout: Layout,
  tensors: Mapping[str, Tensor],
) -> tuple[dict[str, str], list[str]]:
  """Finds each tensor's name in the file, and says what is wrong with it."""
  named: dict[str, str] = {}
  extra, twice, stated, shapes, types = [], [], [], [], []
  found = set()
  for name, value in arrays.items():
    own = layout.own_name(name)
    if own is None:
      continue
    if own in layout.stated:
      expected = getattr(spec, layout.stated[own])
      if value.size != 1 or value.item() != expected:
        stated.append(f"{name} {value.tolist()!r:.40} for {expected}")
    elif own not in tensors:
      extra.append(name)
    elif own in found:
      twice.append(name)
    else:
      found.add(own)
      theirs = tensors[own].theirs
      scalar = tensors[own].ours == () and value.size == 1
      if value.shape != theirs and not scalar:
        shapes.append(f"{name} {list(value.shape)} for {list(theirs)}")
      elif not jnp.issubdtype(value.dtype, jnp.floating):
        types.append(f"{name} {value.dtype}")
      else:
        named[own] = name
  faults = {
    "missing": tensors.keys() - found,
    "left over": extra,
    "twice": twice,
    "mis-shaped": shapes,
    "not of floating point": types,
    "mis-stated": stated,
  }
  return named, [
    f"{kind}: {_first(names)}" for kind, names in faults.items() if names
  ]


def _first(names: Iterable[str], *, shown: int = _SHOWN) -> str:
  """Joins the first names in their order; says how many there are in all."""
  names = sorted(names)
  text = ", ".join(names[:shown])
  return text if len(names) <= shown else f"{text}, ... ({len(names)} in all)"


def from_params(
  params: Mapping[str, Any], spec: ModelSpec, layout: str
) -> dict[str, np.ndarray]:
  """Writes our parameters as the arrays of a file."""
  tensors = _layout(layout).tensors(spec)
  leaves: Any = flatten_dict(params)
  for path, shape in param_shapes(spec).items():
    if path not in leaves or leaves[path].shape != shape:
      got = leaves[path].shape if path in leaves else "nothing"
      raise ValueError(
        f"`params` must have shape {shape} at {'/'.join(path)}, as those of "
        f"{spec.name} have, got {got}."
      )
  if extra := leaves.keys() - param_shapes(spec).keys():
    paths = _first(["/".join(path) for path in extra])
    raise ValueError(
      f"`params` must be those of {spec.name} and no others, got {paths}."
    )
  return {
    name: write(
      tensor, [np.asarray(leaves[path], np.float32) for path in tensor.paths]
    )
    for name, tensor in tensors.items()
  }
