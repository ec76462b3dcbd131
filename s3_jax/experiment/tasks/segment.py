"""The task "segment": label maps of one's own photographs."""

import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8

from s3_jax import hosts
from s3_jax.clip import Clip
from s3_jax.data.ahead import ahead
from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.data.loading import load_image
from s3_jax.data.masks import encode_mask
from s3_jax.data.segmentation_stream import rgb_pixels
from s3_jax.data.thumbnails import shrink_pixels
from s3_jax.experiment.checkpoint import (
  CheckpointSource,
  describe_model,
  load_checkpoint,
)
from s3_jax.experiment.costs import Cost, announce_texts
from s3_jax.experiment.embedder import Embedder
from s3_jax.experiment.image_files import find_images
from s3_jax.experiment.methods.patches import (
  PATCH_METHODS,
  PatchTarget,
  make_targets,
)
from s3_jax.experiment.methods.spaces import SpaceOptions
from s3_jax.experiment.session import Session
from s3_jax.experiment.settings import (
  CacheDir,
  Classes,
  Dtype,
  Settings,
  Sources,
)
from s3_jax.experiment.tasks.segmentation.settings import (
  Embeddings,
  NameTemplates,
  Protocol,
  ProtocolChanges,
  protocol_of,
  too_small,
)
from s3_jax.fields import Count, Given, Inline, Rule, Where, raw
from s3_jax.files import atomic_write, safe_name, write_json
from s3_jax.lexicon.vertices import concept_vertices, distinct_prompts
from s3_jax.messages import visible
from s3_jax.results.contact_sheet import CARDS, Sheet, page_name
from s3_jax.results.escaping import valid_unicode
from s3_jax.results.segmentation_pictures import (
  Example,
  label_colours,
  overlay,
  plot_example,
)
from s3_jax.results.segments_page import (
  SEGMENTS,
  Area,
  SegmentCard,
  render_page,
)
from s3_jax.segmentation import (
  EMBEDDINGS,
  SegmentationProtocol,
  check_embeddings,
  label_windows,
)

SCHEMA = 1
_THREADS = 4


