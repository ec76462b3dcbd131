"""Whatever is chosen wrongly: the line is short, and names what was meant."""

import pytest

from s3_jax import experiment, load_clip
from s3_jax.clip.checkpoints import ZOO
from s3_jax.data.datasets import DATASETS, open_dataset
from s3_jax.data.segmentation_sets import SEGMENTATION_SETS, open_masks
from s3_jax.lexicon.synonyms import load_lexicon
from s3_jax.messages import MAX_LINE, one_line

# config, its changes, and what must be named.
CHOICES = [
  ("pictographs", {"methods": ("best_names",)}, "best_name"),
  ("pictographs", {"baseline": "class_nam"}, "class_name"),
  ("pictographs", {"metric": "local_centre"}, "local_center"),
  ("pictographs", {"task": "evaluat"}, "evaluate"),
  ("pictographs", {"test_sets": ("plane",)}, "plain"),
  ("pictographs", {"model_spec": "openai/ViT-B/31"}, "openai/ViT-B/32"),
  ("pictographs", {"neighbours": 3}, "neighbours"),
  ("imagenet", {"datasets": ("imagenet_v3",)}, "imagenet_v2"),
  ("imagenet", {"methods": ("class_name", "simplexx")}, "simplex"),
  ("imagenet", {"layout": "folder"}, "folders"),
  ("sweep", {"dataset": "plane"}, "plain"),
  ("test_time", {"methods": ("class_name", "s3_tps3")}, "s3_tps"),
  ("voc21", {"datasets": ("voc20x",)}, "voc20"),
  ("voc21", {"methods": ("synonym_max",)}, "synonyms_max"),
  ("prepare_data", {"dataset": "eurosats"}, "eurosat"),
  ("synonyms", {"classes": "picograph"}, "pictographs"),
]


def refusal(read_config, name, changes):
  config = read_config(name).unlock()
  with config.ignore_type():
    config.update(changes)
  with pytest.raises(ValueError, match="must|unknown") as error:
    experiment.dry_run(config)
  return str(error.value)


@pytest.mark.parametrize(("name", "changes", "meant"), CHOICES)
def test_wrong_choices_of_configs(read_config, name, changes, meant):
  text = refusal(read_config, name, changes)
  assert len(text) <= MAX_LINE - len("s3_jax: ") and meant in text
  assert "\n" not in text


@pytest.mark.parametrize(("name", "changes", "meant"), CHOICES)
def test_what_was_given_is_not_repeated_at_length(
  read_config, name, changes, meant
):
  ((field, value),) = changes.items()
  if field == "neighbours":
    return
  long = "v" * 999
  text = refusal(
    read_config, name, {field: (long,) if isinstance(value, tuple) else long}
  )
  assert len(one_line(text)) <= MAX_LINE
  assert text.startswith(("`config.", "`layout`"))


def test_wrong_checkpoints():
  for call in (
    lambda: load_clip("openai/ViT-B/31"),
    lambda: load_clip("nowhere", spec="openai/ViT-B/31"),
  ):
    with pytest.raises(ValueError, match="openai/ViT-B/32") as error:
      call()
    assert len(str(error.value)) <= MAX_LINE
  assert len(ZOO) > 20


def test_wrong_tables():
  with pytest.raises(ValueError, match="eurosat") as error:
    load_lexicon("euro_sat")
  assert len(str(error.value)) <= MAX_LINE


@pytest.mark.parametrize("name", [*DATASETS, *SEGMENTATION_SETS])
def test_absent_data_sets(tmp_path, name):
  spec = {**DATASETS, **SEGMENTATION_SETS}[name]
  if spec.family == "embedded":
    return
  open_it = open_dataset if name in DATASETS else open_masks
  with pytest.raises(ValueError, match="must lie under") as error:
    open_it(spec, tmp_path)
  line = one_line(str(error.value), most=MAX_LINE - len("s3_jax: "))
  assert str(tmp_path) in line
  assert "docs/" in line and line.startswith(f"data set {name!r} must")


@pytest.mark.parametrize(
  ("name", "changes"),
  [
    ("imagenet", {}),
    ("test_time", {}),
    ("suite", {}),
    ("own_images", {}),
    ("sweep", {"dataset": "dtd"}),
    ("view_sweep", {"dataset": "dtd"}),
    ("voc21", {}),
    ("segmentation_suite", {}),
  ],
)
@pytest.mark.parametrize("data_dir", ["absent", "file", "empty"])
def test_data_are_looked_for_before_a_checkpoint(
  read_config, monkeypatch, tmp_path, name, changes, data_dir
):
  def load(*arguments, **options):
    raise AssertionError("a checkpoint was loaded")

  monkeypatch.setattr("s3_jax.experiment.checkpoint.load_clip", load)
  (tmp_path / "file").write_text("x")
  (tmp_path / "empty").mkdir()
  config = read_config(name).unlock()
  config.update({**changes, "model": "openai/ViT-B/16"})
  config.data_dir = str(tmp_path / data_dir)
  config.cache_dir = str(tmp_path / "cache")
  with pytest.raises(ValueError, match="data") as error:
    experiment.run(config, str(tmp_path / "run"))
  line = one_line(str(error.value))
  assert data_dir in line and len(line) <= MAX_LINE
