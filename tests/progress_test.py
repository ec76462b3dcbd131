"""What long work says of itself, on a terminal and elsewhere."""

import gc
import io
import subprocess
import sys
import textwrap
import weakref

import pytest
from tqdm import tqdm

from s3_jax import progress
from s3_jax.progress import ProgressLines, format_duration, progress_bar


class Clock:
  """A clock that is moved by hand."""

  def __init__(self):
    self.now = 100.0

  def __call__(self) -> float:
    return self.now


@pytest.fixture
def clock():
  return Clock()


@pytest.fixture
def said():
  return []


@pytest.fixture
def begin(clock, said):
  """Makes lines that nothing but a test moves on."""

  def make(
    items=(), *, desc="embed plain", unit="image", total=None, **options
  ):
    return ProgressLines(
      items,
      desc=desc,
      unit=unit,
      total=total,
      write=said.append,
      clock=clock,
      **options,
    )

  return make


def wait(clock, lines, seconds):
  """Lets seconds pass as a timer sees them, one after the other."""
  for _ in range(seconds):
    clock.now += 1
    lines.tick()


def test_long_work_has_a_first_line_one_each_half_minute_and_a_last(
  begin, clock, said
):
  with begin(total=1000) as lines:
    for _ in range(10):
      wait(clock, lines, 10)
      lines.update(100)
  # Due after 3, 33, 63 and 93 s; at 33 s, 200 of 300 have taken 20 s.
  assert said == [
    "embed plain: 0 of 1,000 images (0 %) after 3 s",
    "embed plain: 300 of 1,000 images (30 %), 10 a second, about 67 s left",
    "embed plain: 600 of 1,000 images (60 %), 10 a second, about 37 s left",
    "embed plain: 900 of 1,000 images (90 %), 10 a second, about 7 s left",
    "embed plain: 1,000 of 1,000 images in 2 min",
  ]


def test_short_work_says_nothing(begin, clock, said):
  with begin(total=3) as lines:
    for _ in range(2):
      wait(clock, lines, 1)
      lines.update()
  assert not said


def test_what_is_done_first_is_not_timed(begin, clock, said):
  lines = begin(total=500)
  wait(clock, lines, 20)  # of these most is compilation
  lines.update(100)
  wait(clock, lines, 4)
  lines.update(100)
  wait(clock, lines, 9)
  # 100 in 4 s, and 300 are left, at which it has been for 9 s: 12 - 9.
  assert said[-1] == (
    "embed plain: 200 of 500 images (40 %), 25 a second, about 3 s left"
  )


def test_what_earlier_runs_did_is_counted_but_not_timed(begin, clock, said):
  lines = begin(total=900, initial=600)
  for _ in range(4):
    wait(clock, lines, 10)
    lines.update(50)
  assert said[-1].startswith(
    "embed plain: 750 of 900 images (83 %), 5.0 a second, about 27 s left"
  )


def test_without_a_total_there_is_no_share_and_no_time_left(begin, clock, said):
  lines = begin(desc="index x.tar", unit="class")
  wait(clock, lines, 2)
  lines.update(1)
  wait(clock, lines, 31)
  lines.update(30)
  wait(clock, lines, 30)
  lines.close()
  assert said == [
    "index x.tar: 1 class after 3 s",
    "index x.tar: 1 class after 33 s",
    "index x.tar: 31 classes, 58 a minute",
    "index x.tar: 31 classes in 63 s",
  ]


@pytest.mark.parametrize(
  ("seconds", "words"),
  [(0.2, "5.0 a second"), (40, "1.5 a minute"), (1800, "2.0 an hour")],
)
def test_a_rate_is_at_least_one_of_its_unit(begin, clock, said, seconds, words):
  lines = begin(total=9)
  lines.update()
  clock.now += seconds
  lines.update()
  wait(clock, lines, 3)
  assert f", {words}, about " in said[-1]


def test_bytes_are_counted_in_megabytes(begin, clock, said):
  lines = begin(desc="model.npz", unit="B", total=350_000_000)
  lines.update(1_000_000)
  clock.now += 10
  lines.update(49_000_000)
  assert said[-1] == (
    "model.npz: 50.0 of 350.0 MB (14 %), 4.9 MB a second, about 61 s left"
  )


def test_facts_stand_at_the_end(begin, clock, said):
  lines = begin(total=2, unit="step")
  lines.set_postfix(loss="0.312", batch="41%")
  wait(clock, lines, 3)
  assert said == [
    "embed plain: 0 of 2 steps (0 %) after 3 s; loss 0.312, batch 41%"
  ]


