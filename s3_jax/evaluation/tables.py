"""One aligned table for the terminal, and the same facts in Markdown."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["format_markdown", "format_table"]

_GAP = "  "
_NONE = "–"


class _View(NamedTuple):
  """A results mapping, looked up by (data set, method)."""

  datasets: list[str]
  methods: list[str]
  cells: dict[tuple[str, str], Mapping[str, Any]]
  differences: dict[tuple[str, str], Mapping[str, Any]]
  others: list[Mapping[str, Any]]
  baseline: str


def format_table(results: Mapping[str, Any], *, baseline: str) -> str:
  """Formats all methods on all test sets as one aligned plain-text table.

  Rows are methods, columns test sets with "accuracy ±half width" in percent,
  then the mean over the test sets, then the paired difference to the baseline
  on the first test set (points, 95 % interval, p-value) and the mean of that
  difference over the test sets. An asterisk marks the best of each column.
  Below stand the other comparisons, what the core removed, and what the run
  cost. 115 columns wide for five test sets.

  Args:
    results: a mapping that passes `validate_results`.
    baseline: the method that the others are compared with.

  Returns:
    Lines without a final newline.

  Raises:
    ValueError: when `baseline` is none of the methods.
  """
  view = _view(results, baseline)
  several = len(view.datasets) > 1
  # Measures end in a place for the asterisk, so their headings do too.
  head = ["method", *(f"{name} " for name in view.datasets)]
  rows = [
    [method, *(_accuracy(view, name, method) for name in view.datasets)]
    for method in view.methods
  ]
  if several:
    head.append("mean ")
    for row, text in zip(rows, _means(view), strict=True):
      row.append(text)
  if view.differences:
    head.append(f"Δ {view.datasets[0]} [95 % CI]")
    head.append("p")
    for row, method in zip(rows, view.methods, strict=True):
      row.extend(_difference(view, view.datasets[0], method))
    if several:
      head.append("Δ mean")
      for row, method in zip(rows, view.methods, strict=True):
        row.append(_mean_difference(view, method))
  lines = _align([[_clean(text) for text in row] for row in [head, *rows]])
  rule = "─" * max(len(line) for line in lines)
  title = _title(results, view, _clean)
  facts = _facts(results, view, _clean)
  return "\n".join([*title, rule, lines[0], rule, *lines[1:], rule, *facts])


def format_markdown(results: Mapping[str, Any], *, baseline: str) -> str:
  """Formats the same facts as Markdown, with every paired difference.

  Names are escaped: a pipe, a bracket or a backtick in a class or data-set
  name cannot break the table or become a link.

  Args:
    results: a mapping that passes `validate_results`.
    baseline: the method that the others are compared with.

  Returns:
    Markdown that ends with a newline.

  Raises:
    ValueError: when `baseline` is none of the methods.
  """
  view = _view(results, baseline)
  several = len(view.datasets) > 1
  head = ["method", *view.datasets, *(["mean"] if several else [])]
  rows = []
  for method, mean in zip(view.methods, _means(view), strict=True):
    row = [_accuracy(view, name, method) for name in view.datasets]
    rows.append([method, *row, *([mean] if several else [])])
  title = " ".join(_title(results, view, _escape))
  parts = ["## Results", title, _pipes(head, rows)]
  if view.differences:
    head = ["method", *view.datasets, *(["mean"] if several else [])]
    rows = []
    for method in view.methods:
      if method == view.baseline:
        continue
      row = [method]
      for name in view.datasets:
        delta, p_value = _difference(view, name, method)
        row.append(
          delta if delta == _NONE else f"{delta}, p {_equals(p_value)}"
        )
      rows.append(
        [*row, *([_mean_difference(view, method)] if several else [])]
      )
    parts.append("Δ with its 95 % interval and p-value:")
    parts.append(_pipes(head, rows))
  facts = _facts(results, view, _escape)
  parts.append("\n".join(f"- {line}" for line in facts))
  return "\n\n".join(parts) + "\n"


def _view(results: Mapping[str, Any], baseline: str) -> _View:
  datasets = [entry["name"] for entry in results["datasets"]]
  methods = list(dict.fromkeys(entry["name"] for entry in results["methods"]))
  if baseline not in methods:
    raise ValueError(
      f"`baseline` must be one of {', '.join(methods)}, got {baseline!r}."
    )
  differences, others = {}, []
  for entry in results["comparisons"]:
    if entry["b"] == baseline:
      differences[entry["dataset"], entry["a"]] = entry
    else:
      others.append(entry)
  return _View(
    datasets=datasets,
    methods=methods,
    cells={(e["dataset"], e["name"]): e for e in results["methods"]},
    differences=differences,
    others=others,
    baseline=baseline,
  )


def _title(
  results: Mapping[str, Any], view: _View, show: Callable[[str], str]
) -> list[str]:
  sizes = {entry["examples"] for entry in results["datasets"]}
  images = " to ".join(f"{n:,}" for n in sorted({min(sizes), max(sizes)}))
  best = "the best in bold" if show is _escape else "* the best"
  lines = [
    "Top-1 accuracy in %, ± half of the 95 % Wilson interval; "
    f"{images} images a test set; {best}."
  ]
  if view.differences:
    lines.append(
      f"Δ: difference to {show(view.baseline)} on the same images, in points "
      "(paired bootstrap, exact McNemar p-value)."
    )
  return lines


def _accuracy(view: _View, dataset: str, method: str) -> str:
  entry = view.cells.get((dataset, method))
  if entry is None:
    return _NONE
  low, high = entry["ci95"]
  column = [view.cells.get((dataset, other)) for other in view.methods]
  best = max(cell["top1"] for cell in column if cell is not None)
  mark = "*" if entry["top1"] == best and len(view.methods) > 1 else " "
  return f"{100 * entry['top1']:.1f} ±{50 * (high - low):.1f}{mark}"


def _means(view: _View) -> list[str]:
  means: list[float | None] = []
  for method in view.methods:
    row = [view.cells.get((name, method)) for name in view.datasets]
    values = [cell["top1"] for cell in row if cell is not None]
    whole = len(values) == len(row)
    means.append(sum(values) / len(values) if whole else None)
  known = [mean for mean in means if mean is not None]
  best = max(known) if len(view.methods) > 1 and known else None
  return [
    _NONE if mean is None else f"{100 * mean:.1f}{'*' if mean == best else ' '}"
    for mean in means
  ]


def _difference(view: _View, dataset: str, method: str) -> tuple[str, str]:
  entry = view.differences.get((dataset, method))
  return (_NONE, _NONE) if entry is None else _delta(entry)


def _delta(entry: Mapping[str, Any]) -> tuple[str, str]:
  low, high = entry["ci95"]
  p_value = entry["p_value"]
  text = "<0.001" if p_value < 0.001 else f"{p_value:.3f}"
  return (
    f"{_points(entry['delta'])} [{_points(low)}, {_points(high)}]",
    text,
  )


def _mean_difference(view: _View, method: str) -> str:
  row = [view.differences.get((name, method)) for name in view.datasets]
  values = [entry["delta"] for entry in row if entry is not None]
  return _points(sum(values) / len(row)) if len(values) == len(row) else _NONE


def _points(fraction: float) -> str:
  text = f"{100 * fraction:+.1f}"
  return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def _equals(p_value: str) -> str:
  return f"< {p_value[1:]}" if p_value.startswith("<") else f"= {p_value}"


def _facts(
  results: Mapping[str, Any], view: _View, show: Callable[[str], str]
) -> list[str]:
  """Says in sentences what the table has no column for."""
  lines = []
  for entry in view.others:
    if entry["dataset"] == view.datasets[0]:
      delta, p_value = _delta(entry)
      lines.append(
        f"{show(entry['a'])} against {show(entry['b'])} on "
        f"{show(entry['dataset'])}: {delta}, p {_equals(p_value)}"
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
      lines.append(
        f"{show(entry['name'])}: {bad} unreadable images left out, "
        f"{entry['examples']} counted"
      )
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


def _clean(text: str) -> str:
  """Drops control and direction-changing characters, joins lines."""
  joined = re.sub(r"[\t\r\n\v\f\u2028\u2029]+", " ", text)
  return "".join(
    char for char in joined if unicodedata.category(char) not in ("Cc", "Cf")
  )


def _escape(text: str) -> str:
  text = re.sub(r"([\\|`*<>\[\]#])", r"\\\1", _clean(text).strip())
  return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = []
  for row in rows:
    first, *rest = zip(row, widths, strict=True)
    cells = [first[0].ljust(first[1])]
    cells += [text.rjust(width) for text, width in rest]
    lines.append(_GAP.join(cells).rstrip())
  return lines


def _pipes(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  lines = [head, ["---", *["---:"] * (len(head) - 1)]]
  body = [[_escape(row[0]), *map(_bold, row[1:])] for row in rows]
  first = ["| " + " | ".join(_escape(text) for text in lines[0]) + " |"]
  first.append("| " + " | ".join(lines[1]) + " |")
  return "\n".join(first + ["| " + " | ".join(row) + " |" for row in body])


def _bold(text: str) -> str:
  """Turns the best cell's asterisk into bold."""
  text = text.strip()
  return f"**{text[:-1]}**" if text.endswith("*") else text
