"""Several processes as one run: who does what, and how they meet.

A run on several hosts is one process a host, all with the same command. They
share out the images, work without waiting for each other, and meet where
results are put together. What they exchange are bytes: names, counts and
embeddings arrive as they were sent, to the last bit.

With one process every function here returns its own part at once and starts no
device. With several, each raises `LostPeer` where another one has ended.

References:
  Ours. All exchanges are all-gathers: on a CPU these wait half an hour for a
  slower peer, where other collectives give up after half a minute;
  `with_barriers` keeps the waits far below that.
"""

import contextlib
import hashlib
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jaxtyping import Bool, Int

from s3_jax import progress

_PACE = 300.0
"""Seconds between the meetings of processes that work for long."""

_Result = TypeVar("_Result")


class LostPeer(RuntimeError):
  """Another process of the run has ended or cannot be reached."""


class _PeerFailed(ValueError):
  """The work of another process has failed, as it told us."""


class Share(NamedTuple):
  """A process's part of a list: its first index, and the one after its last."""

  start: int
  stop: int


def count() -> int:
  """Returns how many processes the run has.

  Only one that has joined others by `jax.distributed` asks JAX, which starts
  the devices.
  """
  return jax.process_count() if jax.distributed.is_initialized() else 1


def index() -> int:
  """Returns the number of this process, from 0."""
  return jax.process_index() if jax.distributed.is_initialized() else 0


def is_first() -> bool:
  """Says whether this process writes the results."""
  return index() == 0


