"""Sentences of a run: what its figures are, and what has no column."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from s3_jax.results.document import PARTIAL, Points, percent
from s3_jax.results.results_index import ResultsIndex

__all__ = ["about_figures", "facts", "partial_sentence"]

SHOWN = 8  # of the wrong texts that a core left out
_VERDICTS = {True: "met", False: "NOT MET", None: "not comparable"}


def about_figures(results: Mapping[str, Any], index: ResultsIndex) -> list[str]:
  """Says what the figures of a run are."""
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
  lines = [f"{measure}; {images} images a test set."]
  if index.differences:
    lines.append(
      f"Δ: difference to {index.baseline} on the same images, in points "
      f"(paired bootstrap, {test})."
    )
  if index.partial:
    lines.append(partial_sentence(index.partial))
  return lines


def partial_sentence(partial: Mapping[str, tuple[int, int]]) -> str:
  """Says what the mark PARTIAL means."""
  parts = [
    f"{name} {counted:,} of {published:,}"
    for name, (counted, published) in partial.items()
  ]
  return f"{PARTIAL} not on all published images: {', '.join(parts)}."


def _removed(texts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
  """Names wrong texts that a core left out, of some classes spread evenly."""
  of_class: dict[str, str] = {}
  for row in texts:
    if row["wrong"]:
      of_class.setdefault(row["name"], row["text"])
  step = max(1, len(of_class) // SHOWN)
  shown = list(of_class.items())[::step][:SHOWN]
  if shown:
    words = "; ".join(f"{name}: {text}" for name, text in shown)
    more = ", ... (all in results.json)" if len(texts) > len(shown) else ""
    yield f"Wrong and removed, such as {words}{more}"


def facts(results: Mapping[str, Any], index: ResultsIndex) -> Iterator[str]:
  """Says what the tables of a run have no column for."""
  for entry in index.others:
    dataset = entry["dataset"]
    if dataset == index.datasets[0]:
      difference = Points(
        entry["delta"],
        entry["ci95"],
        entry["p_value"],
        dataset in index.partial,
      )
      yield f"{entry['a']} against {entry['b']} on {dataset}: {difference}"
  if (pruning := results.get("pruning")) is not None:
    yield (
      "The core removed {wrong_removed} of {wrong_total} wrong texts and "
      "{right_removed} of {right_total} right ones."
    ).format_map(pruning)
    yield from _removed(pruning.get("removed", ()))
  for entry in results["datasets"]:
    bad = len(entry["bad_examples"])
    if bad:
      images = "image" if bad == 1 else "images"
      yield (
        f"{entry['name']}: {bad} unreadable {images} left out, "
        f"{entry['examples'] - bad} counted"
      )
  for entry in results.get("skipped", ()):
    yield f"{entry['dataset']} skipped: {entry['reason']}"
  yield from map(_expectation, results.get("expectations", ()))
  counters = results["counters"]
  yield (
    f"{counters['cache']} cache: {counters['images_decoded']:,} images decoded,"
    f" {counters['tower_batches']:,} batches through the image tower"
  )
  seconds = [
    f"{name.replace('_', ' ')} {value:.1f} s"
    for name, value in results["timings"].items()
    if isinstance(value, int | float) and not name.endswith("per_second")
  ]
  if seconds:
    yield "time: " + ", ".join(seconds)
  yield f"model {results['model']['name']}, seed {results['seed']}"


def _expectation(entry: Mapping[str, Any]) -> str:
  note = f" ({entry['note']})" if entry.get("note") else ""
  return (
    f"published for {entry['method']} on {entry['dataset']}: "
    f"{percent(entry['published'], 2)} ±{percent(entry['tolerance'])}, "
    f"measured {percent(entry['measured'], 2)}: "
    f"{_VERDICTS[entry['met']]}{note}"
  )
