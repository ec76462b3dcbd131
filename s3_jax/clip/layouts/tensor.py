"""How one array of a file holds parameters of ours, and moving between them.

A layout says, for each parameter of a spec, where a school's files keep it: the
array's name, the shape there, the order of its axes, and which part of the
array it is where the school joins several parameters in one. `arrange` makes
the whole table of a file of it, and `read` and `write` follow the table.
Nothing here opens a file.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from s3_jax.clip.towers import check_spec, init_params
from s3_jax.clip.zoo import ModelSpec

Path = tuple[str, ...]
Shape = tuple[int, ...]


class Tensor(NamedTuple):
  """One array of a file.

  Attributes:
    paths: the parameters it holds, in the order of their parts.
    ours: shape of each of them in our tree.
    theirs: shape in the file; parts follow one another along axis 0.
    axes: a part's axes in the order in which ours runs through them; what
      comes of it is reshaped to `ours`.
  """

  paths: tuple[Path, ...]
  ours: Shape
  theirs: Shape
  axes: tuple[int, ...]


class Location(NamedTuple):
  """Where a file keeps one parameter.

  Attributes:
    name: of the array.
    shape: of the array, or of its part.
    axes: as in `Tensor`; () for the order in which they stand.
    part: its number among the parts of the array.
  """

  name: str
  shape: Shape
  axes: tuple[int, ...] = ()
  part: int = 0


# The settings that decide which parameters a checkpoint has. What no school
# has a file for, such as the mean over the patches, has no row.
FAMILIES = {
  "clip": {
    "image_tower": "vit",
    "image_pooling": "class_token",
    "pre_norm": True,
    "patch_bias": False,
    "image_projection": True,
    "text_projection_bias": False,
    "logit_bias": False,
  },
  "resnet": {
    "image_tower": "resnet",
    "image_pooling": "attention",
    "patch_bias": False,
    "text_projection_bias": False,
    "logit_bias": False,
  },
  "siglip": {
    "image_tower": "vit",
    "image_pooling": "attention",
    "pre_norm": False,
    "patch_bias": True,
    "image_projection": False,
    "text_projection_bias": True,
    "logit_bias": True,
  },
}


def family_of(spec: ModelSpec, layout: str, known: Sequence[str]) -> str:
  """Finds the row of `FAMILIES` that a spec belongs to."""
  for family in known:
    settings = FAMILIES[family]
    if all(getattr(spec, field) == settings[field] for field in settings):
      return family
  got = ", ".join(
    f"{field}={getattr(spec, field)!r}" for field in FAMILIES["clip"]
  )
  raise ValueError(
    f"`spec` must be a {' or '.join(known)} network for the {layout} layout, "
    f"got {spec.name} with {got}; choose another layout."
  )


def arrange(
  spec: ModelSpec, locate: Callable[[Path, Shape], Location]
) -> dict[str, Tensor]:
  """Makes a layout's table from the location of each parameter."""
  held: dict[str, list[tuple[Path, Shape, Location]]] = {}
  for path, ours in param_shapes(spec).items():
    found = locate(path, ours)
    held.setdefault(found.name, []).append((path, ours, found))
  tensors = {}
  for name, parts in held.items():
    parts.sort(key=lambda part: part[2].part)
    paths = tuple(path for path, _, _ in parts)
    _, ours, (_, shape, axes, _) = parts[0]
    if len(parts) > 1:
      shape = (len(parts) * shape[0], *shape[1:])
    axes = axes or tuple(range(len(shape)))
    tensors[name] = Tensor(paths, ours, shape, axes)
  return tensors


def torch_form(
  path: Path, shape: Shape, patch_size: int
) -> tuple[Shape, tuple[int, ...]]:
  """Shape and axes that torch gives to a parameter of ours.

  Linear maps are (outputs, inputs) there and convolutions, the patch embedding
  among them, (outputs, inputs, rows, columns).
  """
  if path[-1] != "kernel":
    return shape, ()
  if path[-2] == "patch_embedding":
    channels = shape[0] // patch_size**2
    return (shape[1], channels, patch_size, patch_size), (2, 3, 1, 0)
  if len(shape) == 4:
    rows, cols, inputs, outputs = shape
    return (outputs, inputs, rows, cols), (2, 3, 1, 0)
  return shape[::-1], (1, 0)


