"""The loop over classes, whatever the endpoint answers."""

import collections
import json

import pytest

from s3_jax.lexicon.generate import FIRST_PAUSE, MAX_PAUSE
from tests.generator_runs import KEY, NAMES, Run, changed, job, sizes
from tests.model_server import (
  Response,
  answer,
  completion,
  good,
  good_records,
  refusal,
)


def test_every_class_gets_its_texts(run, server):
  done = run()
  assert list(done.entries) == list(range(7))
  assert done.entries[5].synonyms == ("other 5", "second 5")
  assert done.entries[5].descriptors == ("looks like number 5",)
  assert [sent.labels for sent in server.sent] == [[0, 1, 2, 3], [4, 5, 6]]
  assert done.fallback == () and done.stopped == "" and done.problems == {}
  assert (done.requests, done.tokens) == (2, 200)
  assert run.waits == []
  assert {sent.format for sent in server.sent} == {"json_schema"}


def echo_schema(sent):
  return completion(json.dumps(sent.body["response_format"]["json_schema"]))


def echo_form(sent):
  return completion(sent.prompt.splitlines()[-1])


WRONG = "index and name disagree"
UNREADABLE = "no JSON with a list of classes"
EMPTY = {"synonyms": [], "descriptors": []}
# behaviour of the first request -> problems, classes asked about again
MISBEHAVIOURS = {
  "prose": (lambda s: completion("Happy to help!"), [UNREADABLE], 4),
  "schema": (echo_schema, [UNREADABLE], 4),
  "form": (echo_form, [WRONG, *["class left out"] * 4], 4),
  "cut": (
    lambda s: completion(json.dumps({"classes": good_records(s)})[:-30]),
    [UNREADABLE],
    4,
  ),
  "no content": (lambda s: completion(None), ["empty answer"], 4),
  "10 MB": (
    lambda s: completion("x" * 10_000_000),
    ["longer than 2 MiB"],
    4,
  ),
  "deep": (lambda s: completion("[" * 100_000), [UNREADABLE], 4),
  "wrong class": (changed(name="thing b"), [WRONG, "class left out"], 1),
  "shifted": (
    lambda s: answer([{**r, "index": r["index"] + 1} for r in good_records(s)]),
    [WRONG] * 3 + ["class that was not asked about"] + ["class left out"] * 4,
    4,
  ),
  "extra class": (
    lambda s: answer([*good_records(s), {"index": 6, "name": "thing g"}]),
    ["class that was not asked about"],
    0,
  ),
  "missing class": (
    lambda s: answer(good_records(s)[1:]),
    ["class left out"],
    1,
  ),
  "twice": (
    lambda s: answer(good_records(s) * 2),
    ["class answered twice"] * 4,
    0,
  ),
  "empty lists": (changed(**EMPTY), ["class without a usable text"], 1),
  "only a name": (
    changed(synonyms=["Thing-A"], descriptors=["thing b"]),
    ["class without a usable text"],
    1,
  ),
}


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_a_bad_answer_is_asked_for_again(run, server, name):
  behave, problems, again = MISBEHAVIOURS[name]
  server.plan = [behave]
  done = run()
  assert len(done.entries) == 7 and done.fallback == ()
  assert done.entries[0].synonyms == ("other 0", "second 0")
  assert done.problems == dict(collections.Counter(problems))
  # The four again come two at a time.
  wanted = {0: [4, 3], 1: [4, 3, 1], 4: [4, 3, 2, 2]}[again]
  assert sizes(server) == wanted
  assert all(r["reply"]["text"] or r["reply"]["problem"] for r in run.records)
  assert run.waits == []


@pytest.mark.parametrize(
  "wrap",
  [
    lambda text: f"```json\n{text}\n```",
    lambda text: f"<think>[1] {{x}}</think> Here:\n{text}\nBye.",
    lambda text: json.dumps(json.loads(text)["classes"]),
    lambda text: json.dumps(json.loads(text), indent=4, ensure_ascii=False),
  ],
  ids=["fence", "think", "list", "indent"],
)
def test_wrapped_json_is_taken_at_once(run, server, wrap):
  server.behave = lambda sent: completion(
    wrap(json.dumps({"classes": good_records(sent)}))
  )
  done = run()
  assert len(done.entries) == 7 and sizes(server) == [4, 3]


def test_unicode_tricks_do_not_reach_the_table(run, server):
  server.plan = [
    changed(
      synonyms=[
        "\u202eevil",
        "ｆｕｌｌ　ｗｉｄｔｈ",
        "full\u200b width",
        "thi\u200bng a",
        "thing\u00a0b",
        "{0.__class__}",
        "=cmd()",
        "\ud800",
      ],
      descriptors=["\x1b[2Jred\nand\tround", "<script>alert(1)</script>"],
    )
  ]
  done = run()
  assert done.entries[0].synonyms == (
    "evil",
    "full width",
    "{0.__class__}",
    "=cmd()",
  )
  assert done.entries[0].descriptors == (
    "[2Jred and round",
    "<script>alert(1)</script>",
  )
  assert sorted(drop.reason for drop in done.drops) == [
    "another class's name",
    "empty",
    "repeated",
    "the name itself",
  ]


# behaviour of the first request -> how it is counted, waits
TRANSIENT = {
  "429": (refusal(429, Retry_After="7"), "HTTP 429", [7.0]),
  "429 now": (refusal(429, Retry_After="0"), "HTTP 429", [0.0]),
  "429 long": (refusal(429, Retry_After="86400"), "HTTP 429", [MAX_PAUSE]),
  "500": (refusal(500), "HTTP 500", None),
  "cut": (completion("x")._replace(missing=9), "cut answer", None),
  "html": (Response(b"<html>"), "no chat completion", None),
}