class Segment(NamedTuple):
  """The settings of a run."""

  config: Given
  images: Sources  # folder, pattern, file, or several
  classes: Classes  # names between commas, a file, or a table
  model: Inline[CheckpointSource]  # a ViT with a class token
  options: Inline[SpaceOptions]
  background: bool = False  # True: the first class is the background
  protocol: Protocol = "sclip"  # whose sizes, windows and thresholds
  # One of each patch; "windows": each window as one image.
  embeddings: Embeddings = "patches"
  # Fields of the protocol with values of your own.
  protocol_changes: ProtocolChanges = raw({})
  # "synonyms_max": each text alone, the best counts.
  method: Annotated[str, Rule(choices=("synonyms_max", "s3"))] = "s3"
  templates: NameTemplates = raw(
    ()
  )  # of the texts; default: the 80 of ImageNet
  exif_orientation: bool = True  # turn photographs as their tag says
  max_pixels: Count = MAX_PIXELS  # larger images are bad files
  strict: bool = False  # bad files end in exit code 2, after all is written
  dtype: Dtype = "float32"  # of the towers' matrix products
  cache_dir: CacheDir = raw("")  # default: the user's cache folder

  @property
  def as_changed(self) -> SegmentationProtocol:
    """The protocol with the changes."""
    return protocol_of(self.protocol, "", self.protocol_changes.given)

  def check(self, where: Where) -> None:
    """Refuses what a label map cannot show, and a protocol of no use."""
    if len(self.classes.names) > 255:
      raise ValueError(
        f"`{where.path}.classes` must be at most 255 classes, which a PNG of"
        f" labels holds, got {len(self.classes.names)}."
      )
    threshold = self.as_changed.prob_threshold
    if threshold and not self.background:
      where.at("protocol_changes").at("prob_threshold").refuse(
        f"must be 0 unless `{where.path}.background=True` says that class 0 is"
        " the background",
        threshold,
      )


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a run."""
  run = settings.read(Segment)
  return lambda folder: segment(run, folder)


class _Loaded(NamedTuple):
  file: str
  pixels: UInt8[np.ndarray, "rows cols 3"] | None
  problem: str


def segment(run: Segment, folder: pathlib.Path) -> pathlib.Path:
  """Labels the pixels of images and writes what was found."""
  session = Session(folder, config=run.config, dtype=run.dtype, mesh=1)
  log = session.log
  found = find_images(run.images)
  clip = load_checkpoint(run.model)
  check_embeddings(clip, run.as_changed, run.embeddings)
  target = _target(run, session, clip, len(found.files))
  names = run.classes.names
  about = (
    f"{clip.spec.name}, {len(names):,} classes of"
    f" {visible(run.classes.title)}, method {run.method}"
  )
  log(f"{about}; {len(found.files):,} files.")
  if run.classes.taken:
    log(f"Classes of {visible(run.classes.taken)}")
  colours = label_colours(len(names), background=run.background)
  rows, bad = [], []
  cards: list[SegmentCard] = []  # of the page that is being filled
  sheet = Sheet(f"{about}.", (), len(found.files))
  pages: list[str] = []

  def add_card(card: SegmentCard) -> None:
    cards.append(card)
    if len(cards) == CARDS or len(rows) + len(bad) == len(found.files):
      pages.append(page_name(len(pages) + 1, SEGMENTS))
      page = render_page(sheet, cards, page=len(pages))
      atomic_write(folder / pages[-1], page)
      cards.clear()

  bar = hosts.progress_bar(
    _load(run, found.files), desc="segment", total=len(found.files)
  )
  for index, image in enumerate(bar):
    problem = image.problem
    if image.pixels is not None:
      size = image.pixels.shape[:2]
      problem = too_small(size, clip.spec, run.as_changed, run.embeddings)
    if image.pixels is None or problem:
      bad.append({"file": valid_unicode(image.file), "reason": problem})
      add_card(SegmentCard(image.file, 0, 0, (), (), problem))
      continue
    (patches,) = EMBEDDINGS[run.embeddings](
      clip.spec,
      clip.params,
      [image.pixels],
      protocol=run.as_changed,
      dtype=run.dtype,
    )
    labels = label_windows(patches, target.target, protocol=run.as_changed)
    name = safe_name(index, pathlib.Path(image.file).stem)
    plot_example(
      folder / "overlays" / f"{name}.png",
      Example(
        visible(pathlib.Path(image.file).name),
        image.pixels,
        {run.method: labels},
      ),
      names,
      colours=colours,
    )
    atomic_write(folder / "labels" / f"{name}.png", encode_mask(labels))
    rows.append(_row(image.file, name, labels, names))
    painted = overlay(image.pixels, labels, colours)
    add_card(_card(image.file, image.pixels, painted, rows[-1], colours))
  document = {
    "schema": SCHEMA,
    "kind": "segments",
    **session.head(),
    "model": describe_model(clip),
    "protocol": run.as_changed._asdict(),
    "texts_sha256": run.classes.sha256,
    "classes": _classes(run, target, colours),
    "files": rows,
    "bad_files": bad,
  }
  path = folder / "segments.json"
  write_json(path, document, ascii=False)
  for row in rows[:20]:
    shares = ", ".join(
      f"{visible(each['name'])} {100 * each['share']:.0f} %"
      for each in row["shares"][:4]
    )
    log(f"{visible(row['file'])}: {shares}")
  log(
    f"{len(rows):,} of {len(found.files):,} files good; {', '.join(pages)},"
    f" overlays: {folder}"
  )
  if bad and (run.strict or not rows):
    raise ValueError(
      "`config.images` must hold images that can be used, got"
      f" {len(bad)} bad of {len(found.files)}, the first is"
      f" {visible(bad[0]['file'])} ({visible(bad[0]['reason'])});"
      f" {path} lists them."
    )
  return path


def _target(
  run: Segment, session: Session, clip: Clip, files: int
) -> PatchTarget:
  vertices = {run.method: concept_vertices(run.classes.texts, run.templates)}
  prompts = distinct_prompts(vertices.values())
  embedder = Embedder(clip, run.dtype, 64, 1, run.cache_dir)
  announce_texts(session, embedder, prompts, Cost("images", files))
  embedded = embedder.texts(prompts)
  methods = {run.method: PATCH_METHODS[run.method]}
  return make_targets(
    methods, vertices, prompts, embedded.embeddings, run.options
  )[run.method]


def _load(run: Segment, files: tuple[str, ...]) -> Iterator[_Loaded]:
  """Decodes files at their own size, in threads a little ahead."""
  load = functools.partial(
    load_image,
    preprocess=rgb_pixels,
    max_pixels=run.max_pixels,
    thumbnail=False,
    exif_orientation=run.exif_orientation,
  )
  loaded = ahead(load, files, threads=_THREADS, most=_THREADS)
  for file, image in zip(files, loaded, strict=True):
    yield _Loaded(file, image.pixels, valid_unicode(image.problem))


def _row(
  file: str,
  name: str,
  labels: Int32[np.ndarray, "rows cols"],
  names: tuple[str, ...],
) -> dict[str, Any]:
  areas = np.bincount(labels.ravel(), minlength=len(names))
  order = np.argsort(-areas, kind="stable")
  return {
    "file": valid_unicode(file),
    "overlay": f"overlays/{name}.png",
    "labels": f"labels/{name}.png",
    "rows": labels.shape[0],
    "cols": labels.shape[1],
    "shares": [
      {
        "label": int(label),
        "name": names[label],
        "share": float(areas[label] / labels.size),
      }
      for label in order
      if areas[label]
    ],
  }


def _card(
  file: str,
  pixels: UInt8[np.ndarray, "rows cols 3"],
  painted: UInt8[np.ndarray, "rows cols 3"],
  row: dict[str, Any],
  colours: UInt8[np.ndarray, "classes 3"],
) -> SegmentCard:
  """Makes a photograph and its labels small, and puts words to the colours."""
  return SegmentCard(
    file,
    row["rows"],
    row["cols"],
    (shrink_pixels(pixels), shrink_pixels(painted)),
    tuple(
      Area(each["name"], _hex(colours[each["label"]]), each["share"])
      for each in row["shares"]
    ),
    "",
  )


def _hex(colour: UInt8[np.ndarray, " 3"]) -> str:
  return "#" + colour.tobytes().hex()


def _classes(
  run: Segment,
  target: PatchTarget,
  colours: UInt8[np.ndarray, "classes 3"],
) -> list[dict[str, Any]]:
  """Lists the classes with their colours, and which texts are in the core."""
  rows = []
  for label, texts in enumerate(run.classes.concepts):
    kept = [True] * len(texts)
    if target.space is not None:
      kept = np.asarray(target.space.mask)[label, : len(texts)].tolist()
    rows.append(
      {
        "label": label,
        "name": run.classes.names[label],
        "colour": _hex(colours[label]),
        "texts": [t for t, is_in in zip(texts, kept, strict=True) if is_in],
        "left_out": [
          t for t, is_in in zip(texts, kept, strict=True) if not is_in
        ],
      }
    )
  return rows
