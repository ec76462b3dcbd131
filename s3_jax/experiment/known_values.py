"""What checkpoints are known to compute, as facts from elsewhere."""

from typing import NamedTuple


class KnownCosine(NamedTuple):
  """The cosine between the embeddings of two texts."""

  first: str
  second: str
  cosine: float


TEMPLATE = "a {}"
TOLERANCE = 2e-3
"""The embeddings behind the cosines were stored in float16, which moves a
cosine by less than 1e-3; another activation or tokenizer moves it further."""

# OpenAI's ViT-B/32: categories of LVIS, embedded for open-vocabulary detectors.
_VIT_B_32 = (
  KnownCosine("almond", "sofa", 0.6779),
  KnownCosine("lizard", "sofa", 0.6923),
  KnownCosine("almond", "umbrella", 0.7011),
  KnownCosine("bookcase", "zebra", 0.7113),
  KnownCosine("bagel", "zebra", 0.7217),
  KnownCosine("alligator", "tomato", 0.7319),
  KnownCosine("teacup", "giraffe", 0.7446),
  KnownCosine("piano", "pumpkin", 0.7562),
  KnownCosine("basket", "violin", 0.7669),
  KnownCosine("bookcase", "snowman", 0.7779),
  KnownCosine("helicopter", "teacup", 0.7888),
  KnownCosine("airplane", "banana", 0.8000),
  KnownCosine("tomato", "fork", 0.8112),
  KnownCosine("violin", "fork", 0.8223),
  KnownCosine("basket", "bicycle", 0.8336),
  KnownCosine("apple", "banana", 0.8440),
  KnownCosine("piano", "guitar", 0.8555),
  KnownCosine("apple", "pumpkin", 0.8648),
  KnownCosine("guitar", "knife", 0.8649),
  KnownCosine("chair", "desk", 0.8800),
  KnownCosine("airplane", "helicopter", 0.8856),
  KnownCosine("bear", "elephant", 0.8875),
  KnownCosine("knife", "spoon", 0.9019),
  KnownCosine("bicycle", "motorcycle", 0.9334),
)

KNOWN_COSINES: dict[str, tuple[KnownCosine, ...]] = {
  "openai/clip-vit-base-patch32": _VIT_B_32,
  "openai/ViT-B/32": _VIT_B_32,
}
"""By the checkpoint's name in the zoo."""
