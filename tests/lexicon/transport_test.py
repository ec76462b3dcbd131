"""Bounds of a request: its time, its bytes, where it goes, what it carries."""

import contextlib
import json
import socket
import threading
import time

import httpx2
import pytest

from s3_jax.lexicon.endpoint import Failure, Reply, open_endpoint
from s3_jax.lexicon.prompting import Job, write_request
from s3_jax.lexicon.transport import redirect_target, request_headers
from tests.model_server import completion

KEY = "sk-test-0123456789abcdef"
REQUEST = write_request(Job(("boxer", "cat"), "", "tiny", 0.5, 7), (0,), 0)
GOOD = completion("fine").body
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def whole(body, status=b"200 OK", headers=b""):
  length = b"Content-Length: %d\r\n" % len(body)
  return b"HTTP/1.1 " + status + b"\r\n" + headers + length + b"\r\n" + body


class RawServer:
  """Gives the bytes that `responses` yield; `requests` are those it got."""

  def __init__(self):
    self.requests = []
    self.sent = 0
    self.respond = lambda request: [whole(GOOD)]
    self.listener = socket.create_server(("127.0.0.1", 0))
    self.port = self.listener.getsockname()[1]
    threading.Thread(target=self.serve, daemon=True).start()

  def serve(self):
    with contextlib.suppress(OSError):
      while True:
        connection, _ = self.listener.accept()
        threading.Thread(
          target=self.answer, args=(connection,), daemon=True
        ).start()

  def answer(self, connection):
    with connection, contextlib.suppress(OSError):
      request = b""
      while b"\r\n\r\n" not in request:
        request += connection.recv(65536)
      head, _, body = request.partition(b"\r\n\r\n")
      fields = dict(
        line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:]
      )
      while len(body) < int(fields.get(b"content-length", 0)):
        body += connection.recv(65536)
      self.requests.append((head.split(b"\r\n")[0], fields, body))
      for part in self.respond(self.requests[-1]):
        connection.sendall(part)
        self.sent += len(part)


@pytest.fixture
def server():
  server = RawServer()
  yield server
  server.listener.close()


@pytest.fixture
def ask(server):
  def ask(timeout=20.0, host="127.0.0.1"):
    url = f"http://{host}:{server.port}/v1"
    with open_endpoint(url, key=KEY, timeout=timeout) as ask:
      return ask(REQUEST, "text", ())

  ask()  # imports the client: its seconds are not the request's
  server.requests.clear()
  server.sent = 0
  return ask


def slowly(start, piece, end=b""):
  def parts(request):
    del request
    yield start
    for _ in range(10_000):
      time.sleep(0.02)
      yield piece
    yield end

  return parts


def endless(start, piece):
  def parts(request):
    del request
    yield start
    while True:
      yield piece

  return parts


