"""AugMix at severity 1: a picture mixed with altered copies of itself.

Three chains of one to three operations each start from the picture; what comes
out is `m x + (1 - m) sum_i w_i chain_i(x)` with w ~ Dirichlet(1, 1, 1) and
m ~ Beta(1, 1). TPT and TPS add normalised pixels. All weights together are 1
and normalising is affine, so adding the pixels themselves is the same.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

_LEVELS = (0.1, 1.0)  # severity 1 on a scale to 10
_TOP = 10  # of that scale
_CHAINS = 3
_LONGEST = 3  # operations of a chain


def _affine(image: Any, *coefficients: float) -> Any:
  return image.transform(
    image.size,
    Image.Transform.AFFINE,
    coefficients,
    Image.Resampling.BILINEAR,
  )


def _moved(image: Any, level: float, *, down: bool) -> Any:
  """Moves by whole pixels, so that a crop does what interpolation would."""
  width, height = image.size
  step = int(level * ((height if down else width) / 3) / _TOP)
  x, y = (0, step) if down else (step, 0)
  return image.crop((x, y, width + x, height + y))


def _of_range(level: float, range_: int) -> int:
  return int(abs(level) * range_ / _TOP)


OPERATIONS: dict[str, Callable[[Any, float], Any]] = {
  "autocontrast": lambda image, _: ImageOps.autocontrast(image),
  "equalize": lambda image, _: ImageOps.equalize(image),
  # It keeps 4 bits a channel at all of severity 1, and fewer above.
  "posterize": lambda image, level: ImageOps.posterize(
    image, 4 - _of_range(level, 4)
  ),
  "rotate": lambda image, level: image.rotate(
    int(level * 30 / _TOP), Image.Resampling.BILINEAR
  ),
  "solarize": lambda image, level: ImageOps.solarize(
    image, 256 - _of_range(level, 256)
  ),
  "shear_x": lambda image, level: _affine(
    image, 1.0, level * 0.3 / _TOP, 0.0, 0.0, 1.0, 0.0
  ),
  "shear_y": lambda image, level: _affine(
    image, 1.0, 0.0, 0.0, level * 0.3 / _TOP, 1.0, 0.0
  ),
  "translate_x": functools.partial(_moved, down=False),
  "translate_y": functools.partial(_moved, down=True),
}
"""RGB picture and level -> picture of the same size.

A level is from -10 to 10. Its sign is a direction, and without meaning where an
operation has none. What comes into a picture from outside is black.
"""


def mix_augmented(
  image: Any, rng: np.random.Generator
) -> UInt8[np.ndarray, "rows cols 3"]:
  """Mixes a picture with three altered copies of itself.

  References:
    Hendrycks et al., AugMix, ICLR 2020 (arXiv 1912.02781): the mixture and,
    from its public code, the operations and their ranges. TPT's public code,
    which TPS shares: severity 1 and no further loss. There the mixture stays
    floating point; rounding it, by half a level at most, is ours, and a view
    takes a quarter of the memory.
  """
  operations = tuple(OPERATIONS.values())
  # The gaps that two uniform cuts leave are Dirichlet(1, 1, 1), and Beta(1, 1)
  # is uniform. Only `random` is drawn from: numpy may change the algorithms of
  # its other distributions, and with them every view.
  cuts = np.sort(rng.random(_CHAINS - 1))
  weights = np.diff(cuts, prepend=0.0, append=1.0).tolist()
  own = rng.random()
  mixed = own * np.asarray(image, np.float32)
  for weight in weights:
    chain = image
    for _ in range(1 + int(_LONGEST * rng.random())):
      operation = operations[int(len(operations) * rng.random())]
      low, high = _LEVELS
      level = low + (high - low) * rng.random()
      chain = operation(chain, level if rng.random() < 0.5 else -level)
    mixed += (1 - own) * weight * np.asarray(chain, np.float32)
  return np.rint(mixed).astype(np.uint8)
