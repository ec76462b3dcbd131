"""The task "models": which checkpoints can be loaded by name."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from s3_jax.clip import init_params
from s3_jax.clip.checkpoints import ZOO
from s3_jax.clip.listing import describe_towers
from s3_jax.clip.zoo import ModelSpec, Source
from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import Settings
from s3_jax.files import atomic_write, write_json
from s3_jax.results.document import Column, Table
from s3_jax.results.renderers import align, to_markdown

_COLUMNS = (
  Column("name", words=True),
  Column("image tower", words=True),
  Column("text tower", words=True),
  Column("parameters"),
  Column("pixels"),
  Column("dim"),
  Column("context"),
  Column("activation", words=True),
  Column("school", words=True),
  Column("licence", words=True),
)


_ABOUT = """# Checkpoints

`load_clip` takes each of these names, beside `s3_jax/emoji` and
`s3_jax/pictographs`, which come with the package. A row holds all that changes
an embedding; the models.json of the same command has the rest of it and where
it was taken from. Written by

    python main.py --config=configs/models.py --workdir=runs/models

Towers are blocks x channels: of a ViT with the size of its patches before
them, of a ResNet the blocks of its stages and the channels of its stem.
Parameters are those of both towers. Pixels are the rows and columns of the
input, dim is the dimension of the embeddings, context the most tokens of a
text. The school says whose steps of preprocessing are followed. Licences are
those of the weights, in the words of their publishers.

"""


class Listing(NamedTuple):
  """Which checkpoints are listed."""

  contains: str = ""  # a part of their names


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of the list."""
  contains = settings.read(Listing).contains
  specs = [spec for name, spec in ZOO.items() if contains in name]
  if not specs:
    raise ValueError(
      "`config.contains` must be part of the name of a checkpoint, got"
      f" {contains!r}."
    )
  return lambda folder: list_models(specs, folder)


def list_models(
  specs: Sequence[ModelSpec], folder: pathlib.Path
) -> list[dict[str, Any]]:
  """Prints checkpoints as a table and writes it down."""
  entries = [
    {"parameters": count_parameters(spec), "spec": _plain(spec)}
    for spec in specs
  ]
  rows = [_row(spec, entry) for spec, entry in zip(specs, entries, strict=True)]
  table = Table(_COLUMNS, rows)
  document = {"schema": 1, "models": entries}
  write_json(folder / "models.json", document)
  atomic_write(folder / "models.md", _ABOUT + to_markdown(table))
  tell("\n".join(align(table)) + "\n")
  return entries


def count_parameters(spec: ModelSpec) -> dict[str, int]:
  """Counts the numbers that training has set, without making them."""
  # Equal architectures are counted once, whatever they were trained on.
  return dict(
    _count(
      spec._replace(
        name="",
        activation="gelu",
        text_activation=None,
        image_mean=(0.0, 0.0, 0.0),
        image_std=(1.0, 1.0, 1.0),
        interpolation="bicubic",
        resize_mode="shortest",
        school="openai",
        pad_token_id=0,
        text_cleaning="none",
        source=Source(),
      )
    )
  )


@functools.cache
def _count(spec: ModelSpec) -> Mapping[str, int]:
  # The blocks of a tower are equal: one of each is traced.
  blocks = {"image": spec.image_layers, "text": spec.text_layers}
  shallow = spec._replace(text_layers=1)
  if spec.image_tower == "vit":
    shallow = shallow._replace(image_layers=1)
  shapes = jax.eval_shape(lambda: init_params(jax.random.key(0), shallow))
  counts = {}
  for tower, layers in blocks.items():
    counts[tower] = _size(shapes[tower])
    counts[tower] += (layers - 1) * _size(shapes[tower].get("block_0", {}))
  rest = [_size(shapes[key]) for key in shapes if key not in blocks]
  return {**counts, "total": sum(counts.values()) + sum(rest)}


def _size(tree: Any) -> int:
  return sum(
    leaf.size
    for path, leaf in jax.tree.leaves_with_path(tree)
    if not (path and path[-1].key in ("mean", "variance"))
  )


def _plain(spec: ModelSpec) -> dict[str, Any]:
  return {**spec._asdict(), "source": spec.source._asdict()}


def _row(spec: ModelSpec, entry: Mapping[str, Any]) -> tuple[str | int, ...]:
  return (
    spec.name,
    *describe_towers(spec),
    f"{entry['parameters']['total'] / 1e6:.1f} M",
    spec.image_size,
    spec.embed_dim,
    spec.context_length,
    " / ".join(filter(None, (spec.activation, spec.text_activation))),
    spec.school,
    spec.source.licence or "not stated",
  )
