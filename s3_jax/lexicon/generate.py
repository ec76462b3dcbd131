"""Asks a language model for the texts of every class, within bounds.

A loop over the classes without a usable answer: a few of them a request, fewer
in every later try, until all have one, their tries are used up, a budget is
spent, or the endpoint fails. Every answer is handed to `store` before anything
else happens, and `stored` answers count as if they had just come: a run that
was killed goes on where it was, and one with no requests left is a replay.
"""

import dataclasses
import random
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from s3_jax.fields import Count, Whole
from s3_jax.lexicon.answers import (
  Drop,
  Entry,
  NameOwners,
  add_entries,
  read_answer,
)
from s3_jax.lexicon.endpoint import FORMATS, SETTINGS, Ask, Failure, Reply
from s3_jax.lexicon.prompting import (
  Job,
  Request,
  estimate_request,
  estimate_tokens,
  job_key,
  request_key,
  write_request,
)
from s3_jax.progress import progress_bar

FIRST_PAUSE = 1.0  # seconds before a request is repeated, doubled each time
MAX_PAUSE = 60.0  # seconds, also of what an endpoint asks for
MAX_FAILURES = 3  # requests given up in a row before the endpoint is


class Limits(NamedTuple):
  """What a run may use.

  Attributes:
    batch: classes in a request; halved with every further try of a class.
    attempts: tries of a class, and sendings of a request that fails.
    max_requests: sendings of this run, repeated ones included; 0 is a replay
      of the stored answers.
    max_tokens: tokens of this run, prompts and answers.
  """

  batch: Count = 10  # classes in a request
  attempts: Count = 3  # tries of a class
  max_requests: Whole = 1000  # of this run; 0 replays the stored answers
  max_tokens: Whole = 1_000_000  # of this run, prompts and answers


class Generated(NamedTuple):
  """What a run ended with.

  Attributes:
    entries: class index -> texts, after all checks.
    fallback: classes without a usable answer, ascending.
    drops: texts of used entries that were not taken.
    problems: phrase -> how often a class got no entry from an answer.
    failures: phrase -> how often a request failed in this run.
    left_out: settings that the endpoint has refused in this run.
    records: the stored answers of this job that were looked at, in order.
    requests: sendings of this run.
    tokens: of this run, as the endpoint counts them, estimated where it does
      not.
    stopped: "" at a proper end, else "budget" or "endpoint".
    detail: what stopped it, one line.
  """

  entries: dict[int, Entry]
  fallback: tuple[int, ...]
  drops: tuple[Drop, ...]
  problems: dict[str, int]
  failures: dict[str, int]
  left_out: tuple[str, ...]
  records: tuple[Mapping[str, Any], ...]
  requests: int
  tokens: int
  stopped: str
  detail: str


def generate(
  job: Job,
  ask: Ask,
  *,
  limits: Limits,
  stored: Iterable[Mapping[str, Any]],
  store: Callable[[dict[str, Any]], Mapping[str, Any]],
  known: Mapping[int, Entry] | None = None,
  sleep: Callable[[float], None] = time.sleep,
) -> Generated:
  """Gets texts for every class of a job but those that are `known`.

  `stored` are answers of earlier runs, oldest first, as `store` returned them;
  those of other jobs are passed over. `store` keeps an answer for good before
  it returns what is kept.
  """
  known = known or {}
  state = _State(job, limits, ask, sleep, full=dict(known))
  key = job_key(job)
  for record in stored:
    if record["job"] == key:
      _take(state, record)
  classes = len(job.names)
  with progress_bar(
    total=classes,
    initial=len(state.full),
    desc="ask",
    unit="class",
    leave=True,
  ) as bar:
    while not state.stopped and (labels := _next_labels(state)):
      attempt = max(_tries(state, label) for label in labels)
      request = _new_request(state, labels, attempt)
      reply = _ask_until_answered(state, request, labels, attempt)
      if reply is not None:
        record = _record(state, key, labels, request, reply)
        _take(state, store(record))
      bar.set_postfix(requests=state.requests, tokens=state.tokens)
      bar.update(len(state.full) - bar.n)
  # A class whose answers never held a synonym keeps the first descriptors.
  entries, shared = add_entries(known, {**state.partial, **state.full})
  return Generated(
    entries=entries,
    fallback=tuple(i for i in range(classes) if i not in entries),
    drops=(
      *sorted(drop for i in entries for drop in state.drops.get(i, ())),
      *shared,
    ),
    problems=dict(state.problems),
    failures=dict(state.failures),
    left_out=tuple(sorted(state.refused)),
    records=tuple(state.records),
    requests=state.requests,
    tokens=state.tokens,
    stopped=state.stopped,
    detail=state.detail,
  )


@dataclasses.dataclass
class _State:
  """What is known so far."""

  job: Job
  limits: Limits
  ask: Ask
  sleep: Callable[[float], None]
  full: dict[int, Entry] = dataclasses.field(default_factory=dict)
  partial: dict[int, Entry] = dataclasses.field(default_factory=dict)
  drops: dict[int, list[Drop]] = dataclasses.field(default_factory=dict)
  answered: Counter[int] = dataclasses.field(default_factory=Counter)
  given_up: Counter[int] = dataclasses.field(default_factory=Counter)
  problems: Counter[str] = dataclasses.field(default_factory=Counter)
  failures: Counter[str] = dataclasses.field(default_factory=Counter)
  records: list[Mapping[str, Any]] = dataclasses.field(default_factory=list)
  rejected: set[str] = dataclasses.field(default_factory=set)
  refused: set[str] = dataclasses.field(default_factory=set)
  requests: int = 0
  tokens: int = 0
  in_a_row: int = 0
  stopped: str = ""
  detail: str = ""

  def __post_init__(self):
    self.jitter = random.Random(self.job.seed or 0)
    self.owners = NameOwners(self.job.names)

  @property
  def left_out(self) -> set[str]:
    """The settings that are not sent: not wanted, or refused."""
    unset = {name for name in SETTINGS if getattr(self.job, name) is None}
    return unset | self.refused


