"""Every layout: there and back, every array accounted for, names recognised.

What the arrays mean is tested against the schools' own networks in
parity_test, siglip_test, resnet_test and open_clip_test.
"""

import json

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from s3_jax.clip.layouts import (
  LAYOUTS,
  detect,
  from_params,
  param_shapes,
  to_params,
)
from s3_jax.clip.zoo import ModelSpec

CLIP = ModelSpec(
  name="tiny",
  image_size=12,
  patch_size=4,
  image_width=32,
  image_layers=2,
  image_heads=4,
  image_mlp_dim=40,
  text_width=24,
  text_layers=2,
  text_heads=3,
  text_mlp_dim=28,
  vocab_size=50,
  context_length=9,
  embed_dim=16,
  activation="quick_gelu",
  layer_norm_eps=1e-5,
  image_mean=(0.5, 0.5, 0.5),
  image_std=(0.5, 0.5, 0.5),
  resize_size=12,
  crop_size=12,
  interpolation="bicubic",
  school="openai",
  start_token_id=48,
  end_token_id=49,
  pad_token_id=49,
)
RESNET = CLIP._replace(
  image_tower="resnet",
  image_stages=(2, 1, 1, 1),
  image_layers=5,
  image_width=8,
  image_heads=4,
  image_mlp_dim=0,
  image_pooling="attention",
  patch_size=32,
  image_size=64,
)
SIGLIP = CLIP._replace(
  embed_dim=32,
  image_pooling="attention",
  pre_norm=False,
  patch_bias=True,
  image_projection=False,
  text_causal=False,
  text_pooling="last",
  text_projection_bias=True,
  logit_bias=True,
)
SPECS = {"clip": CLIP, "resnet": RESNET, "siglip": SIGLIP}
FILES = [
  ("hugging_face", "clip"),
  ("hugging_face", "siglip"),
  ("open_clip", "clip"),
  ("open_clip", "resnet"),
  ("open_clip", "siglip"),
  ("scenic", "clip"),
  ("scenic", "resnet"),
  ("big_vision", "siglip"),
  ("big_vision_scanned", "siglip"),
]


def draw(spec: ModelSpec) -> dict:
  """Draws parameters without any two equal numbers in an array."""
  rng = np.random.default_rng(0)
  return unflatten_dict(
    {
      path: jnp.asarray(rng.normal(size=shape), jnp.float32)
      for path, shape in param_shapes(spec).items()
    }
  )


def error_of(arrays, spec, layout) -> str:
  with pytest.raises(ValueError) as caught:
    to_params(arrays, spec, layout, "the file")
  message = str(caught.value)
  assert message.startswith("the file must hold the parameters of tiny")
  assert "\n" not in message
  return message


@pytest.mark.parametrize(("layout", "family"), FILES)
def test_there_and_back(layout, family):
  spec = SPECS[family]
  params = draw(spec)
  arrays = from_params(params, spec, layout)
  assert detect(arrays) == layout
  assert sum(value.size for value in arrays.values()) == sum(
    leaf.size for leaf in jax.tree.leaves(params)
  )
  for name, tensor in LAYOUTS[layout].tensors(spec).items():
    assert arrays[name].shape == tensor.theirs
    assert arrays[name].dtype == np.float32
    assert arrays[name].flags.c_contiguous
  again = to_params(arrays, spec, layout, "the file")
  jax.tree.map(np.testing.assert_array_equal, params, again)


@pytest.mark.parametrize(
  ("name", "spec"),
  [
    ("vit_b32", CLIP._replace(patch_size=32)),
    ("vit_b16", CLIP._replace(patch_size=16)),
    (
      "vit_l14",
      CLIP._replace(
        patch_size=14,
        image_width=1024,
        image_layers=24,
        image_heads=16,
        image_mlp_dim=4096,
        text_width=768,
        text_heads=12,
        text_mlp_dim=3072,
        embed_dim=768,
      ),
    ),
    (
      "resnet_50",
      RESNET._replace(
        image_stages=(3, 4, 6, 3),
        image_layers=16,
        image_width=64,
        image_heads=32,
        embed_dim=1024,
      ),
    ),
  ],
)
def test_trees_of_scenic_are_accounted_for(reference, name, spec):
  """Every leaf of Scenic's real trees, by name and shape."""
  path = reference / f"scenic_clip_params_{name}.json"
  leaves = json.loads(path.read_text("utf-8"))
  spec = spec._replace(
    image_size=224, vocab_size=49408, context_length=77, text_layers=12
  )
  if name != "vit_l14":
    spec = spec._replace(text_width=512, text_heads=8, text_mlp_dim=2048)
  if name in ("vit_b32", "vit_b16"):
    spec = spec._replace(
      image_width=768,
      image_layers=12,
      image_heads=12,
      image_mlp_dim=3072,
      embed_dim=512,
    )
  tensors = LAYOUTS["scenic"].tensors(spec)
  ours = {name: list(tensor.theirs) for name, tensor in tensors.items()}
  assert ours == {name: shape for name, (shape, _) in leaves.items()}
  assert detect(leaves) == "scenic"


