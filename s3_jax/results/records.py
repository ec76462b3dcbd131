"""What `results.json` holds, as records; docs/RESULT_FILES.md explains it.

Keys that a record does not name are allowed and not looked at. A field with a
default is of a part that not every run has.
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, NamedTuple, NoReturn

from s3_jax.fields import Fraction, Rule, Where, read
from s3_jax.messages import nearest

SCHEMA = 2
"""2: `center` and `nearest_point` score the core in every run, and `texts` and
`datasets` have one shape."""


class InResults(Where):
  """Where a value lies in a mapping of results."""

  mapping = "must be a mapping"
  listing = "must be a list"
  closed = False  # a newer version may have added keys

  def refuse_absent(self, key: str, given: Mapping[str, Any]) -> NoReturn:
    """Raises the error of a key that is not there."""
    raise ValueError(
      f"`{self.path}` must have the key {key!r}, got"
      f" {', '.join(sorted(given)) or 'none'}."
    )


def _interval(low: int) -> Rule:
  """Returns the rule of an ordered pair of numbers in [low, 1]."""

  def read_ends(ends: tuple[Any, ...], where: Where) -> tuple[float, float]:
    if len(ends) != 2:
      where.refuse("must be [low, high]", list(ends))
    for end in ends:
      number = isinstance(end, int | float) and not isinstance(end, bool)
      if not number or not low <= end <= 1:
        where.refuse(f"must be in [{low}, 1]", end)
    if ends[0] > ends[1]:
      where.refuse("must have low <= high", list(ends))
    return ends[0], ends[1]

  return Rule("must be [low, high]", given=tuple, read=read_ends)


def _read_schema(value: Any, where: Where) -> int:
  if value != SCHEMA:
    raise ValueError(
      f"`{where.path}` must be {SCHEMA}, got {value!r:.40}: keys of another"
      " schema mean something else; run the experiment again with this version."
    )
  return value


Text = Annotated[str, Rule("must be a non-empty text", bool)]
Whole = Annotated[int, Rule("must be a whole number >= 0", minimum=0)]
Count = Annotated[int, Rule("must be a whole number >= 1", minimum=1)]
Difference = Annotated[
  float, Rule("must be in [-1, 1]", lambda x: -1 <= x <= 1)
]
Interval = Annotated[tuple[float, float], _interval(0)]
Differences = Annotated[tuple[float, float], _interval(-1)]
Cache = Annotated[
  str, Rule('must be "cold" or "warm"', lambda x: x in ("cold", "warm"))
]
Published = Annotated[str, Rule(choices=("published",))]


class Environment(NamedTuple):
  """What is said of precision: absent in older files and without towers."""

  tower_matmul: Text = ""
  tower_precision: Text = ""
  core_matmul: Text = ""
  default_matmul_precision: Text | None = None
  xla_flags: Text | None = None


class Model(NamedTuple):
  """The checkpoint."""

  name: Any
  spec: Any
  sha256: Any


class Counters(NamedTuple):
  """What a warm cache leaves at 0."""

  images_decoded: Whole
  tower_batches: Whole
  cache: Cache


class BadExample(NamedTuple):
  """A file that counts for nothing."""

  file: Text
  reason: Text


class Dataset(NamedTuple):
  """A data set that was measured."""

  name: Text
  split: Any
  classes: Count
  examples: Count
  bad_examples: tuple[BadExample, ...]


class SetTexts(NamedTuple):
  """The texts of a data set."""

  methods: Any


class Texts(NamedTuple):
  """The texts of a run."""

  datasets: dict[str, Any] = {}  # name -> as `SetTexts`


class ImageMethod(NamedTuple):
  """A method, measured on labelled images."""

  dataset: Text
  name: Text
  n: Count
  ci95: Interval
  top1: Fraction
  top5: Fraction
  mean_per_class: Fraction
  ece: Fraction
  bootstrap_ci95: Interval = (0.0, 1.0)
  order_seed: Whole | None = None  # where it saw the images before one


class PixelMethod(NamedTuple):
  """A method, measured on labelled pixels; a class that is nowhere has none."""

  dataset: Text
  name: Text
  n: Count
  ci95: Interval
  miou: Fraction
  pixel_accuracy: Fraction
  per_class_iou: tuple[Fraction | None, ...]
  bootstrap_ci95: Interval = (0.0, 1.0)
  pixel_accuracy_ci95: Interval = (0.0, 1.0)


class Comparison(NamedTuple):
  """Two methods on the same examples."""

  dataset: Text
  a: Text
  b: Text
  delta: Difference
  p_value: Fraction
  ci95: Differences


class PrunedText(NamedTuple):
  """A text that the core of a polluted class left out."""

  name: Text  # of the class
  text: Text
  wrong: bool  # whether it is known to be wrong


class Pruning(NamedTuple):
  """What the core took out of polluted classes."""

  wrong_total: Whole
  wrong_removed: Whole
  right_total: Whole
  right_removed: Whole
  removed: tuple[PrunedText, ...] = ()

  def check(self, where: Where) -> None:
    """Refuses more removed texts than there are."""
    for removed, total in (
      ("wrong_removed", self.wrong_total),
      ("right_removed", self.right_total),
    ):
      if getattr(self, removed) > total:
        where.at(removed).refuse(f"must be <= {total}", getattr(self, removed))


class PublishedImages(NamedTuple):
  """A figure of a paper; there are some of sets that were not run."""

  dataset: Text
  method: Text
  model: Text
  source: Text
  top1: Fraction
  kind: Published


class PublishedPixels(NamedTuple):
  """The same of labelled pixels."""

  dataset: Text
  method: Text
  model: Text
  source: Text
  miou: Fraction
  kind: Published


class Expectation(NamedTuple):
  """Whether a run came near what is published."""

  dataset: Text
  method: Text
  published: Fraction
  tolerance: Fraction
  measured: Fraction
  source: Text
  met: Annotated[bool | None, Rule("must be true, false or null")]
  note: Annotated[str, Rule("must be a text")] = ""


class Pair(NamedTuple):
  """A class that is taken for another one."""

  label: Whole
  name: Text
  predicted: Whole
  predicted_name: Text
  count: Count  # pyright: ignore[reportIncompatibleMethodOverride]
  share: Fraction


class Confusions(NamedTuple):
  """The most frequent pairs of a method."""

  dataset: Text
  method: Text
  pairs: tuple[Pair, ...]


class Bin(NamedTuple):
  """Images of similar confidence."""

  low: Fraction
  high: Fraction
  n: Whole
  accuracy: Fraction | None
  confidence: Fraction | None

  def check(self, where: Where) -> None:
    """Refuses a bin that has images and no averages of them."""
    for key in ("accuracy", "confidence"):
      if self.n and getattr(self, key) is None:
        where.at(key).refuse("must be in [0, 1]", None)


class Reliability(NamedTuple):
  """The bins of a method."""

  dataset: Text
  method: Text
  bins: tuple[Bin, ...]


class Skipped(NamedTuple):
  """A data set of a suite that was not there."""

  dataset: Text
  reason: Text


def _by_measure(pixels: type, images: type) -> Rule:
  """Returns the rule of an entry that has `miou` or measures of images."""

  def read_entry(entry: Any, where: Where) -> Any:
    of_pixels = isinstance(entry, dict) and "miou" in entry
    return read(pixels if of_pixels else images, entry, where)

  return Rule(read=read_entry)


Method = Annotated[Any, _by_measure(PixelMethod, ImageMethod)]
Figure = Annotated[Any, _by_measure(PublishedPixels, PublishedImages)]


class Results(NamedTuple):
  """The whole of `results.json`."""

  schema: Annotated[Any, Rule(read=_read_schema)]
  seed: Whole
  config: dict[str, Any]
  environment: Environment
  model: Model
  texts: Texts
  timings: dict[str, Any]
  counters: Counters
  datasets: tuple[Dataset, ...]
  methods: tuple[Method, ...]
  comparisons: tuple[Comparison, ...]
  confusions: tuple[Confusions, ...] = ()
  expectations: tuple[Expectation, ...] = ()
  intervals: dict[str, Text] = {}
  pruning: Pruning = Pruning(0, 0, 0, 0)
  published: tuple[Figure, ...] = ()
  reliability: tuple[Reliability, ...] = ()
  skipped: tuple[Skipped, ...] = ()

  def check(self, where: Where) -> None:
    """Refuses parts that speak of what was not measured, or twice of one."""
    sets = _different([each.name for each in self.datasets], where, "datasets")
    pairs = [(each.dataset, each.name) for each in self.methods]
    for index, (dataset, _) in enumerate(pairs):
      _listed(dataset, sets, where.at("methods").at(index).at("dataset"))
    measured = _different(pairs, where, "methods")
    by_set = where.at("texts").at("datasets")
    for name, facts in self.texts.datasets.items():
      _listed(name, sets, by_set)
      read(SetTexts, facts, by_set.at(name))
    for index, each in enumerate(self.comparisons):
      for side in ("a", "b"):
        if (each.dataset, getattr(each, side)) not in measured:
          where.at("comparisons").at(index).at(side).refuse(
            f"must be a method measured on {each.dataset!r}",
            getattr(each, side),
          )
    for part in ("confusions", "expectations", "reliability"):
      for index, each in enumerate(getattr(self, part)):
        if (pair := (each.dataset, each.method)) not in measured:
          where.at(part).at(index).refuse(
            "must name a measured data set and method", pair
          )
    for index, each in enumerate(self.skipped):
      if each.dataset in {dataset for dataset, _ in measured}:
        where.at("skipped").at(index).at("dataset").refuse(
          "must not be a data set that was measured", each.dataset
        )


def _different(keys: list[Any], where: Where, part: str) -> list[Any]:
  """Refuses a part that has no entry, or one twice."""
  if not keys:
    kind = {"datasets": "a data set", "methods": "a method"}[part]
    raise ValueError(f"`{where.at(part).path}` must hold {kind}, got none.")
  for index, key in enumerate(keys):
    if key in keys[:index]:
      entry = where.at(part).at(index)
      entry = entry.at("name") if part == "datasets" else entry
      raise ValueError(f"`{entry.path}` must be unique, got {key!r} again.")
  return keys


def _listed(name: str, names: Collection[str], where: Where) -> None:
  if name not in names:
    where.refuse(f"must be one of {nearest(sorted(names), name)}", name)
