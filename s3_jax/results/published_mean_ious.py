"""Published mean IoUs of OpenAI's ViT-B/16, in percent, as printed.

None was measured here. All are without training; without refinement of masks
and with CLIP's weights alone, but where the method's name says otherwise.
"""

from s3_jax.results.published_rows import SEGMENTATION
from s3_jax.results.published_rows import published_row as _row

__all__ = ["VIT_B_16_MEAN_IOUS"]

_FREECP = "README of FreeCP, a secondary source"
_IMAGE = "assets/results.png of ClearCLIP's repository"
_CCAR = "CCAR's table, a secondary source"
_RESCLIP = (
  "figs/main_results_w.png and main_results_wo.png of ResCLIP's repository "
  "@ 0e085f7f, arXiv 2411.15851"
)

VIT_B_16_MEAN_IOUS = (
  _row(
    "CLIP, vanilla attention",
    SEGMENTATION,
    (None, None, None, 41.8, 9.2, 4.4, 5.5, 2.1),
    _IMAGE,
  ),
  _row(
    "MaskCLIP, its own protocol",
    SEGMENTATION,
    (None, None, None, 49.5, 21.7, 12.5, None, None),
    "configs/maskclip/README.md of MaskCLIP's repository",
  ),
  _row(
    "MaskCLIP, re-run by SCLIP",
    SEGMENTATION,
    (43.4, 23.2, 20.6, 74.9, 26.4, 16.7, 24.9, 11.9),
    _FREECP,
  ),
  _row(
    "SCLIP, its paper",
    SEGMENTATION,
    (59.1, 30.4, 30.5, 80.4, 34.2, 22.4, 32.2, 16.1),
    _FREECP,
  ),
  _row(
    "SCLIP, its repository",
    SEGMENTATION,
    (59.63, 31.74, 33.52, 81.54, 34.46, 22.77, 32.34, 16.45),
    "README of SCLIP's repository",
    key="names_max",
    protocol="sclip",
  ),
  _row(
    "SCLIP, re-run",
    SEGMENTATION,
    (59.62, 32.59, 33.52, 81.54, 34.14, 22.77, 32.34, 16.45),
    _CCAR,
  ),
  _row(
    "SCLIP, in ClearCLIP's protocol",
    SEGMENTATION,
    (None, None, None, 78.2, 33.0, 21.1, 29.1, 14.6),
    _IMAGE,
  ),
  _row(
    "GEM",
    SEGMENTATION,
    (56.9, 32.6, 31.1, 79.9, 35.9, 23.7, 30.8, 15.7),
    _FREECP,
  ),
  _row(
    "ClearCLIP",
    SEGMENTATION,
    (51.8, 32.6, 33.0, 80.9, 35.9, 23.9, 30.0, 16.7),
    _FREECP,
  ),
  _row(
    "ClearCLIP, re-run",
    SEGMENTATION,
    (51.79, 33.78, 33.03, 80.93, 35.84, 23.90, 30.04, 16.64),
    _CCAR,
  ),
  _row(
    "NACLIP",
    SEGMENTATION,
    (58.9, 32.2, 33.2, 79.7, 35.2, 23.3, 35.5, 17.4),
    "ResCLIP's and Trident's tables, secondary sources",
    key="names_max",
    protocol="naclip",
  ),
  _row(
    "NACLIP, its repository; masks refined by PAMR",
    SEGMENTATION,
    (64.07, 34.99, 36.19, 83.03, 38.35, 25.69, 38.27, 19.05),
    "README of NACLIP's repository @ 0cac3a65, arXiv 2404.08181",
  ),
  _row(
    "ResCLIP on SCLIP",
    SEGMENTATION,
    (60.7, 32.9, 34.3, 84.6, 35.8, 23.9, 34.4, 17.6),
    _RESCLIP
    + "; it prints 42.7 for the mean of the first three, which is 42.6",
  ),
  _row(
    "ResCLIP on ClearCLIP",
    SEGMENTATION,
    (59.0, 32.9, 34.0, 87.1, 36.4, 24.3, 34.5, 17.8),
    _RESCLIP,
  ),
  _row(
    "ResCLIP on NACLIP",
    SEGMENTATION,
    (61.1, 33.5, 35.0, 86.0, 36.8, 24.7, 35.9, 18.0),
    _RESCLIP,
  ),
  _row(
    "SC-CLIP",
    SEGMENTATION,
    (64.6, 36.8, 37.7, 84.3, 40.1, 26.6, 41.0, 20.1),
    "a note on the paper, arXiv 2411.15869 (secondary source)",
  ),
  _row(
    "ProxyCLIP, with DINO-B/8",
    SEGMENTATION,
    (59.1, 35.2, 36.2, 78.2, 38.8, 26.2, 38.1, 19.6),
    "RF-CLIP's table, a secondary source",
  ),
  _row(
    "ProxyCLIP, with DINO-B/8, as others print it",
    SEGMENTATION,
    (61.3, 35.3, 37.5, 80.3, 39.1, 26.5, 38.1, 20.2),
    "Trident's table, a secondary source; CorrCLIP's and GLA-CLIP's agree",
  ),
  _row(
    "Trident, with DINO and SAM: other weights, not comparable",
    SEGMENTATION,
    (67.1, 38.6, 41.1, 84.5, 42.2, 28.3, 42.9, 21.9),
    "assets/data_result.png of Trident's repository @ a93b346d, "
    "arXiv 2411.09219",
  ),
)
