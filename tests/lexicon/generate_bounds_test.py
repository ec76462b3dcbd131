"""Budgets, tries, stored answers: what a run may use, and how it goes on."""

import json

import pytest

from tests.generator_runs import KEY, NAMES, Run, changed, job, sizes
from tests.model_server import (
  Response,
  answer,
  completion,
  good,
  good_records,
  refusal,
)


def leave_one_out(sent):
  return answer(good_records(sent)[1:])


def chat(sent):
  return completion("Happy to help!")


def test_a_class_is_tried_a_bounded_number_of_times(run, server):
  server.behave = lambda sent: answer(
    [r for r in good_records(sent) if r["index"]]
  )
  done = run()
  assert done.fallback == (0,)
  assert sum(0 in sent.labels for sent in server.sent) == 3
  seeds = [sent.body["seed"] for sent in server.sent if 0 in sent.labels]
  assert seeds == [7, 8, 9], "the same question may get another answer"
  asked = len(server.sent)
  assert run() == done._replace(requests=0, tokens=0)
  assert len(server.sent) == asked, "nor in a later run"


def test_descriptors_alone_are_kept_when_no_synonym_comes(run, server):
  def behave(sent):
    first, *rest = good_records(sent)
    number = len(server.sent)
    return answer(
      [{**first, "synonyms": [], "descriptors": [f"red {number}"]}, *rest]
    )

  server.behave = behave
  done = run(job(NAMES[:1]))
  assert len(server.sent) == 3
  assert done.fallback == ()
  assert done.entries[0].synonyms == ()
  assert done.entries[0].descriptors == ("red 1",)


def test_a_synonym_of_two_classes_is_dropped_from_both(run, server):
  server.behave = lambda sent: answer(
    [{**r, "synonyms": ["stuff", f"x{r['index']}"]} for r in good_records(sent)]
  )
  done = run()
  assert [entry.synonyms for entry in done.entries.values()] == [
    (f"x{label}",) for label in range(7)
  ]
  assert len(done.drops) == 7
  assert {drop.reason for drop in done.drops} == {"claimed by several classes"}


def test_the_budget_of_requests(run, server):
  server.plan = [lambda sent: refusal(500)]
  done = run(max_requests=2)
  assert len(server.sent) == done.requests == 2
  assert done.stopped == "budget" and "`max_requests` = 2" in done.detail
  assert sorted(done.entries) == [0, 1, 2, 3] and len(run.records) == 1
  server.sent.clear()
  assert len(run(max_requests=2).entries) == 7 and sizes(server) == [3]


def test_the_budget_of_tokens(run, server):
  server.behave = lambda sent: good(sent)._replace(
    body=completion(
      json.dumps({"classes": good_records(sent)}),
      usage={"total_tokens": 5000},
    ).body
  )
  done = run(max_tokens=5200, batch=1)
  assert (done.requests, done.tokens) == (1, 5000)
  assert done.stopped == "budget" and "`max_tokens` = 5200" in done.detail
  assert run(max_tokens=100).requests == 0


@pytest.mark.parametrize("usage", [None, {}, {"total_tokens": 0}, "many"])
def test_tokens_that_are_not_reported_are_estimated(run, server, usage):
  server.behave = lambda sent: completion(
    json.dumps({"classes": good_records(sent)}), usage=usage
  )
  done = run()
  characters = sum(len(sent.prompt) for sent in server.sent)
  assert characters / 4 < done.tokens < characters


@pytest.mark.parametrize(
  "response",
  [Response(silent=True), completion("x")._replace(pause=0.02)],
  ids=["silent", "trickle"],
)
def test_a_time_out_is_repeated_and_charged(hasty, ask, server, response):
  server.plan = [lambda sent: response]
  asks = iter([hasty, ask, ask])
  run = Run(lambda *arguments: next(asks)(*arguments))
  done = run()
  assert len(done.entries) == 7 and sizes(server) == [4, 4, 3]
  assert done.failures == {"time-out": 1} and len(run.waits) == 1
  assert done.tokens > 200 + 300


def refuse_to_ask(request, response_format, left_out):
  raise AssertionError("asked")


def test_a_replay_asks_nothing_and_gives_the_same(run, server):
  server.plan = [leave_one_out]
  done = run()
  replay = run(ask=refuse_to_ask, max_requests=0, batch=2)
  assert replay == done._replace(requests=0, tokens=0)


def test_a_replay_of_too_little_says_so(run, server):
  run(max_requests=1)
  replay = run(ask=refuse_to_ask, max_requests=0)
  assert sorted(replay.entries) == [0, 1, 2, 3]
  assert replay.stopped == "budget" and replay.fallback == (4, 5, 6)


@pytest.mark.parametrize(
  "changes",
  [
    {"model": "large"},
    {"temperature": 0.6},
    {"seed": 8},
    {"domain": "a plant"},
    {"names": (*NAMES[:-1], "thing_z")},
  ],
  ids=lambda changes: next(iter(changes)),
)
def test_answers_of_another_job_are_not_used(run, server, changes):
  run()
  server.sent.clear()
  done = run(job(**changes))
  assert sizes(server) == [4, 3] and len(done.records) == 2


class Killed(BaseException):
  pass


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("count", range(4))
def test_a_killed_run_goes_on(ask, server, when, count):
  """Stopped around the writing of every answer there is."""
  plan = [leave_one_out, chat]
  whole = Run(ask)
  server.plan = list(plan)
  wanted = whole()
  assert len(whole.records) == len(server.sent) == 4

  run = Run(ask)

  def store(record):
    if len(run.records) == count and when == "before":
      raise Killed
    run.records.append(record)
    if len(run.records) == count + 1:
      raise Killed
    return record

  server.sent.clear()
  server.plan = list(plan)
  with pytest.raises(Killed):
    run(store=store)
  answered = {
    json.dumps(sent.body, sort_keys=True)
    for sent in server.sent[: len(run.records)]
  }
  server.plan = list(plan)[len(run.records) :]
  asked_before = len(server.sent)
  done = run()
  again = {
    json.dumps(sent.body, sort_keys=True) for sent in server.sent[asked_before:]
  }
  assert not answered & again, "an answered request was asked twice"
  assert done.entries == wanted.entries and done.drops == wanted.drops
  assert [r["key"] for r in run.records] == [r["key"] for r in whole.records]


def test_no_request_is_asked_twice_after_one_was_given_up(run, server):
  # Given up at first, so that its classes come in smaller requests, whose
  # answers are useless; the next run starts with the same classes.
  server.plan = [lambda sent: refusal(500)] * 2 + [
    lambda sent: completion("no")
  ] * 3
  run(attempts=2)
  run(attempts=3)
  run(attempts=4)
  keys = [record["key"] for record in run.records]
  assert len(keys) == len(set(keys))


def test_what_a_server_repeats_of_the_key_is_stored_nowhere(run, server):
  server.plan = [
    lambda sent: refusal(500, f"key {KEY}"),
    lambda sent: completion(f"Authorization: Bearer {KEY}", model=KEY),
    lambda sent: refusal(400, KEY),
    changed(synonyms=["x", KEY]),
  ]
  done = run()
  assert KEY not in repr(done) + json.dumps(run.records)
  assert all(sent.headers["authorization"][7:] == KEY for sent in server.sent)


def test_many_classes_in_many_requests(run, server):
  names = tuple(f"class {number}" for number in range(205))
  done = run(job(names), batch=50)
  assert sizes(server) == [50, 50, 50, 50, 5]
  assert len(done.entries) == 205
