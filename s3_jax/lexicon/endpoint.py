"""One request to an OpenAI-compatible endpoint, and what became of it.

The only module that imports `openai`, inside a function. Its own retries are
off: `generate` decides, so that budgets and waits hold. Below it lies
`transport`, where time, size and redirects are bounded.
"""

import contextlib
import datetime
import email.utils
import json
import math
import re
import urllib.parse
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from s3_jax.extras import require
from s3_jax.lexicon.answers import clean_text
from s3_jax.lexicon.prompting import ANSWER_SCHEMA, Request
from s3_jax.lexicon.refusals import error_words, refused_setting

FORMATS = ("json_schema", "json_object", "text")
SETTINGS = ("seed", "temperature")  # of a request, which can do without
MAX_BODY = 2**21  # bytes of a response
_EXCERPT = 4096  # characters kept of one that is longer
_RETRY = frozenset({408, 409, 425, 429})
_REJECT = frozenset({400, 415, 422, 501})
# Servers without keys are given a word ("none", "EMPTY") where a key belongs;
# such a word is no secret, and may well occur in answers.
_SHORTEST_SECRET = 8


class Reply(NamedTuple):
  """A response that came whole.

  Attributes:
    text: the model's answer.
    model: the model that the endpoint says has answered; may be empty.
    finish: why the model stopped, in the endpoint's words; may be empty.
    tokens: of prompt and answer as the endpoint counts them, or None.
    problem: why the answer cannot be used at all; empty if it may be.
  """

  text: str
  model: str
  finish: str
  tokens: int | None
  problem: str


class Failure(NamedTuple):
  """A request without a usable response.

  Attributes:
    action: what helps: "retry", "format" (ask for another one), one of
      SETTINGS (leave it out), or "stop" (nothing does).
    reason: in short, one of a few phrases that can be counted.
    detail: the same for the user, one line without the key.
    wait: seconds that the endpoint asks to wait, or None.
    charged: whether tokens may have been used nevertheless.
  """

  action: str
  reason: str
  detail: str
  wait: float | None = None
  charged: bool = False


# (request, one of FORMATS, those of SETTINGS that are left out)
Ask = Callable[[Request, str, Collection[str]], Reply | Failure]


def endpoint_host(base_url: str) -> str:
  """Checks an endpoint's address and returns its host, its port if given."""
  try:
    parts = urllib.parse.urlsplit(base_url)
    good = parts.scheme in ("http", "https") and parts.port != 0
    good &= bool(re.fullmatch(r"[\w.:-]+", parts.hostname or ""))
    good &= all("!" <= character <= "~" for character in base_url)
  except ValueError:  # of the port, or of brackets
    good, parts = False, urllib.parse.urlsplit("")
  if not good:
    raise ValueError(
      "`base_url` must be an address such as http://localhost:8000/v1, and is"
      " none."
    )
  if "@" in parts.netloc or parts.query or parts.fragment:
    raise ValueError(
      "`base_url` must hold no user, password, query or fragment; give the key"
      " in the environment variable OPENAI_API_KEY."
    )
  return parts.netloc.lower()


@contextlib.contextmanager
def open_endpoint(
  base_url: str, *, key: str | None, timeout: float
) -> Iterator[Ask]:
  """Opens an endpoint, to whose address "/chat/completions" is added.

  Yields the function that sends one request, of `timeout` seconds at most; the
  connection is made by the first. `key` is the secret, None for servers that
  want none; no message holds it.
  """
  host = endpoint_host(base_url)
  key = (key or "").strip()
  if not all("!" <= character <= "~" for character in key):
    raise ValueError(
      "OPENAI_API_KEY must be printable ASCII without blanks, and is not."
    )
  with contextlib.ExitStack() as stack:
    connection: list[tuple[Any, Any]] = []

    def ask(
      request: Request, response_format: str, left_out: Collection[str]
    ) -> Reply | Failure:
      if not connection:
        connection.append(_connect(stack, base_url, key, timeout))
      openai, client = connection[0]
      arguments = _arguments(request, response_format, left_out)
      outcome = _send(openai, client, arguments, host, key, timeout)
      return _without_key(outcome, key)

    yield ask


