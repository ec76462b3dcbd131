"""Tries ways to adapt spaces on one set of views.

Command:
  python main.py --config=configs/view_sweep.py --workdir=runs/view_sweep

Chooses on the embedded world's validation split, never on a test set: 1,800
images of 64 views, embedded once and cached. A learning rate of 0 is S3 without
adaptation.

Hardware: two CPU cores, about ten minutes once the views are in the cache.
docs/ADAPTATION.md has the table.

Fields: `ViewSweep` in s3_jax/experiment/tasks/sweep/views.py.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.sweep.views import ViewSweep


def get_config() -> ml_collections.ConfigDict:
  """Returns the sweep's settings."""
  return make_config(
    "view_sweep",
    ViewSweep,
    leave_out=("revision",),
    model="s3_jax/pictographs",
    metric="local_center",  # of s3_anchored; `metrics` are those of TS3
  ).lock()
