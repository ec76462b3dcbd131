r"""All fifteen benchmarks in one run and one table.

Command:
  python main.py --config=configs/suite.py --config.data_dir=DATA \
    --workdir=runs/suite

What is not under DATA is left out and named; averages are made only over
complete groups (the ten fine-grained sets, the five of ImageNet's family, its
four shifts). One test: `--config.datasets=plain,outline
--config.model=s3_jax/pictographs` runs on the embedded world, which needs no
download.

Hardware: a GPU, or patience: 232,085 images and their texts. Stopped at any
time, the same command goes on.

Expected (published, not measured here): `class_name` with OpenAI's ViT-B/16
59.11 % on average over ImageNet's family (M2TPT, table 2), 63.58 % over the
ten others (D2TPT, table 3), both cited at second hand.

Fields: `Benchmark` in s3_jax/experiment/tasks/benchmark/settings.py.
"""

import ml_collections

from s3_jax.experiment.tasks.benchmark.config import suite_config


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the suite."""
  config = suite_config(
    (
      "imagenet",
      "imagenet_a",
      "imagenet_v2",
      "imagenet_r",
      "imagenet_sketch",
      "fgvc_aircraft",
      "caltech101",
      "stanford_cars",
      "dtd",
      "eurosat",
      "oxford_flowers102",
      "food101",
      "oxford_pets",
      "sun397",
      "ucf101",
    )
  )
  return config.lock()
