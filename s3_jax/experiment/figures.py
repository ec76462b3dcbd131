"""Pictures of what pruning does to some classes."""

import pathlib
from collections.abc import Sequence

import numpy as np

from s3_jax.experiment.methods.spaces import Spaces, Texts
from s3_jax.files import safe_name
from s3_jax.results.space_plots import (
  Barcode,
  bar_texts,
  plot_barcodes,
  plot_projection,
)


def draw_spaces(
  labels: Sequence[int], texts: Texts, spaces: Spaces, folder: pathlib.Path
) -> None:
  """Draws barcodes and projections of classes with their wrong entries."""
  scales = np.asarray(spaces.polluted_core.max_edge_length)
  deaths = np.asarray(spaces.polluted_all.deaths)  # of every text
  barcodes = []
  for label in labels:
    names = texts.polluted.texts[label]
    points = texts.polluted.embeddings[label, : len(names)]
    barcodes.append(
      Barcode(
        names[0],
        deaths[label, : len(names) - 1],
        float(scales[label]),
        bar_texts(points, names),
      )
    )
  plot_barcodes(barcodes, folder / "barcodes.png")
  for label in labels:
    names = texts.polluted.texts[label]
    count, right = len(names), len(texts.names.texts[label])
    plot_projection(
      names[0],
      texts.polluted.embeddings[label, :count],
      names,
      np.asarray(spaces.polluted_core.mask)[label, :count],
      folder / f"projection-{safe_name(label, names[0])}.png",
      max_edge_length=float(scales[label]),
      wrong=np.arange(count) >= right,
    )
