"""Figures that others have published, to be shown beside measured ones.

None of them was measured by this project, and each says where it was read. Some
were read in the tables of later papers, which are called secondary sources
here; where two sources print different figures for one method, both have a row,
or the source says so. No figure of the S³ paper is among them: none was found.

Accuracies are for CoOp's splits of the ten fine-grained sets and for all images
of the five ImageNet sets. Evaluations over other splits of the same data sets
(those of open_clip, VTAB and WaffleCLIP's repository) are left out, since they
cannot be compared.
"""

from s3_jax.results.published_mean_ious import VIT_B_16_MEAN_IOUS
from s3_jax.results.published_rows import (
  FINE_GRAINED,
  IMAGENET,
  SEGMENTATION,
  PublishedRow,
)
from s3_jax.results.published_rows import published_row as _row

__all__ = [
  "FINE_GRAINED",
  "IMAGENET",
  "NAME_TEMPLATE",
  "PUBLISHED",
  "PublishedRow",
  "SEGMENTATION",
  "USES",
]

NAME_TEMPLATE = "a photo of a {}."
"""What "class_name" rows put the names into."""

_SINGLE = f'CLIP, "{NAME_TEMPLATE}"'
_ENSEMBLE = "CLIP, 80 templates"
_HAND = "CLIP, ensemble or hand-crafted prompts"
_CUPL_7 = "CuPL and 7 templates, text only, as in DMN"

_M2TPT_1, _M2TPT_2 = (f"M2TPT, table {i} (secondary source)" for i in (1, 2))
_D2TPT_2, _D2TPT_3 = (
  f"D2TPT, AAAI 2026, table {i} (secondary source)" for i in (2, 3)
)
_STS = "a note on the STS paper (secondary source)"
_TPT = "TPT's README, github.com/azshue/TPT"
_TDA = "TDA's README, github.com/kdiAAA/TDA @ e697fb0c"
_ZERO = (
  "docs/static/images of github.com/FarinaMatteo/zero @ c609f7c2, arXiv "
  "2405.18330"
)
_DMN_LOGS = "the authors' logs, github.com/YBZh/DMN @ c6c218c7"
_DMN_TABLE = (
  "figures/zero-shot.png of github.com/YBZh/DMN @ c6c218c7, table 3 of "
  "arXiv 2403.17589"
)
_DMN_FUSED = "; its fusion weights were chosen on the test labels"


