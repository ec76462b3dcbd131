"""The whole sliding pipeline in torch, step by step."""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from tests.clip.torch_patches import torch_patches


class Expected(NamedTuple):
  """What a pipeline should give, and where float32 cannot decide.

  Attributes:
    labels: i64[rows, cols].
    decided: bool[rows, cols]: the two best scores differ by more than 1e-4
      after scaling, and the best probability is not within 1e-5 of the
      threshold.
    logits: f64[names, rows, cols], scaled.
  """

  labels: np.ndarray
  decided: np.ndarray
  logits: np.ndarray


def torch_segmentation(
  model, resized, shape, protocol, embeddings, class_index
) -> Expected:
  """Segments an image that has the protocol's size already.

  Args:
    model: transformers.CLIPModel of type float64.
    resized: u8[rows, cols, 3].
    shape: rows and columns of the original image.
    protocol: SegmentationProtocol; its pixel statistics are numbers.
    embeddings: f[names, dim], unit.
    class_index: i[names].
  """
  logits = torch_logits(model, resized, shape, protocol, embeddings)
  return _decide(logits, torch.tensor(class_index).long(), protocol)


def torch_logits(
  model, resized, shape, protocol, embeddings, dtype=torch.float64
) -> torch.Tensor:
  """Gives f[names, rows, cols], scaled; float32 is for timing."""
  mean, std = torch.tensor((protocol.pixel_mean, protocol.pixel_std)).to(dtype)
  image = (torch.tensor(resized).to(dtype) - mean) / std
  image = image.permute(2, 0, 1)[None]
  names = torch.tensor(embeddings).to(dtype)
  height, width = image.shape[2:]
  window = protocol.window or max(height, width)
  total = torch.zeros(1, len(names), height, width, dtype=dtype)
  count = torch.zeros(1, 1, height, width, dtype=dtype)
  for top in _corners(height, window, protocol.stride):
    for left in _corners(width, window, protocol.stride):
      here = (
        slice(None),
        slice(None),
        slice(top, top + window),
        slice(left, left + window),
      )
      total[here] += _window(model, image[here], protocol, names)
      count[here] += 1
  assert count.min() >= 1
  scores = functional.interpolate(
    total / count, size=shape, mode="bilinear", align_corners=False
  )[0]
  return scores * protocol.logit_factor


def _corners(size, window, stride):
  corner, found = 0, []
  while True:
    found.append(max(min(corner, size - window), 0))
    if corner + window >= size:
      return found
    corner += stride


def _window(model, pixels, protocol, names):
  height, width = pixels.shape[2:]
  patch = model.config.vision_config.patch_size
  below, right = -height % patch, -width % patch
  top = left = 0
  if protocol.padding == "floor":
    below = right = 0
  elif protocol.padding == "center":
    top, left = below // 2, right // 2
  pixels = functional.pad(pixels, (left, right - left, top, below - top))
  patches = torch_patches(
    model, pixels, protocol.attention, offset=protocol.position_offset
  )
  scores = (torch.tensor(patches) @ names.T).permute(0, 3, 1, 2)
  if protocol.padding != "center":
    return functional.interpolate(
      scores, size=(height, width), mode="bilinear", align_corners=False
    )
  scores = functional.interpolate(
    scores, size=pixels.shape[2:], mode="bilinear", align_corners=False
  )
  return scores[:, :, top : top + height, left : left + width]


def _decide(logits, class_index, protocol) -> Expected:
  classes = int(class_index.max()) + 1
  probabilities = logits.softmax(dim=0)
  best = torch.stack(
    [probabilities[class_index == c].amax(dim=0) for c in range(classes)]
  )
  scaled = torch.stack(
    [logits[class_index == c].amax(dim=0) for c in range(classes)]
  )
  if protocol.area_threshold:
    labels = best.argmax(dim=0)
    areas = torch.stack([(labels == c).sum() for c in range(1, classes)])
    given_up = ~(areas > protocol.area_threshold * areas.sum())
    best[1:][given_up] = 0
    scaled[1:][given_up] = -torch.inf
  labels, top = best.argmax(dim=0), best.amax(dim=0)
  labels[top < protocol.prob_threshold] = 0
  first, second = scaled.topk(2, dim=0).values
  decided = (first - second > 1e-4) & (
    (top - protocol.prob_threshold).abs() > 1e-5
  )
  return Expected(labels.numpy(), decided.numpy(), logits.numpy())
