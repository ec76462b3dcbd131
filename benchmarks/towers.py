"""Speed of the towers beside `transformers` on torch, on one CPU thread.

  python benchmarks/towers.py --models=ViT-B/32,ViT-B/16 --json=towers.json

prints images and texts per CPU second. All variants of a line run in turn,
round after round, in one process that is bound to one CPU, and both libraries
have the same weights and the same inputs. A ratio is the median over the rounds
of the ratio within a round, so that a busy machine slows both. Compilation is
not timed.

Images: "torch" is float32; "autocast" is torch's bfloat16 by autocast, which
keeps float32 weights; "torch bf16" has all of it in bfloat16, weights and
activations. "jax" is float32; "jax bf16" multiplies in bfloat16 and sums in
float32, from float32 parameters or from ones stored in bfloat16. The table
shows the smallest cosine between an embedding and torch's in float32.

Texts: "buckets" runs the text tower at the length that the longest text of a
batch needs, "padded" at the context length, as torch does. The texts are
"a photo of a NAME." for the names of --names, a JSON file with a list of
"names" or a text file of a name a line, with the tokens of --tokenizer; by
default those of the pictographs.

It needs torch and transformers, of requirements-dev.txt.
"""

import functools
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import torch
import transformers
from absl import app, flags

# The script runs from a checkout, whether that is installed or not.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks.networks import ROWS, transformers_model  # noqa: E402
from s3_jax.clip.bpe import special_ids  # noqa: E402
from s3_jax.clip.bpe_files import read_tokenizer  # noqa: E402
from s3_jax.clip.checkpoints import ZOO  # noqa: E402
from s3_jax.clip.layouts import to_params  # noqa: E402
from s3_jax.clip.text_batches import embed_in_buckets  # noqa: E402
from s3_jax.clip.tokenizer import load_tokenizer  # noqa: E402
from s3_jax.clip.towers import (  # noqa: E402
  embed_images,
  embed_texts,
  normalize_images,
)
from s3_jax.clip.zoo import MODELS, ModelSpec  # noqa: E402
from s3_jax.lexicon.synonyms import load_lexicon  # noqa: E402

_MODELS = flags.DEFINE_list(
  "models", ["ViT-B/32", "ViT-B/16"], f"Some of {list(ROWS)}, no ResNet."
)
_BATCHES = flags.DEFINE_list("batches", ["8"], "Images a batch.")
_ROUNDS = flags.DEFINE_integer("rounds", 9, "Timed runs of each variant.")
_TEXTS = flags.DEFINE_integer("texts", 128, "How many texts, 0 for none.")
_ROWS = flags.DEFINE_integer("rows", 64, "Texts that the tower takes at once.")
_NAMES = flags.DEFINE_string("names", None, "File of class names.")
_TOKENIZER = flags.DEFINE_string("tokenizer", None, "Tokenizer of the texts.")
_JSON = flags.DEFINE_string("json", None, "Where to write the numbers.")

Embeddings = np.ndarray


class Row(NamedTuple):
  """One variant of one task.

  Attributes:
    task: what is embedded, by which network, at which batch.
    variant: by whom and in which type.
    rate: images or texts per CPU second, the median of the rounds.
    best: the same in the fastest round.
    ratios: rate over that of each other variant named, the median of the
      rounds.
    agreement: what the embeddings were compared by, and the number.
  """

  task: str
  variant: str
  rate: float
  best: float
  ratios: dict[str, float]
  agreement: dict[str, float]


def timed(
  runs: dict[str, Callable[[], Embeddings]], count: int, rounds: int
) -> dict[str, np.ndarray]:
  """Runs every variant in turn; rates per CPU second, one a round."""
  rates: dict[str, list[float]] = {name: [] for name in runs}
  for _ in range(rounds):
    for name, run in runs.items():
      start = time.process_time()
      run()
      rates[name].append(count / (time.process_time() - start))
  return {name: np.asarray(values) for name, values in rates.items()}


