"""Scenic's trees: there and back, against its own lists of leaves."""

import json

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from s3_jax.clip import ZOO, embed_images, embed_texts, init_params
from s3_jax.clip.layouts import from_params
from s3_jax.integrations import scenic

FAMILIES = ("vit", "resnet")
REAL = {
  "vit_b16": "openai/clip-vit-base-patch16",
  "vit_b32": "openai/clip-vit-base-patch32",
  "vit_l14": "openai/clip-vit-large-patch14",
  "resnet_50": "openai/RN50",
}


@pytest.fixture(params=FAMILIES)
def spec(request):
  return request.getfixturevalue(request.param)


@pytest.mark.parametrize(("name", "checkpoint"), REAL.items())
def test_real_trees_leaf_by_leaf(reference, monkeypatch, name, checkpoint):
  """Names, shapes and types of Scenic's own trees, of zeros that cost nothing.

  Rows of the zoo stand for the checkpoints: their settings must be Scenic's.
  """
  path = reference / f"scenic_clip_params_{name}.json"
  leaves = json.loads(path.read_text("utf-8"))
  spec = ZOO[checkpoint]
  shapes = jax.eval_shape(lambda: init_params(jax.random.key(0), spec))
  # A zero that claims a shape: broadcast arrays hold one number each.
  params = jax.tree.map(
    lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), shapes
  )
  monkeypatch.setattr(np, "ascontiguousarray", lambda value: value)
  variables = scenic.to_variables(params, spec)
  written = {
    "/".join(words): [list(leaf.shape), leaf.dtype.name]
    for words, leaf in flatten_dict(variables).items()
  }
  assert written == leaves
  assert ("batch_stats" in variables) == (name == "resnet_50")


def test_there_and_back(spec, draw):
  params = draw(spec)
  variables = scenic.to_variables(params, spec)
  assert variables.keys() <= {"params", "batch_stats"}
  for leaf in jax.tree.leaves(variables):
    assert isinstance(leaf, np.ndarray) and leaf.dtype == np.float32
    assert leaf.flags.c_contiguous
  again = scenic.from_variables(variables, spec)
  jax.tree.map(np.testing.assert_array_equal, params, again)
  twice = scenic.to_variables(again, spec)
  jax.tree.map(np.testing.assert_array_equal, variables, twice)


def test_what_trainers_hold_is_read(spec, draw):
  """FrozenDicts, device arrays, and a checkpoint with an optimiser in it."""
  params = draw(spec)
  variables = scenic.to_variables(params, spec)
  frozen = flax.core.freeze(jax.tree.map(jnp.asarray, variables))
  state = {
    "params": frozen["params"],
    "model_state": {k: v for k, v in frozen.items() if k != "params"},
    "opt_state": {"0": {"count": np.int32(3), "mu": None}},
    "global_step": 7,
    "rng": np.zeros(2, np.uint32),
    "metadata": {"chrono": {"note": "a text"}},
  }
  for given in (frozen, state):
    again = scenic.from_variables(given, spec)
    jax.tree.map(np.testing.assert_array_equal, params, again)


def test_the_towers_give_the_same_after_a_round_trip(spec, draw):
  params = draw(spec)
  again = scenic.from_variables(scenic.to_variables(params, spec), spec)
  rng = np.random.default_rng(1)
  size = (3, spec.image_size, spec.image_size, 3)
  images = rng.integers(0, 256, size, dtype=np.uint8)
  token_ids = rng.integers(1, 58, (3, 8)).astype(np.int32)
  token_ids[:, 6] = 59
  for embed, inputs in ((embed_images, images), (embed_texts, token_ids)):
    before = embed(spec, params, inputs)
    np.testing.assert_array_equal(before, embed(spec, again, inputs))
    gram = np.asarray(before) @ np.asarray(before).T
    assert gram[0, 1] < 0.9999  # the inputs make a difference


def test_half_precision_is_widened_without_change(spec, draw):
  """Scenic keeps the files' float16; it comes in exactly, float32 goes out."""
  variables = scenic.to_variables(draw(spec), spec)
  half = jax.tree.map(lambda leaf: leaf.astype(np.float16), variables)
  params = scenic.from_variables(half, spec)
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("f4")}
  back = scenic.to_variables(params, spec)
  jax.tree.map(
    lambda out, given: np.testing.assert_array_equal(
      out.astype(np.float16), given
    ),
    back,
    half,
  )


def test_parameters_in_bfloat16(vit, draw):
  variables = scenic.to_variables(draw(vit), vit)
  params = scenic.from_variables(variables, vit, dtype="bfloat16")
  assert params["image"]["projection"]["kernel"].dtype == jnp.bfloat16
  assert params["logit_scale"].dtype == jnp.float32


