"""Whether settings agree: with each other, and with the arrays of a file."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from s3_jax.clip.checkpoints import ZOO
from s3_jax.clip.layouts import LAYOUTS, detect
from s3_jax.clip.zoo import ModelSpec, Source

# They say where a checkpoint comes from, not what it computes.
_ORIGIN = {"name", "source"}


def require_agreement(
  found: ModelSpec,
  wanted: ModelSpec,
  *,
  where: object,
  ignored: Collection[str] = (),
) -> None:
  """Refuses settings that differ from those of the zoo or of the caller."""
  found, wanted = map(_plain, (found, wanted))
  differences = [
    f"{field}={ours!r} for {theirs!r}"
    for field, ours, theirs in zip(
      ModelSpec._fields, found, wanted, strict=True
    )
    if ours != theirs and field not in _ORIGIN and field not in ignored
  ]
  if differences:
    raise ValueError(
      f"{where} must have the settings of {wanted.name}, got "
      f"{', '.join(differences)}; weights must not meet the settings of another"
      " checkpoint."
    )


def _plain(spec: ModelSpec) -> ModelSpec:
  """Writes settings in one way where two mean the same."""
  same = spec.text_activation == spec.activation
  return spec._replace(text_activation=None) if same else spec


def fitting_names(arrays: Mapping[str, np.ndarray]) -> list[str]:
  """Lists the rows of the zoo whose tensors a file has, by name and shape."""
  layout = detect(arrays)
  shapes = {}
  for name, value in arrays.items():
    own = LAYOUTS[layout].own_name(name)
    if own is not None and own not in LAYOUTS[layout].stated:
      shapes[own] = value.shape
  present = {_squeeze(shape) for shape in shapes.values()}
  verdicts: dict[ModelSpec, bool] = {}
  names = []
  for name, row in ZOO.items():
    bare = _architecture(row)
    if bare not in verdicts:
      # A few shapes rule most rows out; tracing towers for all takes seconds.
      likely = all(shape in present for shape in _telling_shapes(row))
      verdicts[bare] = likely and _fits(bare, layout, shapes)
    if verdicts[bare]:
      names.append(name)
  return names


def _fits(
  spec: ModelSpec, layout: str, shapes: Mapping[str, Sequence[int]]
) -> bool:
  try:
    tensors = LAYOUTS[layout].tensors(spec)
  except ValueError:  # the layout has no such network
    return False
  return tensors.keys() == shapes.keys() and all(
    _squeeze(tensors[name].theirs) == _squeeze(shape)
    for name, shape in shapes.items()
  )


def _squeeze(shape: Sequence[int]) -> tuple[int, ...]:
  return tuple(size for size in shape if size != 1)


def _telling_shapes(spec: ModelSpec) -> list[tuple[int, ...]]:
  cells = (spec.image_size // spec.patch_size) ** 2
  width = spec.image_width
  if spec.image_tower == "resnet":
    cells, width = cells + 1, width * 32
  elif spec.image_pooling == "class_token":
    cells += 1
  return [
    (spec.vocab_size, spec.text_width),
    (spec.context_length, spec.text_width),
    (cells, width),
  ]


def _architecture(spec: ModelSpec) -> ModelSpec:
  """Makes rows equal that differ in nothing but what no tensor shows."""
  return spec._replace(
    name="",
    source=Source(),
    activation="gelu",
    text_activation=None,
    image_mean=(0.0, 0.0, 0.0),
    image_std=(1.0, 1.0, 1.0),
    interpolation="",
    resize_mode="",
    school="",
    text_cleaning="",
    pad_token_id=0,
  )
