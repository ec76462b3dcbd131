"""Which texts of a class are wrong, by two witnesses: its shape and the names.

A text goes only if both speak against it. The first is topology: the text lies
outside the kept component of its class's Vietoris-Rips complex. The second is
the other classes: the text lies nearer to one of their official names than to
its own class's. Alone the first throws distant synonyms away, which are the
valuable ones, and the second every name that the encoder does not know.

The one step of a space's construction in which classes look at each other;
what `build_space` does with the texts that are kept looks at no other class.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, Shaped

from s3_jax.space import checks
from s3_jax.space.blocks import finite_padding
from s3_jax.space.weighing import Evidence, weigh_checked


def two_witnesses(
  embeddings: Float[Array | np.ndarray, "..."],
  mask: Bool[Array | np.ndarray, "..."],
  *,
  forms: Shaped[Array | np.ndarray, "..."] | None = None,
  official: Shaped[Array | np.ndarray, "..."] | None = None,
  keep: str = "largest",
  min_fraction: float | int | Float[Array, ""] = 0.5,
  min_gap: float | int | Float[Array, ""] = 0.05,
  num_forms: int | None = None,
  axis_name: str | None = None,
) -> Bool[Array, "classes synonyms"]:
  """Says which texts to keep, from the texts of all classes alone.

  `build_space(embeddings, kept, scale=None)` makes the spaces of them: its
  points stay as they are, and its scale is the longest edge of the kept texts'
  minimum spanning tree. `weigh_texts` has the rule in full and the arguments.

  Args:
    embeddings: unit embeddings, `f32[classes, synonyms, dim]`.
    mask: which texts are real, `bool[classes, synonyms]`.
    forms: kind of each text, see `weigh_texts`.
    official: which texts are official names; by default text 0 of each class.
    keep: "largest" or "label", the component that topology keeps.
    min_fraction: of the gap rule.
    min_gap: of the gap rule.
    num_forms: number of forms, needed under `jit`.
    axis_name: of the mesh, where classes are shared out.

  Returns:
    The texts to keep, a part of `mask`.

  Raises:
    ValueError: as `weigh_texts` does.

  References:
    S3 (arXiv 2412.04925): Vietoris-Rips complex, 0-dimensional persistence, the
    largest component. The second witness and the scales are ours.
  """
  return weigh_texts(
    embeddings,
    mask,
    forms=forms,
    official=official,
    keep=keep,
    min_fraction=min_fraction,
    min_gap=min_gap,
    num_forms=num_forms,
    axis_name=axis_name,
  ).kept


def weigh_texts(
  embeddings: Float[Array | np.ndarray, "..."],
  mask: Bool[Array | np.ndarray, "..."],
  *,
  forms: Shaped[Array | np.ndarray, "..."] | None = None,
  official: Shaped[Array | np.ndarray, "..."] | None = None,
  keep: str = "largest",
  min_fraction: float | int | Float[Array, ""] = 0.5,
  min_gap: float | int | Float[Array, ""] = 0.05,
  num_forms: int | None = None,
  axis_name: str | None = None,
) -> Evidence:
  """Hears both witnesses about every text, and says what they said.

  Distances and similarities are those of `z' = normalise(z - m)`, with `m` the
  mean of all texts of the form of `z`; a form that fewer than eight classes
  have takes the mean of all texts. The common scale is the median over classes
  of the distance from an official name to the nearest one of another class. A
  class's own scale is that of the rule "gap" of `build_space`, which finds
  nothing to cut in a class of two texts, or whose largest component is small;
  but at least the common scale. A text is accused at a scale if

  - it is outside the kept component at that scale, and
  - an official name of another class is nearer to it, by more than 1e-6 of a
    cosine, than every official name of its own; and it is none itself.

  Texts accused at their class's own scale go. But where more than half of all
  texts that are no official names are accused at the common scale and spared
  only by their class's own, the classes are mostly noise, which no class can
  see from its own shape: then the common scale takes the place of all of them.

  No number here belongs to one encoder: scales are relative to the distances
  between official names, similarities are compared with each other.

  Official names never go, and so an only text stays. Equal official names of
  two classes are no evidence. A class without an official name keeps all
  texts; with fewer than eight classes that have one, all classes do.

  Values are checked where they are known. Cost: about the product of all texts
  with all official names. Memory: tiles of that product, of 2^20 numbers at
  most where one class fits, the official names, and a few numbers a text.

  With `axis_name`, inside `jax.shard_map` over the class axis, devices
  exchange the sums of the forms (psum, `f32[forms, dim]`), the official names
  (each device's part goes round once, ppermute), one distance a class
  (all_gather) and three counts (psum).

  Args:
    embeddings: unit embeddings, `f32[classes, synonyms, dim]`; rows of padding
      may hold anything, under `jit` anything finite.
    mask: which texts are real, `bool[classes, synonyms]`.
    forms: kind of each text, `i32[classes, synonyms]`: texts of one form are
      made alike (a template, a name with a descriptor, a sentence). By default
      all have one.
    official: which texts are official names of their class,
      `bool[classes, synonyms]`; by default text 0 of each class.
    keep: "largest", the component with the most texts; "label", that of text
      0, for spaces in which wrong texts may be the majority; "all" keeps every
      text. Ties as for `build_space`.
    min_fraction: as for `build_space`.
    min_gap: as for `build_space`, whose default is larger: here a second
      witness stands beside it.
    num_forms: number of forms, needed where `forms` is traced; forms are then
      in 0 to `num_forms - 1`.
    axis_name: axis of the mesh over which the classes are shared out.

  Returns:
    Evidence.

  Raises:
    ValueError: shapes or types disagree, an option is unknown or out of range,
      a real text's embedding is not finite, zero or not of unit norm, `forms`
      holds a negative number or is traced without `num_forms`.

  References:
    S3 (arXiv 2412.04925): Vietoris-Rips complex, 0-dimensional persistence, the
    largest component. All else is ours; docs/EVIDENCE.md measures it.
  """
  asked = read_question(
    embeddings,
    mask,
    forms=forms,
    official=official,
    keep=keep,
    min_fraction=min_fraction,
    min_gap=min_gap,
    num_forms=num_forms,
  )
  mask = jnp.asarray(mask)
  return weigh_checked(
    finite_padding(embeddings, mask),
    mask,
    jnp.asarray(asked.forms, jnp.int32),
    jnp.asarray(asked.official) & mask,
    min_fraction,
    min_gap,
    keep=keep,
    num_forms=asked.num_forms,
    columns=asked.columns,
    axis_name=axis_name,
  )


class Question(NamedTuple):
  """What `weigh_texts` was asked beside embeddings and mask, read and checked.

  Attributes:
    forms: of each text, in 0 to `num_forms - 1`.
    num_forms: how many there are.
    official: which texts are official names.
    columns: official names stand in the first so many columns.
  """

  forms: Int[Array | np.ndarray, "classes synonyms"]
  num_forms: int
  official: Bool[Array | np.ndarray, "classes synonyms"]
  columns: int


def read_question(
  embeddings: Any,
  mask: Any,
  *,
  forms: Any,
  official: Any,
  keep: str,
  min_fraction: Any,
  min_gap: Any,
  num_forms: int | None,
) -> Question:
  """Checks the arguments of `weigh_texts`, and fills in what is not given."""
  checks.check_shapes(embeddings, mask)
  checks.check_options(keep, min_fraction, min_gap)
  checks.check_values(embeddings, mask, keep)
  numbered, count = _read_forms(forms, mask, num_forms)
  names, columns = _read_official(official, mask)
  return Question(numbered, count, names, columns)


def _read_forms(
  forms: Any, mask: Any, num_forms: int | None
) -> tuple[Any, int]:
  """Checks forms and, where they are known, numbers them without gaps."""
  if forms is None:
    return np.zeros(mask.shape, np.int32), 1
  checks.check_beside("forms", forms.shape, mask)
  if not jnp.issubdtype(forms.dtype, jnp.integer):
    raise ValueError(
      f"`forms` must be whole numbers, got {forms.dtype}; number the kinds of"
      " text 0, 1, 2, ..."
    )
  if isinstance(forms, Tracer):
    if num_forms is None:
      raise ValueError(
        "`num_forms` must be given where `forms` is traced; it is the largest"
        " form plus 1."
      )
    return forms, int(num_forms)
  values = np.asarray(forms)
  if values.size and values.min() < 0:
    raise ValueError(f"`forms` must be >= 0, got {values.min()}.")
  known, numbered = np.unique(values, return_inverse=True)
  return numbered.reshape(values.shape), max(len(known), 1)


def _read_official(official: Any, mask: Any) -> tuple[Any, int]:
  """Checks official names; returns also how many columns may hold one."""
  synonyms = mask.shape[1]
  if official is None:
    return np.broadcast_to(np.arange(synonyms) == 0, mask.shape), min(
      1, synonyms
    )
  checks.check_beside("official", official.shape, mask)
  if official.dtype != bool:
    raise ValueError(
      f"`official` must be bool, True = official name, got {official.dtype};"
      " compare it with 0."
    )
  if isinstance(official, Tracer):
    return official, synonyms
  held = np.flatnonzero(np.asarray(official).any(axis=0))
  return official, int(held[-1]) + 1 if held.size else 0