def test_of_work_inside_other_work_only_the_outer_speaks(begin, clock, said):
  with begin(total=2, desc="sweep", unit="space") as outer:
    with begin(total=4, desc="score") as inner:
      clock.now += 60
      inner.update()
      inner.tick()
      outer.tick()
    clock.now += 60
    outer.update()
  assert [line.partition(":")[0] for line in said] == ["sweep"] * 3
  with begin(total=1, desc="report") as later:
    clock.now += 60
    later.tick()
  assert said[-1].startswith("report: 0 of 1 image")


def test_a_step_counts_nothing_and_what_is_inside_it_speaks(begin, clock, said):
  with begin(desc="load ViT", unit="") as step:
    wait(clock, step, 3)
    with begin(desc="a.npz", unit="B", total=2_000_000) as inner:
      wait(clock, inner, 3)
    wait(clock, step, 30)
  assert said == [
    "load ViT: 3 s so far",
    "a.npz: 0.0 of 2.0 MB (0 %) after 3 s",
    "a.npz: 0.0 of 2.0 MB in 3 s",
    "load ViT: 33 s so far",
    "load ViT: done in 36 s",
  ]


def test_work_that_fails_has_no_last_line(begin, clock, said):
  with pytest.raises(ValueError, match="broken"), begin(total=5) as lines:
    wait(clock, lines, 5)
    raise ValueError("broken")
  assert said == ["embed plain: 0 of 5 images (0 %) after 3 s"]
  wait(clock, lines, 60)
  assert len(said) == 1


def test_items_are_passed_on_and_counted(begin, clock, said):
  lines = begin("abc", total=3, unit="text")
  seen = []
  for item in lines:
    clock.now += 40
    seen.append((item, lines.n))
  assert seen == [("a", 0), ("b", 1), ("c", 2)]
  assert lines.n == 3 and said[-1] == "embed plain: 3 of 3 texts in 2 min"


def test_names_of_files_move_no_terminal(begin, clock, said):
  lines = begin(total=1, desc="list a\x1b[2Jb\n")
  wait(clock, lines, 3)
  assert said == [r"list a\x1b[2Jb\n: 0 of 1 image (0 %) after 3 s"]


def test_a_terminal_has_a_bar(monkeypatch):
  monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
  with progress_bar(range(3), desc="look") as bar:
    assert isinstance(bar, tqdm) and not bar.disable and bar.total == 3
  quiet = progress_bar(range(3), desc="look", speaks=False)
  assert isinstance(quiet, tqdm) and quiet.disable and list(quiet) == [0, 1, 2]


def test_without_stderr_work_goes_on_unsaid(monkeypatch):
  closed = io.StringIO()
  closed.close()
  for stderr in (None, closed):
    monkeypatch.setattr(sys, "stderr", stderr)
    bar = progress_bar(range(3), desc="look")
    assert list(bar) == [0, 1, 2] and isinstance(bar, tqdm) and bar.disable
    with progress.step("read"):
      pass


def test_dropped_work_is_forgotten(monkeypatch):
  monkeypatch.setattr(progress, "FIRST", 0.05)
  lines = progress_bar(total=9, desc="look")
  watched = weakref.ref(lines)
  del lines
  gc.collect()
  assert watched() is None, "its timer holds it"


@pytest.mark.parametrize(
  ("seconds", "words"),
  [
    (0.2, "0 s"),
    (99.0, "99 s"),
    (120.0, "2 min"),
    (5940.0, "99 min"),
    (9e3, "2.5 h"),
  ],
)
def test_durations_have_one_unit(seconds, words):
  assert format_duration(seconds) == words


def test_without_a_terminal_stderr_holds_lines(repository):
  # Nothing is counted in the first step: a timer has to speak.
  script = """
    import threading
    from s3_jax import progress
    progress.FIRST, progress.EVERY = 0.05, 0.1
    with progress.progress_bar(total=4, desc="compile", unit="text") as bar:
      threading.Event().wait(0.3)
      bar.update(4)
    for _ in progress.progress_bar(range(50), desc="quick"):
      pass
  """
  done = subprocess.run(
    [sys.executable, "-c", textwrap.dedent(script)],
    cwd=repository,
    capture_output=True,
    timeout=120,
    check=True,
  )
  assert b"\r" not in done.stderr and done.stdout == b""
  first, *more, last = done.stderr.decode().splitlines()
  assert first == "compile: 0 of 4 texts (0 %) after 0 s"
  assert more and set(more) == {first}
  assert last == "compile: 4 of 4 texts in 0 s"