@pytest.mark.parametrize("name", TRANSIENT)
def test_a_failed_request_is_repeated(run, server, name):
  response, reason, waits = TRANSIENT[name]
  server.plan = [lambda sent: response]
  done = run()
  assert len(done.entries) == 7 and sizes(server) == [4, 4, 3]
  assert done.failures == {reason: 1} and done.problems == {}
  assert server.sent[0].body == server.sent[1].body
  assert len(run.waits) == 1
  if waits is None:
    assert FIRST_PAUSE / 2 <= run.waits[0] <= FIRST_PAUSE
  else:
    assert run.waits == waits


def test_waits_double_and_are_those_of_the_seed(ask, server):
  waits = []
  for seed in (7, 7, 8):
    run = Run(ask)
    server.plan = [lambda sent: refusal(500)] * 9
    run(job(NAMES[:1], seed=seed), attempts=10)
    waits.append(run.waits)
  assert waits[0] == waits[1] != waits[2]
  for step, wait in enumerate(waits[0]):
    ceiling = min(FIRST_PAUSE * 2**step, MAX_PAUSE)
    assert ceiling / 2 <= wait <= ceiling


def test_a_request_that_always_fails_is_given_up_in_smaller_ones(run, server):
  def behave(sent):
    return refusal(500) if 0 in sent.labels else good(sent)

  server.behave = behave
  done = run(attempts=3)
  assert done.fallback == (0,) and done.stopped == ""
  assert sorted(done.entries) == [1, 2, 3, 4, 5, 6]
  assert sizes(server) == [4, 4, 4, 3, 2, 2, 2, 2, 1, 1, 1, 1]


def test_an_endpoint_that_stays_away_is_left(run, server):
  server.behave = lambda sent: refusal(503, "overloaded")
  done = run()
  assert done.stopped == "endpoint" and "HTTP 503: overloaded" in done.detail
  assert done.requests == 9 and len(run.waits) == 6
  assert done.fallback == tuple(range(7)) and done.records == ()


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_no_repetition_mends_stops_at_once(run, server, status):
  server.plan = [good, lambda sent: refusal(status, f"bad {KEY}")]
  done = run()
  assert done.stopped == "endpoint" and done.requests == 2
  assert str(status) in done.detail and KEY not in done.detail
  assert sorted(done.entries) == [0, 1, 2, 3], "what exists stays"


def test_an_endpoint_without_json_schema(run, server):
  server.behave = lambda sent: (
    refusal(400, "'json_schema' is unavailable")
    if sent.format == "json_schema"
    else good(sent)
  )
  done = run()
  assert len(done.entries) == 7
  # Tried once, and never again.
  assert [sent.format for sent in server.sent] == [
    "json_schema",
    "json_object",
    "json_object",
  ]
  assert done.failures == {"HTTP 400": 1}


def test_an_endpoint_that_knows_plain_text_only(run, server):
  server.behave = lambda sent: (
    good(sent) if sent.format == "text" else refusal(422)
  )
  assert len(run().entries) == 7
  formats = [sent.format for sent in server.sent]
  assert formats == ["json_schema", "json_object", "text", "text"]


def test_an_endpoint_that_ignores_the_format(run, server):
  server.behave = lambda sent: (
    good(sent) if sent.format == "text" else completion("As you wish.")
  )
  assert len(run().entries) == 7
  formats = [sent.format for sent in server.sent]
  assert formats[0] == "json_schema" and formats[-1] == "text"
  assert set(formats) == {"json_schema", "json_object", "text"}


def test_an_endpoint_without_seeds(run, server):
  server.behave = lambda sent: (
    refusal(422, "seed: extra fields not permitted")
    if "seed" in sent.body
    else good(sent)
  )
  with pytest.warns(UserWarning, match="`seed` is left out.*not permitted"):
    done = run()
  assert len(done.entries) == 7 and done.left_out == ("seed",)
  assert [sent.format for sent in server.sent] == ["json_schema"] * 3
  assert [record["left_out"] for record in run.records] == [["seed"]] * 2


def test_an_endpoint_without_temperature(run, server):
  server.behave = lambda sent: (
    refusal(400, "'temperature' is not supported with this model.")
    if "temperature" in sent.body
    else good(sent)
  )
  with pytest.warns(UserWarning, match="`temperature` is left out") as said:
    done = run()
  assert len(said) == 1 and done.left_out == ("temperature",)
  assert len(done.entries) == 7 and len(server.sent) == 3
  assert all(sent.body["seed"] == 7 for sent in server.sent)


def test_settings_that_are_not_set_are_not_sent(run, server):
  server.plan = [lambda sent: refusal(500), lambda sent: refusal(500)]
  done = run(job(seed=None, temperature=None), attempts=2)
  assert len(done.entries) == 7 and done.left_out == ()
  for sent in server.sent:
    assert not {"seed", "temperature"} & sent.body.keys()
  assert len({record["key"] for record in run.records}) == len(run.records)


def test_one_forbidden_class_does_not_stop_the_others(run, server):
  server.behave = lambda sent: (
    refusal(400, "content filter") if 2 in sent.labels else good(sent)
  )
  done = run()
  assert done.fallback == (2,) and done.stopped == ""
  assert len(done.entries) == 6
  assert {sent.format for sent in server.sent if 2 not in sent.labels} >= {
    "json_schema"
  }, "the format was not to blame"
