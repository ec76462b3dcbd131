r"""Test-time adaptation on one of the fifteen benchmarks: TS3, TPS, MTA.

Command:
  python main.py --config=configs/test_time.py:imagenet_a \
    --config.data_dir=DATA --workdir=runs/test_time

The word behind the colon is the data set, one of those that have a config of
their own, or one of the embedded world's. 64 views of each image go through the
tower (mixed by AugMix on the ten fine-grained sets only, as TPS does), and are
cached; docs/ADAPTATION.md describes the methods.

Hardware: a GPU, or patience: 64 times the images of a plain run.

Expected (published, not measured here): TPS with templates and descriptors of
OpenAI's ViT-B/16 71.45 % on ImageNet, 60.61 % on -A, 64.91 % on -V2, 80.20 % on
-R, 50.88 % on -Sketch (D2TPT, table 2, cited at second hand). Its descriptors
and its random crops are others than ours, so these are no baselines to meet.

Fields: `Benchmark` in s3_jax/experiment/tasks/benchmark/settings.py.
"""

import ml_collections

from s3_jax.experiment.tasks.benchmark.config import test_time_config


def get_config(dataset: str = "imagenet") -> ml_collections.ConfigDict:
  """Returns the settings of the run."""
  return test_time_config((dataset,)).lock()