def split_heads(path: Sequence[str], shape: Shape, heads: int) -> Shape:
  """Shape with the axis of heads that a Flax tree's attention has.

  (inputs, heads, channels), and (heads, channels, outputs) the one back.
  """
  layer, leaf = path[-2:]
  if layer in ("query", "key", "value"):
    return (*shape[:-1], heads, shape[-1] // heads)
  if layer == "out" and leaf == "kernel":
    return (heads, shape[0] // heads, shape[1])
  return shape


def read(tensor: Tensor, value: np.ndarray) -> Iterator[tuple[Path, Any]]:
  """Yields the parameters that an array of a file holds, as views of it."""
  parts = np.split(value, len(tensor.paths)) if value.ndim else [value]
  for path, part in zip(tensor.paths, parts, strict=True):
    yield path, part.transpose(tensor.axes).reshape(tensor.ours)


def write(tensor: Tensor, values: Sequence[np.ndarray]) -> np.ndarray:
  """Makes the array of a file of the parameters that it holds."""
  count = len(tensor.paths)
  part = tensor.theirs
  if count > 1:
    part = (part[0] // count, *part[1:])
  turned = tuple(part[axis] for axis in tensor.axes)
  back = np.argsort(tensor.axes)
  pieces = [value.reshape(turned).transpose(back) for value in values]
  whole = pieces[0] if count == 1 else np.concatenate(pieces)
  assert whole.size == math.prod(tensor.theirs)
  return np.ascontiguousarray(whole).reshape(tensor.theirs)


def param_shapes(spec: ModelSpec) -> dict[Path, Shape]:
  """Lists every parameter of a spec's towers with its shape."""
  check_spec(spec)
  # The blocks of a stack are alike but for the first, so tracing two of them
  # is enough. Tracing takes the most of the time, and a config can ask for
  # thousands.
  stacks: dict[Path, int] = {("text",): spec.text_layers}
  few = spec._replace(text_layers=min(spec.text_layers, 2))
  if spec.image_tower == "vit":
    stacks["image",] = spec.image_layers
    few = few._replace(image_layers=min(spec.image_layers, 2))
  else:
    for number, blocks in enumerate(spec.image_stages, start=1):
      stacks["image", f"stage_{number}"] = blocks
    stages = tuple(min(blocks, 2) for blocks in spec.image_stages)
    few = few._replace(image_stages=stages, image_layers=sum(stages))
  params = jax.eval_shape(lambda: init_params(jax.random.key(0), few))
  leaves: Any = flatten_dict(params)
  shapes = {path: leaf.shape for path, leaf in leaves.items()}
  for stack, blocks in stacks.items():
    depth = len(stack)
    second = (*stack, "block_1")
    alike = [path for path in shapes if path[: depth + 1] == second]
    for number in range(2, blocks):
      for path in alike:
        shapes[*stack, f"block_{number}", *path[depth + 1 :]] = shapes[path]
  return shapes


def least_numbers(spec: ModelSpec) -> dict[str, int]:
  """Counts numbers that a checkpoint must have, without tracing its towers."""
  image, text = spec.image_width, spec.text_width
  counts = {
    "vocab_size": spec.vocab_size * text,
    "context_length": spec.context_length * text,
    # Four maps of the attention and two of the MLP.
    "text_layers": spec.text_layers * text * (4 * text + 2 * spec.text_mlp_dim),
  }
  cells = (spec.image_size // max(spec.patch_size, 1)) ** 2
  if spec.image_tower == "vit":
    block = image * (4 * image + 2 * spec.image_mlp_dim)
    counts["image_size"] = cells * image
    counts["image_layers"] = spec.image_layers * block
    counts["patch_size"] = 3 * spec.patch_size**2 * image
  else:
    counts["image_size"] = cells * image * 32
    counts["image_layers"] = spec.image_layers * image * image
  return counts


# Wrappers of training that put their name into those of the parameters.
_WRAPPERS = (
  "_orig_mod.",
  "_fsdp_wrapped_module.",
  "_checkpoint_wrapped_module.",
)
_PREFIXES = ("module.", "model.")


def unwrapped(name: str) -> str:
  """Takes what training has put around a torch model off a parameter's name."""
  for wrapper in _WRAPPERS:
    name = name.replace(wrapper, "")
  while name.startswith(_PREFIXES):
    name = name.partition(".")[2]
  return name
