"""Exported classifiers: what they compute, away from this package."""

import hashlib
import json
import os
import re
import runpy
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export as jax_export
from PIL import Image

from s3_jax.clip import embed_images, embed_texts, load_clip
from s3_jax.clip.preprocess import preprocess_image
from s3_jax.experiment import Common, dry_run
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks import export, predict
from s3_jax.experiment.tasks.export import portable_programs
from s3_jax.experiment.tasks.export.classify_script import CLASSIFY
from s3_jax.named_classes.cores import space_scorer
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import attach_complex, build_space

CLASSES = (
  '{"jet": ["airplane", "jet"], "sun": ["sun", "sunshine", "sun with rays"],'
  ' "umbrella": ["umbrella", "brolly"], "anchor": ["anchor"],'
  ' "key": ["key", "old key"]}'
)

# Runs a script in a process that cannot import what an export must not need.
ALONE = """
import runpy, sys

class Refuse:
  def find_spec(self, name, path=None, target=None):
    if name.partition(".")[0] in ("s3_jax", "flax", "ml_collections", "absl"):
      raise ImportError(name)

sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
assert "s3_jax" not in sys.modules
"""


@pytest.fixture(scope="module")
def clip(checkpoint):
  return load_clip(checkpoint)


@pytest.fixture(scope="module")
def spaces(clip):
  """Two spaces of thirteen classes, one with a complex; one class is empty."""
  generator = np.random.default_rng(2)
  points = generator.normal(size=(13, 6, clip.spec.embed_dim))
  points += 3 * generator.normal(size=(13, 1, clip.spec.embed_dim))
  points /= np.linalg.norm(points, axis=-1, keepdims=True)
  mask = np.arange(6) < generator.integers(1, 7, (13, 1))
  mask[4] = False
  space = build_space(points.astype(np.float32), mask, scale=None)
  return space, attach_complex(space)


