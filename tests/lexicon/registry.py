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
    "bd619af3666bac7bada08803743ed8107d8ef9d52c06c5a1c436f1e3e232e1e5",
    "6ef5246539bb6543da0958381424e7f7b63b6758af04434f6e8f6da88e0cca70",
    "ImageNet",
  ),
  "caltech101": Table(
    100,
    "9d535f079380ad61e06eef4c2e4cb4ad3d2dc4a76273fe3aa3701f0dc4b1eb33",
    "dd48b2377badfbb081c4c3534d2201d8fdc02a82c07d17c14e47f01314944a2c",
    "Caltech101",
  ),
  "oxford_pets": Table(
    37,
    "d1a2a64e4c073d990ffb987a77d48cc7914b03b7b5e27a6ff12502216a17d0e7",
    "39a24c3bf01900aadef1c90a95eb5be8879f327667ef2a33e7a1d4d2f27ea4f8",
    "OxfordPets",
  ),
  "stanford_cars": Table(
    196,
    "bdfc31ec76be6efa2bd47551db1dcf99a8978c98fd643f2c9cf7958055ccb35f",
    "fd5d8b8a6974afa4bcb70e8c5204b2aa40af3419832b0d18a8f7f927f71433d2",
    "StanfordCars",
  ),
  "oxford_flowers102": Table(
    102,
    "66faaed823f15dff720acc0b4727ad43160216c4a21b34f10c992af8e9a3fb0f",
    "0490feb6c5d111eefa2efa01510a701583eede9d5a6f528a90fc0aa97da5941b",
    "Flowers102",
  ),
  "food101": Table(
    101,
    "a002bf509867bd0ac11c8f8ae7b637d452135283e7661df9e37491a120388515",
    "82199dc1d22e1e6aaddf87310e7ce894e5836f339a7f0c4ee9ac2414ee39d14d",
    "Food101",
  ),
  "fgvc_aircraft": Table(
    100,
    "8d0a4a45a108850d7b5faab576f666d9995154851fce6ab62a41b2eb4df3daaf",
    "3df29bf85268650e8ec9c5e040a5f4cd9a1c642a8ffd18d6ee34a94efd3068d5",
    "FGVCAircraft",
  ),
  "sun397": Table(
    397,
    "1f33b8d0269101bf13a416ccbb8f8e620a356bc9151f23f3b5dd12f5c569d3b0",
    "941427a335a45f5f8a484bb6c8865c1a4e1389b5149a2cec37860caf4f2d58b0",
    "SUN397",
  ),
  "dtd": Table(
    47,
    "c7f6166350f9aeee809d79b17963680ec29cce41bae5fc63f97dbc82671c2b6e",
    "a63a5d4efba346bb4bc2da3163e302211b883119f87bf4ee087de7c423690786",
    "DTD",
  ),
  "eurosat": Table(
    10,
    "a7849c5460a510a9b0af90d424b541621cc50044e4a2d1c5dc5f328a4fc76a39",
    "4edf3ee841c2c9be743408e7d93dd45b7c543b3616f2e6cfcd9f7b25a0602a37",
    "EuroSAT",
  ),
  "ucf101": Table(
    101,
    "787a5be0656bb83454bff40445f39168809adf22db9fea6ab21ea83d0a4de443",
    "530982c9188e49deb7a039536685c3316a476e865cea90a08d3dc73888fecdc0",
    "UCF101",
  ),
  "voc": Table(
    21,
    "390ab21b0732c415f8b64e288fef41f3fa57a0ac6c66c0020243efa585252d82",
    "6086a736e9b81b1ec5414138e18b757a21805af9fe6aede81decf7222c3583d5",
    "PASCAL VOC",
  ),
  "pascal_context": Table(
    60,
    "a9994502ad9fb4539419cb3b6a6045f983a30edd1c91c1c4c295f916fab51a33",
    "788b24f49965d55c1a678f3e5aa1af79dd51fa52392493fb6072fb027f7b9ea1",
    "PASCAL Context",
  ),
  "coco_object": Table(
    81,
    "beca30f9c66f5927bdc98db1d6778557fb5ab59f3f8d34262f464ff298d904db",
    "ee62cadd4f729eac6c33517ae6eff9097c03deb9adfb0496e300043e5b2c2ea0",
    "COCO-Object",
  ),
  "coco_stuff": Table(
    171,
    "6b4580602ea53a210e7e14beac1b6f8d2c40b151aeed02817eec7424b10baea1",
    "6a12365ac1e6b61dcc482331b378d50e6524cbb1d4361fdf65a50a4760635f93",
    "COCO-Stuff",
  ),
  "cityscapes": Table(
    19,
    "a4531f5ba870d207b00f9ee6eb2a1a23b08031b9ac0dfb85bcde0d3c1696929d",
    "c3d10e1ce10a88ba1c036f5382f4f772b927ed4d3362ce8b16e050f50d34b58a",
    "Cityscapes",
  ),
  "ade20k": Table(
    150,
    "de87e6f3eadbcc968f235dfcba997e13e33734c8154313c6729a1cf3460fe718",
    "36db2b271989ab392786422d378ff078d21efec7a7658de3067fd85acce334b3",
    "ADE20K",
  ),
}


def names_sha256(lexicon: Lexicon) -> str:
  """Hashes the official names of a table, in class order."""
  names = json.dumps([entry.name for entry in lexicon.classes])
  return hashlib.sha256(names.encode()).hexdigest()
