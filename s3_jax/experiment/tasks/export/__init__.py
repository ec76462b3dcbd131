"""The task "export": a classifier that runs without this package.

Everything appears in the workdir together, classifier.json last.
"""

import contextlib
import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np

from s3_jax.clip import MODELS, Clip
from s3_jax.experiment.checkpoint import (
  CheckpointSource,
  describe_model,
  load_checkpoint,
)
from s3_jax.experiment.costs import announce_texts
from s3_jax.experiment.embedder import Embedder
from s3_jax.experiment.methods.spaces import SpaceOptions, build_core
from s3_jax.experiment.session import Session
from s3_jax.experiment.settings import (
  CacheDir,
  Classes,
  Dtype,
  Settings,
  Templates,
)
from s3_jax.experiment.tasks.export.classify_script import CLASSIFY
from s3_jax.experiment.tasks.export.portable_programs import (
  PLATFORMS,
  PortableProgram,
  portable_classifier,
  portable_text_tower,
)
from s3_jax.experiment.text_embedding import EmbeddedTexts
from s3_jax.fields import Given, Inline, raw, words
from s3_jax.files import file_sha256, replacing
from s3_jax.lexicon.prompts import NAME_TEMPLATE
from s3_jax.lexicon.vertices import concept_vertices, distinct_prompts
from s3_jax.messages import visible
from s3_jax.named_classes.cores import space_scorer
from s3_jax.named_classes.vertices import embed_vertices
from s3_jax.results.escaping import valid_unicode

SCHEMA = 1
COMPATIBILITY = (
  "JAX promises that a program is read by releases of jaxlib up to 6 months"
  " newer and up to 3 weeks older than the one that wrote it."
)
_TEXT_TOWER = "text_tower"


Platforms = Annotated[tuple[str, ...], words(PLATFORMS)]


