"""An OpenAI-compatible endpoint on loopback that behaves as a test wants."""

import contextlib
import http.server
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class Sent(NamedTuple):
  """One request as it arrived."""

  body: dict[str, Any]
  headers: dict[str, str]

  @property
  def prompt(self) -> str:
    return self.body["messages"][0]["content"]

  @property
  def classes(self) -> list[dict[str, Any]]:
    """What the prompt asks about."""
    (asked,) = re.findall(
      r"^Classes to answer:\n(\[.*?\])\n\n", self.prompt, re.DOTALL | re.M
    )
    return json.loads(asked)

  @property
  def labels(self) -> list[int]:
    return [record["index"] for record in self.classes]

  @property
  def format(self) -> str:
    return self.body.get("response_format", {"type": "text"})["type"]


class Response(NamedTuple):
  """What the server does with a request."""

  body: bytes = b""
  status: int = 200
  headers: tuple[tuple[str, str], ...] = ()
  missing: int = 0  # bytes promised and never sent
  silent: bool = False  # never answers
  pause: float = 0.0  # seconds between single bytes


Behaviour = Callable[[Sent], Response]


def good_records(sent: Sent) -> list[dict[str, Any]]:
  return [
    {
      **record,
      "synonyms": [f"other {record['index']}", f"second {record['index']}"],
      "descriptors": [f"looks like number {record['index']}"],
    }
    for record in sent.classes
  ]


def completion(text: Any, **fields: Any) -> Response:
  message = {"role": "assistant", "content": text}
  value = {
    "id": "1",
    "object": "chat.completion",
    "created": 0,
    "model": "tiny-1.0",
    "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
    "usage": {"total_tokens": 100},
  }
  return Response(json.dumps({**value, **fields}).encode())


def answer(records: Any) -> Response:
  return completion(json.dumps({"classes": records}))


def good(sent: Sent) -> Response:
  return answer(good_records(sent))


def refusal(status: int, message: str = "no", **headers: str) -> Response:
  body = json.dumps({"error": {"message": message}}).encode()
  pairs = tuple((k.replace("_", "-"), v) for k, v in headers.items())
  return Response(body, status, pairs)


class ModelServer:
  """Attributes: `url`, `sent` requests, and `behave`, which answers them.

  `plan` holds behaviours for the next requests; then `behave` goes on.
  """

  def __init__(self):
    self.sent: list[Sent] = []
    self.plan: list[Behaviour] = []
    self.behave: Behaviour = good
    self.url = ""
    self.closing = threading.Event()
    self.arrived = threading.Condition()

  def wait_for(self, count: int, seconds: float = 60) -> bool:
    with self.arrived:
      return self.arrived.wait_for(lambda: len(self.sent) >= count, seconds)

  def respond(self, sent: Sent) -> Response:
    with self.arrived:
      self.sent.append(sent)
      behave = self.plan.pop(0) if self.plan else self.behave
      self.arrived.notify_all()
    return behave(sent)


@contextlib.contextmanager
def serve() -> Iterator[ModelServer]:
  """Runs a server in threads of this process."""
  server = ModelServer()

  class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
      size = int(self.headers["Content-Length"])
      headers = {name.lower(): value for name, value in self.headers.items()}
      assert self.path == "/v1/chat/completions", self.path
      sent = Sent(json.loads(self.rfile.read(size)), headers)
      response = server.respond(sent)
      self.close_connection = True
      with contextlib.suppress(ConnectionError):
        self.reply(response)

    def reply(self, response: Response):
      if response.silent:
        server.closing.wait(60)
        return
      self.send_response(response.status)
      self.send_header("Connection", "close")
      self.send_header("Content-Type", "application/json")
      length = len(response.body) + response.missing
      self.send_header("Content-Length", str(length))
      for name, value in response.headers:
        self.send_header(name, value)
      self.end_headers()
      if response.pause:
        for byte in response.body:
          if server.closing.is_set():
            return
          self.wfile.write(bytes([byte]))
          time.sleep(response.pause)
      else:
        self.wfile.write(response.body)

    def log_message(self, format: str, *args: Any):
      del format, args

  class Threads(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
      del request, client_address

  with Threads(("127.0.0.1", 0), Handler) as httpd:
    server.url = f"http://127.0.0.1:{httpd.server_address[1]}/v1"
    thread = threading.Thread(
      target=httpd.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    try:
      yield server
    finally:
      server.closing.set()
      httpd.shutdown()
      thread.join()
