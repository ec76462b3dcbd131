"""How a run finds out what its work will take."""

import pytest

from s3_jax.experiment.run_log import time_some


@pytest.mark.parametrize(
  ("seconds", "done", "rate"),
  [
    # Of a short piece, tracing may be most; the next one says it.
    ((3.0, 0.5), 2, 0.05),
    ((3.0, 4.0, 1.0), 3, 0.1),
    ((40.0, 0.5), 1, 4.0),
    ((3.0, 40.0, 1.0), 2, 4.0),
    ((), 0, 0.0),
  ],
)
def test_work_is_timed_until_it_says_enough(seconds, done, rate):
  clock = [50.0]
  finished = []

  def take(length):
    clock[0] += length
    finished.append(length)

  work = [(lambda each=each: take(each), 10) for each in seconds]
  assert time_some(work, lambda: clock[0]) == pytest.approx(rate)
  assert len(finished) == done