def own_share(total: int) -> Share:
  """Cuts a list into a part a process, whose lengths differ by one at most."""
  number, processes = index(), count()
  return Share(total * number // processes, total * (number + 1) // processes)


def assign(
  stored: Bool[np.ndarray, "processes shards"],
) -> Int[np.ndarray, " shards"]:
  """Shares out the shards of a data set, stored ones and missing ones.

  A stored shard goes to a process that finds it in its cache; each process gets
  as many of the missing ones as any other, up to one, and those next to each
  other.
  """
  processes, shards = stored.shape
  owner = np.zeros((shards,), np.int64)
  missing = np.flatnonzero(~stored.any(axis=0))
  owner[missing] = np.arange(missing.size) * processes // max(missing.size, 1)
  load = np.zeros((processes,), np.int64)
  for shard in np.flatnonzero(stored.any(axis=0)).tolist():
    readers = np.flatnonzero(stored[:, shard])
    owner[shard] = readers[np.argmin(load[readers])]
    load[owner[shard]] += 1
  return owner


def gather_flags(
  flags: Bool[np.ndarray, " items"],
) -> Bool[np.ndarray, "processes items"]:
  """Sends as many flags as any other process does to every process."""
  return np.stack([each["flags"] for each in gather_arrays({"flags": flags})])


def own_items(
  stored: Bool[np.ndarray, "processes items"],
) -> Bool[np.ndarray, " items"]:
  """Says which items `assign` gives to this process."""
  return assign(stored) == index()


def gather_json(value: Any) -> list[Any]:
  """Sends a value that JSON can hold to every process, and returns all."""
  if count() == 1:
    return [value]
  text = json.dumps(value, allow_nan=False)
  return [json.loads(part) for part in _gather_bytes(text.encode())]


def gather_arrays(
  arrays: Mapping[str, np.ndarray],
) -> list[dict[str, np.ndarray]]:
  """Sends arrays, of any lengths, to every process, and returns all."""
  if count() == 1:
    return [dict(arrays)]
  buffer = io.BytesIO()
  named: dict[str, Any] = dict(arrays)
  np.savez(buffer, **named)
  received = []
  for part in _gather_bytes(buffer.getvalue()):
    with np.load(io.BytesIO(part), allow_pickle=False) as file:
      received.append({name: file[name] for name in file.files})
  return received


def add_up(counts: Mapping[str, int]) -> dict[str, int]:
  """Adds up what each process has counted under the same names."""
  received = gather_json(dict(counts))
  return {name: sum(each[name] for each in received) for name in counts}


def agree(facts: Mapping[str, Any]) -> None:
  """Makes sure that all processes run the same thing.

  `facts` are JSON-able and go by the words of the message, which in every
  process names the first that differs, and where.
  """
  if count() == 1:
    return
  own = {name: _shown(value) for name, value in facts.items()}
  received = gather_json(own)
  for number, other in enumerate(received):
    for name in sorted({*received[0], *other}):
      first, here = received[0].get(name), other.get(name)
      if first != here:
        raise ValueError(
          f"{name} must be the same in every process, got {first} in process 0"
          f" and {here} in process {number}: start them all with one command,"
          " on the same files."
        )


def _shown(value: Any) -> str:
  """Shows a value, or the digest of a long one."""
  text = json.dumps(value, sort_keys=True, default=str)
  if len(text) <= 100:
    return text
  return f"{text[:60]}... (sha256 {hashlib.sha256(text.encode()).hexdigest()})"


def progress_bar(
  items: Iterable[Any] = (), *, desc: str, **options: Any
) -> progress.Progress:
  """Makes a `progress.progress_bar` of which only the first process speaks."""
  return progress.progress_bar(items, desc=desc, speaks=is_first(), **options)


def step(desc: str) -> contextlib.AbstractContextManager[None]:
  """Makes a `progress.step` of which only the first process speaks."""
  return progress.step(desc, speaks=is_first())


def raise_on_all(work: Callable[[], _Result]) -> _Result:
  """Does work in which a failure of one process is a failure of all.

  The work meets no other process but in `with_barriers`. Its ValueError or
  OSError is raised here, and as a ValueError that names this process in the
  others.
  """
  if count() == 1:
    return work()
  try:
    result, error = work(), None
  except _PeerFailed:  # which has met all others already
    raise
  except (ValueError, OSError) as caught:
    result, error = None, caught
  reports = gather_json({"error": None if error is None else str(error)})
  if error is not None:
    raise error
  _check_reports(reports)
  return result  # pyright: ignore[reportReturnType]


def with_barriers(
  items: Iterable[_Result], *, seconds: float | int = _PACE
) -> Iterator[_Result]:
  """Passes the items of long work on, and meets the other processes meanwhile.

  Each process meets the others at the same times, after the item at hand, and
  one that has no more items waits for the rest so: nobody waits longer than for
  `seconds` and one item, however different the processes are. What an item
  needs happens while it is asked for and before the next one is. For use inside
  the work of `raise_on_all`, whose failure in one process then ends all of them
  at the next meeting.
  """
  if count() == 1:
    yield from items
    return
  start, met = time.monotonic(), 0
  for item in items:
    yield item
    while time.monotonic() - start >= (met + 1) * seconds:
      met += 1
      _check_reports(gather_json({"left": True}))
  left = True
  while left:
    reports = gather_json({"left": False})
    _check_reports(reports)
    left = any(report["left"] for report in reports)


def _check_reports(reports: Sequence[Mapping[str, Any]]) -> None:
  for number, report in enumerate(reports):
    if report.get("error") is not None:
      raise _PeerFailed(
        f"process {number} of {len(reports)}: {report['error']}"
      )


def first_only(work: Callable[[], _Result]) -> _Result:
  """Does work, such as writing files, in the first process for all of them.

  Every process returns its result, which JSON can hold.
  """
  result = raise_on_all(lambda: work() if is_first() else None)
  return gather_json(result)[0]


def _gather_bytes(data: bytes) -> list[bytes]:
  from jax.experimental import multihost_utils

  own = jax.local_device_count()
  if jax.device_count() != own * count():
    raise ValueError(
      f"processes must have as many devices each, got {own} here and"
      f" {jax.device_count()} in all {count()}."
    )
  # In two parts, as JAX has no 64 bits unless asked: 2 GiB are not rare.
  size = np.asarray(divmod(len(data), 1 << 30), np.int32)
  try:
    sizes = np.asarray(multihost_utils.process_allgather(size))
    lengths = [high << 30 | low for high, low in sizes.tolist()]
    padded = np.zeros((max(lengths),), np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    rows = np.asarray(multihost_utils.process_allgather(padded))
  except (RuntimeError, ValueError) as error:  # on a CPU it is the latter
    raise LostPeer(
      "a peer ended or cannot be reached while the processes met:"
      f" {str(error).splitlines()[0]}"
    ) from error
  return [
    row[:length].tobytes() for row, length in zip(rows, lengths, strict=True)
  ]


def concatenate(
  parts: Sequence[Mapping[str, np.ndarray]],
) -> dict[str, np.ndarray]:
  """Joins the arrays of all processes, of the same names, along axis 0."""
  return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
