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
    "1c1400ca2795c06ee18618801bfc83bf38b2ef84b84d04a289263f727b2ca72f",
    "6ef5246539bb6543da0958381424e7f7b63b6758af04434f6e8f6da88e0cca70",
    "ImageNet",
  ),
  "caltech101": Table(
    100,
    "c07977070e6fe9cda9c46e19a97f8375fc836ddf75fde64b75bc6696719b67fa",
    "dd48b2377badfbb081c4c3534d2201d8fdc02a82c07d17c14e47f01314944a2c",
    "Caltech101",
  ),
  "oxford_pets": Table(
    37,
    "b8759c3066373616c88187d772d04dad71bb09a0c123036f430efef1e6dd0b59",
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
    "0e8ff761299e7583641c25c61908ae283b9f93f389bc3249ddf3366f0f53c3ab",
    "0490feb6c5d111eefa2efa01510a701583eede9d5a6f528a90fc0aa97da5941b",
    "Flowers102",
  ),
  "food101": Table(
    101,
    "9f206cea697ddd5e15505685c0e83f671107d2aca0889674747e689683c699e3",
    "82199dc1d22e1e6aaddf87310e7ce894e5836f339a7f0c4ee9ac2414ee39d14d",
    "Food101",
  ),
  "fgvc_aircraft": Table(
    100,
    "647619a8660dc9eabba94d226065ec7a899b9302d73cfff0dba68bf47394103e",
    "3df29bf85268650e8ec9c5e040a5f4cd9a1c642a8ffd18d6ee34a94efd3068d5",
    "FGVCAircraft",
  ),
  "sun397": Table(
    397,
    "36307224268f365c2fc4e173272a03b498cd91b29fd212b6a92b286932a29356",
    "941427a335a45f5f8a484bb6c8865c1a4e1389b5149a2cec37860caf4f2d58b0",
    "SUN397",
  ),
  "dtd": Table(
    47,
    "0c3f77a7257e75e4859b832e743380ace3c5948e85203e78b80695a8aac365fc",
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
    "c712b620dc23d62f685408878279c39a91fe98afafa29e57f95fc73de6e46b32",
    "530982c9188e49deb7a039536685c3316a476e865cea90a08d3dc73888fecdc0",
    "UCF101",
  ),
  "voc": Table(
    21,
    "f2c3e52e4b1ee967352aa95775a374c5a988f5db656ace9291f36c4ff4156aee",
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
    "7cc406c8d5beaa4785c014798bb4c29ef5b3edd8e4032114415835f50d094e7a",
    "c3d10e1ce10a88ba1c036f5382f4f772b927ed4d3362ce8b16e050f50d34b58a",
    "Cityscapes",
  ),
  "ade20k": Table(
    150,
    "d3762f3493b7a4c57686fcc34eb7746201026468c0fc1a253c6850a3c471bd78",
    "36db2b271989ab392786422d378ff078d21efec7a7658de3067fd85acce334b3",
    "ADE20K",
  ),
}


def names_sha256(lexicon: Lexicon) -> str:
  """Hashes the official names of a table, in class order."""
  names = json.dumps([entry.name for entry in lexicon.classes])
  return hashlib.sha256(names.encode()).hexdigest()
