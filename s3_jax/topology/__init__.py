"""Topology of one masked point cloud: persistence, components, complexes.

Every function takes the distances of one cloud and a mask (True = real vertex)
with fixed shapes, and batches with `jax.vmap`. Distances are symmetric, finite
and zero on the diagonal; an edge belongs to the Rips complex at a scale when
its length is `<=` the scale, so nothing here ever recomputes a distance.
"""

from s3_jax.topology.enumeration import enumerate_rips, simplex_capacity
from s3_jax.topology.persistence import (
  PersistencePairs,
  PrimOrder,
  component_labels,
  connected_components,
  h0_persistence,
  largest_component_size,
  persistence_pairs,
  prim_order,
)
from s3_jax.topology.rips import (
  RipsComplex,
  closed_star,
  maximal_simplices,
  rips_complex,
)

__all__ = [
  "PersistencePairs",
  "PrimOrder",
  "RipsComplex",
  "closed_star",
  "component_labels",
  "connected_components",
  "enumerate_rips",
  "h0_persistence",
  "largest_component_size",
  "maximal_simplices",
  "persistence_pairs",
  "prim_order",
  "rips_complex",
  "simplex_capacity",
]