def _tries(state: _State, label: int) -> int:
  return state.answered[label] + state.given_up[label]


def _next_labels(state: _State) -> list[int]:
  """Chooses the classes of the next request: the least tried ones first."""
  tries = {
    label: _tries(state, label)
    for label in range(len(state.job.names))
    if label not in state.full
  }
  fewest = min(tries.values(), default=state.limits.attempts)
  if fewest >= state.limits.attempts:
    return []
  size = max(1, state.limits.batch >> fewest)
  return [label for label, count in tries.items() if count == fewest][:size]


def _new_request(state: _State, labels: Sequence[int], attempt: int) -> Request:
  """Writes a request that no stored answer belongs to."""
  known = {record["key"] for record in state.records}
  request = write_request(state.job, labels, attempt)
  while request_key(request) in known:
    request = request._replace(seed=request.seed + 1)
  return request


def _ask_until_answered(
  state: _State, request: Request, labels: Sequence[int], attempt: int
) -> Reply | None:
  """Sends a request until it is answered, given up, or the run must stop."""
  failed = 0
  rejected_before = set(state.rejected)
  while True:
    estimate = estimate_request(request, len(labels))
    if _budget_is_spent(state, estimate):
      return None
    response_format = _format(state, attempt)
    state.requests += 1
    outcome = state.ask(request, response_format, state.left_out)
    if isinstance(outcome, Reply):
      state.in_a_row = 0
      state.tokens += outcome.tokens or (
        estimate_tokens(request.prompt) + estimate_tokens(outcome.text)
      )
      return outcome
    state.failures[outcome.reason] += 1
    state.tokens += estimate if outcome.charged else 0
    if outcome.action == "format" and response_format != FORMATS[-1]:
      state.rejected.add(response_format)
    elif outcome.action in SETTINGS and outcome.action not in state.refused:
      state.refused.add(outcome.action)
      warnings.warn(
        f"`{outcome.action}` is left out from now on: {outcome.detail}",
        stacklevel=2,
      )
    elif outcome.action == "stop":
      state.stopped, state.detail = "endpoint", outcome.detail
      return None
    elif outcome.action == "retry" and failed + 1 < state.limits.attempts:
      failed += 1
      state.sleep(_pause(state, failed, outcome.wait))
    else:
      if outcome.action != "retry":
        # Refused in every format: it was not the format.
        state.rejected = rejected_before
      _give_up(state, labels, outcome)
      return None


def _budget_is_spent(state: _State, estimate: int) -> bool:
  limits = state.limits
  if state.requests >= limits.max_requests:
    spent = f"`max_requests` = {limits.max_requests}"
  elif state.tokens + estimate > limits.max_tokens:
    spent = f"`max_tokens` = {limits.max_tokens}"
  else:
    return False
  state.stopped, state.detail = "budget", f"the budget {spent} is spent"
  return True


def _format(state: _State, attempt: int) -> str:
  """Chooses the format to ask for: a looser one in every later try.

  An endpoint may take a format and ignore it, which shows in nothing but
  answers that cannot be read.
  """
  usable = [name for name in FORMATS[attempt:] if name not in state.rejected]
  return usable[0] if usable else FORMATS[-1]


def _give_up(state: _State, labels: Sequence[int], failure: Failure) -> None:
  state.given_up.update(labels)
  state.in_a_row += 1
  if state.in_a_row >= MAX_FAILURES:
    state.stopped, state.detail = "endpoint", failure.detail


def _pause(state: _State, failed: int, asked: float | None) -> float:
  """Returns the seconds to wait: what was asked for, or doubling ones."""
  jitter = state.jitter.uniform(0.5, 1.0)
  if asked is not None:
    return min(asked, MAX_PAUSE)
  return min(FIRST_PAUSE * 2 ** (failed - 1), MAX_PAUSE) * jitter


def _record(
  state: _State,
  key: str,
  labels: Sequence[int],
  request: Request,
  reply: Reply,
) -> dict[str, Any]:
  return {
    "key": request_key(request),
    "job": key,
    "labels": list(labels),
    "names": [state.job.names[label] for label in labels],
    "request": request._asdict(),
    "left_out": sorted(state.left_out),
    "reply": reply._asdict(),
  }


def _take(state: _State, record: Mapping[str, Any]) -> None:
  """Counts an answer: the first usable entry of a class stays."""
  reply, labels = record["reply"], record["labels"]
  state.records.append(record)
  state.answered.update(labels)
  if reply["problem"]:
    state.problems[reply["problem"]] += 1
    return
  reading = read_answer(reply["text"], labels, state.job.names, state.owners)
  state.problems.update(reading.problems)
  for label, entry in reading.entries.items():
    known = label in state.full or label in state.partial
    if label in state.full or (known and not entry.synonyms):
      continue
    (state.full if entry.synonyms else state.partial)[label] = entry
    state.drops[label] = [d for d in reading.drops if d.label == label]