def _connect(
  stack: contextlib.ExitStack, base_url: str, key: str, timeout: float
) -> tuple[Any, Any]:
  require("generate", by="Asking a model")
  import httpx2
  import openai

  from s3_jax.lexicon.transport import BoundedTransport

  way = BoundedTransport(base_url, f"Bearer {key or 'none'}", timeout, MAX_BODY)
  client = openai.OpenAI(
    base_url=base_url,
    api_key=key or "none",
    max_retries=0,
    timeout=timeout,
    # Redirects are the transport's; nothing is taken from the environment.
    http_client=httpx2.Client(
      transport=way, follow_redirects=False, trust_env=False
    ),
  )
  return openai, stack.enter_context(client)


def _arguments(
  request: Request, response_format: str, left_out: Collection[str]
) -> dict[str, Any]:
  arguments: dict[str, Any] = {
    "model": request.model,
    # One message of the user: some models' chat templates know no other role.
    "messages": [{"role": "user", "content": request.prompt}],
  }
  for name in SETTINGS:
    if name not in left_out:
      arguments[name] = getattr(request, name)
  if response_format == "json_schema":
    arguments["response_format"] = {
      "type": "json_schema",
      "json_schema": {
        "name": "classes",
        "strict": True,
        "schema": ANSWER_SCHEMA,
      },
    }
  elif response_format == "json_object":
    arguments["response_format"] = {"type": "json_object"}
  return arguments


def _send(
  openai: Any,
  client: Any,
  arguments: dict[str, Any],
  host: str,
  key: str,
  timeout: float,
) -> Reply | Failure:
  from s3_jax.lexicon.transport import TooLongError

  completions = client.chat.completions.with_streaming_response
  late = Failure(
    "retry", "time-out", f"{host} took more than {timeout:g} s", charged=True
  )
  body = bytearray()
  try:
    with completions.create(**arguments) as response:
      for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MAX_BODY:
          return _too_long(body)
  except TooLongError:
    if body:
      return _too_long(body)
    detail = f"{host} sent more headers than a response may have"
    return Failure("retry", "too long", detail, charged=True)
  except openai.APITimeoutError:
    return late
  except openai.APIStatusError as error:
    return _status_failure(error, arguments, host, key)
  except openai.APIConnectionError as error:
    cause = type(error.__cause__ or error).__name__
    return Failure("retry", "no connection", f"no answer from {host}: {cause}")
  except Exception as error:
    # What breaks while the body is read is raised by openai's HTTP library, by
    # now its second one, and is not wrapped.
    kind = type(error)
    if not kind.__module__.startswith("http"):
      raise
    if "Timeout" in kind.__name__:
      return late
    detail = f"the answer of {host} broke off: {kind.__name__}"
    return Failure("retry", "cut answer", detail, charged=True)
  return _read_body(bytes(body), arguments, host, key)


def _too_long(body: bytearray) -> Reply:
  excerpt = bytes(body[:_EXCERPT]).decode("utf-8", "replace")
  return Reply(excerpt, "", "", None, "longer than 2 MiB")


def _status_failure(
  error: Any, arguments: dict[str, Any], host: str, key: str
) -> Failure:
  status, headers = int(error.status_code), error.response.headers
  if 300 <= status < 400:
    return _moved(status, headers.get("location", ""), host, key)
  wait = _retry_after(headers.get("retry-after"))
  return _refusal(
    status, f"HTTP {status}", error.response.content, arguments, host, key
  )._replace(wait=wait if status in _RETRY or status >= 500 else None)


def _moved(status: int, location: str, host: str, key: str) -> Failure:
  """Refuses a redirect to another place: it would get the key."""
  where = clean_text(_redact(location, key)).partition("?")[0]
  where = where.rpartition("@")[2] if "@" in where else where
  detail = (
    f"{host} sends requests on (HTTP {status}) to"
    f" {where[:100] or 'no address'}, which is another place and is not asked;"
    " set `base_url` to it if you trust it"
  )
  return Failure("stop", f"HTTP {status}", detail)


