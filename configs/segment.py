r"""Labels the pixels of one's own photographs with one's own classes.

Command:
  python main.py --config=configs/segment.py --config.images=photos/ \
    --config.classes='sky,grass,dog,person' --workdir=runs/segment

Writes overlays/*.png (the image beside its label map, with a legend),
labels/*.png (class indices, 8 bits), segments.html (both small, side by side,
to be looked at) and segments.json (the share of each class in each image).
docs/PREDICT.md says what images and classes may be; classes
with synonyms, such as a packaged table or a file, become spaces. With
`--config.background=True` the first class is the background, and
`--config.protocol_changes.prob_threshold=0.1` gives it all pixels of which
nothing is probable.

Hardware: any; a photograph takes some seconds on a few CPU cores.

Fields: `Segment` in s3_jax/experiment/tasks/segment.py.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.segment import Segment


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of a run."""
  return make_config(
    "segment",
    Segment,
    images="photos",
    classes="voc",
    model="openai/clip-vit-base-patch16",
    metric="local_center",  # of s3
  ).lock()
