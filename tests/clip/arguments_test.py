"""What a caller reads who gives something else than an array."""

import json
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from s3_jax.clip import embed_images, embed_patches, embed_texts, load_clip
from s3_jax.clip.arguments import check_array, describe

PIXELS = np.zeros((2, 16, 16, 3), np.uint8)


@pytest.mark.parametrize(
  ("images", "words"),
  [
    ([PIL.Image.new("RGB", (5, 4))], "got a list of 1; make it with `np.stack"),
    (PIL.Image.new("RGB", (5, 4)), "got a PIL image of 5 x 4 pixels"),
    ("cat.png", "got the text or path 'cat.png'"),
    (pathlib.Path("cat.png"), "got the path 'cat.png'"),
    (None, "got NoneType"),
    (PIXELS[0], r" have 4 axes, got 3; `images\[None\]`"),
    (PIXELS.astype(np.int64), " be uint8 pixels, or floats .* got int64"),
    (PIXELS > 0, "got bool"),
  ],
)
@pytest.mark.parametrize("function", [embed_images, embed_patches])
def test_images_that_are_no_array(tiny, tiny_params, function, images, words):
  with pytest.raises(ValueError, match=f"`images` must.*{words}") as caught:
    function(tiny["clip"], tiny_params["clip"], images)
  assert len(str(caught.value)) < 300
  with pytest.raises(ValueError, match=words):
    function(tiny["clip"], tiny_params["clip"], images=images)


@pytest.mark.parametrize(
  ("token_ids", "words"),
  [
    (["a cat"], r"got a list of 1; make it with `clip.tokenize\(\["),
    ("a cat", "got the text or path 'a cat'"),
    (np.zeros(12, np.int32), " have 2 axes, got 1"),
    (np.zeros((1, 12), np.float32), " be whole numbers, got float32"),
    (np.asarray([["a cat"]]), " be whole numbers, got <U5"),
  ],
)
def test_token_ids_that_are_no_array(tiny, tiny_params, token_ids, words):
  with pytest.raises(ValueError, match=f"`token_ids` must.*{words}"):
    embed_texts(tiny["clip"], tiny_params["clip"], token_ids)


def test_traced_arrays_are_arrays(tiny, tiny_params):
  spec, params = tiny["clip"], tiny_params["clip"]
  expected = embed_images(spec, params, PIXELS)
  traced = jax.jit(lambda images: embed_images(spec, params, images))(PIXELS)
  np.testing.assert_allclose(traced, expected, atol=1e-6)
  check_array("images", jnp.zeros((1, 2, 2, 3), jnp.bfloat16))
  assert embed_images.lower(spec, params, PIXELS) is not None


def test_words_for_what_was_given():
  assert describe({"a": 1}) == "a dict of 1"
  assert describe(3) == "int"
  assert len(describe("x" * 1000)) < 100


SCRIPT = """
import json, sys
import s3_jax
clip = s3_jax.load_clip("s3_jax/pictographs")
words = [repr(clip)]
for call in (
  lambda: clip.tokenize("a cat"),
  lambda: clip.tokenize(["a cat", None]),
  lambda: clip.tokenize(3),
  lambda: clip.preprocess("cat.png"),
  lambda: clip.preprocess([1, 2]),
  lambda: s3_jax.load_clip("a\\0b"),
  lambda: s3_jax.load_clip("openai/clip-vit-base-patch31"),
  lambda: s3_jax.load_clip("x", spec="openai/RN51"),
  lambda: s3_jax.load_clip("s3_jax/pictographs",
                           tokenizer="a\\0b.json"),
):
  try:
    call()
    words.append("nothing")
  except ValueError as error:
    words.append(str(error))
json.dump(words, sys.stdout)
"""


def test_a_users_own_session():
  """Outside of the tests no types are checked at run time, but by us."""
  done = subprocess.run(
    [sys.executable, "-c", SCRIPT], capture_output=True, check=True, timeout=300
  )
  said = json.loads(done.stdout)
  assert all(line.isprintable() and len(line) <= 300 for line in said)
  expected = (
    "Clip('s3_jax/pictographs', 48 x 48 pixels, 48 tokens, 128 dimensions,",
    'must be a list of texts, got a str; write ["a cat"] for one text.',
    "must be a list of texts, got NoneType at index 1.",
    "must be a list of texts, got int.",
    "`image` must be a PIL image, got the text or path 'cat.png'; open a file",
    "`image` must be a PIL image, got a list of 2",
    "`source` must be a folder",
    "openai/clip-vit-base-patch32",
    "`spec` must be a ModelSpec or one of openai/RN50",
    "must be a file name, got a zero byte.",
  )
  for line, words in zip(said, expected, strict=True):
    assert words in line


def test_repr_of_a_checkpoint_is_one_line(tiny, tiny_params, bpe, tmp_path):
  from s3_jax.clip import save_clip

  save_clip(tmp_path / "model", tiny["clip"], tiny_params["clip"], bpe)
  clip = load_clip(tmp_path / "model")
  assert repr(clip) == str(clip)
  assert "\n" not in repr(clip) and len(repr(clip)) < 150
  assert clip.sha256[:12] in repr(clip)
