"""Nine methods on five test sets of the pictographs, a world made by rule.

Command:
  python main.py --config=configs/pictographs.py

Hardware: two CPU cores, about two minutes; the second run takes seconds.
docs/RESULTS.md has the table that it prints and says how it was made.

Fields: `Benchmark` in s3_jax/experiment/tasks/benchmark/settings.py.
"""

import ml_collections

from s3_jax.experiment.tasks.benchmark.config import benchmark_config


def get_config() -> ml_collections.ConfigDict:
  """Returns the run's settings."""
  return benchmark_config(
    model="s3_jax/pictographs",  # or a folder in Hugging Face's layout
    lexicon="pictographs",
    test_sets=("plain", "outline", "contrast", "clutter", "rendering"),
    methods=(
      "class_name",  # the official label alone
      "best_name",  # the name that training captions use most
      "templates",  # the official label in seven templates
      "random_synonym",
      "synonyms_mean",  # mean of all names
      "synonyms_nearest",  # the best of all names
      "local_center",  # S3: local center of the Rips core
      "polluted_all",  # the same metric with wrong entries, all kept
      "polluted_core",  # with wrong entries, Rips core only
    ),
    template="a photo of a {}.",  # of each name
    templates=(  # of the method "templates"
      "a photo of a {}.",
      "a picture of a {}.",
      "a drawing of a {}.",
      "an icon of a {}.",
      "a small {}.",
      "the {}.",
      "a clean rendering of a {}.",
    ),
    metric="local_center",
    neighbors=4,  # this, scale and min_gap: the best of configs/sweep.py
    batch_size=100,
    figure_classes=(17, 9, 50, 70),  # whose texts are drawn
    diagnosis=False,  # True: confusions and reliability diagrams as well
  ).lock()