def pixels_of(count, size, seed=0):
  generator = np.random.default_rng(seed)
  blocks = generator.integers(0, 256, (count, 2, 2, 3), dtype=np.uint8)
  return blocks.repeat(size // 2, axis=1).repeat(size // 2, axis=2)


# Every metric is exported; those that compile slowly are not all run.
RUN = ("local_center", "center", "affine_hull", "convex_hull", "complex")


@pytest.mark.parametrize("metric", POINT_TO_SPACE)
def test_every_metric_gives_what_the_live_path_gives(clip, spaces, metric):
  score = space_scorer(spaces[0], metric, neighbors=3)
  made = portable_programs.portable_classifier(
    clip, score, dtype="float32", platforms=("cpu", "cuda", "tpu")
  )
  program = jax_export.deserialize(made.program)
  assert program.platforms == ("cpu", "cuda", "tpu")
  assert program.out_avals[0].dtype == jnp.float32
  if metric not in RUN:
    return
  pixels = pixels_of(3, clip.spec.crop_size)
  scores = np.asarray(program.call(made.arrays, pixels))
  assert scores.shape == (3, 13)
  live = score(embed_images(clip.spec, clip.params, pixels))
  np.testing.assert_allclose(scores, live, atol=1e-5)
  assert (scores[:, 4] == -1).all()
  assert np.ptp(scores, axis=0).max() > 1e-3  # the images differ


def test_weights_and_space_are_arguments(clip, spaces):
  score = space_scorer(spaces[0], "center", neighbors=1)
  make = portable_programs.portable_classifier
  made = make(clip, score, dtype="float32", platforms=("cpu",))
  assert len(made.program) < 60_000
  expected = {
    "space.points",
    "space.mask",
    "space.gram",
    "space.max_edge_length",
    "space.deaths",
    "image.position_embedding",
  }
  assert expected <= made.arrays.keys()
  assert {array.dtype.kind for array in made.arrays.values()} <= set("fbi")
  # Another space in the same program: texts are changed without a new export.
  pixels = pixels_of(2, clip.spec.crop_size)
  program = jax_export.deserialize(made.program)
  points = made.arrays["space.points"]
  turned = {**made.arrays, "space.points": points[::-1]}
  scores = program.call(made.arrays, pixels)
  assert np.abs(program.call(turned, pixels) - scores).max() > 1e-3


def test_a_program_says_nothing_of_where_it_was_made(clip, spaces, repository):
  score = space_scorer(spaces[1], "complex", neighbors=1)
  setting = "jax_hlo_source_file_canonicalization_regex"
  before = getattr(jax.config, setting)
  first, second = (
    portable_programs.portable_classifier(
      clip, score, dtype="bfloat16", platforms=("tpu",)
    ).program
    for _ in range(2)
  )
  assert first == second
  assert str(repository).encode() not in first
  assert b"/site-packages" not in first and b"streaming.py" in first
  assert getattr(jax.config, setting) == before


def test_another_platform_is_refused_by_jax(clip, spaces):
  score = space_scorer(spaces[0], "center", neighbors=1)
  make = portable_programs.portable_classifier
  made = make(clip, score, dtype="float32", platforms=("tpu",))
  program = jax_export.deserialize(made.program)
  with pytest.raises(ValueError, match="tpu"):
    program.call(made.arrays, pixels_of(1, clip.spec.crop_size))


def test_the_text_tower(clip):
  made = portable_programs.portable_text_tower(
    clip, dtype="float32", platforms=("cpu",)
  )
  program = jax_export.deserialize(made.program)
  for texts in (["a photo of a cat."], ["sun", "a key", "the anchor"]):
    ids = np.asarray(clip.tokenize(texts), np.int32)
    embeddings = np.asarray(program.call(made.arrays, ids))
    live = embed_texts(clip.spec, clip.params, ids)
    np.testing.assert_allclose(embeddings, live, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


@pytest.fixture(scope="module")
def read_pixels(tmp_path_factory):
  """The function of the script, without running it."""
  path = tmp_path_factory.mktemp("script") / "classify.py"
  path.write_text(CLASSIFY, encoding="utf-8")
  return runpy.run_path(str(path))["read_pixels"]


def pictures(folder):
  """Files of every mode that the preprocessing tells apart."""
  generator = np.random.default_rng(7)

  def noise(*shape, kind=np.uint8, high=256):
    return generator.integers(0, high, shape).astype(kind)

  colour = Image.fromarray(noise(37, 53, 3))
  made = {
    "wide.png": colour,
    "tall.png": Image.fromarray(noise(61, 34, 3)),
    "half.png": Image.fromarray(noise(41, 16, 3)),  # 25 rows to spare
    "grey.png": colour.convert("L"),
    "alpha.png": Image.fromarray(noise(30, 45, 4)),
    "grey_alpha.png": Image.fromarray(noise(30, 45, 2), "LA"),
    "palette.gif": colour.quantize(16),
    "deep.png": Image.fromarray(noise(33, 40, kind=np.uint16, high=65536)),
    "cmyk.jpg": colour.convert("CMYK"),
    "bits.png": colour.convert("1"),
    "exact.png": Image.fromarray(noise(16, 16, 3)),
  }
  paths = []
  for name, image in made.items():
    paths.append(folder / name)
    image.save(paths[-1])
  paths.append(folder / "clear.png")
  colour.quantize(16).save(paths[-1], transparency=3)
  paths.append(folder / "clear_rgb.png")
  colour.save(paths[-1], transparency=colour.getpixel((0, 0)))
  exif = Image.Exif()
  exif[0x0112] = 6
  paths.append(folder / "turned.jpg")
  colour.save(paths[-1], exif=exif)
  return paths


@pytest.mark.parametrize("school", ["transformers", "openai"])
@pytest.mark.parametrize("mode", ["shortest", "squash"])
def test_pixels_are_those_of_the_package(
  read_pixels, clip, tmp_path, school, mode
):
  for interpolation in ("bicubic", "bilinear"):
    for turn in (True, False):
      how = {
        "school": school,
        "resize_mode": mode,
        "resize_size": 18 if mode == "shortest" else 16,
        "crop_size": 16,
        "interpolation": interpolation,
      }
      spec = clip.spec._replace(**how)
      how["exif_orientation"] = turn
      for path in pictures(tmp_path):
        with Image.open(path) as image:
          image.load()
        pixels = preprocess_image(spec, image, exif_orientation=turn)
        read = read_pixels(path, how)
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, pixels, path.name)


def test_a_mode_without_a_known_range(read_pixels, clip, tmp_path):
  path = tmp_path / "float.tiff"
  Image.fromarray(np.ones((20, 20), np.float32)).save(path)
  with pytest.raises(SystemExit, match="8 or 16 bits"):
    read_pixels(path, {"exif_orientation": False})


def run_task(module, fields, folder):
  folder.mkdir(parents=True, exist_ok=True)
  settings = Settings(fields)
  settings.read(Common)
  work = module.read_settings(settings)
  settings.finish()
  return json.loads(work(folder).read_text("utf-8"))


@pytest.fixture(scope="module")
def exported(read_config, tmp_path_factory):
  """The config as it is, but for its classes: the embedded checkpoint."""
  root = tmp_path_factory.mktemp("export")
  (root / "classes.json").write_text(CLASSES)
  fields = {
    **read_config("export").to_dict(),
    "classes": str(root / "classes.json"),
    "cache_dir": str(root / "cache"),
  }
  return root, fields, run_task(export, fields, root / "cats")


@pytest.fixture(scope="module")
def photos(records, tmp_path_factory):
  """Pictographs of several classes as files."""
  from s3_jax.data.datasets import DATASETS

  folder = tmp_path_factory.mktemp("photos")
  drawn = records(DATASETS["plain"])
  for index in (0, 5, 17, 34, 36):
    (folder / f"image{index:02d}.png").write_bytes(drawn[index]["image"])
  return sorted(folder.iterdir())


def test_the_files(exported):
  root, fields, document = exported
  folder = root / "cats"
  names = {"classify.py", "classifier.jaxexport", "classifier.npz"}
  written = {path.name for path in folder.iterdir()}
  assert written == names | {"classifier.json", "log.txt"}
  assert document["files"] == {
    name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
    for name in names
  }
  assert document["classes"] == ["jet", "sun", "umbrella", "anchor", "key"]
  assert document["image"] == {
    "resize_mode": "shortest",
    "resize_size": 48,
    "interpolation": "bicubic",
    "crop_size": 48,
    "school": "transformers",
    "exif_orientation": True,
  }
  assert document["platforms"] == ["cpu", "cuda", "tpu"]
  assert document["jax"] == jax.__version__
  assert "6 months" in document["compatibility"]
  assert document["metric"] == fields["metric"] == "soft_local_center"
  assert document["texts"]["per_class"] == [2, 3, 2, 1, 2]
  assert document["text_tower"] is None
  program = jax_export.deserialize(
    (folder / "classifier.jaxexport").read_bytes()
  )
  assert set(program.platforms) == {"cpu", "cuda", "tpu"}
  assert program.calling_convention_version == document["calling_convention"]


def test_a_process_without_the_package_says_what_the_live_path_says(
  exported, photos, read_config, tmp_path
):
  root, fields, _ = exported
  done = subprocess.run(
    [
      sys.executable,
      "-I",
      "-W",
      "error",
      "-c",
      ALONE,
      root / "cats" / "classify.py",
      root / "cats",
      *photos,
    ],
    cwd=tmp_path,
    env={"PATH": os.environ["PATH"], "JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert not done.returncode, done.stderr
  said = re.findall(r"^'(.*)': '(.*)', (.*)%$", done.stdout, re.MULTILINE)
  live = run_task(
    predict,
    {
      **read_config("predict").to_dict(),
      "classes": fields["classes"],
      "cache_dir": fields["cache_dir"],
      "images": tuple(map(str, photos)),
      "contact_sheet": False,
      "batch_size": 8,
      "mesh": 1,
    },
    tmp_path / "live",
  )
  assert len(said) == len(photos) == 5
  for (file, name, share), row in zip(said, live["images"], strict=True):
    best = row["predictions"][0]
    assert (file, name) == (row["file"], best["class"])
    assert float(share) == pytest.approx(100 * best["probability"], abs=0.06)
  assert {name for _, name, _ in said} >= {"jet", "sun"}


def test_one_program_for_every_batch_size(exported, photos, read_pixels):
  root, _, document = exported
  folder = root / "cats"
  with np.load(folder / "classifier.npz", allow_pickle=False) as stored:
    arrays = dict(stored)
  program = jax_export.deserialize(
    (folder / "classifier.jaxexport").read_bytes()
  )
  pixels = np.stack([read_pixels(path, document["image"]) for path in photos])
  whole = np.asarray(program.call(arrays, pixels))
  assert whole.shape == (5, 5)
  pair = np.asarray(program.call(arrays, pixels[:2]))
  np.testing.assert_allclose(pair, whole[:2], atol=1e-5)
  clip = load_clip("s3_jax/pictographs")
  np.testing.assert_allclose(
    np.linalg.norm(arrays["space.points"], axis=-1)[0, :2], 1, atol=1e-5
  )
  embeddings = embed_images(clip.spec, clip.params, pixels)
  nearest = jnp.einsum(
    "bd,cmd->bcm", embeddings, arrays["space.points"], precision="highest"
  )
  # One text in the class: every metric is its cosine.
  np.testing.assert_allclose(whole[:, 3], nearest[:, 3, 0], atol=1e-5)


def test_a_second_export_replaces_the_first(
  exported, read_config, checkpoint, tmp_path
):
  _, fields, _ = exported
  small = {**fields, "model": str(checkpoint), "platforms": ("tpu",)}
  first = run_task(export, {**small, "text_tower": True}, tmp_path / "a")
  names = {path.name for path in (tmp_path / "a").iterdir()}
  assert {"text_tower.jaxexport", "text_tower.npz"} < names
  assert {"text_tower.jaxexport", "text_tower.npz"} < first["files"].keys()
  assert first["text_tower"] == {"context_length": 32, "dim": 16}
  second = run_task(export, {**small, "classes": "a,b"}, tmp_path / "a")
  assert second["classes"] == ["a", "b"] and second["platforms"] == ["tpu"]
  left = {path.name for path in (tmp_path / "a").iterdir()}
  assert left == names - {"text_tower.jaxexport", "text_tower.npz"}


def test_several_templates_are_averaged(exported, checkpoint, tmp_path):
  _, fields, _ = exported
  small = {
    **fields,
    "model": str(checkpoint),
    "platforms": ("cpu",),
    "classes": "sun,key",
    "templates": ("a {}.", "the {}."),
  }
  document = run_task(export, small, tmp_path / "a")
  assert document["texts"]["distinct"] == 4
  clip = load_clip(checkpoint)
  ids = clip.tokenize(["a sun.", "the sun."])
  mean = np.asarray(embed_texts(clip.spec, clip.params, ids)).mean(axis=0)
  with np.load(tmp_path / "a" / "classifier.npz") as stored:
    point = stored["space.points"][0, 0]
  np.testing.assert_allclose(point, mean / np.linalg.norm(mean), atol=1e-5)


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"platforms": ()}, "`config.platforms` must hold at least one"),
    ({"platforms": ("gpu",)}, "`config.platforms` must hold one of cpu, cuda"),
    ({"platforms": ("cpu", "cpu")}, "must not repeat 'cpu'"),
    ({"metric": "distance"}, "`config.metric`"),
    ({"templates": ("no place",)}, "{}"),
    ({"classes": "nosuch"}, "`config.classes`"),
    ({"dtype": "float16"}, "`config.dtype`"),
  ],
)
def test_bad_settings(read_config, changes, words):
  with pytest.raises(ValueError, match=re.escape(words)):
    dry_run(read_config("export", **changes))


def test_the_page_prints_the_script(repository):
  page = (repository / "docs" / "EXPORT.md").read_text("utf-8")
  assert f"```python\n{CLASSIFY}```" in page
  assert all(len(line) <= 80 for line in CLASSIFY.splitlines())
  _, use = CLASSIFY.split('if __name__ == "__main__":\n')
  assert len(use.splitlines()) == 10
