"""One request: what may go wrong on the wire, and where the key never is."""

import contextlib
import datetime
import email.utils
import json
import socket
import sys

import pytest

from s3_jax.lexicon.endpoint import (
  MAX_BODY,
  Failure,
  Reply,
  _retry_after,
  endpoint_host,
  open_endpoint,
)
from s3_jax.lexicon.prompting import ANSWER_SCHEMA, Job, write_request
from tests.model_server import Response, completion, refusal

KEY = "sk-test-0123456789abcdef"
REQUEST = write_request(Job(("boxer", "cat"), "", "tiny", 0.5, 7), (0,), 0)


@pytest.fixture(scope="module")
def open_once(running):
  """Opens each endpoint once: a client takes longer than a request."""
  opened = {}
  with contextlib.ExitStack() as stack:

    def open_once(key, timeout):
      if (key, timeout) not in opened:
        endpoint = open_endpoint(running.url, key=key, timeout=timeout)
        opened[key, timeout] = stack.enter_context(endpoint)
      return opened[key, timeout]

    yield open_once


@pytest.fixture
def ask(server, open_once):
  def ask(
    response=None, *, key=KEY, timeout=30.0, form="json_schema", without=()
  ):
    if response is not None:
      server.plan.append(lambda sent: response)
    return open_once(key, timeout)(REQUEST, form, without)

  return ask


def test_a_good_answer(ask, server):
  reply = ask()
  assert isinstance(reply, Reply)
  assert json.loads(reply.text)["classes"][0]["name"] == "boxer"
  assert reply[1:] == ("tiny-1.0", "stop", 100, "")
  (sent,) = server.sent
  assert sent.headers["authorization"] == f"Bearer {KEY}"
  assert sent.body == {
    "model": "tiny",
    "messages": [{"role": "user", "content": REQUEST.prompt}],
    "temperature": 0.5,
    "seed": 7,
    "response_format": {
      "type": "json_schema",
      "json_schema": {
        "name": "classes",
        "strict": True,
        "schema": ANSWER_SCHEMA,
      },
    },
  }


def test_looser_formats_and_no_seed(ask, server):
  ask(form="json_object", without=("seed",))
  ask(form="text")
  first, second = (sent.body for sent in server.sent)
  assert first["response_format"] == {"type": "json_object"}
  assert "seed" not in first
  assert "response_format" not in second and second["seed"] == 7


@pytest.mark.parametrize("key", [None, "", "  "])
def test_without_a_key_a_dummy_is_sent(ask, server, key):
  assert isinstance(ask(key=key), Reply)
  assert server.sent[0].headers["authorization"] == "Bearer none"


