"""Metrics as functions of similarities and Gram matrices, which shifts need.

The functions of `POINT_TO_SPACE` take a space with points. A shifted space has
none: its similarities and Gram matrices follow from those of the space it was
shifted from. So adaptation goes to the metrics' formulas, which know no points.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from jax.core import Tracer

from s3_jax.point_to_space import (
  averages,
  complexes,
  flats,
  hulls,
  local_centers,
)
from s3_jax.point_to_space.streaming import Block, whole_number
from s3_jax.space import SynonymousSpace


class Metric(NamedTuple):
  """A metric that can be evaluated on a shifted space.

  Attributes:
    formula: what `prepare` calls; or a function of embeddings and a space,
      where `takes_space` is set.
    options: arguments that select code.
    parameters: arguments that are data; () in what a compiled program is known
      by.
    keywords: keyword arguments of a user's own function.
    takes_space: whether it is a user's own function.
    quadratic: whether the formula holds `synonyms^2` numbers for each pair of
      embedding and class.
  """

  formula: Callable[..., Any]
  options: tuple[Hashable, ...] = ()
  parameters: tuple[Any, ...] = ()
  keywords: tuple[tuple[str, Hashable], ...] = ()
  takes_space: bool = False
  quadratic: bool = False

  def prepare(self, block: Block) -> Callable[..., Any]:
    """Makes a function of similarities and squared norms of a block of classes.

    As `point_to_space.streaming.score_blocks` describes it.
    """
    return self.formula(block, *self.options, *self.parameters)


def _convex_hull(block):
  project = hulls._project(block)
  return lambda similarities, norms: project(similarities, norms).score


_FORMULAS: Mapping[str, Metric] = {
  "nearest_point": Metric(averages._nearest_point),
  "mean_similarity": Metric(averages._mean_similarity),
  "center": Metric(averages.center),
  "local_center": Metric(local_centers._local_center),
  "soft_local_center": Metric(local_centers._soft_local_center),
  "star_center": Metric(local_centers._star_center),
  "simplex_center": Metric(complexes._simplex_center),
  "subspace": Metric(flats._subspace),
  "affine_hull": Metric(flats._affine_hull),
  "convex_hull": Metric(_convex_hull, quadratic=True),
  "complex": Metric(complexes._complex),
}

_OPTIONS: Mapping[str, tuple[str, Any]] = {
  "local_center": ("neighbors", 4),
  "soft_local_center": ("temperature", 0.05),
  "subspace": ("rank", None),
}
"""The one option that some metrics have, with its default."""


def read_metric(
  metric: str | Callable[..., Any],
  options: Mapping[str, Any] | None,
  space: SynonymousSpace,
) -> Metric:
  """Reads a metric and its options as `adapt_space` takes them."""
  options = dict(options or {})
  if not isinstance(metric, str):
    return _own_metric(metric, options)
  if metric not in _FORMULAS:
    raise ValueError(
      f"`metric` must be a function or one of {', '.join(_FORMULAS)}, "
      f"got {metric!r}."
    )
  known, default = _OPTIONS.get(metric, ("", None))
  for name in options:
    if name != known:
      has = f"the option {known!r} only" if known else "no option"
      raise ValueError(
        f"`metric_options` must suit the metric: {metric} has {has}, "
        f"got {name!r}."
      )
  if metric in ("simplex_center", "complex"):
    complexes._check_complex(space)
  value = options.get(known, default)
  found = _FORMULAS[metric]
  if metric == "local_center":
    neighbors = whole_number("neighbors", value)
    if neighbors >= space.mask.shape[-1]:
      return _FORMULAS["center"]
    return found._replace(options=(neighbors,))
  if metric == "subspace":
    rank = None if value is None else whole_number("rank", value)
    return found._replace(options=(rank,))
  if metric == "soft_local_center":
    if not isinstance(value, Tracer) and not value > 0:
      raise ValueError(
        f"`temperature` must be > 0, got {value}; "
        "use the metric nearest_point for the limit at 0."
      )
    return found._replace(parameters=(value,))
  return found


def _own_metric(function, options):
  pairs = tuple(sorted(options.items()))
  try:
    hash(pairs)
  except TypeError:
    raise ValueError(
      "`metric_options` of a metric of your own must be hashable, got "
      f"{options}; close over arrays in the function instead."
    ) from None
  return Metric(function, keywords=pairs, takes_space=True)