def test_heads_of_scenic_are_parts_of_torchs_maps():
  """The numbers: Scenic's arrays, joined by hand, are open_clip's."""
  params = draw(CLIP)
  scenic = from_params(params, CLIP, "scenic")
  torch_like = from_params(params, CLIP, "open_clip")
  for tower, prefix, width in (
    ("visual", "visual.transformer", 32),
    ("text", "transformer", 24),
  ):
    theirs = f"params/{tower}/transformer/resblocks.1/attn"
    ours = f"{prefix}.resblocks.1.attn"
    maps = [scenic[f"{theirs}/{name}/kernel"] for name in MAPS]
    joined = np.concatenate([kernel.reshape(width, -1).T for kernel in maps])
    np.testing.assert_array_equal(joined, torch_like[f"{ours}.in_proj_weight"])
    biases = [scenic[f"{theirs}/{name}/bias"].reshape(-1) for name in MAPS]
    np.testing.assert_array_equal(
      np.concatenate(biases), torch_like[f"{ours}.in_proj_bias"]
    )
    out = scenic[f"{theirs}/out/kernel"].reshape(width, width).T
    np.testing.assert_array_equal(out, torch_like[f"{ours}.out_proj.weight"])
  kernel = scenic["params/visual/conv1/kernel"]
  np.testing.assert_array_equal(
    kernel.transpose(3, 2, 0, 1), torch_like["visual.conv1.weight"]
  )


def test_scenics_resnet_is_openais():
  """The numbers, through two layouts that know nothing of each other."""
  params = draw(RESNET)
  scenic = from_params(params, RESNET, "scenic")
  torch_like = from_params(params, RESNET, "open_clip")
  for theirs, ours in (
    ("batch_stats/visual/bn2/var", "visual.bn2.running_var"),
    ("params/visual/bn3/scale", "visual.bn3.weight"),
    (
      "batch_stats/visual/layer1/0/downsample/1/mean",
      "visual.layer1.0.downsample.1.running_mean",
    ),
    ("params/visual/layer4/0/bn3/bias", "visual.layer4.0.bn3.bias"),
  ):
    np.testing.assert_array_equal(scenic[theirs], torch_like[ours])
  for theirs, ours in (
    ("layer1/1/conv2", "layer1.1.conv2"),
    ("layer3/0/downsample/0", "layer3.0.downsample.0"),
    ("conv1", "conv1"),
  ):
    kernel = scenic[f"params/visual/{theirs}/kernel"]
    np.testing.assert_array_equal(
      kernel.transpose(3, 2, 0, 1), torch_like[f"visual.{ours}.weight"]
    )
  for name, letter in (("query", "q"), ("key", "k"), ("value", "v")):
    kernel = scenic[f"params/visual/attnpool/attn/{name}/kernel"]
    np.testing.assert_array_equal(
      kernel.reshape(256, 256).T,
      torch_like[f"visual.attnpool.{letter}_proj.weight"],
    )


MAPS = ("query", "key", "value")


def big_vision_block(width: int, heads: int, hidden: int) -> dict:
  """Names and shapes inside a block of big_vision's transformers."""
  attention, mlp = "MultiHeadDotProductAttention_0", "MlpBlock_0"
  channels = width // heads
  return {
    **{
      f"LayerNorm_{index}/{leaf}": (width,)
      for index in (0, 1)
      for leaf in ("scale", "bias")
    },
    **{f"{attention}/{map}/kernel": (width, heads, channels) for map in MAPS},
    **{f"{attention}/{map}/bias": (heads, channels) for map in MAPS},
    f"{attention}/out/kernel": (heads, channels, width),
    f"{attention}/out/bias": (width,),
    f"{mlp}/Dense_0/kernel": (width, hidden),
    f"{mlp}/Dense_0/bias": (hidden,),
    f"{mlp}/Dense_1/kernel": (hidden, width),
    f"{mlp}/Dense_1/bias": (width,),
  }


IMAGE_BLOCK = big_vision_block(32, 4, 40)
TEXT_BLOCK = big_vision_block(24, 3, 28)