@pytest.mark.parametrize(
  ("family", "words", "fault"),
  [
    ("vit", ("params", "visual", "proj", "kernel"), "missing"),
    ("vit", ("params", "logit_scale"), "missing"),
    ("resnet", ("batch_stats", "visual", "bn1", "mean"), "missing"),
    ("vit", ("params", "visual", "head"), "left over"),
    ("resnet", ("batch_stats", "visual", "bn1", "count"), "left over"),
    ("vit", ("params", "text", "ln_final", "scale"), "mis-shaped"),
    ("vit", ("params", "text", "ln_final", "bias"), "not finite"),
    ("vit", ("params", "visual", "ln_pre", "bias"), "not of floating point"),
  ],
)
def test_a_wrong_leaf_is_named(request, draw, family, words, fault):
  spec = request.getfixturevalue(family)
  variables = scenic.to_variables(draw(spec), spec)
  *above, leaf = words
  branch = variables
  for word in above:
    branch = branch[word]
  if fault == "missing":
    del branch[leaf]
  elif fault == "left over":
    branch[leaf] = np.zeros(2, np.float32)
  elif fault == "mis-shaped":
    branch[leaf] = branch[leaf][:-1]
  elif fault == "not finite":
    branch[leaf] = branch[leaf] + np.float32(np.inf)
  else:
    branch[leaf] = np.ones(branch[leaf].shape, np.int32)
  with pytest.raises(ValueError) as caught:
    scenic.from_variables(variables, spec)
  message = str(caught.value)
  assert message.startswith(
    f"`variables` must hold the parameters of {spec[0]}"
  )
  assert f"{fault}: {'/'.join(words)}" in message
  assert "\n" not in message


def test_blocks_named_with_an_underscore_are_another_tree(vit, draw):
  """Scenic's OWL-ViT writes resblocks_0, and other norms in it."""
  variables = scenic.to_variables(draw(vit), vit)
  blocks = variables["params"]["visual"]["transformer"]
  assert sorted(blocks) == ["resblocks.0", "resblocks.1"]
  blocks["resblocks_0"] = blocks.pop("resblocks.0")
  with pytest.raises(ValueError, match=r"missing: .*resblocks\.0/.*left over"):
    scenic.from_variables(variables, vit)


def test_replicated_variables_are_mis_shaped(vit, draw):
  variables = scenic.to_variables(draw(vit), vit)
  replicated = flax.jax_utils.replicate(variables)
  with pytest.raises(ValueError, match=r"mis-shaped: .*\[8, 8\] for \[\]|\[8"):
    scenic.from_variables(replicated, vit)


def test_a_tree_without_its_name_is_refused(vit, draw):
  tree = scenic.to_variables(draw(vit), vit)["params"]
  with pytest.raises(ValueError, match="got logit_scale, text, visual: a tree"):
    scenic.from_variables(tree, vit)
  with pytest.raises(ValueError, match="got no key"):
    scenic.from_variables({}, vit)


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("activation", "gelu"),
    ("layer_norm_eps", 1e-6),
    ("text_causal", False),
    ("text_pooling", "last"),
  ],
)
def test_what_scenic_would_compute_otherwise_is_refused(
  vit, draw, field, value
):
  """Its modules have these settings built in, and would give other numbers."""
  params = draw(vit)
  variables = scenic.to_variables(params, vit)
  other = vit._replace(**{field: value})
  rule = rf"`{field}` of tiny vit must be .* got {value!r}"
  with pytest.raises(ValueError, match=rule):
    scenic.to_variables(params, other)
  with pytest.raises(ValueError, match=rule):
    scenic.from_variables(variables, other)


def test_networks_that_scenic_has_not(vit, draw):
  params = draw(vit)
  with pytest.raises(ValueError, match="clip or resnet network"):
    scenic.to_variables(params, vit._replace(patch_bias=True))
  with pytest.raises(ValueError, match="`params` must have shape"):
    scenic.to_variables(params, vit._replace(embed_dim=8))


@pytest.mark.parametrize("family", FAMILIES)
def test_scenics_own_modules_agree(request, draw, family):
  """The towers of the real package, where it is installed."""
  layers = pytest.importorskip("scenic.projects.baselines.clip.layers")
  spec = request.getfixturevalue(family)
  params = draw(spec)
  stages = spec.image_stages
  model = layers.CLIP(
    vocab_size=spec.vocab_size,
    embed_dim=spec.embed_dim,
    text_features=spec.text_width,
    text_num_layers=spec.text_layers,
    text_num_heads=spec.text_heads,
    vision_num_layers=stages or spec.image_layers,
    vision_features=spec.image_width,
    vision_patch_size=None if stages else spec.patch_size,
    vision_head_dim=64 if stages else spec.image_width // spec.image_heads,
  )
  variables = scenic.to_variables(params, spec)
  rng = np.random.default_rng(1)
  size = (2, spec.image_size, spec.image_size, 3)
  images = rng.normal(size=size).astype(np.float32)
  token_ids = rng.integers(1, 58, (2, 8)).astype(np.int32)
  token_ids[:, 6:] = 59, 0
  for embed, method, inputs in (
    (embed_images, model.encode_image, images),
    (embed_texts, model.encode_text, token_ids),
  ):
    theirs = model.apply(variables, inputs, method=method)
    np.testing.assert_allclose(embed(spec, params, inputs), theirs, atol=2e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_scenic_loads_is_read(request, tmp_path, draw, family):
  """OpenAI's float16 by the real `load_model_vars`, where it is installed."""
  model = pytest.importorskip("scenic.projects.baselines.clip.model")
  # Its conversion knows heads of 64 channels only.
  wide = {"text_width": 64, "text_heads": 1}
  if family == "vit":
    wide |= {"image_width": 128, "image_heads": 2}
  spec = request.getfixturevalue(family)._replace(**wide)
  params = draw(spec)
  arrays = {
    name: value.astype(np.float16)
    for name, value in from_params(params, spec, "open_clip").items()
  }
  np.save(tmp_path / "openai.npy", np.array(arrays, dtype=object))
  variables = model.load_model_vars("vit_b32", str(tmp_path / "openai.npy"))
  assert jax.tree.leaves(variables)[0].dtype == np.float16
  again = scenic.from_variables(variables, spec)
  jax.tree.map(np.testing.assert_array_equal, params, again)
