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
    "a32a3b56184180946c4e49c4bc99c7254095739c0d909216b17e479b595e8112",
    "6ef5246539bb6543da0958381424e7f7b63b6758af04434f6e8f6da88e0cca70",
    "ImageNet",
  ),
  "caltech101": Table(
    100,
    "d31b642788c0037145b9223c7b2f2aeecea96f9edd6e7de19ed3c0fc005b4c6b",
    "dd48b2377badfbb081c4c3534d2201d8fdc02a82c07d17c14e47f01314944a2c",
    "Caltech101",
  ),
  "oxford_pets": Table(
    37,
    "289fb6b905289069a943c2af8fab607a77bc907b6568c00af711ea26f70f7371",
    "39a24c3bf01900aadef1c90a95eb5be8879f327667ef2a33e7a1d4d2f27ea4f8",
    "OxfordPets",
  ),
  "stanford_cars": Table(
    196,
    "4c811cdd82149a4ff963a8b77e2d48698774d727adbe337fef0b71a798948a7a",
    "fd5d8b8a6974afa4bcb70e8c5204b2aa40af3419832b0d18a8f7f927f71433d2",
    "StanfordCars",
  ),
  "oxford_flowers102": Table(
    102,
    "94915721ce38513160f206947b328b63edd6f989e11e1c559eb646d46647ce6b",
    "0490feb6c5d111eefa2efa01510a701583eede9d5a6f528a90fc0aa97da5941b",
    "Flowers102",
  ),
  "food101": Table(
    101,
    "ec608e939cf55a44d4af0c11685da5722bc93caf241ff2aa1ca4506f728a0548",
    "82199dc1d22e1e6aaddf87310e7ce894e5836f339a7f0c4ee9ac2414ee39d14d",
    "Food101",
  ),
  "fgvc_aircraft": Table(
    100,
    "02e5592a1ef8f5da1e60fd4147bbef009381d751512c18e74b9fa611a2824fe3",
    "3df29bf85268650e8ec9c5e040a5f4cd9a1c642a8ffd18d6ee34a94efd3068d5",
    "FGVCAircraft",
  ),
  "sun397": Table(
    397,
    "69c9465206577bd0ff8fa707293e3615529cc89bb36c46d8f35f314ee9bbde3a",
    "941427a335a45f5f8a484bb6c8865c1a4e1389b5149a2cec37860caf4f2d58b0",
    "SUN397",
  ),
  "dtd": Table(
    47,
    "8f10d2e56fb6914b5ecdd7e023d6b67422e3d09062ebe1222cd8aa1fcc8a6aef",
    "a63a5d4efba346bb4bc2da3163e302211b883119f87bf4ee087de7c423690786",
    "DTD",
  ),
  "eurosat": Table(
    10,
    "ae6b35bd97f92a9f961535cf704c13a79b8e1eb3c925794ff3f0190b7f88d35c",
    "4edf3ee841c2c9be743408e7d93dd45b7c543b3616f2e6cfcd9f7b25a0602a37",
    "EuroSAT",
  ),
  "ucf101": Table(
    101,
    "8cc226f59bcfdb02c5b482e6c6a42e65b20cc74a3e223532c37bdbe63f3d95d5",
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
    "e84bcab54d83bae38d0f202ebf6438ee98f75c1ced3d5aea6df7f456ec956997",
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
    "38a3beee38c9b2c4812d7bf46e9d80f6ce9aff449eda630ee516b312bdd9fafe",
    "6a12365ac1e6b61dcc482331b378d50e6524cbb1d4361fdf65a50a4760635f93",
    "COCO-Stuff",
  ),
  "cityscapes": Table(
    19,
    "166cf5a01f0afd1964a004ba03ef75a16891c8160746a9eea9d007dd73513c80",
    "c3d10e1ce10a88ba1c036f5382f4f772b927ed4d3362ce8b16e050f50d34b58a",
    "Cityscapes",
  ),
  "ade20k": Table(
    150,
    "b75ae0baaa18bec838848b303bddf77d0b981ffc0048a7f411721fa2bb2c1798",
    "36db2b271989ab392786422d378ff078d21efec7a7658de3067fd85acce334b3",
    "ADE20K",
  ),
}


def names_sha256(lexicon: Lexicon) -> str:
  """Hashes the official names of a table, in class order."""
  names = json.dumps([entry.name for entry in lexicon.classes])
  return hashlib.sha256(names.encode()).hexdigest()
