"""The embedded world with few images a class, for tests of whole runs."""

import pytest

from s3_jax.data import datasets, pictograph_builder


def make_pictographs_small(patch: pytest.MonkeyPatch, per_class: int) -> None:
  """Draws only the first images of every class, for as long as a patch lasts.

  Args:
    patch: undoes it.
    per_class: how many; they are the first of the whole test sets.
  """
  for split in tuple(pictograph_builder.PER_CLASS):
    patch.setitem(pictograph_builder.PER_CLASS, split, per_class)
  for name, spec in datasets.DATASETS.items():
    if spec.lexicon == "pictographs":
      small = spec._replace(examples=spec.classes * per_class)
      patch.setitem(datasets.DATASETS, name, small)
