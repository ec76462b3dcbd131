"""How far long work has come: a bar on a terminal, plain lines elsewhere.

A job's log or a pipe gets one line within three seconds of the start of work
that takes longer, one every half minute after that, and one at its end. Short
work says nothing. Of work inside other work only the outer one has lines.
"""

import contextlib
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tqdm import tqdm

from s3_jax.messages import visible

FIRST = 2.5
"""Seconds after which work has its first line."""

EVERY = 30.0
"""Seconds between its lines."""

_MEGA = 1e6


class ProgressLines:
  """Says in lines how far work has come, where `tqdm` would draw a bar.

  Attributes:
    n: how many things are done, those of earlier runs included.
  """

  _outer: weakref.ref | None = None

  def __init__(
    self,
    items: Iterable[Any] = (),
    *,
    desc: str,
    unit: str,
    total: int | None,
    initial: int = 0,
    write: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
  ):
    """Starts the clock of work; `unit` is what it counts, "B" for bytes.

    Work without a unit counts nothing, and other work inside it speaks.
    """
    self.n = initial
    self._items, self._total = items, total
    self._desc, self._unit = visible(desc), unit
    self._write, self._clock = write, clock
    self._start = clock()
    # When things were first and last counted: what is done before the first
    # ones is not timed, as XLA compiles then.
    self._first: tuple[float, int] | None = None
    self._last = (self._start, initial)
    self._due = self._start + FIRST
    self._facts, self._said = "", False
    self._lock, self.closed = threading.Lock(), threading.Event()
    outer = ProgressLines._outer and ProgressLines._outer()
    self._is_inner = outer is not None and not outer.closed.is_set()
    if unit and not self._is_inner:
      ProgressLines._outer = weakref.ref(self)

  def __iter__(self) -> Iterator[Any]:
    with self:
      for item in self._items:
        yield item
        self.update()

  def __enter__(self) -> "ProgressLines":
    return self

  def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
    if kind is None:
      self.close()
    self.closed.set()

  def update(self, count: int = 1) -> None:
    """Counts what has been done."""
    with self._lock:
      self.n += count
      self._last = (self._clock(), self.n)
      self._first = self._first or self._last
    self.tick()
    if self._total is not None and self.n >= self._total:
      self.close()

  def set_postfix(self, **facts: object) -> None:
    """Says further facts at the end of the next lines."""
    with self._lock:
      shown = ", ".join(f"{name} {value}" for name, value in facts.items())
      self._facts = f"; {shown}" if shown else ""

  def tick(self) -> float:
    """Says a line if one is due; returns the seconds until the next one."""
    with self._lock:
      now = self._clock()
      if now >= self._due and not self.closed.is_set():
        self._due = now + EVERY
        self._say(now)
      return self._due - now

  def close(self) -> None:
    """Says the last line, of work that had others."""
    with self._lock:
      if not self.closed.is_set():
        self.closed.set()
        if self._said:
          seconds = format_duration(self._clock() - self._start)
          done = self._done() if self._unit else "done"
          self._write(f"{self._desc}: {done} in {seconds}{self._facts}")

  def _say(self, now: float) -> None:
    if self._is_inner:
      return
    self._said = True
    seconds = format_duration(now - self._start)
    if not self._unit:
      self._write(f"{self._desc}: {seconds} so far")
      return
    speed = f" after {seconds}"
    (end, n), (start, before) = self._last, self._first or self._last
    if end > start and n > before:
      rate = (n - before) / (end - start)
      speed = f", {self._rate(rate)}"
      if self._total is not None and self._total > n:
        left = max(0.0, (self._total - n) / rate - (now - end))
        speed += f", about {format_duration(left)} left"
    share = f" ({100 * self.n // self._total} %)" if self._total else ""
    self._write(f"{self._desc}: {self._done()}{share}{speed}{self._facts}")

  def _done(self) -> str:
    total = self._total
    if self._unit == "B":
      of = "" if total is None else f" of {total / _MEGA:,.1f}"
      return f"{self.n / _MEGA:,.1f}{of} MB"
    unit = self._unit
    if (self.n if total is None else total) != 1:
      unit += "es" if unit.endswith("s") else "s"
    return f"{self.n:,}{'' if total is None else f' of {total:,}'} {unit}"

  def _rate(self, rate: float) -> str:
    if self._unit == "B":
      return f"{rate / _MEGA:,.1f} MB a second"
    period = "a second"
    for longer in ("a minute", "an hour"):
      if rate < 1:
        rate, period = 60 * rate, longer
    return f"{rate:,.{int(rate < 10)}f} {period}"


Progress = tqdm | ProgressLines
"""What counts work: `update`, `set_postfix`, `close`; to iterate over, too."""


def progress_bar(
  items: Iterable[Any] = (),
  *,
  desc: str,
  unit: str = "image",
  total: int | None = None,
  initial: int = 0,
  speaks: bool = True,
  **bar: Any,
) -> Progress:
  """Shows how far work has come on stderr: of items, or as `update` counts.

  Args:
    items: what is worked on, if it can be iterated over.
    desc: of the work, two words or three.
    unit: what is counted, in the singular; "B" for bytes.
    total: of these; None for as many as `items` says it has, if it says it.
    initial: of these, done before.
    speaks: False for work of which nobody shall hear.
    bar: further options of `tqdm`, which draws the bar of a terminal.

  Returns:
    What counts it, for use as an iterable or in a `with`.
  """
  if total is None:
    with contextlib.suppress(TypeError):
      total = len(items) or None  # pyright: ignore[reportArgumentType]
  speaks = speaks and _can_be_heard()
  if not speaks or sys.stderr.isatty():
    options = {"leave": False, "unit_scale": unit == "B", **bar}
    return tqdm(
      items,
      desc=desc,
      unit=unit,
      total=total,
      initial=initial,
      disable=not speaks,
      **options,
    )
  return _watched(
    ProgressLines(
      items,
      desc=desc,
      unit=unit,
      total=total,
      initial=initial,
      write=_write,
    )
  )


@contextlib.contextmanager
def step(desc: str, *, speaks: bool = True) -> Iterator[None]:
  """Says that work goes on of which nothing is counted; no bar has it."""
  if not speaks or not _can_be_heard() or sys.stderr.isatty():
    yield
    return
  lines = ProgressLines(desc=desc, unit="", total=None, write=_write)
  with _watched(lines):
    yield


def _can_be_heard() -> bool:
  """Says whether there is a stderr; a service or `2>&-` may have closed it."""
  return sys.stderr is not None and not getattr(sys.stderr, "closed", False)


def _watched(lines: ProgressLines) -> ProgressLines:
  """Speaks also while a first batch compiles, and nothing is counted."""
  threading.Thread(
    target=_watch, args=(weakref.ref(lines), lines.closed), daemon=True
  ).start()
  return lines


def _watch(lines: weakref.ref, closed: threading.Event) -> None:
  """Says the lines that are due, until the work ends or is dropped."""
  wait = FIRST
  while not closed.wait(max(wait, 0.1)):
    watched = lines()
    if watched is None:
      return
    wait = watched.tick()
    del watched


def _write(line: str) -> None:
  # Whoever reads it may have left, which must not end the work.
  with contextlib.suppress(OSError, ValueError):
    encoding = sys.stderr.encoding or "utf-8"
    line = line.encode(encoding, "backslashreplace").decode(encoding)
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def format_duration(seconds: float) -> str:
  """Says a duration in one unit."""
  if seconds < 100:
    return f"{seconds:.0f} s"
  minutes = seconds / 60
  return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
