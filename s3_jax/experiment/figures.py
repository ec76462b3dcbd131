"""Pictures of what pruning does to the texts of some classes."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from s3_jax.files import safe_name
from s3_jax.results.space_plots import (
  Barcode,
  bar_texts,
  plot_barcodes,
  plot_projection,
)
from s3_jax.space import SynonymousSpace
from s3_jax.storage.text_tables import TextTable


class DrawnSpaces(NamedTuple):
  """Texts of which pictures can be made.

  Attributes:
    names: of each class, the right ones first.
    right: of each class, how many are right.
    table: the names, embedded.
    whole: the spaces of all texts.
    core: the spaces of those that are kept.
  """

  names: Sequence[Sequence[str]]
  right: Sequence[int]
  table: TextTable
  whole: SynonymousSpace
  core: SynonymousSpace


def draw_spaces(
  labels: Sequence[int], spaces: DrawnSpaces, folder: pathlib.Path
) -> None:
  """Draws barcodes and projections of classes with their wrong entries."""
  folder.mkdir(exist_ok=True)
  scales = np.asarray(spaces.core.max_edge_length)
  deaths = np.asarray(spaces.whole.deaths)  # of every text
  barcodes = []
  for label in labels:
    names = spaces.names[label]
    points = spaces.table.embeddings[label, : len(names)]
    barcodes.append(
      Barcode(
        names[0],
        deaths[label, : len(names) - 1],
        float(scales[label]),
        bar_texts(points, names),
      )
    )
    plot_projection(
      names[0],
      points,
      names,
      np.asarray(spaces.core.mask)[label, : len(names)],
      folder / f"projection-{safe_name(label, names[0])}.png",
      max_edge_length=float(scales[label]),
      wrong=np.arange(len(names)) >= spaces.right[label],
    )
  plot_barcodes(barcodes, folder / "barcodes.png")
