"""What a person carries to a chat and back: prompts, and pasted answers."""

import datetime
import hashlib
import pathlib
import sys
from collections import Counter

from s3_jax.experiment.run_log import tell
from s3_jax.experiment.tasks.synonyms.completing import (
  Asked,
  complete,
  count_of,
  first_few,
  say_end,
  say_kept,
  without_synonyms,
)
from s3_jax.experiment.tasks.synonyms.table_file import read_table
from s3_jax.files import atomic_write
from s3_jax.lexicon.answers import NameOwners
from s3_jax.lexicon.pasted import MAX_PASTE_BYTES, Pasted, read_pasted
from s3_jax.lexicon.prompting import PROMPT_VERSION, write_request


def print_prompts(asked: Asked, *, size: int) -> None:
  """Prints what to paste into a chat about the classes without synonyms.

  Nothing else goes to stdout.
  """
  names = asked.job.names
  todo = without_synonyms(read_table(asked.path, names), names)
  pastes = -(-len(todo) // size)
  for number in range(pastes):
    # Of one length, as a last one of one class shows a chat little.
    labels = todo[
      number * len(todo) // pastes : (number + 1) * len(todo) // pastes
    ]
    if pastes > 1:
      tell(f"--- paste {number + 1} of {pastes} ---")
    tell(write_request(asked.job, labels, 0).prompt)
  if not todo:
    tell(
      f"Every class has synonyms in {asked.path}; nothing is to be asked.",
      aside=True,
    )
    return
  tell(
    f"{count_of(pastes, 'text')} to paste into a chat, about"
    f" {count_of(len(todo), 'class')}. Copy the answers into a file, and give"
    " it with the same classes, --paste=FILE (- is standard input) and"
    f" --workdir={asked.path.parent}.",
    aside=True,
  )


def take_pasted(asked: Asked, source: str) -> pathlib.Path:
  """Takes the texts of the answers that a person copied from a chat."""
  names = asked.job.names
  before = read_table(asked.path, names)
  todo = set(without_synonyms(before, names))
  data = _read_bytes(source)
  pasted = read_pasted(_decode(data), names, NameOwners(names))
  if not pasted.entries:
    raise ValueError(_complaint(pasted))
  digest = hashlib.sha256(data).hexdigest()
  atomic_write(asked.path.parent / f"answers/pasted-{digest[:12]}.txt", data)
  origin = {
    "how": "pasted",
    "date": datetime.date.today().isoformat(),
    "prompt_version": PROMPT_VERSION,
    "sha256": digest,
  }
  entries = {i: entry for i, entry in pasted.entries.items() if i in todo}
  done = complete(
    asked,
    before,
    entries,
    dict.fromkeys(entries, origin),
    [drop for drop in pasted.drops if drop.label in todo],
    problems=Counter(refused.reason for refused in pasted.refused),
    more={
      "refused": [refused._asdict() for refused in pasted.refused],
      "repeated": list(pasted.repeated),
      "kept": sorted(set(pasted.entries) - todo),
    },
  )
  tell(f"{count_of(len(entries), 'class')} taken from the pasted text.")
  for text in first_few(
    [f"index {r.class_index}, {r.name!r}: {r.reason}" for r in pasted.refused]
  ):
    tell(f"  refused: {text}")
  if pasted.repeated:
    tell(
      f"{count_of(len(pasted.repeated), 'class')} answered twice: last counts."
    )
  say_kept(len(set(pasted.entries) - todo))
  say_end(asked, done)
  return asked.path


def _read_bytes(source: str) -> bytes:
  try:
    if source == "-":
      if sys.stdin.isatty():
        tell(
          "Paste the answer, then press Ctrl-D on a line of its own.",
          aside=True,
        )
      data = sys.stdin.buffer.read(MAX_PASTE_BYTES + 1)
    else:
      with open(source, "rb") as file:
        data = file.read(MAX_PASTE_BYTES + 1)
  except OSError as error:
    raise ValueError(
      "`config.paste` must be a file with the answer of a chat, or - for"
      f" standard input, got {source!r}: {error.strerror}."
    ) from error
  if len(data) > MAX_PASTE_BYTES:
    raise ValueError(
      f"`config.paste` must hold at most {MAX_PASTE_BYTES >> 20} MiB, got more:"
      " give the answers one after the other."
    )
  return data


def _decode(data: bytes) -> str:
  try:
    return data.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise ValueError(
      f"`config.paste` must be UTF-8, got: {error}; save it as UTF-8."
    ) from error


def _complaint(pasted: Pasted) -> str:
  rule = "`config.paste` must hold the JSON that --config.prompt=True asks for"
  if not pasted.refused:
    return f"{rule}, got none: copy the whole answer, from its first {{ on."
  first = pasted.refused[0]
  entries = count_of(len(pasted.refused), "entry")
  return (
    f"{rule}, got {entries} and can take none; the first, index"
    f" {first.class_index:.20} and name {first.name!r:.40}: {first.reason}."
    " Give the classes that the prompt was made for."
  )
