"""The task "train" from its config to a checkpoint that loads."""

import pytest
from PIL import Image

from s3_jax import experiment
from s3_jax.clip import load_clip
from s3_jax.experiment.tasks import train
from s3_jax.training import loop


@pytest.fixture(scope="module")
def config(read_config, tmp_path_factory):
  config = read_config(
    "train_pictographs",
    steps=2,
    batch_size=3,
    optimizer="adamw",
    learning_rate=0.01,
    warmup_steps=1,
    dtype="float32",
    validate_every=1,
    save_every=1,
    cache_dir=str(tmp_path_factory.mktemp("cache")),
  )
  for name, value in {
    "image_size": 16,
    "patch_size": 8,
    "image_width": 16,
    "image_layers": 1,
    "image_heads": 2,
    "text_width": 16,
    "text_layers": 1,
    "text_heads": 2,
    "vocab_size": 530,
    "context_length": 32,
    "embed_dim": 16,
  }.items():
    config.spec[name] = value
  return config


def test_a_config_becomes_a_checkpoint(config, make_small, tmp_path, capsys):
  with pytest.MonkeyPatch.context() as patch:
    opened = make_small(patch, train)
    patch.setattr(loop, "TOKENIZER_CAPTIONS", 200)
    curve = experiment.run(config, str(tmp_path))
  assert opened == ["validation"]
  assert [row["step"] for row in curve] == [1, 2]
  for row in curve:
    # A share of the 180 validation images.
    share = 180 * row["validation_accuracy"]
    assert share % 1 == pytest.approx(0, abs=1e-6)
  clip = load_clip(tmp_path / "checkpoint")
  assert clip.spec.image_mlp_dim == 64 and clip.spec.vocab_size == 530
  assert clip.tokenize(["a sun"]).shape == (1, 32)
  with Image.open(tmp_path / "curve.png") as image:
    assert min(image.size) > 100
  assert "checkpoint" in capsys.readouterr().out


def test_a_vocabulary_that_is_too_small_is_refused(
  config, make_small, tmp_path, monkeypatch
):
  make_small(monkeypatch, train)
  monkeypatch.setattr(loop, "TOKENIZER_CAPTIONS", 200)
  small = config.copy_and_resolve_references()
  small.spec.vocab_size = 400
  with pytest.raises(ValueError, match="`vocab_size` must be at least 514"):
    experiment.run(small, str(tmp_path))
  assert not (tmp_path / "checkpoint").exists()