_VIT_B_16 = (
  _row(
    _SINGLE,
    IMAGENET,
    (66.73, 47.87, 60.86, 73.98, 46.09),
    _M2TPT_2 + ", and D2TPT",
    key="class_name",
  ),
  _row(
    _SINGLE,
    FINE_GRAINED,
    (23.67, 93.35, 65.48, 44.27, 42.01, 67.44, 83.65, 88.25, 62.59, 65.13),
    _D2TPT_3 + "; M2TPT prints 23.37 for aircraft",
    key="class_name",
  ),
  _row(
    _ENSEMBLE,
    IMAGENET,
    (68.34, 49.89, 61.88, 77.65, 48.24),
    "a note on the FGA paper (secondary source)",
    key="templates_80",
  ),
  _row(
    "CLIP, 80 templates, open_clip's evaluation",
    IMAGENET,
    (68.34, 49.95, 61.88, 77.70, 48.24),
    "open_clip, docs/openclip_results.csv",
  ),
  _row(
    _HAND,
    FINE_GRAINED,
    (23.22, 93.55, 66.11, 45.04, 50.42, 66.99, 82.86, 86.92, 65.63, 65.16),
    "a note on the TCA paper (secondary source)",
  ),
  _row(_CUPL_7, IMAGENET, (69.93, 50.85, 63.64, 77.36, 49.34), _DMN_LOGS),
  _row(
    _CUPL_7,
    FINE_GRAINED,
    (27.21, 94.08, 66.17, 53.19, 55.73, 73.04, 84.44, 90.32, 68.11, 70.47),
    _DMN_LOGS,
  ),
  _row("DCLIP", IMAGENET, (68.55, 49.07, 61.80, 75.13, 47.97), _M2TPT_2),
  _row(
    "DCLIP",
    FINE_GRAINED,
    (24.30, 94.60, 64.08, 44.98, 54.84, 70.85, 85.05, 88.85, 67.99, 67.12),
    _M2TPT_1,
  ),
  _row("WaffleCLIP", IMAGENET, (68.81, 50.78, 62.54, 77.49, 49.10), _M2TPT_2),
  _row(
    "WaffleCLIP",
    FINE_GRAINED,
    (25.39, 94.02, 63.57, 45.21, 55.07, 72.35, 86.68, 89.95, 67.23, 67.19),
    _M2TPT_1,
  ),
  _row("CuPL", IMAGENET, (None, 50.72, 63.27, 77.05, 49.02), _M2TPT_2),
  _row(
    "CuPL",
    FINE_GRAINED,
    (24.90, 92.98, 65.29, 44.56, 47.84, 71.30, 86.11, 89.13, 62.59, 66.83),
    _M2TPT_1,
  ),
  _row(
    "TPT, test time",
    IMAGENET,
    (68.98, 54.77, 63.45, 77.06, 47.94),
    _M2TPT_2 + ", and D2TPT",
  ),
  _row(
    "TPT, test time",
    FINE_GRAINED,
    (24.78, 94.16, 66.87, 47.75, 42.44, 68.98, 84.67, 87.79, 65.50, 68.04),
    _D2TPT_3,
  ),
  _row(
    "DiffTPT, test time",
    IMAGENET,
    (70.30, 55.68, 65.10, 75.00, 46.80),
    _D2TPT_2,
  ),
  _row(
    "TDA, test time", IMAGENET, (69.51, 60.11, 64.67, 80.24, 50.54), _D2TPT_2
  ),
  _row(
    "TDA, test time",
    FINE_GRAINED,
    (23.91, 94.24, 67.28, 47.40, 58.00, 71.42, 86.14, 88.63, 67.62, 70.66),
    _D2TPT_3,
  ),
  _row(
    "DMN-ZS, test time",
    IMAGENET,
    (72.25, 58.28, 65.17, 78.55, 53.20),
    _M2TPT_2 + _DMN_FUSED,
  ),
  _row(
    "DMN-ZS, test time",
    FINE_GRAINED,
    (30.03, 95.38, 67.96, 55.85, 59.43, 74.49, 85.08, 92.04, 70.18, 72.51),
    _DMN_TABLE
    + _DMN_FUSED
    + "; with ImageNet it prints a mean of 70.72, its columns give 70.47",
  ),
  _row(
    "DMN-ZS, test time, the authors' log",
    IMAGENET,
    (None, 58.28, 65.27, 78.55, 52.98),
    "camera_ready_dmn_tf_shift_0.txt of github.com/YBZh/DMN @ c6c218c7"
    + _DMN_FUSED,
  ),
  _row(
    "AWT, test time", IMAGENET, (71.32, 60.33, 65.15, 80.64, 51.60), _M2TPT_2
  ),
  _row(
    "AWT, test time",
    FINE_GRAINED,
    (29.22, 95.54, 69.93, 55.56, 58.61, 75.07, 85.54, 92.53, 70.58, 72.51),
    _M2TPT_1,
  ),
  _row(
    "TPS, test time",
    IMAGENET,
    (71.45, 60.61, 64.91, 80.20, 50.88),
    _D2TPT_2 + "; templates and GPT-4's descriptions",
  ),
  _row(
    "TPS, test time",
    FINE_GRAINED,
    (26.34, 95.09, 69.06, 50.47, 44.48, 71.54, 85.23, 87.35, 68.98, 71.00),
    _D2TPT_3,
  ),
  _row(
    "TPS, test time, run again by STS's authors",
    IMAGENET,
    (67.96, 57.46, 62.95, 74.90, 46.03),
    _STS + "; the prompt is not stated",
  ),
  _row(
    "DPE, test time",
    IMAGENET,
    (71.91, 59.63, 65.44, 80.44, 52.26),
    "a note on the ProtoMM paper (secondary source)",
  ),
  _row("STS, test time", IMAGENET, (68.85, 61.23, 64.15, 77.13, 48.06), _STS),
  _row(
    "ZERO, test time",
    IMAGENET,
    (69.31, 59.61, 64.16, 77.22, 48.40),
    _ZERO + ", nds.png",
  ),
  _row(
    "ZERO, test time",
    FINE_GRAINED,
    (25.21, 93.66, 68.04, 46.12, 34.33, 67.68, 86.53, 87.75, 65.03, 67.77),
    _ZERO + ", fg.png",
  ),
  _row(
    "ZERO and an ensemble of templates, test time",
    IMAGENET,
    (71.17, 62.75, 65.23, 80.75, 50.59),
    _ZERO + ", nds.png",
  ),
  _row(
    "ZERO and an ensemble of templates, test time",
    FINE_GRAINED,
    (25.21, 94.41, 68.97, 45.86, 42.17, 67.17, 86.77, 87.83, 67.63, 69.18),
    _ZERO + ", fg.png",
  ),
  _row(
    "TPT, test time, in ZERO's table",
    FINE_GRAINED,
    (23.13, 93.93, 66.68, 47.04, 42.86, 68.75, 84.67, 87.23, 65.39, 68.16),
    _ZERO + ", fg.png",
  ),
  _row(
    "CLIP, ensemble of templates, in ZERO's table",
    FINE_GRAINED,
    (23.22, 93.91, 66.16, 45.09, 50.42, 67.07, 84.04, 88.28, 66.26, 67.51),
    _ZERO + ", fg.png",
  ),
  _row(
    "STS ensemble, 7 templates, test time",
    IMAGENET,
    (70.81, 64.29, 64.82, 80.53, 50.19),
    _STS,
  ),
)
_RN50 = (
  _row(
    _SINGLE,
    IMAGENET,
    (58.16, 21.83, 51.41, 56.15, 33.37),
    _TPT,
    key="class_name",
  ),
  _row(
    _ENSEMBLE,
    IMAGENET,
    (59.81, 23.24, 52.91, 60.72, 35.48),
    _TPT,
    key="templates_80",
  ),
  _row(
    "CLIP, 80 templates, open_clip's evaluation",
    IMAGENET,
    (59.82, 23.27, 52.84, 60.73, 35.44),
    "open_clip, docs/openclip_results.csv",
  ),
  _row(
    _HAND,
    FINE_GRAINED,
    (16.11, 87.26, 55.89, 40.37, 25.79, 62.77, 74.82, 82.97, 60.85, 59.48),
    _TDA,
  ),
  _row("TPT, test time", IMAGENET, (60.74, 26.67, 54.70, 59.11, 35.09), _TPT),
  _row(
    "TPT, test time",
    FINE_GRAINED,
    (17.58, 87.02, 58.46, 40.84, 28.33, 62.69, 74.88, 84.49, 61.46, 60.82),
    _TDA,
  ),
  _row("TDA, test time", IMAGENET, (61.35, 30.29, 55.54, 62.58, 38.12), _TDA),
  _row(
    "TDA, test time",
    FINE_GRAINED,
    (17.61, 89.70, 57.78, 43.74, 42.11, 68.74, 77.75, 86.18, 62.53, 64.18),
    _TDA,
  ),
  _row(
    "DMN-ZS, test time",
    IMAGENET,
    (63.87, 28.57, 56.12, 61.44, 39.84),
    "DMN's README, github.com/YBZh/DMN @ c6c218c7" + _DMN_FUSED,
  ),
  _row(
    "DMN-ZS, test time",
    FINE_GRAINED,
    (22.77, 90.14, 60.02, 50.41, 48.72, 67.93, 76.70, 86.78, 64.39, 65.34),
    _DMN_TABLE
    + _DMN_FUSED
    + "; with ImageNet it prints a mean of 63.71, its columns give 63.37",
  ),
)

PUBLISHED: dict[str, dict[str, tuple[PublishedRow, ...]]] = {
  "top1": {"OpenAI ViT-B/16": _VIT_B_16, "OpenAI RN50": _RN50},
  "miou": {"OpenAI ViT-B/16": VIT_B_16_MEAN_IOUS},
}
"""Published rows by measure and model; methods in the order they appeared."""

USES = {
  "TPT": "views, gradients",
  "DiffTPT": "pictures of a diffusion model, gradients",
  "TPS": "views, gradients",
  "STS": "views, gradients",
  "STS ensemble": "views, gradients",
  "ZERO": "views",
  "ZERO and an ensemble of templates": "views",
  "AWT": "views, an LLM's descriptions",
  "TDA": "other test images in their order; on ImageNet's shifts also views",
  "DPE": "views, gradients, other test images in their order",
  "DMN-ZS": "views, other test images in their order, test labels",
}
"""What a method that adapts at test time sees beside the image and the names.

Test labels: they chose a weight. How the other methods' settings were chosen
was not read. Other test images in their order are also called a stream.
"""