def rows_of(
  task: str,
  rates: dict[str, np.ndarray],
  against: dict[str, tuple[str, ...]],
  agreement: dict[str, dict[str, float]],
) -> list[Row]:
  """Makes the lines of a task."""
  return [
    Row(
      task,
      name,
      float(np.median(values)),
      float(values.max()),
      {
        other: float(np.median(values / rates[other]))
        for other in against.get(name, ())
      },
      agreement.get(name, {}),
    )
    for name, values in rates.items()
  ]


def unit(x: torch.Tensor) -> Embeddings:
  """Normalises as both libraries do, in float32."""
  return torch.nn.functional.normalize(x.float(), dim=-1).numpy()


def image_rows(name: str, model: Any, spec: ModelSpec, batch: int) -> list[Row]:
  """Times the image tower of one network at one batch."""
  rng = np.random.default_rng(0)
  shape = (batch, spec.image_size, spec.image_size, 3)
  pixels = rng.integers(0, 256, shape, np.uint8)
  images = jax.device_put(np.asarray(normalize_images(spec, pixels)))
  theirs = torch.tensor(np.array(images)).permute(0, 3, 1, 2).contiguous()
  arrays = {key: value.numpy() for key, value in model.state_dict().items()}
  params, half = (
    to_params(arrays, spec, "hugging_face", name, dtype=dtype)
    for dtype in ("float32", "bfloat16")
  )
  half_model = transformers_model(spec)
  half_model.load_state_dict(model.state_dict())
  half_model = half_model.bfloat16()

  def torch_run(model, inputs):
    with torch.inference_mode():
      return unit(model.get_image_features(pixel_values=inputs).pooler_output)

  def autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
      return torch_run(model, theirs)

  def jax_run(params, dtype):
    return np.asarray(embed_images(spec, params, images, dtype=dtype))

  runs = {
    "torch": functools.partial(torch_run, model, theirs),
    "autocast": autocast,
    "torch bf16": functools.partial(torch_run, half_model, theirs.bfloat16()),
    "jax": functools.partial(jax_run, params, "float32"),
    "jax bf16, f32 stored": functools.partial(jax_run, params, "bfloat16"),
    "jax bf16": functools.partial(jax_run, half, "bfloat16"),
  }
  first = {variant: run() for variant, run in runs.items()}
  cosines = {
    variant: {"min_cosine": float((value * first["torch"]).sum(1).min())}
    for variant, value in first.items()
  }
  return rows_of(
    f"{name}, {batch} images",
    timed(runs, batch, _ROUNDS.value),
    {
      "jax": ("torch",),
      "jax bf16, f32 stored": ("autocast", "torch bf16"),
      "jax bf16": ("autocast", "torch bf16"),
    },
    cosines,
  )