class Export(NamedTuple):
  """The settings of an export."""

  config: Given
  classes: Classes  # names between commas, a file, or a table
  model: Inline[CheckpointSource]
  options: Inline[SpaceOptions]
  templates: Templates = (NAME_TEMPLATE,)  # averaged, where there are several
  exif_orientation: bool = True  # classify.py turns photographs upright
  # "rocm" as well
  platforms: Platforms = ("cpu", "cuda", "tpu")
  text_tower: bool = False  # True: text_tower.jaxexport and .npz as well
  dtype: Dtype = "float32"  # of the towers' matrix products
  cache_dir: CacheDir = raw("")  # default: the user's cache folder


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of an export."""
  run = settings.read(Export)
  run = run._replace(templates=run.templates or (NAME_TEMPLATE,))
  return lambda folder: export_classifier(run, folder)


def export_classifier(run: Export, folder: pathlib.Path) -> pathlib.Path:
  """Writes a classifier as files that JAX, numpy and Pillow can use."""
  session = Session(
    folder, config=run.config, dtype=run.dtype, mesh=1, clears=False
  )
  log = session.log
  clip = load_checkpoint(run.model)
  vertices = concept_vertices(run.classes.texts, run.templates)
  prompts = distinct_prompts([vertices])
  embedder = Embedder(
    clip, run.dtype, batch_size=1, mesh=1, cache_dir=run.cache_dir
  )
  announce_texts(session, embedder, prompts)
  embedded = embedder.texts(prompts)
  table = embed_vertices(vertices, prompts, embedded.embeddings)
  space = build_core(table, run.options)
  score = space_scorer(
    space, run.options.metric, neighbors=run.options.neighbors
  )
  common: Any = {"dtype": run.dtype, "platforms": run.platforms}
  programs = {"classifier": portable_classifier(clip, score, **common)}
  if run.text_tower:
    programs[_TEXT_TOWER] = portable_text_tower(clip, **common)
  path = folder / "classifier.json"
  with contextlib.ExitStack() as stack:
    # They appear when the stack is unwound, the last one first: once
    # classifier.json is there, everything is.
    document = stack.enter_context(replacing(path))
    script = stack.enter_context(replacing(folder / "classify.py"))
    script.write_text(CLASSIFY, encoding="utf-8")
    files = {"classify.py": hashlib.sha256(CLASSIFY.encode()).hexdigest()}
    for stem, program in programs.items():
      for name, write in (
        (f"{stem}.jaxexport", _write_program),
        (f"{stem}.npz", _write_arrays),
      ):
        file = stack.enter_context(replacing(folder / name))
        write(file, program)
        files[name] = file_sha256(file)
    described = _describe(run, session, clip, np.asarray(space.mask), embedded)
    described["files"] = files
    described["calling_convention"] = programs["classifier"].calling_convention
    text = json.dumps(described, indent=1, ensure_ascii=False, allow_nan=False)
    document.write_text(text + "\n", encoding="utf-8")
  if not run.text_tower:  # of an earlier export into this folder
    for suffix in (".jaxexport", ".npz"):
      (folder / f"{_TEXT_TOWER}{suffix}").unlink(missing_ok=True)
  log(
    f"{clip.spec.name} (sha256 {clip.sha256[:12]}…), {len(vertices):,} classes"
    f" of {visible(run.classes.title)}, metric {run.options.metric}, for"
    f" {', '.join(run.platforms)}."
  )
  if run.classes.taken:
    log(f"Classes of {visible(run.classes.taken)}")
  for note in described["notes"]:
    log(f"Note: {note}")
  for name in ("classifier.json", *files):
    log(f"{(folder / name).stat().st_size:>13,} bytes  {name}")
  log(f"Try it: python {folder / 'classify.py'} {folder} IMAGE")
  return path


def _write_program(file: pathlib.Path, program: PortableProgram) -> None:
  file.write_bytes(program.program)


def _write_arrays(file: pathlib.Path, program: PortableProgram) -> None:
  with open(file, "wb") as stream:  # given a name, numpy would add to it
    np.savez(stream, **program.arrays)  # pyright: ignore[reportArgumentType]


def _describe(
  run: Export,
  session: Session,
  clip: Clip,
  core: np.ndarray,
  embedded: EmbeddedTexts,
) -> dict[str, Any]:
  """Collects what classifier.json says, but for the files themselves."""
  spec, classes = clip.spec, run.classes
  notes = []
  if spec.name in MODELS:
    world = MODELS[spec.name].name
    notes.append(
      f"The embedded checkpoint knows {world} only: what it says of"
      " photographs means nothing; openai/clip-vit-base-patch16 is a model for"
      " those."
    )
  if classes.unnamed:
    notes.append(
      f"Classes without a text, which got their name: {len(classes.unnamed):,}."
    )
  return {
    "schema": SCHEMA,
    "kind": "classifier",
    "classes": list(map(valid_unicode, classes.names)),
    "image": {
      "resize_mode": spec.resize_mode,
      "resize_size": spec.resize_size,
      "interpolation": spec.interpolation,
      "crop_size": spec.crop_size,
      "school": spec.school,
      "exif_orientation": run.exif_orientation,
    },
    "text_tower": (
      {"context_length": spec.context_length, "dim": spec.embed_dim}
      if run.text_tower
      else None
    ),
    "logit_scale": float(clip.params["logit_scale"]),
    "probability": (
      "softmax of exp(logit_scale) x score over the given classes"
    ),
    "metric": run.options.metric,
    "platforms": list(run.platforms),
    "dtype": run.dtype,
    "jax": jax.__version__,
    "compatibility": COMPATIBILITY,
    "notes": notes,
    "model": describe_model(clip),
    "texts": {
      "source": valid_unicode(classes.title),
      "taken": valid_unicode(classes.taken),
      "sha256": classes.sha256,
      "templates": list(run.templates),
      "distinct": len(embedded.rows),
      **embedded.describe(),
      "per_class": [len(texts) for texts in classes.concepts],
      "core_per_class": core.sum(axis=1).tolist(),
    },
    **session.head(),
  }
