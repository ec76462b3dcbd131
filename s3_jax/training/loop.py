"""The training run: batches in, checkpoint out, resumable after a kill.

A run is a pure function of its options: batches depend on `(seed, step)`, and
state and curve are written whole every few minutes, so a run that is killed
goes on where it was.
"""

import functools
import io
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from s3_jax import hosts
from s3_jax.clip.bpe import train_tokenizer
from s3_jax.clip.preprocess import preprocess_image
from s3_jax.clip.tokenizer import load_tokenizer
from s3_jax.clip.towers import embed_images, embed_texts
from s3_jax.clip.weights import save_clip
from s3_jax.clip.zoo import ModelSpec
from s3_jax.data.ahead import ahead
from s3_jax.data.training_stream import sample_captions, training_batch
from s3_jax.fields import Count, NonNegative, Rule, Where, Whole
from s3_jax.files import atomic_write, write_json
from s3_jax.lexicon.synonyms import Lexicon
from s3_jax.training.step import (
  TrainState,
  init_state,
  make_optimizer,
  make_train_step,
)

TOKENIZER_CAPTIONS = 20_000
CURVE_COLUMNS: tuple[str, ...] = (
  "step",
  "loss",
  "batch_accuracy",
  "validation_accuracy",
)


class TrainingOptions(NamedTuple):
  """What makes one training run differ from another."""

  seed: Whole = 0  # of weights, captions and images
  steps: Count = 500  # of the optimizer
  batch_size: Count = 128  # images and captions
  # Of the matrices.
  optimizer: Annotated[str, Rule(choices=("muon", "adamw"))] = "muon"
  learning_rate: NonNegative = 0.02  # after the warm-up
  warmup_steps: Whole = 50  # in which the learning rate rises
  weight_decay: NonNegative = 0.05  # decoupled
  # Of the steps, in which the auxiliary loss fades out.
  auxiliary_share: Annotated[float, Rule(minimum=0.01)] = 0.8
  # Of the matrix products; sums are float32.
  dtype: Annotated[str, Rule(choices=("float32", "bfloat16"))] = "bfloat16"
  validate_every: Count = 50  # steps
  save_every: Count = 50  # steps

  def check(self, where: Where) -> None:
    """Refuses steps that do not fit each other."""
    if self.warmup_steps >= self.steps:
      raise ValueError(
        f"`{where.path}.warmup_steps` must be less than `steps`, got"
        f" {self.warmup_steps} and {self.steps}."
      )
    if self.save_every % self.validate_every:
      raise ValueError(
        f"`{where.path}.save_every` must be a multiple of `validate_every`, so"
        " that a resumed run has the same curve, got"
        f" {self.save_every} and {self.validate_every}."
      )


class Validation(NamedTuple):
  """Images that the run is watched on, never trained on."""

  images: UInt8[np.ndarray, "examples rows cols 3"]  # preprocessed
  labels: Int[np.ndarray, " examples"]
  prompts: tuple[str, ...]  # one a class


def train_checkpoint(
  folder: pathlib.Path,
  spec: ModelSpec,
  lexicon: Lexicon,
  validation: Validation,
  options: TrainingOptions,
) -> list[dict[str, float]]:
  """Trains both towers from scratch and writes a folder for `load_clip`."""
  folder.mkdir(parents=True, exist_ok=True)
  _claim(folder, spec, lexicon, options)
  tokenizer_path = _write_tokenizer(folder, spec, lexicon, options.seed)
  tokenize = load_tokenizer(tokenizer_path, spec)
  optimizer = make_optimizer(
    options.optimizer,
    steps=options.steps,
    warmup_steps=options.warmup_steps,
    learning_rate=options.learning_rate,
    weight_decay=options.weight_decay,
  )
  state = init_state(
    jax.random.key(options.seed),
    spec,
    optimizer,
    classes=len(lexicon.classes),
  )
  state_path, curve_path = folder / "state.npz", folder / "curve.csv"
  curve: list[dict[str, float]] = []
  if state_path.exists():
    state = load_state(state_path, state)
    curve = _read_curve(curve_path, int(state.step))
  train_step = make_train_step(
    spec,
    optimizer,
    steps=options.steps,
    auxiliary_share=options.auxiliary_share,
    dtype=options.dtype,
  )

  def make_batch(step):
    batch = training_batch(
      lexicon,
      functools.partial(preprocess_image, spec),
      seed=options.seed,
      step=step,
      steps=options.steps,
      batch_size=options.batch_size,
    )
    token_ids = _trim(tokenize(batch.captions), spec)
    return batch.images, batch.labels, token_ids, batch.matches

  check = _make_check(spec, validation, tokenize, options.dtype)
  first = int(state.step)
  recent: list[Any] = []
  with hosts.progress_bar(
    total=options.steps,
    initial=first,
    desc="train",
    unit="step",
    leave=True,
    smoothing=0.05,
    mininterval=1,
  ) as bar:
    # One thread: what it renders keeps a processor busy already.
    for batch in ahead(
      make_batch, range(first, options.steps), threads=1, most=4
    ):
      state, metrics = train_step(state, *batch)
      recent.append(metrics)
      step = int(state.step)
      bar.update()
      if step % 20 == 0:
        bar.set_postfix(
          loss=f"{float(metrics.loss):.3f}",
          batch=f"{float(metrics.batch_accuracy):.0%}",
          val=f"{curve[-1]['validation_accuracy']:.1%}" if curve else "-",
        )
      if step % options.validate_every == 0 or step == options.steps:
        curve.append(
          {
            "step": float(step),
            "loss": float(np.mean([float(m.loss) for m in recent])),
            "batch_accuracy": float(
              np.mean([float(m.batch_accuracy) for m in recent])
            ),
            "validation_accuracy": check(state.params),
          }
        )
        recent = []
        _write_curve(curve_path, curve)
      if step % options.save_every == 0 or step == options.steps:
        save_state(state_path, state)
  params = jax.tree.map(np.asarray, state.params)
  save_clip(folder / "checkpoint", spec, params, tokenize.tokenizer)
  return curve