@pytest.mark.parametrize(
  "respond",
  [
    slowly(b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n"),
    slowly(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
    slowly(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    slowly(b"HTTP/1.1 500 No\r\nContent-Length: 60000\r\n\r\n", b"x"),
    slowly(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
  ],
  ids=["headers", "one header", "early hints", "error body", "chunks"],
)
def test_every_part_of_a_response_is_timed(server, ask, respond):
  server.respond = respond
  start = time.monotonic()
  failure = ask(timeout=0.6)
  assert time.monotonic() - start < 10
  assert isinstance(failure, Failure)
  assert failure[:2] == ("retry", "time-out") and failure.charged
  assert "took more than 0.6 s" in failure.detail


@pytest.mark.parametrize(
  ("respond", "reason"),
  [
    (endless(b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n" * 999), "no connection"),
    (endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 999), "too long"),
    (endless(b"HTTP/1.1 500 No\r\n\r\n", b"x" * 9999), "HTTP 500"),
    (endless(b"HTTP/1.1 400 No\r\n\r\n", b"x" * 9999), "HTTP 400"),
    (
      endless(
        b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\nx\r\n" * 999,
      ),
      "HTTP 500",
    ),
    (
      endless(b"HTTP/1.1 307 No\r\nLocation: /v1/a\r\n\r\n", b"x" * 9999),
      "HTTP 307",
    ),
  ],
  ids=["headers", "early hints", "500", "400", "chunks", "redirect"],
)
def test_every_part_of_a_response_is_counted(server, ask, respond, reason):
  server.respond = respond
  start = time.monotonic()
  failure = ask(timeout=60.0)
  assert time.monotonic() - start < 30
  assert isinstance(failure, Failure) and failure.reason == reason
  assert len(failure.detail) <= 300
  # What the sockets' buffers took is not read.
  assert server.sent < 5 * 2**25


def test_an_endless_answer_is_an_answer_that_is_too_long(server, ask):
  server.respond = endless(HEAD + b"\r\n", b"x" * 9999)
  reply = ask()
  assert isinstance(reply, Reply) and reply.problem == "longer than 2 MiB"
  chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
  server.respond = endless(chunked, b"1\r\nx\r\n" * 999)
  reply = ask(timeout=60.0)
  assert isinstance(reply, Reply) and reply.problem == "longer than 2 MiB"


def test_what_was_packed_unasked_is_not_unpacked(server, ask):
  server.respond = lambda request: [
    whole(b"\x1f\x8b" + b"x" * 20, headers=b"Content-Encoding: gzip\r\n")
  ]
  failure = ask()
  assert isinstance(failure, Failure) and failure.reason == "no chat completion"
  [(_, fields, _)] = server.requests
  assert fields[b"accept-encoding"] == b"identity"


def test_early_hints_and_a_good_answer(server, ask):
  hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
  server.respond = lambda request: [hints * 3, whole(GOOD)]
  reply = ask()
  assert isinstance(reply, Reply) and reply.text == "fine"


def moved(location, status=b"307 Temporary Redirect"):
  return whole(b"", status, b"Location: " + location + b"\r\n")


@pytest.mark.parametrize("status", [b"301 M", b"302 F", b"307 T", b"308 P"])
def test_a_redirect_to_the_same_host_is_followed(server, ask, status):
  server.respond = lambda request: [
    whole(GOOD) if b"/v2/x" in request[0] else moved(b"/v2/x", status)
  ]
  reply = ask()
  assert isinstance(reply, Reply) and reply.text == "fine"
  (_, _, first), (line, fields, second) = server.requests
  assert line == b"POST /v2/x HTTP/1.1" and first == second
  assert fields[b"authorization"].decode() == f"bearer {KEY}".lower()


def test_a_redirect_to_another_host_is_not(server, ask):
  other = RawServer()
  indices = [
    f"http://127.0.0.1:{other.port}/v1/chat/completions",
    f"http://127.0.0.2:{server.port}/v1",
    f"//127.0.0.2:{server.port}/v1",
    f"http://user:word@127.0.0.1:{server.port}/v1?key=word",
    f"ftp://127.0.0.1:{server.port}/v1",
    "http://[::1/v1",
  ]
  for index in indices:
    server.respond = lambda request, index=index: [moved(index.encode())]
    failure = ask()
    assert isinstance(failure, Failure)
    assert failure[:2] == ("stop", "HTTP 307")
    assert "`base_url`" in failure.detail and len(failure.detail) <= 300
    assert "word" not in failure.detail
  assert other.requests == [] and len(server.requests) == len(indices)
  other.listener.close()


def test_redirects_without_end(server, ask):
  server.respond = lambda request: [moved(b"/v1/again")]
  failure = ask()
  assert isinstance(failure, Failure) and failure.reason == "HTTP 307"
  assert len(server.requests) == 4


@pytest.mark.parametrize(
  ("url", "location", "target"),
  [
    ("http://h/v1/a", "https://h/v1/a", "https://h/v1/a"),
    ("http://h/v1/a", "https://H:443/b", "https://H:443/b"),
    ("https://h/v1/a", "http://h/v1/a", ""),
    ("http://h:80/a", "https://h:8443/a", ""),
    ("http://h:8000/a", "https://h/a", ""),
    ("https://h/a", "https://h.evil/a", ""),
    ("https://h/a", "https://u@h/a", ""),
    ("https://h/a", "b#c", "https://h/b"),
    ("https://h/a", "\\\\evil/a", "https://h/\\\\evil/a"),
    ("https://h/a", "https://h:99999/a", ""),
    ("https://h/a", "/b c", ""),
    ("https://h/a", "", ""),
  ],
)
def test_the_same_endpoint(url, location, target):
  assert redirect_target(url, location) == target


def test_the_environment_adds_nothing_to_requests(server, ask, monkeypatch):
  names = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY")
  for name in names:
    monkeypatch.setenv(name, "private-word")
  monkeypatch.setenv(
    "OPENAI_CUSTOM_HEADERS", "X-Own: private-word\nAuthorization: private-word"
  )
  assert isinstance(ask(), Reply)
  [(_, fields, body)] = server.requests
  assert b"private-word" not in repr((fields, body)).encode()
  assert set(fields) == {
    *(b"host", b"accept", b"content-type", b"content-length", b"connection"),
    *(b"user-agent", b"accept-encoding", b"authorization"),
  }


@pytest.mark.parametrize(
  ("url", "there"),
  [
    ("https://api.openai.com/v1", True),
    ("https://eu.api.OpenAI.com/v1", True),
    ("http://api.openai.com/v1", False),
    ("https://api.openai.com.evil/v1", False),
    ("https://evilopenai.com/v1", False),
    ("https://api.openai.com@evil/v1", False),
  ],
)
def test_openai_alone_gets_the_organization(url, there):
  own = {"OpenAI-Organization": "o", "X-Own": "x", "Authorization": "else"}
  request = httpx2.Request("POST", "https://api.openai.com/v1/x", headers=own)
  sent = {n.lower(): v for n, v in request_headers(request, url, "Bearer k")}
  assert sent[b"authorization"] == b"Bearer k"
  assert ((b"openai-organization" in sent), (b"x-own" in sent)) == (there,) * 2


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_a_proxy_is_used_but_not_for_loopback(
  server, ask, monkeypatch, variable
):
  for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "no_proxy", "NO_PROXY"):
    monkeypatch.delenv(name, raising=False)
  proxy = f"http://user:word@127.0.0.1:{server.port}"
  monkeypatch.setenv(variable, proxy)
  with open_endpoint("http://api.invalid/v1", key=KEY, timeout=20.0) as other:
    reply = other(REQUEST, "text", ())
  assert isinstance(reply, Reply)
  line, fields, _ = server.requests.pop()
  assert line == b"POST http://api.invalid/v1/chat/completions HTTP/1.1"
  assert fields[b"proxy-authorization"].startswith(b"basic ")
  assert isinstance(ask(), Reply)
  line, fields, _ = server.requests.pop()
  assert line == b"POST /v1/chat/completions HTTP/1.1"
  assert b"proxy-authorization" not in fields


def test_a_proxy_that_cannot_be_used_is_named_without_its_secret(monkeypatch):
  monkeypatch.setenv("http_proxy", "gopher://user:word@127.0.0.1:9")
  monkeypatch.delenv("no_proxy", raising=False)
  with (
    open_endpoint("http://api.invalid/v1", key=KEY, timeout=5.0) as other,
    pytest.raises(ValueError, match="NO_PROXY=api.invalid") as error,
  ):
    other(REQUEST, "text", ())
  assert "word" not in str(error.value) and len(str(error.value)) <= 300


@pytest.mark.parametrize(
  ("error", "action", "words"),
  [
    ({"message": "overloaded", "code": 502}, "retry", "overloaded"),
    ({"message": "seed: no", "code": 400}, "seed", "seed: no"),
    ({"message": "who?", "code": 401}, "stop", "refuses the key"),
    ("plain words", "retry", "plain words"),
  ],
)
@pytest.mark.parametrize("where", ["body", "choice", "list"])
def test_an_error_under_200_is_shown(server, ask, where, error, action, words):
  value = {"error": error}
  value = {
    "body": value,
    "choice": {"choices": [value]},
    "list": [value],
  }[where]
  server.respond = lambda request: [whole(json.dumps(value).encode())]
  failure = ask()
  assert isinstance(failure, Failure) and failure.action == action
  assert words in failure.detail and "HTTP 200 with an error" in failure.detail
