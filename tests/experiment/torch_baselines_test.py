"""Predictions of the baselines, image by image, against torch's.

The reference is `transformers` from pixels to logits: its processor, tokenizer
and CLIPModel, one loop over classes and templates, nothing of this package.
"""

import csv

import numpy as np
import PIL.Image
import pytest

from s3_jax import experiment
from s3_jax.clip import train_tokenizer
from s3_jax.clip.bpe import END, START
from s3_jax.lexicon.synonyms import load_lexicon
from s3_jax.lexicon.templates import IMAGENET_80
from tests.benchmark_replicas import make_replica

SIZE = 20
LENGTH = 40


@pytest.fixture(scope="module")
def names():
  return [entry.name for entry in load_lexicon("dtd").classes]


@pytest.fixture(scope="module")
def reference(names, tmp_path_factory):
  """A random CLIPModel in its own layout."""
  import torch
  import transformers

  transformers.utils.logging.disable_progress_bar()
  transformers.utils.logging.set_verbosity_error()
  torch.manual_seed(3)
  torch.set_num_threads(1)
  folder = tmp_path_factory.mktemp("reference")
  tokenizer = train_tokenizer([*names, *IMAGENET_80], 700)
  tower = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_act": "quick_gelu",
  }
  config = transformers.CLIPConfig(
    text_config={
      **tower,
      "vocab_size": tokenizer.get_vocab_size(),
      "max_position_embeddings": LENGTH,
      "bos_token_id": tokenizer.token_to_id(START),
      "eos_token_id": tokenizer.token_to_id(END),
    },
    vision_config={**tower, "image_size": SIZE, "patch_size": 5},
    projection_dim=24,
  )
  model = transformers.CLIPModel(config).eval()
  with torch.no_grad():
    for name, value in model.named_parameters():
      # Other texts and other pictures get very different embeddings.
      if "token_embedding" in name or "patch_embedding" in name:
        value *= 40
      elif value.ndim == 2 and "layers" in name:
        value *= 6
  model.save_pretrained(folder)
  processor = transformers.CLIPImageProcessorPil(
    size={"shortest_edge": SIZE},
    crop_size={"height": SIZE, "width": SIZE},
  )
  processor.save_pretrained(folder)
  tokenizer.save(str(folder / "tokenizer.json"))
  return folder, model


@pytest.fixture(scope="module")
def replica(tmp_path_factory):
  """DTD in CoOp's folders, with pictures of all shapes and modes."""
  made = make_replica(
    "dtd", tmp_path_factory.mktemp("data"), images_per_class=2
  )
  rng = np.random.default_rng(1)
  for number, file in enumerate(made.files):
    (path,) = (p for p in made.data_dir.rglob("*.jpg") if str(p).endswith(file))
    coarse = rng.integers(0, 256, (4, 5, 3), np.uint8)
    rows, cols = rng.integers(SIZE, 5 * SIZE, 2).tolist()
    picture = PIL.Image.fromarray(coarse).resize((cols, rows))
    mode = ("RGB", "L", "RGB", "CMYK")[number % 4]
    picture.convert(mode).save(path, "JPEG", quality=95)
  return made


def torch_predictions(reference, replica, names, templates):
  import torch
  import transformers

  folder, model = reference
  processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
  tokenizer = transformers.CLIPTokenizerFast.from_pretrained(folder)
  classifier = []
  with torch.no_grad():
    for name in names:
      texts = [t.replace("{}", name.replace("_", " ")) for t in templates]
      tokens = tokenizer(
        texts,
        padding="max_length",
        truncation=True,
        max_length=LENGTH,
        return_tensors="pt",
      )
      rows = model.get_text_features(**tokens).pooler_output
      rows = rows / rows.norm(dim=-1, keepdim=True)
      mean = rows.mean(0)
      classifier.append(mean / mean.norm())
    weights = torch.stack(classifier).double()
    predicted, margins = [], []
    for file in replica.files:
      (path,) = (
        p for p in replica.data_dir.rglob("*.jpg") if str(p).endswith(file)
      )
      with PIL.Image.open(path) as image:
        pixels = processor(image, return_tensors="pt")["pixel_values"]
      row = model.get_image_features(pixel_values=pixels).pooler_output[0]
      scores = weights @ (row / row.norm()).double()
      best = scores.topk(2)
      predicted.append(int(best.indices[0]))
      margins.append(float(best.values[0] - best.values[1]))
  return predicted, margins


@pytest.fixture(scope="module")
def ours(reference, replica, read_config, tmp_path_factory):
  folder = tmp_path_factory.mktemp("ours")
  config = read_config(
    "dtd",
    model=str(reference[0]),
    data_dir=str(replica.data_dir),
    methods=("class_name", "templates_80"),
    partial=True,
    batch_size=16,
    cache_dir=str(folder / "cache"),
  )
  experiment.run(config, str(folder / "run"))
  with open(folder / "run" / "predictions.csv", newline="") as file:
    return list(csv.DictReader(file))


@pytest.mark.parametrize(
  ("method", "templates"),
  [("class_name", ("a photo of a {}.",)), ("templates_80", IMAGENET_80)],
)
def test_every_prediction_is_torchs(
  reference, replica, names, ours, method, templates
):
  expected, margins = torch_predictions(reference, replica, names, templates)
  assert [line["file"] for line in ours] == replica.files
  got = [int(line[method]) for line in ours]
  assert min(margins) > 1e-6, "the reference itself is undecided"
  assert got == expected
  assert len(set(got)) > 5, "the towers tell images apart"
