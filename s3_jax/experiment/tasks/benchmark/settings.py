"""The settings of a benchmark run, read and checked."""

from typing import Annotated, Any, NamedTuple

from s3_jax.data.datasets import DATASETS
from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.data.readers import READERS
from s3_jax.experiment.checkpoint import CheckpointSource
from s3_jax.experiment.methods.images import METHODS, NEED_FILES, Method
from s3_jax.experiment.methods.prompts import concepts
from s3_jax.experiment.methods.spaces import SpaceOptions
from s3_jax.experiment.methods.streams import STREAM_METHODS, StreamMethod
from s3_jax.experiment.methods.view_scores import ViewSettings
from s3_jax.experiment.methods.views import VIEW_METHODS, ViewMethod
from s3_jax.experiment.settings import (
  CacheDir,
  Dtype,
  Folder,
  Seeds,
  Settings,
  Template,
  Templates,
  check_baseline,
  check_sets,
)
from s3_jax.experiment.tasks.benchmark.sets import OWN
from s3_jax.fields import (
  Count,
  Given,
  Inline,
  Rule,
  Where,
  Whole,
  raw,
  read_value,
  rows_of,
  words,
)

FILES = ("cupl", "dclip", "waffle")
"""Methods whose texts may come from a file of the user's."""


def _data_sets() -> tuple[str, ...]:
  return (*DATASETS, OWN)


def _embedded() -> tuple[str, ...]:
  return tuple(
    name for name, spec in DATASETS.items() if spec.family == "embedded"
  )


def _read_template(value: str, where: Where) -> str:
  return read_value(Template, value, where) if value else value


NameTemplate = Annotated[str, Rule(read=_read_template)]


AnyMethod = Method | ViewMethod | StreamMethod


def all_methods() -> dict[str, AnyMethod]:
  """Lists the methods of all three kinds."""
  return {**METHODS, **VIEW_METHODS, **STREAM_METHODS}


class Benchmark(NamedTuple):
  """The settings of a benchmark run; defaults stand for what comments say."""

  config: Given
  model: Inline[CheckpointSource]
  views: Inline[ViewSettings]
  options: Inline[SpaceOptions]
  # Rows of the table, in its order.
  methods: Annotated[dict[str, AnyMethod], rows_of(all_methods)]
  # One data set, or "own" for images of yours.
  dataset: Annotated[str, Rule(choices=_data_sets)] = ""
  # Several; those that are not on disk are left out.
  datasets: Annotated[tuple[str, ...], words(_data_sets)] = ()
  # Of the embedded world, which need no files.
  test_sets: Annotated[tuple[str, ...], words(_embedded)] = ()
  data_dir: Folder = raw("")  # docs/DATASETS.md shows what may lie there
  # "auto", or the one reader to try.
  layout: Annotated[str, Rule(choices=("auto", *READERS))] = "auto"
  lexicon: str = ""  # a table in place of the data set's own
  partial: bool = False  # True: another number of images is accepted
  strict: bool = False  # True: a bad image makes the run fail at its end
  baseline: str = "class_name"  # the method that the others are compared with
  template: NameTemplate = ""  # of each name alone; default: as `templates`
  templates: Templates = ()  # of the vertices; default: the data set's
  cupl_file: str = ""  # your files, for the methods cupl, dclip and waffle
  dclip_file: str = ""  # the same for dclip
  waffle_file: str = ""  # default: nonsense drawn by seed
  dtype: Dtype = "float32"  # of the towers' matrix products
  batch_size: Count = 64  # images, or views
  max_pixels: Count = MAX_PIXELS  # of an image file, all frames together
  # "fast": large JPEGs are decoded smaller; whole images only, never views.
  decoding: Annotated[str, Rule(choices=("exact", "fast"))] = "exact"
  mesh: Whole = 0  # devices of each process that are used; 0 for all
  model_axis: Count = 1  # of them share the classes; the rest share images
  cache_dir: CacheDir = raw("")  # default: the user's cache folder
  write_embeddings: bool = False  # True: as files, docs/EMBEDDINGS.md
  figure_classes: tuple[Any, ...] = ()  # of the first set: texts are drawn
  # Of the order in which images arrive, for methods that learn from those
  # before one; each further seed gives further rows.
  order_seeds: Seeds = (0,)
  diagnosis: bool = True  # False: no confusions, no reliability diagrams
  seed: Whole = 0  # of drawn names and of the bootstrap

  @property
  def names(self) -> tuple[str, ...]:
    """The data sets of the run."""
    return self.datasets or self.test_sets or (self.dataset,)

  @property
  def skip_absent(self) -> bool:
    """Whether data sets that are not there are left out: in a suite."""
    return bool(self.datasets)

  @property
  def files(self) -> dict[str, str]:
    """The user's files of texts, by the method that takes them."""
    given = {name: getattr(self, f"{name}_file") for name in FILES}
    return {name: path for name, path in given.items() if path}

  def check(self, where: Where) -> None:
    """Refuses a run without data, and methods without their texts."""
    check_sets(self, ("dataset", "datasets", "test_sets"), where)
    if "templates" in self.methods and not self.templates:
      raise ValueError(
        f"`{where.path}.templates` must hold at least one template when"
        f" `{where.path}.methods` holds 'templates', got none."
      )
    for name in NEED_FILES:
      if name in self.methods and name not in self.files:
        raise ValueError(
          f"`{where.path}.{name}_file` must name your file of texts when"
          f" `{where.path}.methods` holds {name!r}, and is not set."
        )


def read_benchmark(settings: Settings) -> Benchmark:
  """Reads the settings of a benchmark run."""
  benchmark = settings.read(Benchmark)
  methods = {**benchmark.methods, **read_own_methods(settings)}
  check_baseline(benchmark.baseline, methods)
  return benchmark._replace(methods=methods)


def read_own_methods(settings: Settings) -> dict[str, AnyMethod]:
  """Reads the methods that the caller of `run` gave; a function is a metric."""
  own = {
    name: method
    if isinstance(method, AnyMethod)
    else Method(concepts, method, core=True)
    for name, method in settings.own_methods().items()
  }
  taken = [name for name in own if name in all_methods()]
  if taken:
    raise ValueError(
      f"`methods` must have keys of their own, got {taken[0]!r}, which is a"
      " method of this package: choose another key."
    )
  return own
