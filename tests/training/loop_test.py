"""A whole run: learns, can be killed, leaves a checkpoint that loads."""

import jax
import numpy as np
import pytest
from PIL import Image

from s3_jax.clip import embed_images, embed_texts, load_clip
from s3_jax.data import glyphs, pictographs
from s3_jax.training import loop, train_checkpoint
from s3_jax.training.loop import TrainingOptions, Validation
from s3_jax.training.step import TrainState

OPTIONS = TrainingOptions(
  seed=3,
  steps=4,
  batch_size=6,
  optimizer="adamw",
  learning_rate=0.01,
  warmup_steps=1,
  weight_decay=0.01,
  auxiliary_share=0.5,
  dtype="float32",
  validate_every=1,
  save_every=2,
)


@pytest.fixture(scope="module", autouse=True)
def _share():
  """Fewer captions for the vocabulary; equal steps are compiled once."""
  optimizers, steps = {}, {}

  def make_optimizer(name, **options):
    key = (name, *sorted(options.items()))
    return optimizers.setdefault(key, made["optimizer"](name, **options))

  def make_train_step(spec, optimizer, **options):
    key = (spec, id(optimizer), *sorted(options.items()))
    if key not in steps:
      steps[key] = made["step"](spec, optimizer, **options)
    return steps[key]

  made = {"optimizer": loop.make_optimizer, "step": loop.make_train_step}
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop, "make_optimizer", make_optimizer)
    patch.setattr(loop, "make_train_step", make_train_step)
    patch.setattr(loop, "TOKENIZER_CAPTIONS", 200)
    yield


@pytest.fixture(scope="module")
def validation(lexicon):
  fields = glyphs.glyph_fields(
    tuple(entry.codepoint for entry in lexicon.classes)
  )
  labels = np.arange(12, dtype=np.int32) % 4
  images = [
    pictographs.render(
      fields[label],
      pictographs.image_generator(1, "validation", "plain", int(label), index),
    )
    for index, label in enumerate(labels)
  ]
  small = [
    np.asarray(Image.fromarray(image).resize((16, 16))) for image in images
  ]
  prompts = tuple(f"a photo of a {x.captioned[0]}." for x in lexicon.classes)
  return Validation(np.stack(small), labels, prompts)


@pytest.fixture
def train(spec, lexicon, validation):
  def train(folder, **changes):
    return train_checkpoint(
      folder, spec, lexicon, validation, OPTIONS._replace(**changes)
    )

  return train


@pytest.fixture(scope="module")
def run(spec, lexicon, validation, tmp_path_factory):
  """A run that nothing interrupted: its folder and its curve."""
  folder = tmp_path_factory.mktemp("run") / "new"
  return folder, train_checkpoint(folder, spec, lexicon, validation, OPTIONS)


def files_of(folder):
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


def test_what_a_run_leaves(run):
  folder, _ = run
  assert set(files_of(folder)) == {
    "options.json",
    "curve.csv",
    "state.npz",
    "tokenizer.json",
    "checkpoint/config.json",
    "checkpoint/model.safetensors",
    "checkpoint/preprocessor_config.json",
    "checkpoint/tokenizer.json",
    "checkpoint/tokenizer_config.json",
  }


def test_the_curve_has_a_row_each_validation(run):
  folder, curve = run
  assert [row["step"] for row in curve] == [1, 2, 3, 4]
  head, *lines = (folder / "curve.csv").read_text().splitlines()
  assert head == "step,loss,batch_accuracy,validation_accuracy"
  for row, line in zip(curve, lines, strict=True):
    assert list(row) == head.split(",")
    np.testing.assert_allclose(
      [float(x) for x in line.split(",")], list(row.values()), rtol=1e-5
    )
    assert 0 < row["loss"] < 20
    for name in ("batch_accuracy", "validation_accuracy"):
      assert 0 <= row[name] <= 1
    # A share of 6 images a batch, and of 12 held-out ones.
    assert (6 * row["batch_accuracy"]) % 1 == pytest.approx(0, abs=1e-5)
    assert (12 * row["validation_accuracy"]) % 1 == pytest.approx(0, abs=1e-5)


def test_the_checkpoint_loads_and_scores_as_the_curve_says(
  run, spec, validation
):
  folder, curve = run
  clip = load_clip(folder / "checkpoint")
  assert clip.spec == spec._replace(name="checkpoint")
  images = embed_images(clip.spec, clip.params, validation.images)
  texts = embed_texts(
    clip.spec, clip.params, clip.tokenize(list(validation.prompts))
  )
  scores = np.float64(images) @ np.float64(texts).T
  accuracy = np.mean(scores.argmax(1) == validation.labels)
  # Stored in half precision: one image may turn.
  assert abs(accuracy - curve[-1]["validation_accuracy"]) <= 1.5 / 12