def test_a_key_may_end_in_a_newline(ask, server):
  assert isinstance(ask(key=KEY + "\n"), Reply)
  assert server.sent[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("key", [KEY + "é", KEY + "\n" + KEY, "\x00" + KEY])
def test_a_broken_key_is_refused_unseen(ask, server, key):
  with pytest.raises(ValueError, match="OPENAI_API_KEY must be") as error:
    ask(key=key)
  assert "0123456789" not in str(error.value)
  assert not server.sent


@pytest.mark.parametrize(
  ("response", "action", "reason", "wait"),
  [
    (refusal(429, Retry_After="7"), "retry", "HTTP 429", 7.0),
    (refusal(429, Retry_After="soon"), "retry", "HTTP 429", None),
    (refusal(500), "retry", "HTTP 500", None),
    (refusal(503, Retry_After="0.5"), "retry", "HTTP 503", 0.5),
    (refusal(408), "retry", "HTTP 408", None),
    (refusal(400), "format", "HTTP 400", None),
    (refusal(422, "json_schema is not supported"), "format", "HTTP 422", None),
    (refusal(501), "format", "HTTP 501", None),
    (refusal(400, "Unknown field: seed"), "seed", "HTTP 400", None),
    (refusal(401), "stop", "HTTP 401", None),
    (refusal(403), "stop", "HTTP 403", None),
    (refusal(404), "stop", "HTTP 404", None),
    (refusal(402), "stop", "HTTP 402", None),
    (Response(b"<html>busy</html>", 502), "retry", "HTTP 502", None),
    (Response(b"<html>hello</html>"), "retry", "no chat completion", None),
    (Response(b""), "retry", "no chat completion", None),
    (Response(b"[1]"), "retry", "no chat completion", None),
    (Response(b'{"choices": []}'), "retry", "no chat completion", None),
    (
      Response(b'{"error": {"code": 429}}'),
      "retry",
      "no chat completion",
      None,
    ),
    (completion("x")._replace(missing=50), "retry", "cut answer", None),
    (Response(b"", missing=50), "retry", "cut answer", None),
    (Response(b"{}", 500, missing=50), "retry", "cut answer", None),
  ],
  ids=range(22),
)
def test_a_failure_says_what_helps(ask, server, response, action, reason, wait):
  failure = ask(response)
  assert isinstance(failure, Failure)
  assert failure[:2] == (action, reason)
  assert failure.wait == wait
  assert len(server.sent) == 1, "openai's own retries are off"
  assert "127.0.0.1" in failure.detail and "\n" not in failure.detail


@pytest.mark.parametrize(
  "response",
  [
    Response(silent=True),
    completion("slow")._replace(pause=0.02),
  ],
  ids=["silent", "trickle"],
)
def test_a_request_takes_a_bounded_time(ask, response):
  failure = ask(response, timeout=0.3)
  assert isinstance(failure, Failure)
  assert failure[:3] == ("retry", "time-out", failure.detail)
  assert "0.3 s" in failure.detail and failure.charged


def test_an_answer_has_a_bounded_size(ask):
  reply = ask(completion("x" * 10_000_000))
  assert isinstance(reply, Reply)
  assert reply.problem == "longer than 2 MiB"
  assert len(reply.text) < MAX_BODY // 100


@pytest.mark.parametrize(
  ("content", "text"),
  [
    (None, ""),
    (" \n", " \n"),
    (17, ""),
    ([{"type": "text", "text": "a"}, {"text": "b"}, {"text": None}], "ab"),
  ],
)
def test_content_of_every_kind(ask, content, text):
  reply = ask(completion(content, usage={"total_tokens": -3}, model=5))
  assert isinstance(reply, Reply)
  assert reply.text == text
  assert reply.problem == ("" if text.strip() else "empty answer")
  assert reply.tokens is None and reply.model == ""


def test_nobody_there():
  with socket.socket() as taken:
    taken.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    with open_endpoint(url, key=KEY, timeout=5.0) as ask:
      failure = ask(REQUEST, "text", ())
  assert isinstance(failure, Failure)
  assert failure[:2] == ("retry", "no connection")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_an_error_that_repeats_the_key_does_not_show_it(ask, status):
  # At every place, so that no cut of the message leaves a part of it.
  for padding in (0, 160, 195):
    message = f"{'x' * padding} Incorrect API key: {KEY}."
    failure = ask(refusal(status, message))
    assert isinstance(failure, Failure)
    assert "0123" not in repr(failure) and "sk-t" not in repr(failure)


def test_an_answer_that_repeats_the_key_loses_it(ask):
  reply = ask(
    completion(f"Your key is {KEY}", model=KEY), form="text", without=("seed",)
  )
  assert isinstance(reply, Reply)
  assert reply.text == "Your key is [key]" and reply.model == "[key]"


def test_the_endpoint_says_which_variable_is_missing(ask):
  failure = ask(refusal(401), key=None)
  assert "asks for a key; set" in failure.detail
  assert "OPENAI_API_KEY" in failure.detail


def test_without_the_library_the_extra_is_named(server, monkeypatch):
  monkeypatch.setitem(sys.modules, "openai", None)
  with (
    open_endpoint(server.url, key=KEY, timeout=5.0) as ask,
    pytest.raises(ValueError, match=r"s3_jax\[generate\]"),
  ):
    ask(REQUEST, "text", ())
  assert not server.sent


@pytest.mark.parametrize(
  ("url", "host"),
  [
    ("https://API.example.com/v1", "api.example.com"),
    ("http://localhost:8000/v1/", "localhost:8000"),
    ("http://[::1]:80/v1", "[::1]:80"),
  ],
)
def test_a_host_without_anything_else(url, host):
  assert endpoint_host(url) == host


@pytest.mark.parametrize(
  "url",
  [
    "",
    "localhost:8000",
    "ftp://host/v1",
    "http://",
    "http://host:port/v1",
    "http://[::1/v1",
    "http://ho st/v1",
    "http://host/v1\nx",
    "https://secret@host/v1",
    "https://user:secret@host/v1",
    "https://host/v1?key=secret",
    "https://host/v1#secret",
  ],
)
def test_a_wrong_address_is_refused_unseen(url):
  with pytest.raises(ValueError, match="`base_url` must") as error:
    endpoint_host(url)
  assert "secret" not in str(error.value)


def test_a_time_to_wait_may_be_a_date():
  now = datetime.datetime.now(datetime.UTC)
  later = email.utils.format_datetime(now + datetime.timedelta(seconds=90))
  assert _retry_after(later) == pytest.approx(90, abs=5)
  assert _retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
  for broken in ("Wed, 99 Oct 2015 07:28:00 GMT", "nan", "inf", "", "1e999"):
    assert _retry_after(broken) is None
  assert _retry_after("-5") == 0 and _retry_after(None) is None
