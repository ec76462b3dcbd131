"""What a run says of its time."""

import pytest

from s3_jax.experiment import run_log
from s3_jax.experiment.run_log import TimeLeft, format_duration


@pytest.fixture
def clock(monkeypatch):
  """A clock that is moved by hand."""
  now = [100.0]
  monkeypatch.setattr(run_log.time, "monotonic", lambda: now[0])

  def wait(seconds):
    now[0] += seconds

  return wait


def test_the_time_left_is_that_of_compiled_work(clock):
  said = []
  left = TimeLeft(said.append, what="images", total=1000)
  left.start()
  clock(60)  # of these most is compilation
  left.done(100)
  for _ in range(3):
    clock(4)
    left.done(50)
  # 150 in 12 s, and 750 are left.
  assert said == ["750 images left: about 60 s."]
  clock(4)
  left.done(50)
  assert len(said) == 1


def test_what_happens_between_the_parts_is_not_timed(clock):
  said = []
  left = TimeLeft(said.append, what="texts", total=100_000)
  for _ in range(4):
    left.start()
    left.done(100)
    clock(3)
    left.done(100)
    clock(1000)  # of something else
  assert said == ["99,200 texts left: about 50 min."]


def test_short_work_says_nothing(clock):
  said = []
  left = TimeLeft(said.append, what="images", total=300)
  left.start()
  for seconds in (50, 4, 5.9):
    clock(seconds)
    left.done(100)
  assert not said
  late = TimeLeft(said.append, what="images", total=200)
  late.start()
  for _ in range(2):
    clock(50)
    late.done(100)
  assert not said, "nothing is left"


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