def test_the_checkpoint_is_the_state_in_half_precision(run, spec):
  folder, _ = run
  clip = load_clip(folder / "checkpoint")
  with np.load(folder / "state.npz", allow_pickle=False) as stored:
    leaves = [stored[name] for name in stored.files]
  params = jax.tree.leaves(clip.params)
  for half, full in zip(params, leaves[: len(params)], strict=True):
    np.testing.assert_allclose(half, full, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("last", [2, 3])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
  run, train, tmp_path, monkeypatch, last
):
  def killed(*arguments, step, **options):
    if step >= last:
      raise RuntimeError("killed")
    return training_batch(*arguments, step=step, **options)

  training_batch = loop.training_batch
  with monkeypatch.context() as patch, pytest.raises(RuntimeError):
    patch.setattr(loop, "training_batch", killed)
    train(tmp_path)
  assert not (tmp_path / "checkpoint").exists()
  assert len((tmp_path / "curve.csv").read_text().splitlines()) == 1 + last

  steps = []

  def watched(*arguments, step, **options):
    steps.append(step)
    return training_batch(*arguments, step=step, **options)

  monkeypatch.setattr(loop, "training_batch", watched)
  curve = train(tmp_path)
  assert steps == [2, 3], "goes on from the state saved at step 2"
  folder, expected = run
  assert files_of(tmp_path) == files_of(folder)
  for row, other in zip(curve, expected, strict=True):
    assert row == pytest.approx(other, rel=1e-5)


def test_a_finished_run_only_writes_its_checkpoint(run, train, monkeypatch):
  folder, expected = run
  before = files_of(folder)
  (folder / "checkpoint" / "model.safetensors").unlink()

  def refused(*_, **__):
    raise AssertionError("trained again")

  monkeypatch.setattr(loop, "training_batch", refused)
  curve = train(folder)
  assert files_of(folder) == before
  assert [row["step"] for row in curve] == [row["step"] for row in expected]


def test_rows_are_means_since_the_row_before(run, train, tmp_path):
  _, each = run
  curve = train(tmp_path, validate_every=3, save_every=3)
  assert [row["step"] for row in curve] == [3, 4]
  for name in ("loss", "batch_accuracy"):
    mean = np.mean([row[name] for row in each[:3]])
    assert curve[0][name] == pytest.approx(mean, rel=1e-6)
    assert curve[1][name] == pytest.approx(each[3][name], rel=1e-6)
  assert curve[1]["validation_accuracy"] == each[3]["validation_accuracy"]


@pytest.mark.parametrize(
  "changes",
  [
    {"learning_rate": 0.02},
    {"seed": 4},
    {"steps": 5},
    {"optimizer": "muon"},
    {"batch_size": 7},
  ],
  ids=lambda changes: next(iter(changes)),
)
def test_a_folder_of_another_run_is_refused(run, train, changes):
  folder, _ = run
  before = files_of(folder)
  ((name, value),) = changes.items()
  with pytest.raises(ValueError, match=f"`{name}` = {value!r}.*workdir"):
    train(folder, **changes)
  assert files_of(folder) == before


def test_a_folder_of_other_towers_or_names_is_refused(
  run, spec, lexicon, validation
):
  folder, _ = run
  for towers, table in (
    (spec._replace(embed_dim=8), lexicon),
    (spec, lexicon._replace(sha256="0" * 64)),
  ):
    with pytest.raises(ValueError, match="another workdir"):
      train_checkpoint(folder, towers, table, validation, OPTIONS)


@pytest.mark.parametrize("fault", ["shape", "dtype", "fewer"])
def test_a_state_of_another_form_is_refused(run, tmp_path, fault):
  folder, _ = run
  with np.load(folder / "state.npz", allow_pickle=False) as stored:
    leaves = [stored[name] for name in stored.files]
  if fault == "shape":
    leaves[0] = leaves[0][None]
  elif fault == "dtype":
    leaves[0] = leaves[0].astype(np.float16)
  else:
    del leaves[-1]
  like = TrainState(leaves, (), (), ())
  with pytest.raises(ValueError, match="state.npz must hold .*another workdir"):
    loop.load_state(folder / "state.npz", like)


@pytest.mark.parametrize("length", [0, 3, 1000, -30])
def test_a_damaged_state_is_refused(run, tmp_path, length):
  folder, _ = run
  path = tmp_path / "state.npz"
  path.write_bytes((folder / "state.npz").read_bytes()[:length])
  with pytest.raises(ValueError, match="state.npz must be .*remove"):
    loop.load_state(path, TrainState((), (), (), ()))
