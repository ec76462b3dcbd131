"""Images and masks whose names are spelled with other signs than the list."""

import unicodedata

import numpy as np
import pytest

from s3_jax.data.readers.masks import read
from s3_jax.data.segmentation_sets import SEGMENTATION_SETS
from tests.benchmark_replicas import encoded
from tests.segmentation_replicas import png

SPEC = SEGMENTATION_SETS["voc21"]


@pytest.mark.parametrize(
  "forms", [("NFC", "NFD", "NFD"), ("NFD", "NFC", "NFD")]
)
def test_either_form_is_found(tmp_path, forms):
  listed, image, mask = (
    unicodedata.normalize(form, "é\u2028a") for form in forms
  )
  root = tmp_path / SPEC.folders[0]
  for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
    (root / folder).mkdir(parents=True)
  (root / SPEC.listing).write_text(f"\ufeff{listed}\n", "utf-8")
  (root / "JPEGImages" / f"{image}.jpg").write_bytes(encoded(0, 0, 8))
  stored = root / "SegmentationClass" / f"{mask}.png"
  stored.write_bytes(png(np.zeros((8, 8), np.uint8)))
  found = read(SPEC, tmp_path)
  assert found is not None and found.unreadable == 0
  assert "absent" not in found.opened.found
  assert "without a mask" not in found.opened.found
  assert found.opened.records[0]["mask"] == stored.read_bytes()