def _claim(
  folder: pathlib.Path,
  spec: ModelSpec,
  lexicon: Lexicon,
  options: TrainingOptions,
) -> None:
  """Writes down what the folder's run is, or checks that it is this one."""
  path = folder / "options.json"
  ours = {
    **options._asdict(),
    **{f"spec.{name}": value for name, value in spec._asdict().items()},
    "lexicon": lexicon.sha256,
  }
  if not path.exists():
    write_json(path, ours)
    return
  theirs = json.loads(path.read_text("utf-8"))
  ours = json.loads(json.dumps(ours))
  for name in sorted(ours.keys() | theirs.keys()):
    if ours.get(name) != theirs.get(name):
      raise ValueError(
        f"{folder} must hold a run with `{name}` = {ours.get(name)!r}, and"
        f" holds one with {theirs.get(name)!r}: use another workdir."
      )


def _write_tokenizer(
  folder: pathlib.Path, spec: ModelSpec, lexicon: Lexicon, seed: int
) -> pathlib.Path:
  """Trains the vocabulary on sampled captions; the same at every call."""
  path = folder / "tokenizer.json"
  if not path.exists():
    sampled = sample_captions(lexicon, seed=seed, count=TOKENIZER_CAPTIONS)
    tokenizer = train_tokenizer(sampled, spec.vocab_size)
    atomic_write(path, tokenizer.to_str(pretty=False))
  return path


def _trim(
  token_ids: Int[np.ndarray, "texts context"], spec: ModelSpec
) -> Int[np.ndarray, "texts length"]:
  """Cuts padding off at the next multiple of eight tokens: exact, causal."""
  longest = int((token_ids == spec.end_token_id).argmax(1).max()) + 1
  return token_ids[:, : min(-(-longest // 8) * 8, spec.context_length)]


def _make_check(
  spec: ModelSpec,
  validation: Validation,
  tokenize: Callable[[Sequence[str]], np.ndarray],
  dtype: str,
) -> Callable[[Any], float]:
  """Returns a function of the parameters: zero-shot top-1 accuracy."""
  images, token_ids = validation.images, tokenize(validation.prompts)

  def check(params) -> float:
    classifier = embed_texts(spec, params, token_ids)
    correct = 0
    for start in range(0, len(images), 100):
      scores: Float[Array, "batch classes"] = (
        embed_images(spec, params, images[start : start + 100], dtype=dtype)
        @ classifier.T
      )
      labels = validation.labels[start : start + 100]
      correct += int((np.asarray(scores).argmax(1) == labels).sum())
    return correct / len(images)

  return check


def save_state(path: pathlib.Path, state: TrainState) -> None:
  """Writes the state whole or not at all, leaves numbered in pytree order."""
  buffer = io.BytesIO()
  np.savez(buffer, *[np.asarray(leaf) for leaf in jax.tree.leaves(state)])
  atomic_write(path, buffer.getvalue())


def load_state(path: pathlib.Path, like: TrainState) -> TrainState:
  """Reads what `save_state` wrote."""
  leaves, structure = jax.tree.flatten(like)
  try:
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
      found = [stored[name] for name in stored.files]
  except Exception as error:  # a damaged archive can fail in any parser
    raise ValueError(
      f"{path} must be a whole training state, and is damaged: remove the file"
      " to start afresh."
    ) from error
  same = len(found) == len(leaves) and all(
    a.shape == b.shape and a.dtype == b.dtype
    for a, b in zip(found, leaves, strict=True)
  )
  if not same:
    raise ValueError(
      f"{path} must hold a training state of this configuration, and does"
      " not: use another workdir, or remove the file to start afresh."
    )
  return jax.tree.unflatten(structure, [jnp.asarray(leaf) for leaf in found])


def _write_curve(path: pathlib.Path, curve: list[dict[str, float]]) -> None:
  lines = [",".join(CURVE_COLUMNS)]
  lines += [
    ",".join(f"{row[column]:.6g}" for column in CURVE_COLUMNS) for row in curve
  ]
  atomic_write(path, "\n".join(lines) + "\n")


def _read_curve(path: pathlib.Path, step: int) -> list[dict[str, float]]:
  """Reads the rows up to `step`; later ones will be computed again."""
  if not path.exists():
    return []
  rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
  curve = [
    dict(zip(CURVE_COLUMNS, map(float, row), strict=True)) for row in rows
  ]
  return [row for row in curve if row["step"] <= step]
