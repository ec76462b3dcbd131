"""Ahead, in order, and no thread left behind."""

import threading
import time

import pytest

from s3_jax.data.ahead import ahead


@pytest.mark.parametrize("items", [range(0), range(1), range(3, 40)])
@pytest.mark.parametrize(("threads", "most"), [(1, 1), (1, 4), (5, 6)])
def test_results_keep_the_order(items, threads, most):
  made = list(ahead(lambda n: n**2, items, threads=threads, most=most))
  assert made == [n**2 for n in items]


@pytest.mark.parametrize("threads", [1, 5])
def test_it_works_ahead_but_not_far(threads):
  made = []
  results = ahead(made.append, range(50), threads=threads, most=3)
  for consumed in range(1, 6):
    next(results)
    deadline = time.monotonic() + 5
    while len(made) < consumed + 3 and time.monotonic() < deadline:
      time.sleep(0.001)
    assert len(made) == consumed + 3
  results.close()


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_comes_in_its_turn(threads):
  def make(step):
    if step == 3:
      raise RuntimeError("step three")
    return step

  results = ahead(make, range(10), threads=threads, most=8)
  assert [next(results) for _ in range(3)] == [0, 1, 2]
  with pytest.raises(RuntimeError, match="step three"):
    next(results)
  assert list(results) == []


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("consume", [1, 2, 20])
def test_threads_end_when_the_consumer_stops(threads, consume):
  workers = set()

  def make(step):
    workers.add(threading.current_thread())
    return step

  results = ahead(make, range(20), threads=threads, most=2)
  for _ in range(consume):
    next(results)
  results.close()
  assert workers and threading.current_thread() not in workers
  assert not any(worker.is_alive() for worker in workers)


def test_threads_end_when_the_consumer_fails():
  workers = set()

  def make(step):
    workers.add(threading.current_thread())
    return step

  def consume():
    for _ in ahead(make, range(100), threads=1, most=2):
      raise KeyError("consumer")

  with pytest.raises(KeyError):
    consume()
  (worker,) = workers
  worker.join(timeout=5)
  assert not worker.is_alive()
