"""What a CLIP checkpoint is, as data.

A `ModelSpec` holds every setting that changes an embedding: the shapes of both
towers, the activation, the pixel statistics, the resizing, the special tokens.
It is read from the files that lie beside the weights, or it is a row of `ZOO`,
and is never guessed, so weights cannot meet the settings of another checkpoint.
"""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple


class Source(NamedTuple):
  """Where a checkpoint comes from; changes nothing that is computed.

  Attributes:
    repository: on the Hugging Face hub, "" where there is none.
    file: the weights' name in the repository, or the address of a bare file.
    revision: the commit to take, where a public source states one.
    sha256: of the weights, where a public source states it.
    licence: of the weights, as the repository words it.
    reference: the page that these facts were taken from.
  """

  repository: str = ""
  file: str = ""
  revision: str | None = None
  sha256: str | None = None
  licence: str = ""
  reference: str = ""


class ModelSpec(NamedTuple):
  """The settings of one checkpoint; hashable, so it can be static under jit.

  Attributes:
    name: what the checkpoint is called.
    image_size: rows and columns of the image tower's input, pixels.
    patch_size: rows and columns of one patch, pixels. A ViT does not see what a
      patch size that does not divide the image leaves over at the right and at
      the bottom. For a ResNet 32, what one cell of its last feature map covers.
    image_width: channels of the image tower; for a ResNet those of its stem.
    image_layers: transformer blocks, or residual blocks in all.
    image_heads: attention heads; of the attention pooling for a ResNet.
    image_mlp_dim: hidden channels of the image tower's MLPs; 0 for a ResNet.
    text_width: channels of the text tower.
    text_layers: transformer blocks of the text tower.
    text_heads: attention heads of the text tower; divides `text_width`.
    text_mlp_dim: hidden channels of the text tower's MLPs.
    vocab_size: number of token ids.
    context_length: longest text in tokens, start and end included.
    embed_dim: dimension of the embeddings that both towers share.
    activation: "quick_gelu", x * sigmoid(1.702 x), "gelu", the exact form, or
      "gelu_tanh", its tanh approximation; of both towers, or of the image tower
      where the text tower has its own.
    layer_norm_eps: guard inside every layer norm of both towers.
    image_mean: mean of the training pixels, red green blue, in [0, 1].
    image_std: their standard deviation.
    resize_size: pixels of the shortest side after resizing; of both sides where
      `resize_mode` is "squash".
    crop_size: rows and columns of the centre crop, pixels.
    interpolation: resampling filter of the resizing, "bicubic" or "bilinear".
    school: whose order of preprocessing steps is followed; "transformers":
      RGB first, then the resize, then a centre crop with floored offsets;
      "openai": resize, centre crop with offsets rounded half to even, RGB last.
    start_token_id: id that opens a text; None where nothing does.
    end_token_id: id that closes a text.
    pad_token_id: id that fills a text up to the context length.
    image_tower: "vit", or "resnet", OpenAI's modified ResNet.
    image_stages: residual blocks of each of the four stages; () for a ViT.
    image_pooling: "class_token", "mean" over the patches, or "attention": of
      the ResNets, and with another head of SigLIP's ViTs.
    pre_norm: whether a layer norm stands before the image tower's blocks.
    patch_bias: whether the patch embedding has a bias.
    image_projection: whether a linear map follows the image tower's pooling.
    text_causal: whether a token sees only what stands before it.
    text_pooling: "end_token", the first one of a text, or "last", the last
      token of the padded text.
    text_projection_bias: whether the text tower's last linear map has a bias.
    logit_bias: whether the checkpoint has one beside its logit scale.
    tokenizer: "bpe", CLIP's byte-pair encoding, or "sentencepiece".
    text_cleaning: "clip", as OpenAI's code cleans; "canonical", lower case
      without punctuation; "lower", lower case alone; "none".
    resize_mode: "shortest", the shortest side to `resize_size`, or "squash",
      both sides, whatever the aspect.
    text_activation: of the text tower, in the same words; None where it is that
      of the image tower.
    source: where it comes from.
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
  start_token_id: int | None
  end_token_id: int
  pad_token_id: int
  image_tower: str = "vit"
  image_stages: tuple[int, ...] = ()
  image_pooling: str = "class_token"
  pre_norm: bool = True
  patch_bias: bool = False
  image_projection: bool = True
  text_causal: bool = True
  text_pooling: str = "end_token"
  text_projection_bias: bool = False
  logit_bias: bool = False
  tokenizer: str = "bpe"
  text_cleaning: str = "clip"
  resize_mode: str = "shortest"
  text_activation: str | None = None
  source: Source = Source()


SIGLIP: Mapping[str, Any] = {
  "image_pooling": "attention",
  "pre_norm": False,
  "patch_bias": True,
  "image_projection": False,
  "text_causal": False,
  "text_pooling": "last",
  "text_projection_bias": True,
  "logit_bias": True,
  "tokenizer": "sentencepiece",
}
"""How SigLIP's networks differ from CLIP's, which the defaults are."""


def identify(spec: ModelSpec) -> dict[str, Any]:
  """Lists the settings that stand in keys of a cache."""
  fields = spec._asdict()
  if spec.text_activation is None:
    del fields["text_activation"]
  return fields


_PACKAGE = pathlib.Path(__file__).resolve().parent.parent

MODELS = {
  f"s3_jax/{world}": _PACKAGE / "checkpoints" / world
  for world in ("emoji", "pictographs")
}
"""The folders of the checkpoints that come with the package."""