def test_names_of_big_vision():
  expected = {
    "params/img/embedding/kernel": (4, 4, 3, 32),
    "params/img/embedding/bias": (32,),
    "params/img/pos_embedding": (1, 9, 32),
    "params/img/Transformer/encoder_norm/scale": (32,),
    "params/img/Transformer/encoder_norm/bias": (32,),
    "params/img/MAPHead_0/probe": (1, 1, 32),
    **{
      f"params/img/MAPHead_0/{name}": shape
      for name, shape in IMAGE_BLOCK.items()
      if not name.startswith("LayerNorm_1")
    },
    "params/txt/Embed_0/embedding": (50, 24),
    "params/txt/pos_embedding": (1, 9, 24),
    "params/txt/Encoder_0/encoder_norm/scale": (24,),
    "params/txt/Encoder_0/encoder_norm/bias": (24,),
    "params/txt/head/kernel": (24, 32),
    "params/txt/head/bias": (32,),
    "params/t": (1,),
    "params/b": (1,),
  }
  for index in (0, 1):
    for tower, block in (
      ("img/Transformer", IMAGE_BLOCK),
      ("txt/Encoder_0", TEXT_BLOCK),
    ):
      for name, shape in block.items():
        expected[f"params/{tower}/encoderblock_{index}/{name}"] = shape
  tensors = LAYOUTS["big_vision"].tensors(SIGLIP)
  assert {name: tensor.theirs for name, tensor in tensors.items()} == expected


def test_blocks_that_were_scanned_are_joined():
  plain = LAYOUTS["big_vision"].tensors(SIGLIP)
  params = draw(SIGLIP)
  arrays = from_params(params, SIGLIP, "big_vision")
  joined = from_params(params, SIGLIP, "big_vision_scanned")
  assert len(plain) - len(joined) == 2 * len(IMAGE_BLOCK)
  for tower in ("img/Transformer", "txt/Encoder_0"):
    for name in IMAGE_BLOCK:
      parts = [
        arrays[f"params/{tower}/encoderblock_{index}/{name}"]
        for index in (0, 1)
      ]
      np.testing.assert_array_equal(
        joined[f"params/{tower}/encoderblock/{name}"], np.stack(parts)
      )


def test_joined_blocks_of_one_layer():
  spec = SIGLIP._replace(image_layers=1, text_layers=1)
  params = draw(spec)
  arrays = from_params(params, spec, "big_vision_scanned")
  name = "params/img/Transformer/encoderblock/LayerNorm_0/scale"
  assert arrays[name].shape == (1, 32)
  again = to_params(arrays, spec, "big_vision_scanned", "the file")
  jax.tree.map(np.testing.assert_array_equal, params, again)


@pytest.mark.parametrize(
  ("layout", "family", "extra"),
  [
    ("hugging_face", "clip", "text_model.embeddings.position_ids"),
    ("open_clip", "resnet", "visual.bn1.num_batches_tracked"),
    ("scenic", "clip", "opt_state/0/count"),
    ("scenic", "clip", "global_step"),
    ("big_vision", "siglip", "opt/0/mu/img/embedding/kernel"),
  ],
)
def test_what_is_no_parameter_is_skipped(layout, family, extra):
  spec = SPECS[family]
  arrays = from_params(draw(spec), spec, layout)
  arrays[extra] = np.arange(3)
  assert detect(arrays) == layout
  to_params(arrays, spec, layout, "the file")


@pytest.mark.parametrize(
  ("layout", "family", "rename"),
  [
    ("open_clip", "clip", lambda name: f"module.{name}"),
    ("big_vision", "siglip", lambda name: name.removeprefix("params/")),
    ("big_vision_scanned", "siglip", lambda name: name.removeprefix("params/")),
    (
      "scenic",
      "resnet",
      lambda name: name.replace("batch_stats/", "model_state/batch_stats/"),
    ),
  ],
)
def test_other_prefixes(layout, family, rename):
  spec = SPECS[family]
  params = draw(spec)
  arrays = from_params(params, spec, layout)
  renamed = {rename(name): value for name, value in arrays.items()}
  assert renamed.keys() != arrays.keys()
  assert detect(renamed) == layout
  again = to_params(renamed, spec, layout, "the file")
  jax.tree.map(np.testing.assert_array_equal, params, again)


def test_stated_numbers_must_be_those_of_the_spec():
  """OpenAI's files hold three of them."""
  arrays = from_params(draw(CLIP), CLIP, "open_clip")
  arrays |= {
    "input_resolution": np.asarray(12),
    "context_length": np.asarray(9),
    "vocab_size": np.asarray(50),
  }
  to_params(arrays, CLIP, "open_clip", "the file")
  arrays["input_resolution"] = np.asarray(14)
  message = error_of(arrays, CLIP, "open_clip")
  assert "mis-stated: input_resolution 14 for 12" in message


def test_a_scalar_may_have_an_axis():
  for layout, family in FILES:
    spec = SPECS[family]
    arrays = from_params(draw(spec), spec, layout)
    name = next(
      name
      for name in ("logit_scale", "params/logit_scale", "params/t")
      if name in arrays
    )
    other = () if arrays[name].shape else (1,)
    arrays[name] = arrays[name].reshape(other)
    assert to_params(arrays, spec, layout, "it")["logit_scale"].shape == ()


