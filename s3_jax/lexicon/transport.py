"""HTTP within bounds: time, size, and where a request may go.

What lies under the `openai` client: every read of the socket, whatever it
belongs to (handshake, headers, interim responses, a body of any status), counts
against one deadline and one number of bytes. Redirects stay at the endpoint,
and what the environment adds to requests goes to OpenAI's own hosts only.

This module is imported inside functions, as it needs these libraries to define
its classes.
"""

import contextlib
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import httpcore2
import httpx2

_MAX_HEAD = 2**18  # bytes of handshake, interim responses and headers
_MAX_ERROR = 2**16  # bytes of a body that no status calls good
_MAX_HOPS = 3
_CONNECT = 20.0  # seconds, for each address of a host
# Of requests to hosts other than OpenAI's: ours, and those HTTP needs.
_HEADERS = (
  b"host",
  b"accept",
  b"content-type",
  b"content-length",
  b"connection",
  b"user-agent",
)
_REPLACED = (b"accept-encoding", b"authorization", b"cookie")
_MOVED = (301, 302, 307, 308)
_PORTS = {"http": 80, "https": 443}


class TooLongError(Exception):
  """A response has more bytes than it may."""


class Budget:
  """What a request may still use; counts for all sockets it goes through."""

  def __init__(self):
    self.deadline = 0.0
    self.left = 0

  def seconds(self, timeout: float | None) -> float:
    """Returns how long the next step may take."""
    left = self.deadline - time.monotonic()
    if left <= 0:
      raise httpcore2.ReadTimeout("the request's time is over")
    return left if timeout is None else min(left, timeout)

  def take(self, count: int) -> None:
    """Counts bytes that have come."""
    self.left -= count
    if self.left < 0:
      raise TooLongError


class _Stream(httpcore2.NetworkStream):
  def __init__(self, inner: httpcore2.NetworkStream, budget: Budget):
    self._inner, self._budget = inner, budget

  def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
    data = self._inner.read(max_bytes, self._budget.seconds(timeout))
    self._budget.take(len(data))
    return data

  def write(self, buffer: bytes, timeout: float | None = None) -> None:
    self._inner.write(buffer, self._budget.seconds(timeout))

  def close(self) -> None:
    self._inner.close()

  def start_tls(
    self,
    ssl_context: Any,
    server_hostname: str | None = None,
    timeout: float | None = None,
  ) -> httpcore2.NetworkStream:
    seconds = self._budget.seconds(timeout)
    inner = self._inner.start_tls(ssl_context, server_hostname, seconds)
    return _Stream(inner, self._budget)

  def get_extra_info(self, info: str) -> Any:
    return self._inner.get_extra_info(info)


class _Backend(httpcore2.NetworkBackend):
  def __init__(self, budget: Budget):
    self._budget = budget

  def connect_tcp(
    self,
    host: str,
    port: int,
    timeout: float | None = None,
    local_address: str | None = None,
    socket_options: Any = None,
  ) -> httpcore2.NetworkStream:
    try:
      found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
      raise httpcore2.ConnectError(str(error)) from error
    for number, each in enumerate(found, 1):
      seconds = min(self._budget.seconds(timeout), _CONNECT)
      try:
        inner = httpcore2.SyncBackend().connect_tcp(
          str(each[4][0]), port, seconds, local_address, socket_options
        )
        return _Stream(inner, self._budget)
      except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
        if number == len(found):
          raise
    raise httpcore2.ConnectError("the host has no address")


class _Body(httpx2.SyncByteStream):
  """A body that ends early where its status is an error."""

  def __init__(self, response: httpcore2.Response):
    self._response = response

  def __iter__(self) -> Iterator[bytes]:
    stream: Any = self._response.stream
    if 200 <= self._response.status < 300:
      with _translated():
        yield from stream
      return
    count = 0
    with contextlib.suppress(TooLongError), _translated():
      for chunk in stream:
        yield chunk[: _MAX_ERROR - count]
        count += len(chunk)
        if count >= _MAX_ERROR:
          return

  def close(self) -> None:
    self._response.close()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
  """Raises the errors that the `openai` client knows."""
  try:
    yield
  except httpcore2.TimeoutException as error:
    raise httpx2.ReadTimeout(str(error)) from error
  except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
    raise httpx2.NetworkError(str(error)) from error
  except (httpcore2.ProxyError, httpcore2.UnsupportedProtocol) as error:
    raise httpx2.NetworkError(str(error)) from error


