"""The lexicon as a page that a person reads to find words that are wrong.

One HTML file without scripts or outside parts. Every word is escaped: tables
may hold what a language model wrote.
"""

import html
import statistics
from collections.abc import Sequence
from typing import NamedTuple

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 75em;
  padding: 0 1em; color: #222; }
table { border-collapse: collapse; width: 100%; margin: 1em 0 2em; }
th, td { text-align: left; vertical-align: top; padding: .3em .6em;
  border-bottom: 1px solid #ddd; }
th { border-bottom: 2px solid #999; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
small { color: #666; }
s { color: #b34700; }
mark { background: #fdeec2; }
em { color: #a3005c; font-style: normal; }
""".strip()

_KEY = (
  "<p>How to read a word: <s>struck out</s>: the core of the class leaves it "
  "out; <mark>marked</mark>: it lies nearer to a text of another class than to "
  "its own, which is named behind it; <em>coloured</em>: other classes claim "
  "it too.</p>"
)


class NearerWord(NamedTuple):
  """A text that is closer to another class than to its own.

  Attributes:
    text: the text.
    own: its largest cosine to another text of its class.
    other: its largest cosine to a text of another class.
    other_class: official name of that class.
    other_text: that text.
  """

  text: str
  own: float
  other: float
  other_class: str
  other_text: str


class ClassWords(NamedTuple):
  """The words of a class, and what was noticed about them.

  Attributes:
    label: class index.
    name: official name.
    texts: the name as it is spoken, then its synonyms.
    descriptors: what the class looks like.
    truncated: texts and descriptors that lose tokens in the template.
    removed: texts outside the core; empty where no checkpoint was given.
    nearer: texts that lie nearer to another class; likewise.
  """

  label: int
  name: str
  texts: tuple[str, ...]
  descriptors: tuple[str, ...]
  truncated: tuple[str, ...]
  removed: tuple[str, ...]
  nearer: tuple[NearerWord, ...]


class TableWords(NamedTuple):
  """A table and what was noticed about it.

  Attributes:
    dataset: its name.
    sha256: of its file.
    provenance: who wrote it, and when.
    classes: its classes.
    shared: texts that several classes claim, with these classes' names.
    cut: classes whose core leaves texts out; None without a checkpoint.
  """

  dataset: str
  sha256: str
  provenance: str
  classes: tuple[ClassWords, ...]
  shared: tuple[tuple[str, tuple[str, ...]], ...]
  cut: int | None


def summarize(table: TableWords) -> dict[str, int | float | str | None]:
  """Counts what a table holds and what was noticed."""
  synonyms = [len(entry.texts) - 1 for entry in table.classes]
  words = [len(text.split()) for entry in table.classes for text in entry.texts]
  return {
    "dataset": table.dataset,
    "classes": len(table.classes),
    "synonyms": sum(synonyms),
    "synonyms_median": statistics.median(synonyms),
    "synonyms_min": min(synonyms),
    "synonyms_max": max(synonyms),
    "words_mean": round(statistics.mean(words), 2),
    "words_max": max(words),
    "descriptors": sum(len(entry.descriptors) for entry in table.classes),
    "shared": len(table.shared),
    "truncated": None
    if table.cut is None
    else sum(len(entry.truncated) for entry in table.classes),
    "classes_cut": table.cut,
    "removed": None
    if table.cut is None
    else sum(len(entry.removed) for entry in table.classes),
    "nearer_to_another": None
    if table.cut is None
    else sum(len(entry.nearer) for entry in table.classes),
  }


_COLUMNS = (
  ("dataset", "data set"),
  ("classes", "classes"),
  ("synonyms", "synonyms"),
  ("synonyms_median", "median"),
  ("synonyms_min", "least"),
  ("synonyms_max", "most"),
  ("words_mean", "words a text"),
  ("descriptors", "descriptors"),
  ("shared", "shared"),
  ("truncated", "truncated"),
  ("classes_cut", "classes cut"),
  ("removed", "removed"),
  ("nearer_to_another", "nearer to another"),
)


def render_page(tables: Sequence[TableWords], about: str) -> str:
  """Writes tables as one HTML page."""
  head = "".join(f"<th>{title}</th>" for _, title in _COLUMNS)
  rows = "".join(
    "<tr>" + "".join(_number(row[key]) for key, _ in _COLUMNS) + "</tr>"
    for row in map(summarize, tables)
  )
  parts = [
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    f"<title>Lexicon</title><style>{_STYLE}</style></head><body>"
    f"<h1>Lexicon</h1><p>{html.escape(about)}</p>"
    f"<table><tr>{head}</tr>{rows}</table>{_KEY}"
  ]
  parts += [_section(table) for table in tables]
  return "\n".join(parts) + "</body></html>\n"


def _number(value: object) -> str:
  if isinstance(value, str):
    return f'<td><a href="#{html.escape(value)}">{html.escape(value)}</a></td>'
  return f'<td class="n">{"" if value is None else value}</td>'


def _section(table: TableWords) -> str:
  shared = {text.casefold() for text, _ in table.shared}
  rows = "".join(_class_row(entry, shared) for entry in table.classes)
  claims = "".join(
    f"<li>{html.escape(text)}: {html.escape(', '.join(classes))}</li>"
    for text, classes in table.shared
  )
  claims = f"<h3>Claimed by several classes</h3><ul>{claims}</ul>"
  return (
    f'<h2 id="{html.escape(table.dataset)}">{html.escape(table.dataset)}</h2>'
    f"<p><small>{html.escape(table.provenance)}; sha256 "
    f"{html.escape(table.sha256)}</small></p>"
    f"{claims if table.shared else ''}"
    "<table><tr><th></th><th>class</th><th>synonyms</th><th>descriptors</th>"
    f"</tr>{rows}</table>"
  )


def _class_row(entry: ClassWords, shared: set[str]) -> str:
  nearer = {word.text: word for word in entry.nearer}

  def show(text: str) -> str:
    shown = html.escape(text)
    if text.casefold() in shared:
      shown = f"<em>{shown}</em>"
    if text in entry.removed:
      shown = f"<s>{shown}</s>"
    if text in entry.truncated:
      shown += " <small>(too long)</small>"
    if word := nearer.get(text):
      shown = (
        f"<mark>{shown}</mark> <small>({word.own:.3f}, but {word.other:.3f} to "
        f"{html.escape(word.other_text)} of {html.escape(word.other_class)})"
        "</small>"
      )
    return shown

  name, *synonyms = entry.texts
  return (
    f'<tr><td class="n">{entry.label}</td><td>{show(name)}</td>'
    f"<td>{', '.join(map(show, synonyms))}</td>"
    f"<td><small>{'; '.join(map(show, entry.descriptors))}</small></td></tr>"
  )
