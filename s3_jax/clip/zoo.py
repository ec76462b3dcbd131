"""What a CLIP checkpoint is, as data.

A `ModelSpec` holds every setting that changes an embedding: the shapes of both
towers, the activation, the pixel statistics, the resizing, the special tokens.
It is read from the files that lie beside the weights and is never guessed, so
weights cannot meet the settings of another checkpoint.
"""

import pathlib
from typing import NamedTuple


class ModelSpec(NamedTuple):
  """The settings of one checkpoint; hashable, so it can be static under jit.

  Attributes:
    name: what the checkpoint is called.
    image_size: rows and columns of the image tower's input, pixels.
    patch_size: rows and columns of one patch, pixels; divides `image_size`.
    image_width: channels of the image tower.
    image_layers: transformer blocks of the image tower.
    image_heads: attention heads of the image tower; divides `image_width`.
    image_mlp_dim: hidden channels of the image tower's MLPs.
    text_width: channels of the text tower.
    text_layers: transformer blocks of the text tower.
    text_heads: attention heads of the text tower; divides `text_width`.
    text_mlp_dim: hidden channels of the text tower's MLPs.
    vocab_size: number of token ids.
    context_length: longest text in tokens, start and end included.
    embed_dim: dimension of the embeddings that both towers share.
    activation: "quick_gelu", x * sigmoid(1.702 x), or "gelu", the exact form.
    layer_norm_eps: guard inside every layer norm of both towers.
    image_mean: mean of the training pixels, red green blue, in [0, 1].
    image_std: their standard deviation.
    resize_size: pixels of the shortest side after resizing.
    crop_size: rows and columns of the centre crop, pixels.
    interpolation: resampling filter of the resizing, "bicubic".
    school: whose order of preprocessing steps is followed; "transformers":
      RGB first, then the resize, then a centre crop with floored offsets.
    start_token_id: id that opens a text.
    end_token_id: id that closes a text; the text is pooled at its first place.
    pad_token_id: id that fills a text up to the context length.
  """

  name: str
  image_size: int
  patch_size: int
  image_width: int
  image_layers: int
  image_heads: int
  image_mlp_dim: int
  text_width: int
  text_layers: int
  text_heads: int
  text_mlp_dim: int
  vocab_size: int
  context_length: int
  embed_dim: int
  activation: str
  layer_norm_eps: float
  image_mean: tuple[float, float, float]
  image_std: tuple[float, float, float]
  resize_size: int
  crop_size: int
  interpolation: str
  school: str
  start_token_id: int
  end_token_id: int
  pad_token_id: int


_PACKAGE = pathlib.Path(__file__).resolve().parent.parent

# Checkpoints that come with the package, in the Hugging Face CLIP layout.
MODELS = {"s3_jax/pictographs": _PACKAGE / "checkpoints" / "pictographs"}
