"""The code of docs/EXTENDING.md, run, and its metric at its limits."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

import s3_jax


@pytest.fixture(scope="module")
def page(repository):
  text = (repository / "docs" / "EXTENDING.md").read_text("utf-8")
  blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
  assert blocks
  names: dict = {}
  # One after another in one namespace, as a reader would paste them.
  for block in blocks:
    exec(compile(block, "docs/EXTENDING.md", "exec"), names)
  return names


def test_the_page_runs_as_printed(page):
  assert np.asarray(page["scores"]).dtype == np.float32
  assert page["named"]["median"] is page["point_to_median"]


def test_the_metric_takes_about_twenty_lines(repository):
  text = (repository / "docs" / "EXTENDING.md").read_text("utf-8")
  function = re.search(r"\ndef point_to_median.*?```", text, flags=re.DOTALL)
  assert function is not None
  assert len(function.group().strip().splitlines()) <= 21


@pytest.mark.parametrize("kept", [0, 1, 2, 3, 4])
def test_the_metric_is_the_median_of_the_core(page, kept):
  rng = np.random.default_rng(kept)
  texts = rng.normal(size=(2, 4, 6)).astype(np.float32)
  texts /= np.linalg.norm(texts, axis=2, keepdims=True)
  mask = np.arange(4)[None] < np.array([[kept], [4]])
  images = texts[1, :3]
  space = s3_jax.build_space(texts, mask, scale=None, keep="all")
  scores = np.asarray(page["point_to_median"](jnp.asarray(images), space))
  similarities = images.astype(np.float64) @ texts[0, :kept].T
  expected = np.median(similarities, axis=1) if kept else np.full(3, -1.0)
  np.testing.assert_allclose(scores[:, 0], expected, atol=1e-6)
  assert np.all(np.isfinite(scores))
