"""What processes say to each other, in two real processes and on paper."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_jax import hosts
from s3_jax.launch import environment, free_port

SCRIPT = textwrap.dedent(
  """
  import json, sys, time
  import jax
  import numpy as np
  from s3_jax import hosts

  number, port = map(int, sys.argv[1:])
  jax.distributed.initialize(f"127.0.0.1:{port}", 2, number)
  said = {}

  def attempt(name, work):
    try:
      said[name] = work()
    except ValueError as error:
      said[name] = f"ValueError: {error}"

  def fail():
    if number == 1:
      raise ValueError("the disk is full")
    return "fine"

  arrays = {
    "names": np.asarray([["é", "ab"], ["c", ""]][number]),
    "double": np.full((number, 2), 1 / 3),
    "large": np.arange(2**40, 2**40 + 2 * number + 1),
    "mask": np.asarray([True] * (number + 1)),
  }
  received = hosts.gather_arrays(arrays)
  said["arrays"] = [
    {name: [str(a.dtype), a.tolist()] for name, a in each.items()}
    for each in received
  ]
  value = {"process": number, "long": "x" * 1000 * number}
  said["json"] = hosts.gather_json(value)
  said["sum"] = hosts.add_up({"images": 10**12 + number, "texts": number})
  said["share"] = list(hosts.own_share(7))
  attempt("same", lambda: hosts.agree({"the seed": 3, "the list": [1] * 99}))
  attempt("other", lambda: hosts.agree({"the seed": 3, "the size": number}))
  attempt("longer", lambda: hosts.agree({"the texts": ["a"] * 99 + [number]}))
  attempt("lacking", lambda: hosts.agree({"a": 1} if number else {}))
  attempt("together", lambda: hosts.raise_on_all(fail))
  attempt("still", lambda: hosts.raise_on_all(lambda: number))
  attempt("first", lambda: hosts.first_only(lambda: [number, {"of": 2}]))

  def slowly(items, wait, fails=False):
    done = []
    for item in hosts.with_barriers(items, seconds=0.1):
      time.sleep(wait)
      done.append(item)
      if fails and item == 2:
        raise ValueError("image 2 is too large")
    return done

  meet = hosts.gather_json

  def counted(value):
    said["meetings"] = said.get("meetings", 0) + 1
    return meet(value)

  hosts.gather_json = counted
  # The first is done at once, the second needs six tenths of a second.
  wait = 0.2 * number
  attempt("slow", lambda: hosts.raise_on_all(lambda: slowly([1, 2, 3], wait)))
  said["waited"], said["meetings"] = said["meetings"], 0
  hosts.gather_json = meet
  attempt("none", lambda: hosts.raise_on_all(lambda: slowly(range(number), 0)))
  fails = lambda: slowly([1, 2, 3], wait, fails=number == 1)
  attempt("fails", lambda: hosts.raise_on_all(fails))
  attempt("after", lambda: hosts.gather_json(number))

  def fail_first():
    raise ValueError("no room for results.json")

  attempt("writing", lambda: hosts.first_only(fail_first))
  print(json.dumps(said))
  """
)


@pytest.fixture(scope="module")
def said(tmp_path_factory, repository):
  script = tmp_path_factory.mktemp("two") / "script.py"
  script.write_text(SCRIPT)
  port = free_port()
  running = [
    subprocess.Popen(
      [sys.executable, str(script), str(number), str(port)],
      env={
        **environment(number, cpu_devices=2),
        "PYTHONPATH": str(repository),
      },
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for number in (0, 1)
  ]
  both = [process.communicate(timeout=120) for process in running]
  for process, (_, errors) in zip(running, both, strict=True):
    assert process.returncode == 0, errors
  return [json.loads(out.splitlines()[-1]) for out, _ in both]


def test_arrays_arrive_as_they_were_sent(said):
  for here in said:
    assert here["arrays"] == [
      {
        "names": ["<U2", ["é", "ab"]],
        "double": ["float64", []],
        "large": ["int64", [2**40]],
        "mask": ["bool", [True]],
      },
      {
        "names": ["<U1", ["c", ""]],
        "double": ["float64", [[1 / 3, 1 / 3]]],
        "large": ["int64", [2**40, 2**40 + 1, 2**40 + 2]],
        "mask": ["bool", [True, True]],
      },
    ]


def test_values_and_sums(said):
  for number, here in enumerate(said):
    first, second = here["json"]
    assert first == {"process": 0, "long": ""}
    assert second == {"process": 1, "long": "x" * 1000}
    assert here["sum"] == {"images": 2 * 10**12 + 1, "texts": 1}
    assert here["share"] == [[0, 3], [3, 7]][number]


def test_what_differs_is_named_in_every_process(said):
  for here in said:
    assert here["same"] is None
    assert here["other"].startswith(
      "ValueError: the size must be the same in every process, got 0 in process"
      " 0 and 1 in process 1"
    )
    assert "the texts must be the same" in here["longer"]
    assert here["longer"].count("sha256") == 2
    assert "a must be the same in every process, got None" in here["lacking"]


def test_a_failure_of_one_is_a_failure_of_all(said):
  zero, one = said
  assert one["together"] == "ValueError: the disk is full"
  assert zero["together"] == "ValueError: process 1 of 2: the disk is full"
  assert (zero["still"], one["still"]) == (0, 1)


def test_those_who_are_done_wait_in_small_steps(said):
  zero, one = said
  assert zero["slow"] == one["slow"] == [1, 2, 3]
  # Once for each tenth of a second, at the end, and for the failures.
  assert zero["waited"] == one["waited"] >= 6
  assert (zero["none"], one["none"]) == ([], [0])


def test_a_failure_reaches_those_who_wait(said):
  zero, one = said
  assert one["fails"] == "ValueError: image 2 is too large"
  assert zero["fails"] == "ValueError: process 1 of 2: image 2 is too large"
  assert zero["after"] == one["after"] == [0, 1]


def test_only_the_first_writes(said):
  zero, one = said
  assert zero["first"] == one["first"] == [0, {"of": 2}]
  assert zero["writing"] == "ValueError: no room for results.json"
  assert one["writing"] == (
    "ValueError: process 0 of 2: no room for results.json"
  )


def test_one_process_is_alone():
  arrays = {"x": np.arange(3)}
  assert hosts.is_first()
  assert hosts.gather_json({"a": 1}) == [{"a": 1}]
  assert hosts.gather_arrays(arrays)[0]["x"] is arrays["x"]
  assert hosts.own_share(5) == (0, 5)
  flags = np.asarray([True, False])
  assert hosts.gather_flags(flags).tolist() == [[True, False]]
  assert hosts.own_items(flags[None]).tolist() == [True, True]
  assert hosts.raise_on_all(lambda: 4) == 4
  assert hosts.first_only(lambda: "x") == "x"
  assert hosts.add_up({"n": 3}) == {"n": 3}
  hosts.agree({"x": 1})
  assert list(hosts.with_barriers(iter("abc"), seconds=0)) == ["a", "b", "c"]


@given(
  processes=st.integers(1, 9),
  shards=st.integers(0, 40),
  seed=st.integers(0, 1000),
  shared=st.booleans(),
)
def test_shards_are_shared_out(processes, shards, seed, shared):
  draw = np.random.default_rng(seed)
  stored = draw.random((processes, shards)) < draw.random()
  if shared:
    stored[:] = stored[:1]
  owner = hosts.assign(stored)
  assert owner.shape == (shards,)
  assert np.all((owner >= 0) & (owner < processes))
  anywhere = stored.any(axis=0)
  # Whoever gets a stored shard can read it.
  for shard in np.flatnonzero(anywhere):
    assert stored[owner[shard], shard]
  # Missing ones: as many for each, next to each other.
  missing = owner[~anywhere]
  counts = np.bincount(missing, minlength=processes)
  assert counts.max() - counts.min() <= 1
  assert np.all(np.diff(missing) >= 0)
  if shared:
    counts = np.bincount(owner[anywhere], minlength=processes)
    assert counts.max() - counts.min() <= 1


@given(total=st.integers(0, 50), count=st.integers(1, 9))
def test_shares_are_the_whole_list(total, count):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(hosts, "count", lambda: count)
    parts = []
    for index in range(count):
      patch.setattr(hosts, "index", lambda index=index: index)
      parts.append(hosts.own_share(total))
  indices = [
    position for part in parts for position in range(part.start, part.stop)
  ]
  assert indices == list(range(total))
  lengths = [part.stop - part.start for part in parts]
  assert max(lengths) - min(lengths) <= 1
