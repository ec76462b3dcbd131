"""A server for the browser of the same computer, and for nobody else.

It listens on the loopback interface. Pages of other origins can send requests
there as well, so every question must have the token of the page; and a name of
theirs can be made to lead there, so `Host` must be this computer's.
Everything that a request brings is bounded: bytes, time, and how many there are
at once.
"""

import contextlib
import hmac
import io
import json
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from s3_jax.messages import one_line
from s3_jax.results.serve_page import POLICY

__all__ = ["LOOPBACK", "TOKEN", "Route", "open_server"]

LOOPBACK = "127.0.0.1"
TOKEN = "X-S3-Token"
"""The header with which the page shows that it is the page."""

_HOSTS = (LOOPBACK, "localhost", "::1")
_AT_ONCE = 16  # requests
_SECONDS = 20.0  # that a request may take to arrive
_MOST_PASSED_OVER = 1 << 26  # bytes of a body that is refused
_PIECE = 1 << 16
_HEADERS = {
  "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cache-Control": "no-store",
}


class Route(NamedTuple):
  """What answers a request.

  Attributes:
    gives: type of the answer.
    answer: from the body of the request to that of the answer; a ValueError
      says what is wrong with the request.
    takes: type that the body must have; "" where there is none.
    most_bytes: of the body.
  """

  gives: str
  answer: Callable[[bytes], bytes]
  takes: str = ""
  most_bytes: int = 0

  @classmethod
  def json(cls, answer: Callable[[Any], Any], most_bytes: int) -> "Route":
    """Makes a route from one value of JSON to another."""
    return cls(
      "application/json",
      lambda body: _to_json(answer(_from_json(body))),
      "application/json",
      most_bytes,
    )

  @classmethod
  def upload(cls, answer: Callable[[bytes], Any], most_bytes: int) -> "Route":
    """Makes a route from bytes to a value of JSON."""
    return cls(
      "application/json",
      lambda body: _to_json(answer(body)),
      "application/octet-stream",
      most_bytes,
    )


def _to_json(value: Any) -> bytes:
  return json.dumps(value, allow_nan=False).encode()


def _from_json(body: bytes) -> Any:
  try:
    return json.loads(body)
  except (ValueError, RecursionError) as error:
    raise ValueError("the request must be JSON, and is none.") from error


class _Refusal(Exception):
  def __init__(self, status: HTTPStatus, reason: str):
    super().__init__(reason)
    self.status = status


class _Arriving(io.RawIOBase):
  """What arrives at a socket until a moment, after which it is too late."""

  def __init__(self, connection: socket.socket, end: float):
    self._connection = connection
    self._end = end

  def readable(self) -> bool:
    """Says that it can be read."""
    return True

  def readinto(self, buffer: Any) -> int:
    """Waits for bytes, and never longer than until the end."""
    left = self._end - time.monotonic()
    if left <= 0:
      raise TimeoutError
    self._connection.settimeout(left)
    return self._connection.recv_into(buffer)


class _Server(ThreadingHTTPServer):
  """Threads for so many requests; more are turned away."""

  daemon_threads = True
  block_on_close = False

  def __init__(self, address, handler):
    self._free = threading.BoundedSemaphore(_AT_ONCE)
    super().__init__(address, handler)

  def server_bind(self) -> None:
    """Binds without asking a name server what this computer is called."""
    self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    self.socket.bind(self.server_address)
    self.server_address = self.socket.getsockname()
    self.server_name, self.server_port = LOOPBACK, self.server_address[1]

  def process_request(self, request, client_address) -> None:
    """Starts a thread, where one is free."""
    if self._free.acquire(blocking=False):
      super().process_request(request, client_address)
    else:
      self.shutdown_request(request)

  def process_request_thread(self, request, client_address) -> None:
    """Answers in a thread, and frees it."""
    try:
      super().process_request_thread(request, client_address)
    finally:
      self._free.release()

  def handle_error(self, request, client_address) -> None:
    """Says what is a bug; a browser that has gone is none."""
    del request, client_address
    if not isinstance(sys.exception(), OSError):
      traceback.print_exc()


def open_server(
  routes: Mapping[tuple[str, str], Route], *, port: int, token: str
) -> ThreadingHTTPServer:
  """Opens a port of the loopback interface; `serve_forever` answers.

  Args:
    routes: (method, path) -> what answers it.
    port: 0 takes any that is free.
    token: what every POST must have in the header TOKEN.

  Raises:
    ValueError: the port is taken, or may not be opened.
  """

  class Handler(_Handler):
    known, secret = routes, token

  try:
    return _Server((LOOPBACK, port), Handler)
  except OSError as error:
    raise ValueError(
      f"`config.port` must be free, got {port}: {error.strerror}; 0 takes any"
      " that is."
    ) from error


