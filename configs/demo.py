"""The demo: ten methods on emoji, by artists whom the checkpoint never saw.

Command:
  python main.py --config=configs/demo.py

Hardware: two CPU cores, half a minute; the second run takes seconds.
docs/RESULTS.md has the table that it prints and says how it was made.

Fields: `Benchmark` in s3_jax/experiment/tasks/benchmark/settings.py.
"""

import ml_collections

from s3_jax.experiment.tasks.benchmark.config import benchmark_config


def get_config() -> ml_collections.ConfigDict:
  """Returns the run's settings."""
  return benchmark_config(
    model="s3_jax/emoji",  # or a folder in Hugging Face's layout
    lexicon="emoji",
    test_sets=("emoji_validation", "emojione", "fxemoji"),
    methods=(
      "class_name",  # Unicode's name of the emoji
      "best_name",  # the name that training captions use most
      "random_synonym",
      "center",  # of the right names' core
      "synonyms_mean",  # mean of all right names
      "synonyms_nearest",  # the best of all right names
      "local_center",  # S3: local center of the Rips core
      "polluted_all",  # with wrong senses of the same words, all kept
      "polluted_gap",  # the same, core by the paper's largest gap
      "polluted_core",  # the same, core by the rule of two witnesses
    ),
    template="a photo of a {}.",  # of each name
    metric="local_center",
    neighbors=4,  # as in every config; nothing was chosen on emoji
    batch_size=100,
    figure_classes=(2, 26, 279, 346),  # whose texts are drawn
    diagnosis=False,  # True: confusions and reliability diagrams as well
  ).lock()
