"""The configs of segmentation runs: a `Segmentation` and its values."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import ml_collections

from s3_jax.experiment.methods.patches import PATCH_METHODS
from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.segmentation.plan import Segmentation


def segmentation_config(
  dataset: str = "",
  thresholds: Mapping[str, float] = MappingProxyType({}),
  **values: Any,
) -> ml_collections.ConfigDict:
  """Returns a segmentation run on one data set, not yet locked."""
  return make_config(
    "segmentation",
    Segmentation,
    leave_out=("revision", "dataset", "datasets"),
    **{
      **({"dataset": dataset} if dataset else {}),
      "model": "openai/clip-vit-base-patch16",
      "data_dir": "data",
      "methods": (
        "class_name",
        "names_max",
        "synonyms_max",
        "nearest_point",
        "center",
        "s3",
      ),
      # Fields for all, so that a command line can set them.
      "thresholds": {**dict.fromkeys(PATCH_METHODS), **thresholds},
      "metric": "local_center",  # of s3
      "compilation_cache_dir": "",  # keeps compiled programs; default: off
      **values,
    },
  )


def segmentation_suite_config(
  datasets: tuple[str, ...],
) -> ml_collections.ConfigDict:
  """Returns a segmentation run on many data sets, not yet locked."""
  return segmentation_config(datasets=datasets)
