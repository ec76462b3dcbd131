"""The caption grammar of the embedded world.

Captions in the wild name a thing by its common name far more often than by a
rare one. Here the share of a class's r-th most frequent name is proportional
to r ** -ZIPF_EXPONENT, and some names are held out: they never occur.
Ours (METHOD section 6), not the paper's.
"""

import random
from collections.abc import Sequence

ZIPF_EXPONENT = 2.0
OFFICIAL_NAME_SEED = 20241204

# One `{}` each, filled with a name. Written for one object on a ground.
CAPTION_TEMPLATES = (
  "{}",
  "a {}",
  "the {}",
  "a photo of a {}.",
  "a picture of a {}.",
  "an image of the {}.",
  "a drawing of a {}.",
  "an icon of a {}",
  "a {} icon",
  "a pictogram of a {}.",
  "clip art of a {}",
  "a small {} on paper",
  "a {} in one colour",
  "this is a {}.",
  "a tilted {}",
  "a print of the {}.",
)
DESCRIBED_SHARE = 0.15  # of captions that add one of the class's descriptors


def name_weights(count: int) -> list[float]:
  """Returns the share of each of `count` names, most frequent first."""
  weights = [(rank + 1) ** -ZIPF_EXPONENT for rank in range(count)]
  return [weight / sum(weights) for weight in weights]


def sample_caption(
  generator: random.Random,
  names: Sequence[str],
  descriptors: Sequence[str] = (),
  *,
  frequencies: Sequence[float] = (),
) -> str:
  """Writes one caption of a class; without frequencies ranks give them."""
  (name,) = generator.choices(names, frequencies or name_weights(len(names)))
  caption = generator.choice(CAPTION_TEMPLATES).replace("{}", name)
  if descriptors and generator.random() < DESCRIBED_SHARE:
    caption = f"{caption.rstrip('.')}, {generator.choice(descriptors)}."
  return caption


def draw_official_name(names: Sequence[str], index: int) -> str:
  """Draws a class's official label from all its names, whatever their use."""
  generator = random.Random(OFFICIAL_NAME_SEED + index)
  return names[int(generator.random() * len(names))]
