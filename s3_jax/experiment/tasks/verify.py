"""The task "verify": whether a checkpoint computes what is known of it."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np

from s3_jax.clip import Clip, embed_texts
from s3_jax.experiment.checkpoint import (
  CheckpointSource,
  describe_model,
  load_checkpoint,
)
from s3_jax.experiment.known_values import (
  KNOWN_COSINES,
  TEMPLATE,
  TOLERANCE,
  KnownCosine,
)
from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import Settings
from s3_jax.fields import Inline, Rule
from s3_jax.files import write_json
from s3_jax.messages import nearest


class Verification(NamedTuple):
  """The settings of a verification."""

  model: Inline[CheckpointSource]
  # Whose values; default: those of the model's name.
  known: Annotated[str, Rule(choices=KNOWN_COSINES)] = ""


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a verification."""
  verification = settings.read(Verification)
  return lambda folder: verify(verification, folder)


def verify(verification: Verification, folder: pathlib.Path) -> str:
  """Compares a checkpoint with what is known of it, and prints both."""
  clip = load_checkpoint(verification.model)
  name = verification.known or clip.spec.name
  known = KNOWN_COSINES.get(name, ())
  found = _cosines(clip, known)
  errors = [
    abs(row.cosine - ours) for row, ours in zip(known, found, strict=True)
  ]
  verdict = "unknown"
  if known:
    verdict = "pass" if all(error <= TOLERANCE for error in errors) else "fail"
  document = {
    "schema": 1,
    "model": describe_model(clip),
    "known": name,
    "verdict": verdict,
    "tolerance": TOLERANCE,
    "cosines": [
      {**row._asdict(), "found": ours}
      for row, ours in zip(known, found, strict=True)
    ],
  }
  write_json(folder / "verification.json", document)
  tell(_table(known, found))
  tell(f"{clip.spec.name}, sha256 {clip.sha256}: {verdict}\n")
  if not known:
    names = nearest(KNOWN_COSINES, name)
    tell(
      f"No values are known of {name!r}, only of {names}; `config.known` says"
      " whose values a copy under another name must have.\n"
    )
  if verdict == "fail":
    raise ValueError(
      f"`config.model` must compute the cosines known of {name} to within"
      f" {TOLERANCE}, got {max(errors):.4f} off in the worst of"
      f" {len(known)}; its weights or its settings are others."
    )
  return verdict


def _cosines(clip: Clip, known: Sequence[KnownCosine]) -> list[float]:
  """Embeds every text once and compares the pairs."""
  words = sorted({word for row in known for word in row[:2]})
  if not words:
    return []
  prompts = [TEMPLATE.format(word) for word in words]
  embeddings = np.asarray(
    embed_texts(clip.spec, clip.params, clip.tokenize(prompts)), np.float64
  )
  position = {word: embeddings[index] for index, word in enumerate(words)}
  return [float(position[row.first] @ position[row.second]) for row in known]


def _table(known: Sequence[KnownCosine], found: Sequence[float]) -> str:
  lines = ["  known  found  texts"] if known else []
  lines += [
    f"{row.cosine:7.4f} {ours:6.4f}  {row.first}, {row.second}"
    + ("" if abs(row.cosine - ours) <= TOLERANCE else "  <- differs")
    for row, ours in zip(known, found, strict=True)
  ]
  return "".join(f"{line}\n" for line in lines)