def test_every_fault_is_named_at_once():
  written = from_params(draw(CLIP), CLIP, "open_clip")
  arrays = {name: value.copy() for name, value in written.items()}
  del arrays["visual.proj"]
  arrays["visual.transformer.resblocks.2.ln_1.bias"] = np.zeros(32, "f4")
  arrays["positional_embedding"] = arrays["positional_embedding"][:7]
  arrays["text_projection"][3, 2] = np.nan
  arrays["ln_final.bias"] = arrays["ln_final.bias"].astype(np.float64) * 1e300
  arrays["ln_final.weight"] = np.ones(24, np.int64)
  arrays["module.visual.ln_pre.bias"] = arrays["visual.ln_pre.bias"]
  message = error_of(arrays, CLIP, "open_clip")
  for part in (
    "missing: visual.proj;",
    "left over: visual.transformer.resblocks.2.ln_1.bias;",
    "twice: module.visual.ln_pre.bias;",
    "mis-shaped: positional_embedding [7, 24] for [9, 24];",
    "not of floating point: ln_final.weight int64;",
    "not finite: ln_final.bias, text_projection.",
  ):
    assert part in message


def test_ten_names_of_a_kind_and_the_count():
  arrays = from_params(draw(CLIP), CLIP, "hugging_face")
  kept = {name: value for name, value in arrays.items() if "vision" in name}
  message = error_of(kept, CLIP, "hugging_face")
  missing = len(arrays) - len(kept)
  assert f"... ({missing} in all)" in message
  assert message.count(", text_model.") == 9  # after the first and logit_scale


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_numbers_of_other_types(dtype):
  stored = getattr(ml_dtypes, dtype, None) or np.dtype(dtype)
  arrays = {
    name: value.astype(stored)
    for name, value in from_params(draw(CLIP), CLIP, "hugging_face").items()
  }
  params = to_params(arrays, CLIP, "hugging_face", "the file")
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("f4")}
  kernel = arrays["text_projection.weight"].astype(np.float32).T
  np.testing.assert_array_equal(params["text"]["projection"]["kernel"], kernel)


def test_parameters_kept_in_half_the_memory():
  arrays = from_params(draw(SIGLIP), SIGLIP, "hugging_face")
  params = to_params(arrays, SIGLIP, "hugging_face", "it", dtype="bfloat16")
  for path, leaf in flatten_dict(params).items():
    assert leaf.dtype == (jnp.float32 if len(path) == 1 else jnp.bfloat16)
  written = from_params(params, SIGLIP, "hugging_face")
  for name, value in written.items():
    np.testing.assert_allclose(value, arrays[name], rtol=2**-8)


def test_names_of_no_layout():
  message = "weights.bin must hold arrays named.*big_vision.*got a.b, c"
  with pytest.raises(ValueError, match=message):
    detect(["c", "a.b"], "weights.bin")
  with pytest.raises(ValueError, match="got no array"):
    detect([])


@pytest.mark.parametrize(
  ("layout", "spec", "rule"),
  [
    ("hugging_face", RESNET, "clip or siglip network.*image_tower='resnet'"),
    ("scenic", SIGLIP, "clip or resnet network for the scenic layout"),
    ("big_vision", CLIP, "siglip network.*logit_bias=False"),
    ("hugging_face", CLIP._replace(patch_bias=True), "patch_bias=True"),
    ("open_clip", CLIP._replace(image_pooling="mean"), "='mean'"),
  ],
)
def test_a_layout_has_no_names_for_every_network(layout, spec, rule):
  with pytest.raises(ValueError, match=rule):
    LAYOUTS[layout].tensors(spec)


def test_wrong_arguments_are_named():
  params = draw(CLIP)
  arrays = from_params(params, CLIP, "scenic")
  with pytest.raises(ValueError, match="`layout` must be.*'timm'"):
    to_params(arrays, CLIP, "timm", "the file")
  with pytest.raises(ValueError, match="`layout` must be.*'timm'"):
    from_params(params, CLIP, "timm")
  with pytest.raises(ValueError, match="`dtype` must be.*'float16'"):
    to_params(arrays, CLIP, "scenic", "the file", dtype="float16")
  other = CLIP._replace(embed_dim=8)
  with pytest.raises(ValueError, match=r"\(32, 8\) at image/projection/kernel"):
    from_params(params, other, "scenic")
  with pytest.raises(ValueError, match="and no others, got logit_bias"):
    from_params({**params, "logit_bias": jnp.zeros(())}, CLIP, "scenic")
  with pytest.raises(ValueError, match="at logit_scale.*got nothing"):
    from_params({"image": params["image"]}, CLIP, "scenic")
