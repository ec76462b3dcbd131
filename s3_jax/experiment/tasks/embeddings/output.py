"""The embeddings of a benchmark run as files that other programs can read."""

import pathlib
import re
from collections.abc import Sequence

import numpy as np

from s3_jax.experiment.embedder import EmbeddedImages
from s3_jax.experiment.methods.images import MethodPlan
from s3_jax.experiment.methods.prompts import random_name
from s3_jax.experiment.run_log import RunLog
from s3_jax.experiment.tasks.benchmark.sets import BenchmarkSet
from s3_jax.experiment.text_embedding import EmbeddedTexts
from s3_jax.files import safe_name
from s3_jax.lexicon.forms import NAME_WITH_DESCRIPTOR, SENTENCE
from s3_jax.storage.embedding_writing import (
  write_image_embeddings,
  write_text_embeddings,
)


def write_embedded(
  folder: pathlib.Path,
  data: BenchmarkSet,
  test_set: EmbeddedImages,
  plan: Sequence[MethodPlan],
  texts: EmbeddedTexts,
  log: RunLog,
) -> None:
  """Writes images_DATASET.npz and texts_DATASET.npz."""
  name = data.spec.name
  if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name):
    name = safe_name(0, name)
  write_image_embeddings(
    folder / f"images_{name}.npz",
    test_set.embeddings,
    test_set.labels,
    test_set.files,
  )
  rows = [
    (label, prompt, form)
    for label, prompts in enumerate(_forms_of_prompts(data, plan))
    for prompt, form in prompts.items()
  ]
  labels, prompts, forms = zip(*rows, strict=True)
  form_names = tuple(dict.fromkeys(forms))
  number = {form: index for index, form in enumerate(form_names)}
  write_text_embeddings(
    folder / f"texts_{name}.npz",
    texts.of(prompts),
    prompts,
    class_index=np.array(labels),
    forms=np.array([number[form] for form in forms]),
    form_names=form_names,
    class_names=[entry.names[0] for entry in data.classes],
  )
  log(
    f"{data.spec.title}: {len(test_set.labels):,} images and {len(rows):,}"
    f" texts of {len(form_names)} forms in {folder}."
  )


def _forms_of_prompts(
  data: BenchmarkSet, plan: Sequence[MethodPlan]
) -> list[dict[str, str]]:
  """Lists the prompts of each class with their forms, plain names first."""
  found: list[dict[str, str]] = [{} for _ in data.classes]
  # A name that was drawn must not stand before the official one.
  for prepared in sorted(plan, key=lambda p: p.method.vertices is random_name):
    for label, of_class in enumerate(prepared.forms):
      found[label] |= of_class
  last = (NAME_WITH_DESCRIPTOR, SENTENCE)
  return [
    dict(sorted(of_class.items(), key=lambda item: item[1] in last))
    for of_class in found
  ]