def prompts(spec: ModelSpec) -> np.ndarray:
  """Tokenises a prompt for each class name, i32[texts, context]."""
  if _NAMES.value is None:
    names = [entry.name for entry in load_lexicon("pictographs").classes]
  else:
    text = pathlib.Path(_NAMES.value).read_text("utf-8")
    is_json = _NAMES.value.endswith(".json")
    names = json.loads(text)["names"] if is_json else text.splitlines()
  folder = MODELS["s3_jax/pictographs"]
  path = pathlib.Path(_TOKENIZER.value or folder / "tokenizer.json")
  tokenizer = read_tokenizer(path)
  start, end = special_ids(tokenizer)
  own = spec._replace(
    vocab_size=tokenizer.get_vocab_size(),
    start_token_id=start,
    end_token_id=end,
    pad_token_id=end,
  )
  # Every k-th, so that the texts are of all lengths that the names have.
  step = max(len(names) // _TEXTS.value, 1)
  ids = load_tokenizer(path, own)(
    [f"a photo of a {name}." for name in names[::step]]
  )
  # The network's own end, where the vocabulary is a smaller one.
  return np.where(ids == end, np.int32(spec.end_token_id), ids)


def text_rows(name: str, model: Any, spec: ModelSpec) -> list[Row]:
  """Times the text tower on prompts."""
  arrays = {key: value.numpy() for key, value in model.state_dict().items()}
  params = to_params(arrays, spec, "hugging_face", name)
  ids = prompts(spec)[: _TEXTS.value]
  embed = functools.partial(embed_texts, spec, params)
  batch = min(_ROWS.value, len(ids))

  def padded():
    pieces = [
      embed(np.resize(ids[start : start + batch], (batch, ids.shape[1])))
      for start in range(0, len(ids), batch)
    ]
    return np.concatenate([np.asarray(piece) for piece in pieces])[: len(ids)]

  def torch_padded():
    with torch.inference_mode():
      pieces = [
        model.get_text_features(input_ids=torch.tensor(part)).pooler_output
        for part in np.split(ids, range(batch, len(ids), batch))
      ]
      return unit(torch.cat(pieces))

  runs = {
    "torch, padded": torch_padded,
    "jax, padded": padded,
    "jax, buckets": lambda: embed_in_buckets(embed, spec, ids, rows=batch),
  }
  first = {variant: run() for variant, run in runs.items()}
  differences = {
    variant: {
      f"max_difference_to_{other}": float(np.abs(value - first[other]).max())
      for other in ("torch, padded", "jax, padded")
      if other != variant
    }
    for variant, value in first.items()
    if variant != "torch, padded"
  }
  rounds = max(_ROUNDS.value // 3, 1)
  return rows_of(
    f"{name}, {len(ids)} texts",
    timed(runs, len(ids), rounds),
    {
      "jax, padded": ("torch, padded",),
      "jax, buckets": ("jax, padded", "torch, padded"),
    },
    differences,
  )


def show(rows: list[Row]) -> None:
  """Prints the lines of a task."""
  for row in rows:
    ratios = ", ".join(
      f"{ratio:.2f} x {other}" for other, ratio in row.ratios.items()
    )
    agreement = ", ".join(
      f"{key.replace('_', ' ')}: {value:.7g}"
      for key, value in row.agreement.items()
    )
    print(  # noqa: T201
      f"| {row.task} | {row.variant} | {row.rate:.2f} | {row.best:.2f} "
      f"| {ratios} | {agreement} |",
      flush=True,
    )


def main(argv):
  """Prints the table of rates."""
  del argv
  known = [name for name in ROWS if name.startswith("ViT")]
  if unknown := set(_MODELS.value) - set(known):
    raise app.UsageError(f"--models must be of {known}, got {unknown}.")
  if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
  torch.set_num_threads(1)
  torch.manual_seed(0)
  transformers.utils.logging.set_verbosity_error()
  print(  # noqa: T201
    f"jax {jax.__version__} on {jax.default_backend()}, torch "
    f"{torch.__version__}, transformers {transformers.__version__}, one "
    f"thread, {_ROUNDS.value} rounds; rates per CPU second\n\n"
    "| task | variant | median | best | ratio | agreement |\n"
    "|---|---|---|---|---|---|"
  )
  rows = []
  for index, name in enumerate(_MODELS.value):
    spec = ZOO[ROWS[name]]
    model = transformers_model(spec)
    for batch in _BATCHES.value:
      rows += image_rows(name, model, spec, int(batch))
      show(rows[-6:])
    if index == 0 and _TEXTS.value:
      rows += text_rows(name, model, spec)
      show(rows[-3:])
  if _JSON.value:
    document = {
      "schema": 1,
      "jax": jax.__version__,
      "platform": jax.default_backend(),
      "torch": torch.__version__,
      "transformers": transformers.__version__,
      "rounds": _ROUNDS.value,
      "rows": [row._asdict() for row in rows],
    }
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    pathlib.Path(_JSON.value).write_text(text, "utf-8")


if __name__ == "__main__":
  app.run(main)
