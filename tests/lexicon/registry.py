"""The tables that come with the package: whose classes, how many, which bytes.

`names_sha256` is that of the benchmark's official names, written as a JSON list
in class order, so that a name that was changed by mistake is noticed without
the benchmark at hand. A table that was corrected on purpose gets a new
`sha256`; docs/LEXICON.md says how.
"""

import hashlib
import json
from typing import NamedTuple

from s3_jax.lexicon.synonyms import Lexicon


class Table(NamedTuple):
  """One packaged table of a benchmark.

  Attributes:
    classes: how many.
    sha256: of the JSON file.
    names_sha256: of the official names.
    title: what the benchmark is called in papers.
  """

  classes: int
  sha256: str
  names_sha256: str
  title: str


TABLES: dict[str, Table] = {
  "imagenet": Table(
    1000,
    "a8178ddf6881f6934bf6a8820047b0da19dbb437005e6b12113dd7371187a701",
    "6ef5246539bb6543da0958381424e7f7b63b6758af04434f6e8f6da88e0cca70",
    "ImageNet",
  ),
  "caltech101": Table(
    100,
    "c6b00a1f5862eccb420e53f398b71a2cd95c1aac2576c95790672f8f27f06ac5",
    "dd48b2377badfbb081c4c3534d2201d8fdc02a82c07d17c14e47f01314944a2c",
    "Caltech101",
  ),
  "oxford_pets": Table(
    37,
    "0615f235b0cad099a15620d4f09e57ddcec12e7d871052042c561a73debad3c0",
    "39a24c3bf01900aadef1c90a95eb5be8879f327667ef2a33e7a1d4d2f27ea4f8",
    "OxfordPets",
  ),
  "stanford_cars": Table(
    196,
    "5fabeebcf8c0e75698c35f1a0c1657120ceaf6a6ba2d7077a6371bbaffac575a",
    "fd5d8b8a6974afa4bcb70e8c5204b2aa40af3419832b0d18a8f7f927f71433d2",
    "StanfordCars",
  ),
  "oxford_flowers102": Table(
    102,
    "715fa65c6ab140dfd7da6438f6377339e36523df7e24f635e5a5da8d4dace3fb",
    "0490feb6c5d111eefa2efa01510a701583eede9d5a6f528a90fc0aa97da5941b",
    "Flowers102",
  ),
  "food101": Table(
    101,
    "a9b7ac8cf91aa43ce815c8e971130273b977636d5b1e048d6f080f3d625cf303",
    "82199dc1d22e1e6aaddf87310e7ce894e5836f339a7f0c4ee9ac2414ee39d14d",
    "Food101",
  ),
  "fgvc_aircraft": Table(
    100,
    "46ee6cf80860b0139bd1954486087d0926264b2387675f183f92eecb711af141",
    "3df29bf85268650e8ec9c5e040a5f4cd9a1c642a8ffd18d6ee34a94efd3068d5",
    "FGVCAircraft",
  ),
  "sun397": Table(
    397,
    "7d0b3ea9dc72b7113c8c1795b1246b761000e3aac10a1b00ce91266011332227",
    "941427a335a45f5f8a484bb6c8865c1a4e1389b5149a2cec37860caf4f2d58b0",
    "SUN397",
  ),
  "dtd": Table(
    47,
    "d96fa1eac13acf43789ab53744e79d6544d2b51c6e9d610812f1eb88683d3bcb",
    "a63a5d4efba346bb4bc2da3163e302211b883119f87bf4ee087de7c423690786",
    "DTD",
  ),
  "eurosat": Table(
    10,
    "ee7abbbdf9421103b2d78f40556d3945a3d7213b93a13ea986baf3403b399884",
    "4edf3ee841c2c9be743408e7d93dd45b7c543b3616f2e6cfcd9f7b25a0602a37",
    "EuroSAT",
  ),
  "ucf101": Table(
    101,
    "a7d1659ae2910553e807566d080d0ae875fc390d934041c04905767f3aa50456",
    "530982c9188e49deb7a039536685c3316a476e865cea90a08d3dc73888fecdc0",
    "UCF101",
  ),
  "voc": Table(
    21,
    "9ea0481ff4dd7d30755a6942c7670a7faabd838052099176da8bb6df8c73640a",
    "6086a736e9b81b1ec5414138e18b757a21805af9fe6aede81decf7222c3583d5",
    "PASCAL VOC",
  ),
  "pascal_context": Table(
    60,
    "a47585779fcaa4dc590b3523a5b277c3f86e13a49b5711bfd66433cf45103d3c",
    "788b24f49965d55c1a678f3e5aa1af79dd51fa52392493fb6072fb027f7b9ea1",
    "PASCAL Context",
  ),
  "coco_object": Table(
    81,
    "588ca316220ee1ed60117d30dd28b46fe736670dbcb03a297b92afd8641c6515",
    "ee62cadd4f729eac6c33517ae6eff9097c03deb9adfb0496e300043e5b2c2ea0",
    "COCO-Object",
  ),
  "coco_stuff": Table(
    171,
    "bd3973ce10f6ab3fbf42015979506a13f257d7aaa1fb52feb2dfe40904564585",
    "6a12365ac1e6b61dcc482331b378d50e6524cbb1d4361fdf65a50a4760635f93",
    "COCO-Stuff",
  ),
  "cityscapes": Table(
    19,
    "75fb31722bc62815b697964444103ec1bdafca0b6ae511fc0d811ab43175f1c4",
    "c3d10e1ce10a88ba1c036f5382f4f772b927ed4d3362ce8b16e050f50d34b58a",
    "Cityscapes",
  ),
  "ade20k": Table(
    150,
    "77c0db7df09d64505f27ddd190f9593ce282dacacac26b565c44d2640ef14eb2",
    "36db2b271989ab392786422d378ff078d21efec7a7658de3067fd85acce334b3",
    "ADE20K",
  ),
}


def names_sha256(lexicon: Lexicon) -> str:
  """Hashes the official names of a table, in class order."""
  names = json.dumps([entry.name for entry in lexicon.classes])
  return hashlib.sha256(names.encode()).hexdigest()
