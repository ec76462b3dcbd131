"""Verifying a checkpoint: pass, fail, and nothing known."""

import json

import numpy as np
import pytest

from s3_jax import experiment
from s3_jax.clip import ZOO
from s3_jax.experiment.known_values import (
  KNOWN_COSINES,
  TEMPLATE,
  TOLERANCE,
)
from s3_jax.experiment.tasks import verify

NAME = "openai/ViT-B/32"


@pytest.fixture
def run(read_config, tmp_path, checkpoint, capsys):
  def call(**changes):
    config = read_config("verify", model=str(checkpoint), **changes)
    capsys.readouterr()
    try:
      error = None
      experiment.run(config, str(tmp_path))
    except ValueError as caught:
      error = str(caught)
    document = json.loads((tmp_path / "verification.json").read_text())
    return document, capsys.readouterr().out, error

  return call


@pytest.fixture
def encoder(monkeypatch, reference):
  """Makes every checkpoint embed as the real one did."""
  embeddings = np.load(reference / "clip_vitb32_text_lvis.npy").astype("f4")
  names = json.loads((reference / "lvis_names.json").read_text())
  rows = {
    TEMPLATE.format(entry["name"]): row
    for entry, row in zip(names, embeddings, strict=True)
  }

  def put(turn=0.0):
    texts = []

    class Tokenizer:
      """Remembers the texts for the tower."""

      tokenizer = None

      def __call__(self, prompts):
        texts[:] = prompts
        return np.zeros((len(prompts), 1), "i4")

    def embed_texts(spec, params, token_ids):
      found = np.stack([rows[text] for text in texts])
      found /= np.linalg.norm(found, axis=1, keepdims=True)
      found[:, 0] += turn
      return found / np.linalg.norm(found, axis=1, keepdims=True)

    load = verify.load_checkpoint
    monkeypatch.setattr(
      verify,
      "load_checkpoint",
      lambda source: load(source)._replace(tokenize=Tokenizer()),
    )
    monkeypatch.setattr(verify, "embed_texts", embed_texts)

  return put


def test_a_checkpoint_that_computes_what_is_known_passes(run, encoder):
  encoder()
  document, output, error = run(known=NAME)
  assert error is None
  assert document["verdict"] == "pass"
  assert output.splitlines()[-1].endswith(": pass")
  assert "<- differs" not in output
  found = [row["found"] for row in document["cosines"]]
  known = [row.cosine for row in KNOWN_COSINES[NAME]]
  # The table holds four digits of the stored embeddings' cosines.
  np.testing.assert_allclose(found, known, atol=6e-5)


def test_a_checkpoint_that_is_a_little_off_fails(run, encoder):
  encoder(turn=0.1)
  document, output, error = run(known=NAME)
  assert document["verdict"] == "fail"
  assert "<- differs" in output
  assert "must compute the cosines known of openai/ViT-B/32" in error
  assert "\n" not in error


def test_a_made_checkpoint_fails(run):
  document, output, error = run(known=NAME)
  assert document["verdict"] == "fail"
  assert output.splitlines()[-1].endswith(": fail")
  assert "got 0." in error
  assert len(document["cosines"]) == 24


def test_a_checkpoint_without_known_values_says_so(run):
  document, output, error = run()
  assert error is None
  assert document["verdict"] == "unknown"
  assert document["cosines"] == []
  assert document["model"]["sha256"] in output
  assert "No values are known of 'tiny', only of openai/" in output


def test_known_names_are_names_of_the_zoo(run, read_config, tmp_path):
  assert set(KNOWN_COSINES) <= set(ZOO)
  for rows in KNOWN_COSINES.values():
    assert len({row[:2] for row in rows}) == len(rows) >= 24
    cosines = [row.cosine for row in rows]
    assert max(cosines) - min(cosines) > 100 * TOLERANCE
  config = read_config("verify", known="openai/RN50")
  with pytest.raises(ValueError, match="`config.known` must be one of"):
    experiment.dry_run(config)