class BoundedTransport(httpx2.BaseTransport):
  """Sends requests to one endpoint.

  Args:
    base_url: of the endpoint.
    authorization: the header.
    seconds: that a request may take, to the last byte of its response.
    size: bytes of a body that its status calls good.
  """

  def __init__(
    self, base_url: str, authorization: str, seconds: float, size: int
  ):
    self._authorization = authorization
    self._seconds, self._size = seconds, size
    self._budget = Budget()
    self._pool = _open_pool(base_url, _Backend(self._budget))

  def handle_request(self, request: httpx2.Request) -> httpx2.Response:
    """Sends a request, and again where the same endpoint says so."""
    self._budget.deadline = time.monotonic() + self._seconds
    url = str(request.url)
    response, headers = self._send(request, url)
    for _ in range(_MAX_HOPS):
      further = redirect_target(url, headers.get("location", ""))
      if response.status not in _MOVED or not further:
        break
      response.close()
      url = further
      response, headers = self._send(request, url)
    # What was not asked for is not unpacked: it could have any size.
    headers.pop("content-encoding", None)
    self._budget.left = 8 * self._size  # with the framing of small pieces
    return httpx2.Response(
      response.status, headers=headers, stream=_Body(response)
    )

  def _send(
    self, request: httpx2.Request, url: str
  ) -> tuple[httpcore2.Response, httpx2.Headers]:
    self._budget.left = _MAX_HEAD
    with _translated():
      response = self._pool.handle_request(
        httpcore2.Request(
          request.method,
          url,
          headers=request_headers(request, url, self._authorization),
          content=request.read(),
          extensions=request.extensions,
        )
      )
    return response, httpx2.Headers(response.headers)

  def close(self) -> None:
    """Closes the connections."""
    self._pool.close()


def request_headers(
  request: httpx2.Request, url: str, authorization: str
) -> list[tuple[bytes, bytes]]:
  """Chooses what is sent: without what the environment has added to it.

  The `openai` client takes an organization, a project and headers from its
  variables; those are OpenAI's own hosts' to see, and by https.
  """
  parts = urllib.parse.urlsplit(url)
  openai = parts.scheme == "https" and f".{parts.hostname}".endswith(
    ".openai.com"
  )
  return [
    *(
      (name, value)
      for name, value in request.headers.raw
      if name.lower() in _HEADERS or (openai and name.lower() not in _REPLACED)
    ),
    (b"Accept-Encoding", b"identity"),
    (b"Authorization", authorization.encode("ascii")),
  ]


def redirect_target(url: str, location: str) -> str:
  """Returns where a redirect leads if that is the same endpoint, else "".

  The same are scheme, host and port; https in place of http, each at its usual
  port, is the same as well. The other way is not, nor an address with a user.
  """
  if not location or not all("!" <= each <= "~" for each in location):
    return ""
  try:
    target = urllib.parse.urljoin(url, location)
    before, after = urllib.parse.urlsplit(url), urllib.parse.urlsplit(target)
    origins = [
      (each.scheme, each.hostname, each.port or _PORTS.get(each.scheme, 0))
      for each in (before, after)
    ]
  except ValueError:
    return ""
  upgraded = origins == [
    ("http", before.hostname, 80),
    ("https", before.hostname, 443),
  ]
  if "@" in after.netloc or not (origins[0] == origins[1] or upgraded):
    return ""
  return target.split("#")[0]


def _open_pool(
  base_url: str, backend: httpcore2.NetworkBackend
) -> httpcore2.ConnectionPool:
  """Opens the way to an endpoint: a proxy of the environment, or none.

  A loopback address is never asked of a proxy.
  """
  parts = urllib.parse.urlsplit(base_url)
  host = parts.hostname or ""
  tls = httpx2.create_ssl_context()
  proxies = urllib.request.getproxies()
  address = proxies.get(parts.scheme) or proxies.get("all") or ""
  local = host == "localhost" or host.startswith("127.") or host == "::1"
  if not address or local or urllib.request.proxy_bypass(host):
    return httpcore2.ConnectionPool(tls, network_backend=backend)
  try:
    if "://" not in address:
      address = f"http://{address}"
    proxy = httpx2.Proxy(address)
    kind: Any = httpcore2.HTTPProxy
    if proxy.url.scheme.startswith("socks"):
      kind = httpcore2.SOCKSProxy
    return kind(
      str(proxy.url),
      proxy_auth=proxy.raw_auth,
      ssl_context=tls,
      network_backend=backend,
    )
  except (ValueError, ImportError, RuntimeError, httpx2.InvalidURL) as error:
    raise ValueError(
      f"the proxy of {parts.scheme} addresses in the environment must be an"
      f" http address, and cannot be used ({type(error).__name__}); set"
      f" NO_PROXY={host} to ask the endpoint directly."
    ) from error
