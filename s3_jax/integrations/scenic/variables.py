"""Scenic's CLIP variables to our parameters, and back.

Scenic's tree is {"params": ...}, with {"batch_stats": ...} beside it for a
ResNet. What each of its leaves is called and how it is shaped stands in
`s3_jax.clip.layouts.scenic` alone, which `load_clip` reads files by.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from s3_jax.clip import ModelSpec
from s3_jax.clip.layouts import LAYOUTS, from_params, to_params

_LAYOUT = "scenic"

# What Scenic's modules compute whatever the weights are.
_FIXED = {
  "activation": "quick_gelu",
  "text_activation": None,
  "layer_norm_eps": 1e-5,
  "text_causal": True,
  "text_pooling": "end_token",
}


def from_variables(
  variables: Mapping[str, Any], spec: ModelSpec, *, dtype: str = "float32"
) -> dict[str, Any]:
  """Makes our parameters of the variables of Scenic's CLIP.

  Every leaf must be one of the tree's, of its shape, of floating point and
  finite, and none may be missing. The inverse of `to_variables`.

  Args:
    variables: nested dicts or FrozenDicts, {"params"[, "batch_stats"]}, as
      `load_model_vars` gives them and as `{"params": state.params,
      **state.model_state}` puts them together of a TrainState that is not
      replicated; or a restored checkpoint, of which the optimiser's state and
      the like are left out. Leaves of any floating type: float16 and bfloat16
      are widened, which changes no number.
    spec: the settings of the checkpoint.
    dtype: what to keep the parameters in, "float32" or "bfloat16"; the logit
      scale is float32 always.

  Returns:
    {"image": ..., "text": ..., "logit_scale": f32[]}.

  Raises:
    ValueError: leaves are missing, left over, mis-shaped, not of floating point
      or not finite (one error that names them), or the spec is of a network
      that Scenic's CLIP is not.
  """
  _require_scenics(spec)
  if "params" not in variables:
    got = ", ".join(sorted(map(str, variables))) or "no key"
    raise ValueError(
      "`variables` must be {'params': ...[, 'batch_stats': ...]}, as Scenic's"
      f" load_model_vars returns them, got {got}: a tree of parameters alone"
      " goes in as {'params': tree}."
    )
  own_name = LAYOUTS[_LAYOUT].own_name
  leaves = {
    "/".join(map(str, path)): leaf
    for path, leaf in flatten_dict(variables).items()
  }
  arrays = {
    name: np.asarray(leaf)
    for name, leaf in leaves.items()
    if own_name(name) is not None
  }
  return to_params(arrays, spec, _LAYOUT, "`variables`", dtype=dtype)


def to_variables(params: Mapping[str, Any], spec: ModelSpec) -> dict[str, Any]:
  """Writes our parameters as variables of Scenic's CLIP.

  Args:
    params: the checkpoint's parameters, both towers, of any floating type.
    spec: its settings.

  Returns:
    {"params": ...}, for a ResNet with "batch_stats": nested dicts of contiguous
    float32 numpy arrays, as Scenic's modules `apply` them.

  Raises:
    ValueError: the parameters do not fit the spec, or the spec is of a network
      that Scenic's CLIP is not.
  """
  _require_scenics(spec)
  arrays = from_params(params, spec, _LAYOUT)
  return unflatten_dict(arrays, sep="/")


def _require_scenics(spec: ModelSpec) -> None:
  """Refuses settings that Scenic's modules would silently not follow."""
  for field, value in _FIXED.items():
    got = getattr(spec, field)
    if got != value:
      raise ValueError(
        f"`{field}` of {spec.name} must be {value!r}, which is all that"
        f" Scenic's CLIP computes, got {got!r}."
      )
