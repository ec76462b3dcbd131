"""The task "gallery": what a drawn world looks like."""

import pathlib
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import numpy as np

from s3_jax.data import emoji, glyphs, pictographs
from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import Settings
from s3_jax.fields import Rule, Whole
from s3_jax.lexicon.synonyms import Lexicon, load_lexicon
from s3_jax.results.plots import plot_contact_sheet


class Gallery(NamedTuple):
  """The settings of a gallery."""

  # Whose classes are drawn.
  lexicon: Annotated[str, Rule(choices=("emoji", "pictographs"))] = "emoji"
  # Classes that are drawn in every style, or by every artist.
  labels: tuple[Any, ...] = (
    2,
    51,
    59,
    88,
    110,
    155,
    197,
    199,
    190,
    297,
    318,
    346,
  )
  seed: Whole = 7  # of place, size and colour


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a gallery."""
  gallery = settings.read(Gallery)
  lexicon, labels = load_lexicon(gallery.lexicon), gallery.labels
  classes = len(lexicon.classes)
  for label in labels:
    if not (isinstance(label, int) and 0 <= label < classes):
      raise ValueError(
        f"`config.labels` must be class indices in 0..{classes - 1}, got"
        f" {label!r}."
      )
  if not labels:
    raise ValueError("`config.labels` must name at least one class, got none.")
  return lambda folder: draw_gallery(lexicon, labels, gallery.seed, folder)


Draw = Callable[[int, str], np.ndarray]


def _pictographs(lexicon: Lexicon, seed: int) -> tuple[Draw, tuple[str, ...]]:
  fields = glyphs.glyph_fields(
    tuple(entry.codepoint for entry in lexicon.classes)
  )

  def draw(label: int, style: str) -> np.ndarray:
    generator = pictographs.image_generator(seed, "train", style, label, 0)
    return pictographs.render(fields[label], generator, style=style)

  return draw, (*pictographs.STYLES, pictographs.VARIED)


def _emoji(lexicon: Lexicon, seed: int) -> tuple[Draw, tuple[str, ...]]:
  del lexicon  # the sheets are in its order

  def draw(label: int, artist: str) -> np.ndarray:
    generator = emoji.image_generator(seed, "test", artist, label, 0)
    return emoji.render(emoji.drawings(artist)[label], generator)

  return draw, tuple(emoji.ARTISTS)


def draw_gallery(
  lexicon: Lexicon, labels: tuple[int, ...], seed: int, folder: pathlib.Path
) -> list[pathlib.Path]:
  """Draws every class once, and some classes in every style."""
  world = {"pictographs": _pictographs, "emoji": _emoji}[lexicon.dataset]
  draw, styles = world(lexicon, seed)
  paths = [folder / "classes.png", folder / "styles.png"]
  plot_contact_sheet(
    np.stack([draw(entry.label, styles[0]) for entry in lexicon.classes]),
    [entry.captioned[0] for entry in lexicon.classes],
    paths[0],
    columns=round((2.5 * len(lexicon.classes)) ** 0.5),  # wider than high
  )
  plot_contact_sheet(
    np.stack([draw(label, style) for style in styles for label in labels]),
    [style for style in styles for _ in labels],
    paths[1],
    columns=len(labels),
  )
  tell(f"{paths[0]}\n{paths[1]}\n")
  return paths
