"""What the tables of a run say, cell by cell, in no format yet.

A measure is a text such as "82.1 ±1.3*", in percent; the asterisk marks the
best of its column, and a blank stands where another cell has it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from s3_jax.messages import nearest

__all__ = [
  "NONE",
  "PARTIAL",
  "Cells",
  "accuracy_rows",
  "difference_rows",
  "differences_to",
  "equals",
  "facts",
  "first_differences",
  "headline",
  "mark_best",
  "mark_partial",
  "partial_sentence",
  "partial_sets",
  "points",
  "read_cells",
  "show_p_value",
  "title",
]

NONE = "–"
"""What a cell without a measure shows."""


PARTIAL = "†"
"""Marks a measure that is not on all the images that were published."""


class Cells(NamedTuple):
  """A results mapping, looked up by (data set, method).

  Attributes:
    datasets: names, in the order of the results.
    methods: names, in the order of the results.
    cells: the entries of `methods`.
    differences: the entries of `comparisons` with the baseline as `b`, by
      (data set, the other method).
    others: all other entries of `comparisons`.
    baseline: what the methods are compared with.
    partial: test sets of which other images were counted than were published.
  """

  datasets: list[str]
  methods: list[str]
  cells: dict[tuple[str, str], Mapping[str, Any]]
  differences: dict[tuple[str, str], Mapping[str, Any]]
  others: list[Mapping[str, Any]]
  baseline: str
  partial: Mapping[str, tuple[int, int]]


def partial_sets(results: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
  """Looks up the test sets that were not measured as they were published."""
  partial = {}
  for entry in results["datasets"]:
    published = entry.get("published_examples", 0)
    if not published:  # one's own, or drawn here
      continue
    counted = entry["examples"] - len(entry["bad_examples"])
    if counted != published:
      partial[entry["name"]] = (counted, published)
  return partial


def partial_sentence(
  partial: Mapping[str, tuple[int, int]], show: Callable[[str], str]
) -> str:
  """Says what the mark PARTIAL means; "" where nothing has it."""
  if not partial:
    return ""
  parts = [
    f"{show(name)} {counted:,} of {published:,}"
    for name, (counted, published) in partial.items()
  ]
  return f"{PARTIAL} not on all published images: {', '.join(parts)}."


def mark_partial(cell: str) -> str:
  """Marks a measure as PARTIAL, in front of the mark of the best."""
  if not cell or cell == NONE:
    return cell
  end = cell[-1] if cell[-1] in "* " else ""
  return f"{cell[: len(cell) - len(end)]}{PARTIAL}{end}"


def read_cells(results: Mapping[str, Any], baseline: str) -> Cells:
  """Sorts the entries of a results mapping."""
  datasets = [entry["name"] for entry in results["datasets"]]
  methods = list(dict.fromkeys(entry["name"] for entry in results["methods"]))
  if baseline not in methods:
    raise ValueError(
      f"`baseline` must be one of {nearest(methods, baseline)}, got"
      f" {baseline!r:.80}."
    )
  return Cells(
    datasets=datasets,
    methods=methods,
    cells={(e["dataset"], e["name"]): e for e in results["methods"]},
    differences=differences_to(results, baseline),
    others=[e for e in results["comparisons"] if e["b"] != baseline],
    baseline=baseline,
    partial=partial_sets(results),
  )


def differences_to(
  results: Mapping[str, Any], baseline: str
) -> dict[tuple[str, str], Mapping[str, Any]]:
  """Looks up the comparisons with a baseline by (data set, method)."""
  return {
    (entry["dataset"], entry["a"]): entry
    for entry in results["comparisons"]
    if entry["b"] == baseline
  }


def headline(entry: Mapping[str, Any]) -> float:
  """Returns the measure of a method that tables show, a fraction.

  That is the mean IoU where pixels were labelled, else the top-1 accuracy.
  """
  return entry["miou"] if "miou" in entry else entry["top1"]


def title(
  results: Mapping[str, Any],
  cells: Cells,
  best: str,
  show: Callable[[str], str],
) -> list[str]:
  """Says what the figures are."""
  sizes = {
    entry["examples"] - len(entry["bad_examples"])
    for entry in results["datasets"]
  }
  images = " to ".join(f"{n:,}" for n in sorted({min(sizes), max(sizes)}))
  measure = "Top-1 accuracy in %, ± half of the 95 % Wilson interval"
  test = "exact McNemar p-value"
  if any("miou" in entry for entry in results["methods"]):
    measure = "Mean IoU in %, ± half of the 95 % bootstrap interval"
    test = "p-value of swapping the methods image by image"
  lines = [f"{measure}; {images} images a test set; {best}."]
  if cells.differences:
    lines.append(
      f"Δ: difference to {show(cells.baseline)} on the same images, in points "
      f"(paired bootstrap, {test})."
    )
  if cells.partial:
    lines.append(partial_sentence(cells.partial, show))
  return lines


def accuracy_rows(cells: Cells) -> list[list[str]]:
  """Returns a row per method: accuracies, and their mean if there are several.

  A method that was not measured on every test set has no mean.
  """
  rows = [
    [_accuracy(cells, name, method) for name in cells.datasets]
    for method in cells.methods
  ]
  if len(cells.datasets) > 1:
    for row, mean in zip(rows, _means(cells), strict=True):
      row.append(mean)
  return rows


def _accuracy(cells: Cells, dataset: str, method: str) -> str:
  entry = cells.cells.get((dataset, method))
  if entry is None:
    return NONE
  low, high = entry["ci95"]
  column = [cells.cells.get((dataset, other)) for other in cells.methods]
  value = headline(entry)
  best = max(headline(cell) for cell in column if cell is not None)
  mark = "*" if value == best and len(cells.methods) > 1 else " "
  cell = f"{100 * value:.1f} ±{50 * (high - low):.1f}{mark}"
  return mark_partial(cell) if dataset in cells.partial else cell


def _means(cells: Cells) -> list[str]:
  means: list[float | None] = []
  for method in cells.methods:
    row = [cells.cells.get((name, method)) for name in cells.datasets]
    values = [headline(cell) for cell in row if cell is not None]
    whole = len(values) == len(row)
    means.append(sum(values) / len(values) if whole else None)
  marked = mark_best(means, digits=1)
  return [mark_partial(cell) for cell in marked] if cells.partial else marked


def mark_best(values: Sequence[float | None], *, digits: int) -> list[str]:
  """Shows fractions in percent and marks the largest."""
  known = [value for value in values if value is not None]
  best = max(known) if len(values) > 1 and known else None
  return [
    NONE
    if value is None
    else f"{100 * value:.{digits}f}{'*' if value == best else ' '}"
    for value in values
  ]


def difference_rows(cells: Cells) -> list[tuple[str, list[str]]]:
  """Returns (method, differences to the baseline) of all other methods.

  Each cell holds points, interval and p-value; the last, where there are
  several test sets, the mean difference.
  """
  rows = []
  for method in cells.methods:
    if method == cells.baseline:
      continue
    row = []
    for name in cells.datasets:
      delta, p_value = _difference(cells, name, method)
      row.append(delta if delta == NONE else f"{delta}, p {equals(p_value)}")
    if len(cells.datasets) > 1:
      row.append(_mean_difference(cells, method))
    rows.append((method, row))
  return rows


def first_differences(cells: Cells) -> list[list[str]]:
  """Returns, per method, difference and p-value on the first test set.

  Where there are several test sets, the mean difference follows.
  """
  rows = []
  for method in cells.methods:
    row = [*_difference(cells, cells.datasets[0], method)]
    if len(cells.datasets) > 1:
      row.append(_mean_difference(cells, method))
    rows.append(row)
  return rows


def _difference(cells: Cells, dataset: str, method: str) -> tuple[str, str]:
  entry = cells.differences.get((dataset, method))
  if entry is None:
    return NONE, NONE
  delta, p_value = _delta(entry)
  return (
    mark_partial(delta) if dataset in cells.partial else delta,
    p_value,
  )


def _delta(entry: Mapping[str, Any]) -> tuple[str, str]:
  low, high = entry["ci95"]
  return (
    f"{points(entry['delta'])} [{points(low)}, {points(high)}]",
    show_p_value(entry["p_value"]),
  )


def _mean_difference(cells: Cells, method: str) -> str:
  row = [cells.differences.get((name, method)) for name in cells.datasets]
  values = [entry["delta"] for entry in row if entry is not None]
  if len(values) < len(row):
    return NONE
  mean = points(sum(values) / len(row))
  return mark_partial(mean) if cells.partial else mean


def points(fraction: float) -> str:
  """Shows a difference of two fractions in points, with its sign."""
  text = f"{100 * fraction:+.1f}"
  return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def show_p_value(p_value: float) -> str:
  """Shows a p-value in three digits."""
  return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def equals(p_value: str) -> str:
  """Writes a p-value behind the letter p."""
  return f"< {p_value[1:]}" if p_value.startswith("<") else f"= {p_value}"


def facts(
  results: Mapping[str, Any], cells: Cells, show: Callable[[str], str]
) -> list[str]:
  """Says in sentences what the table has no column for."""
  lines = []
  for entry in cells.others:
    if entry["dataset"] == cells.datasets[0]:
      delta, p_value = _delta(entry)
      if entry["dataset"] in cells.partial:
        delta = mark_partial(delta)
      lines.append(
        f"{show(entry['a'])} against {show(entry['b'])} on "
        f"{show(entry['dataset'])}: {delta}, p {equals(p_value)}"
      )
  pruning = results.get("pruning")
  if pruning is not None:
    lines.append(
      "The core removed {wrong_removed} of {wrong_total} wrong texts and "
      "{right_removed} of {right_total} right ones.".format_map(pruning)
    )
  for entry in results["datasets"]:
    bad = len(entry["bad_examples"])
    if bad:
      images = "image" if bad == 1 else "images"
      lines.append(
        f"{show(entry['name'])}: {bad} unreadable {images} left out, "
        f"{entry['examples'] - bad} counted"
      )
  for entry in results.get("skipped", ()):
    lines.append(f"{show(entry['dataset'])} skipped: {show(entry['reason'])}")
  for entry in results.get("expectations", ()):
    lines.append(expectation(entry, show))
  counters = results["counters"]
  lines.append(
    f"{counters['cache']} cache: {counters['images_decoded']:,} images decoded,"
    f" {counters['tower_batches']:,} batches through the image tower"
  )
  seconds = [
    f"{show(name.replace('_', ' '))} {value:.1f} s"
    for name, value in results["timings"].items()
    if isinstance(value, int | float) and not name.endswith("per_second")
  ]
  if seconds:
    lines.append("time: " + ", ".join(seconds))
  lines.append(
    f"model {show(str(results['model']['name']))}, seed {results['seed']}"
  )
  return lines


def expectation(entry: Mapping[str, Any], show: Callable[[str], str]) -> str:
  """Says whether a published figure was met."""
  met = {True: "met", False: "NOT MET", None: "not comparable"}[entry["met"]]
  note = f" ({show(entry['note'])})" if entry.get("note") else ""
  return (
    f"published for {show(entry['method'])} on {show(entry['dataset'])}: "
    f"{100 * entry['published']:.2f} ±{100 * entry['tolerance']:.1f}, measured "
    f"{100 * entry['measured']:.2f}: {met}{note}"
  )
