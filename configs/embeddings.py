r"""Every method that needs no tower, on embeddings that you already have.

Command:
  python main.py --config=configs/embeddings.py --config.images=images.npz \
    --config.texts=texts.npz --workdir=runs/embeddings

Images with labels and texts with names and classes, of any encoder and any
dimension, as .npz, .npy with a JSON, .safetensors or .pt; docs/EMBEDDINGS.md
lists the keys. Tip-Adapter's caches are read as they are:

  python main.py --config=configs/embeddings.py --config.images=test_f.pt \
    --config.labels=test_l.pt --config.texts=texts.npz \
    --config.classes=imagenet

`configs/embeddings.py:sweep` tries k, the scale rule and the metric instead.

Hardware: any; there is no tower to run.

Fields: `EmbeddingRun` in s3_jax/experiment/tasks/embeddings/__init__.py.
"""

import ml_collections

from s3_jax.experiment.tasks.embeddings.config import embeddings_config


def get_config(kind: str = "run") -> ml_collections.ConfigDict:
  """Returns the settings of the run, or of the sweep."""
  return embeddings_config(kind).lock()
