"""Names to spaces: every form of classes, templates, own embeddings."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import s3_jax
from s3_jax.lexicon.given_classes import read_classes
from s3_jax.named_classes.spaces import batch_rows

RAGGED = {
  "jet": ["jet", "airplane", "plane"],
  "cat": ["cat"],
  "sea": ["sailing boat", "anchor"],
}


def embed(clip, prompts):
  ids = clip.tokenize(prompts)
  return np.asarray(s3_jax.embed_texts(clip.spec, clip.params, ids))


def own(classes=9, dim=12):
  """Embeds classes near the axes, and a text of class 0 at axis 1."""
  generator = np.random.default_rng(0)
  axes = np.eye(dim, dtype=np.float32)
  noise = generator.normal(0, 0.05, (classes, 4, dim)).astype(np.float32)
  rows = {f"c{n}": axes[n] + noise[n] for n in range(classes)}
  rows["c0"][3] = 2 * axes[1] - axes[0]
  return rows


def test_ragged_names_become_padded_arrays(clip):
  space = s3_jax.embed_classes(clip, RAGGED)
  assert space.names == ("jet", "cat", "sea")
  assert space.texts == tuple(map(tuple, RAGGED.values()))
  assert np.asarray(space.space.mask).tolist() == [
    [True, True, True],
    [True, False, False],
    [True, True, False],
  ]
  prompts = [f"a photo of a {text}." for text in sum(RAGGED.values(), [])]
  np.testing.assert_allclose(
    np.asarray(space.space.points)[np.asarray(space.space.mask)],
    embed(clip, prompts),
    atol=1e-6,
  )
  assert space.logit_scale == float(clip.params["logit_scale"])
  assert space.left_out == ((), (), ())


def test_several_templates_are_one_vertex(clip):
  templates = ["a photo of a {}.", "{}", "art of the {}."]
  space = s3_jax.embed_classes(clip, ["cat", "jet"], template=templates)
  rows = embed(clip, [t.replace("{}", "jet") for t in templates])
  mean = rows.astype(np.float64).mean(axis=0)
  expected = mean / np.linalg.norm(mean)
  np.testing.assert_allclose(space.space.points[1, 0], expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["dict", "path", "text", "list", "read"])
def test_every_form_of_a_class_list(clip, tmp_path, kind):
  path = tmp_path / "classes.json"
  path.write_text(json.dumps(RAGGED), "utf-8")
  given = {
    "dict": RAGGED,
    "path": path,
    "text": str(path),
    "list": json.dumps(RAGGED),
    "read": read_classes(RAGGED),
  }[kind]
  space = s3_jax.embed_classes(clip, given)
  assert (space.names, space.texts) == (
    tuple(RAGGED),
    tuple(map(tuple, RAGGED.values())),
  )


def test_a_packaged_table_and_names_between_commas(clip):
  table = s3_jax.embed_classes(clip, "eurosat")
  assert table.texts == read_classes("eurosat").concepts
  names = s3_jax.embed_classes(clip, "cat, sailing_boat")
  assert names.names == ("cat", "sailing_boat")
  assert names.texts == (("cat",), ("sailing boat",))


def test_embeddings_of_another_encoder_are_made_unit_and_pruned():
  rows = own()
  space = s3_jax.embed_classes(None, rows, logit_scale=math.log(50))
  assert space.texts[0] == ("text 0", "text 1", "text 2", "text 3")
  assert space.left_out == (("text 3",), *[()] * 8)
  expected = rows["c2"] / np.linalg.norm(rows["c2"], axis=1, keepdims=True)
  np.testing.assert_allclose(space.space.points[2], expected, atol=1e-6)
  assert space.logit_scale == math.log(50)
  whole = s3_jax.embed_classes(None, rows, logit_scale=0, scale=None)
  assert whole.left_out == ((),) * 9


def test_embeddings_of_a_file_are_what_its_rows_are(tmp_path):
  rows = own()
  path = tmp_path / "texts.npz"
  names = [f"{name} {n}" for name in rows for n in range(4)]
  np.savez(
    path,
    embeddings=np.concatenate(list(rows.values())),
    names=np.array(names),
    class_index=np.repeat(np.arange(9), 4),
  )
  read = s3_jax.read_text_embeddings(path)
  space = s3_jax.embed_classes(None, read, logit_scale=1.0)
  assert space.names == tuple(f"c{n} 0" for n in range(9))
  assert space.left_out[0] == ("c0 3",)
  named = read._replace(class_names=tuple(rows))
  space = s3_jax.embed_classes(None, named, logit_scale=1.0)
  assert space.names == tuple(rows)
  table = s3_jax.pad_texts(read)
  for record in (read, table):
    assert "embeddings=float32[" in repr(record) and len(repr(record)) < 500


def test_one_row_is_a_class_of_one_text():
  rows = {"a": np.array([0.0, 2.0]), 7: np.array([[3.0, 0.0], [0.0, 1.0]])}
  space = s3_jax.embed_classes(None, rows, logit_scale=0.0)
  assert space.names == ("a", "7")
  assert space.texts == (("text 0",), ("text 0", "text 1"))
  np.testing.assert_array_equal(space.space.points[0, 0], [0, 1])


@pytest.mark.parametrize(
  ("classes", "options", "message"),
  [
    ({"a": np.ones((2, 3))}, {}, "`logit_scale` must be given"),
    (["a"], {"logit_scale": 1.0}, "`clip` must be a checkpoint"),
    ({"a": np.ones((2, 3), int)}, {"logit_scale": 1}, r"got int64\[2, 3\]"),
    ({"a": np.ones((0, 3))}, {"logit_scale": 1}, r"float64\[0, 3\]"),
    ({"a": np.ones((1, 1, 3))}, {"logit_scale": 1}, r"f32\[texts, dim\]"),
    ({"a": np.zeros((1, 3))}, {"logit_scale": 1}, r"classes\['a'\].*finite"),
    ({"a": "x", "b": np.ones(1)}, {"logit_scale": 1}, r"'a' embed.*<U1\[\]"),
    (
      {"a": np.ones((1, 3)), "b": np.ones((1, 4))},
      {"logit_scale": 1},
      "one size, got 3 and 4",
    ),
  ],
)
def test_what_is_no_class_is_refused(classes, options, message):
  with pytest.raises(ValueError, match=message):
    s3_jax.embed_classes(None, classes, **options)


@pytest.mark.parametrize(
  ("classes", "options", "message"),
  [
    ("no such file", {}, "`classes` must be names between commas"),
    ([], {}, "`classes` must name at least one class"),
    (["a"], {"template": "a photo"}, r"exactly one \{\}"),
    (["a"], {"template": ()}, "`template` must be a text"),
    (["a"], {"scale": "no"}, "scale"),
    (["a"], {"dtype": "float16"}, "`dtype` must be one of"),
  ],
)
def test_options_are_checked(clip, classes, options, message):
  with pytest.raises(ValueError, match=message):
    s3_jax.embed_classes(clip, classes, **options)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_logit_scale_makes_probabilities(value):
  with pytest.raises(ValueError, match="`logit_scale` must be finite"):
    s3_jax.embed_classes(None, {"a": np.ones((1, 3))}, logit_scale=value)


def test_embeddings_may_be_bfloat16():
  rows = jnp.array([[3.0, 4.0]], jnp.bfloat16)
  space = s3_jax.embed_classes(None, {"a": rows}, logit_scale=1)
  np.testing.assert_allclose(space.space.points, [[[0.6, 0.8]]], rtol=1e-6)
  assert repr(space).startswith("NamedSpace(a; 1 text, 0 of")


def test_texts_that_are_cut_are_told(clip):
  long = "cat " * 100
  with pytest.warns(UserWarning, match="were cut: 1 of 2, the first is 'a ph"):
    s3_jax.embed_classes(clip, {"cat": ["cat", long]})


@pytest.mark.parametrize(
  ("count", "rows"), [(1, 1), (2, 2), (3, 4), (64, 64), (65, 100), (900, 100)]
)
def test_batches_have_few_sizes(count, rows):
  assert batch_rows(count, 100) == rows


def test_printing_shows_shapes(clip):
  space = s3_jax.embed_classes(clip, {**RAGGED, "b": "b", "e": "é\n"})
  assert repr(space) == (
    "NamedSpace(jet, cat, sea, b, … 5 in all; 8 texts, 0 of them outside the"
    " core; 128 dimensions, logit_scale 2.985)"
  )
  shown = repr(s3_jax.attach_complex(space.space))
  assert shown.startswith(
    "SynonymousSpace(points=float32[5, 3, 128], mask=bool[5, 3],"
  )
  assert "RipsComplex(" in shown and len(shown) < 400
  # What is mapped, traced or left without arrays is shown as well.
  traced = []
  jax.jit(lambda space: traced.append(repr(space)) or 0)(space.space)
  assert "points=float32[5, 3, 128]" in traced[0]
  moved = jax.tree.map(lambda array: array, space.space)
  assert isinstance(moved, s3_jax.SynonymousSpace)
