"""Pictures of the images on which a method does worst and best."""

import pathlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from s3_jax.clip import Clip
from s3_jax.data.segmentation_stream import masked_images
from s3_jax.experiment.tasks.segmentation.rows import SegmentedSet
from s3_jax.files import safe_name
from s3_jax.results.escaping import clean
from s3_jax.results.report import Picture
from s3_jax.results.results_index import looked_into
from s3_jax.results.segmentation_pictures import (
  Example,
  label_colours,
  plot_example,
)
from s3_jax.segmentation import EMBEDDINGS, image_iou, label_windows


def draw_examples(
  outcome: SegmentedSet,
  clip: Clip,
  folder: pathlib.Path,
  *,
  baseline: str,
  embeddings: str,
  most: int,
  dtype: str,
  max_pixels: int,
) -> Iterator[Picture]:
  """Labels the worst and the best images once more and draws them.

  An image's own IoU, by which they are chosen, is the mean over the classes
  that are in it or are seen in it; the IoU of a set is another number.
  """
  methods = looked_into(outcome.sets, baseline)
  own = {name: image_iou(outcome.counts(name)) for name in methods}
  chosen = _choose(own[methods[-1]], own[baseline], most)
  colours = label_colours(
    outcome.spec.classes, background=outcome.spec.background
  )
  indices = list(chosen)
  for image in masked_images(outcome.found, indices, max_pixels=max_pixels):
    if image.reason:
      continue  # it has become unreadable since it was counted
    (patches,) = EMBEDDINGS[embeddings](
      clip.spec,
      clip.params,
      [image.pixels],
      protocol=outcome.protocols[baseline],
      dtype=dtype,
    )
    panels = {"ground truth": image.labels.astype(np.int32)}
    for name in methods:
      labels = label_windows(
        patches, outcome.targets[name].target, protocol=outcome.protocols[name]
      )
      panels[f"{name}: {100 * own[name][image.position]:.0f} %"] = labels
    file = clean(outcome.found.opened.files[image.position])
    kind = chosen[image.position]
    path = folder / (
      f"{outcome.spec.name}-{kind.replace(' ', '-')}-"
      f"{safe_name(image.position, file)}.png"
    )
    example = Example(f"{kind}: {file}", image.pixels, panels)
    plot_example(path, example, outcome.names, colours=colours)
    yield Picture(
      "extra",
      f"{outcome.spec.title}, {kind} under {methods[-1]}: {file}. Behind the"
      " names stands the mean IoU of this image.",
      path,
    )


def _choose(
  ours: Float[np.ndarray, " images"],
  baseline: Float[np.ndarray, " images"],
  most: int,
) -> dict[int, str]:
  """Chooses places, each once, with the kind of example that it is."""
  usable = np.flatnonzero(~np.isnan(ours))
  by_iou = usable[np.argsort(ours[usable], kind="stable")].tolist()
  gain = (ours - baseline)[usable]
  by_gain = usable[np.argsort(-gain, kind="stable")].tolist()
  kinds = (
    ("worst", by_iou),
    ("best", by_iou[::-1]),
    ("most gained", [p for p in by_gain if ours[p] > baseline[p]]),
    ("most lost", [p for p in by_gain[::-1] if ours[p] < baseline[p]]),
  )
  chosen: dict[int, str] = {}
  for kind, indices in kinds:
    for index in [p for p in indices if p not in chosen][:most]:
      chosen[index] = kind
  return chosen
