"""The configs of benchmark runs: a `Benchmark` and its values."""

from typing import Any

import ml_collections

from s3_jax.experiment.methods.view_scores import ViewSettings
from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.benchmark.settings import Benchmark
from s3_jax.fields import flat_fields

# Fields that a config shows only where it gives them a value.
_RARE = ("revision", "dataset", "datasets", "test_sets", "template")
_RARE = (*_RARE, "figure_classes", "diagnosis")
_VIEWS = tuple(field.name for field in flat_fields(ViewSettings))


def benchmark_config(
  dataset: str = "", *, leave_out: tuple[str, ...] = _VIEWS, **values: Any
) -> ml_collections.ConfigDict:
  """Returns a benchmark run on one data set, not yet locked."""
  return make_config(
    "benchmark",
    Benchmark,
    leave_out=(*_RARE, *leave_out),
    **{
      **({"dataset": dataset} if dataset else {}),
      "model": "openai/clip-vit-base-patch16",
      "data_dir": "data",
      "methods": (
        "class_name",
        "dataset_template",
        "templates_7",
        "templates_80",
        "descriptors",
        "synonyms_mean",
        "synonyms_nearest",
        "s3",
        "s3_descriptors",
      ),
      "metric": "soft_local_center",  # of s3 and s3_descriptors
      "compilation_cache_dir": "",  # keeps compiled programs; default: off
      **values,
    },
  )


def suite_config(datasets: tuple[str, ...]) -> ml_collections.ConfigDict:
  """Returns a benchmark run on many data sets, not yet locked."""
  return benchmark_config(datasets=datasets)


def test_time_config(
  datasets: tuple[str, ...], **values: Any
) -> ml_collections.ConfigDict:
  """Returns a run of the methods that adapt to each image, not yet locked."""
  return benchmark_config(
    datasets=datasets,
    leave_out=(),
    methods=(
      "class_name",
      "templates_descriptors",
      "s3",
      "view_average",
      "mta",
      "zero",
      "zero_30",
      "sts",
      "tps",
      "tps_synonyms",
      "s3_view_average",
      "ts3",
      "zero_s3",
      "sts_s3",
      "s3_anchored",
    ),
    metric="local_center",  # docs/EVIDENCE.md has no views
    **values,
  )