class _Handler(BaseHTTPRequestHandler):
  """One request, after which the connection ends."""

  known: Mapping[tuple[str, str], Route]
  secret: str
  is_read = False  # its body

  def setup(self) -> None:
    """Lets the whole request, with its headers, arrive in time or not at all.

    A time-out of the socket begins anew with every byte.
    """
    super().setup()
    self.rfile.close()
    end = time.monotonic() + _SECONDS
    self.rfile = io.BufferedReader(_Arriving(self.connection, end))

  def do_GET(self) -> None:
    """Answers with a page."""
    self._respond()

  def do_POST(self) -> None:
    """Answers a question of the page."""
    self._respond()

  def _respond(self) -> None:
    try:
      route = self._find_route()
      body = self._read_body(route)
      try:
        self._send(HTTPStatus.OK, route.gives, route.answer(body))
      except ValueError as error:
        raise _Refusal(HTTPStatus.BAD_REQUEST, str(error)) from error
    except _Refusal as refusal:
      self._refuse(refusal.status, str(refusal))
      if not self.is_read:
        self._pass_over()
    except (OSError, TimeoutError):
      raise  # nobody listens any more
    except Exception:
      traceback.print_exc()
      self._refuse(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "this should not happen; where it did stands in the terminal.",
      )

  def _find_route(self) -> Route:
    hosts = self.headers.get_all("Host", [])
    if len(hosts) != 1 or not _is_here(hosts[0]):
      raise _Refusal(
        HTTPStatus.MISDIRECTED_REQUEST,
        f"the page is at {LOOPBACK} or localhost alone.",
      )
    path = self.path.partition("?")[0]
    route = self.known.get((self.command, path))
    if route is None:
      raise _Refusal(HTTPStatus.NOT_FOUND, f"there is no {path!r:.80}.")
    origin = self.headers.get("Origin")
    if origin is not None and origin != f"http://{hosts[0]}":
      raise _Refusal(
        HTTPStatus.FORBIDDEN, "only the page itself may ask; open it."
      )
    given = self.headers.get(TOKEN, "").encode("latin-1", "replace")
    if route.takes and not hmac.compare_digest(given, self.secret.encode()):
      raise _Refusal(
        HTTPStatus.FORBIDDEN, "the page is of an earlier start; load it anew."
      )
    return route

  def _read_body(self, route: Route) -> bytes:
    """Reads the body of a request, which says how long it is beforehand."""
    length = self.headers.get("Content-Length", "0" if not route.takes else "")
    if self.headers.get("Transfer-Encoding") or not _is_number(length):
      raise _Refusal(
        HTTPStatus.LENGTH_REQUIRED, "a request must say how long it is."
      )
    if int(length) > route.most_bytes:
      raise _Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the file must have at most {route.most_bytes:,} bytes, got"
        f" {int(length):,}.",
      )
    kind = self.headers.get("Content-Type", "").partition(";")[0].strip()
    if route.takes and kind.lower() != route.takes:
      raise _Refusal(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"the request must be {route.takes}, got {kind!r:.40}.",
      )
    self.is_read = True
    body = b""
    with contextlib.suppress(TimeoutError):
      body = self.rfile.read(int(length))
    if len(body) < int(length):
      raise _Refusal(
        HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive whole."
      )
    return body

  def _pass_over(self) -> None:
    """Lets a browser send the rest, or it would not read why it is refused."""
    length = self.headers.get("Content-Length", "")
    left = int(length) if _is_number(length) else 0
    left = min(left, _MOST_PASSED_OVER)
    self.connection.shutdown(socket.SHUT_WR)
    with contextlib.suppress(TimeoutError):
      while left and (piece := self.rfile.read1(min(left, _PIECE))):
        left -= len(piece)

  def _refuse(self, status: HTTPStatus, reason: str) -> None:
    self._send(
      status, "application/json", _to_json({"problem": one_line(reason)})
    )

  def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
    self.connection.settimeout(_SECONDS)
    self.send_response(status)
    for name, value in _HEADERS.items():
      self.send_header(name, value)
    self.send_header("Content-Type", f"{kind}; charset=utf-8")
    self.send_header("Content-Length", str(len(body)))
    self.end_headers()
    self.wfile.write(body)

  def version_string(self) -> str:
    """Names no version of Python."""
    return "s3_jax"

  def log_message(self, format: str, *args: Any) -> None:
    """Stays silent: what a person looks at is nobody's business."""


def _is_number(length: str) -> bool:
  return length.isascii() and length.isdecimal() and len(length) < 16


def _is_here(host: str) -> bool:
  """Says whether a `Host` is this computer, at any port, as of a tunnel."""
  try:
    return urlsplit(f"//{host}").hostname in _HOSTS
  except ValueError:
    return False
