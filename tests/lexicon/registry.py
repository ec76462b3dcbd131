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
    "7559d410eafeb2e51a70989717907ad072e9a72cc5e266490fa50412bc3592bf",
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
    "7df6954ac32e37c755035c935fe8e4bdff8f00b3f8cc4775b21bdbf9d9689f6a",
    "39a24c3bf01900aadef1c90a95eb5be8879f327667ef2a33e7a1d4d2f27ea4f8",
    "OxfordPets",
  ),
  "stanford_cars": Table(
    196,
    "3ef3896e435dda3ea0a3b031f2c2586f59c78758c6731979090da450d82c8128",
    "fd5d8b8a6974afa4bcb70e8c5204b2aa40af3419832b0d18a8f7f927f71433d2",
    "StanfordCars",
  ),
  "oxford_flowers102": Table(
    102,
    "772e8a35cb0de942d5868131300db4463a83076d8b13e3c6be7bb1e9847155f3",
    "0490feb6c5d111eefa2efa01510a701583eede9d5a6f528a90fc0aa97da5941b",
    "Flowers102",
  ),
  "food101": Table(
    101,
    "17dd555f69d35ffdf2a24b5e0aabdca0dcce32be77094c625ae8ff47376d165d",
    "82199dc1d22e1e6aaddf87310e7ce894e5836f339a7f0c4ee9ac2414ee39d14d",
    "Food101",
  ),
  "fgvc_aircraft": Table(
    100,
    "f2803facd05ef02f5303fab35058ae3e2d67e57a5f7a2f352bd1b27d23147992",
    "3df29bf85268650e8ec9c5e040a5f4cd9a1c642a8ffd18d6ee34a94efd3068d5",
    "FGVCAircraft",
  ),
  "sun397": Table(
    397,
    "e17d112dab4a66a370a1d89b315f199082a6516f1232eda3173d6da834511748",
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
    "af5f197f115a33c13939feb0cbd02e65b25967b751abfa3fb083642c359d281c",
    "6086a736e9b81b1ec5414138e18b757a21805af9fe6aede81decf7222c3583d5",
    "PASCAL VOC",
  ),
  "pascal_context": Table(
    60,
    "8a833a5a82da71a4ff8ab1ad4b7c035e18f22060f543f8cb752c69e57d1c41e8",
    "788b24f49965d55c1a678f3e5aa1af79dd51fa52392493fb6072fb027f7b9ea1",
    "PASCAL Context",
  ),
  "coco_object": Table(
    81,
    "c89fc70f92eb56573f42f254e85d763e84f998e45daed63a6498c2760c93acb0",
    "ee62cadd4f729eac6c33517ae6eff9097c03deb9adfb0496e300043e5b2c2ea0",
    "COCO-Object",
  ),
  "coco_stuff": Table(
    171,
    "494da56612af46eea30ac366efa6b28600e93e2f326873be20b7e208c2036f7a",
    "6a12365ac1e6b61dcc482331b378d50e6524cbb1d4361fdf65a50a4760635f93",
    "COCO-Stuff",
  ),
  "cityscapes": Table(
    19,
    "367435640447b246a89104aec4efca25617be4b50cd04d029f887c4d5a9fc664",
    "c3d10e1ce10a88ba1c036f5382f4f772b927ed4d3362ce8b16e050f50d34b58a",
    "Cityscapes",
  ),
  "ade20k": Table(
    150,
    "972762066fc646f30257733e476b93cd1f7ded8bf0909cb4261e343d948eb6f2",
    "36db2b271989ab392786422d378ff078d21efec7a7658de3067fd85acce334b3",
    "ADE20K",
  ),
}


def names_sha256(lexicon: Lexicon) -> str:
  """Hashes the official names of a table, in class order."""
  names = json.dumps([entry.name for entry in lexicon.classes])
  return hashlib.sha256(names.encode()).hexdigest()
