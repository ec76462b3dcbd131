"""The names of a class in one cell of the page's table, and out of it again.

Names stand between commas; where one has a comma itself, between semicolons,
one of which then stands at the end at least.
"""

from collections.abc import Sequence

__all__ = ["join_names", "split_names"]


def join_names(names: Sequence[str]) -> str:
  """Puts names into a cell; `split_names` gives them back."""
  wrong = next((name for name in names if ";" in name), None)
  if wrong is not None:
    raise ValueError(
      f"a name in the table must have no semicolon, got {wrong!r:.80}: it"
      " stands between names that have commas."
    )
  if any("," in name for name in names):
    return "; ".join(names) + ";"
  return ", ".join(names)


def split_names(cell: str) -> list[str]:
  """Takes the names out of a cell; what is blank is none."""
  parts = cell.split(";" if ";" in cell else ",")
  return [part.strip() for part in parts if part.strip()]
