"""Makes one folder of safetensors of a checkpoint in any form.

Command:
  python main.py --config=configs/convert.py --config.source=ViT-B-32.pt
    --config.model_spec=openai/ViT-B/32 --config.to=checkpoints/ViT-B-32

The new folder is what `load_clip` and `config.model` take. CLIP and SigLIP are
written in the Hugging Face layout, so that `transformers` reads them too; what
that layout has no words for, ResNets above all, in open_clip's. A host that
reads the folder needs no network and none of the original files.

`config.source` is a name of the zoo (configs/models.py lists them), a folder,
or a weights file. float16 halves the folder; it is exact for OpenAI's own
files, whose numbers are float16 already.

Hardware: any; memory for twice the checkpoint in float32.

Fields: `Conversion` in s3_jax/experiment/tasks/convert.py.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.convert import Conversion


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of a conversion."""
  return make_config(
    "convert",
    Conversion,
    source="s3_jax/pictographs",
    to="checkpoints/converted",
  ).lock()