def _refusal(
  status: int,
  reason: str,
  body: bytes,
  arguments: dict[str, Any],
  host: str,
  key: str,
) -> Failure:
  """Reads an error: what the endpoint says, and what helps."""
  words, names = error_words(body)
  # Redacted before it is shortened, which might cut the key in two.
  words = _redact(words, key)
  detail = f"{host} answered {reason}: {words[:200]}"
  if status in (401, 403):
    # Endpoints like to repeat a wrong key, whole or in part: not shown.
    does = "refuses the key in" if key else "asks for a key; set"
    detail = f"{host} {does} the environment variable OPENAI_API_KEY ({reason})"
    return Failure("stop", reason, detail)
  if status in _REJECT:
    sent = frozenset(SETTINGS).intersection(arguments)
    return Failure(refused_setting(words, names, sent), reason, detail)
  if status in _RETRY or status >= 500:
    return Failure("retry", reason, detail)
  if status == 404:
    detail += " (check `base_url`, which often ends in /v1, and `model`)"
  return Failure("stop", reason, detail)


def _retry_after(value: str | None) -> float | None:
  """Reads the header: seconds, or the date to wait for."""
  if value is None:
    return None
  try:
    seconds = float(value)
  except ValueError:
    try:
      moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
      return None
    if moment.tzinfo is None:
      moment = moment.replace(tzinfo=datetime.UTC)
    seconds = (moment - datetime.datetime.now(datetime.UTC)).total_seconds()
  return max(seconds, 0.0) if math.isfinite(seconds) else None


def _read_body(
  body: bytes, arguments: dict[str, Any], host: str, key: str
) -> Reply | Failure:
  value = None
  try:
    value = json.loads(body)
    choice = value["choices"][0]
    content = choice["message"].get("content")
  except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
    return _no_completion(value, arguments, host, key)
  if isinstance(content, list):  # parts, as some servers send them
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    content = "".join(part for part in parts if isinstance(part, str))
  usage = value.get("usage")
  tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
  text = content if isinstance(content, str) else ""

  def word(source: dict[str, Any], name: str) -> str:
    found = source.get(name)
    return clean_text(found)[:200] if isinstance(found, str) else ""

  return Reply(
    text=text,
    model=word(value, "model"),
    finish=word(choice, "finish_reason"),
    tokens=tokens if type(tokens) is int and tokens > 0 else None,
    problem="" if text.strip() else "empty answer",
  )


def _no_completion(
  value: Any, arguments: dict[str, Any], host: str, key: str
) -> Failure:
  """Says what stands in place of an answer: often an error of a router."""
  reason = "no chat completion"
  error = None
  if isinstance(value, dict):
    error = value.get("error") or value.get("detail")
    choices = value.get("choices")
    if not error and isinstance(choices, list) and choices:
      error = choices[0].get("error") if isinstance(choices[0], dict) else None
  elif isinstance(value, list) and value and isinstance(value[0], dict):
    error = value[0].get("error")
  if not error:
    detail = f"{host} answered without a chat completion; check `base_url`"
    return Failure("retry", reason, detail)
  code = error.get("code") if isinstance(error, dict) else None
  status = code if type(code) is int and 400 <= code < 600 else 500
  text = json.dumps({"error": error}).encode()
  failure = _refusal(
    status, "HTTP 200 with an error", text, arguments, host, key
  )
  return failure._replace(reason=reason)


def _redact(text: str, key: str) -> str:
  return text.replace(key, "[key]") if len(key) >= _SHORTEST_SECRET else text


def _without_key(outcome: Reply | Failure, key: str) -> Reply | Failure:
  return outcome._replace(
    **{
      name: _redact(value, key)
      for name, value in outcome._asdict().items()
      if isinstance(value, str)
    }
  )
