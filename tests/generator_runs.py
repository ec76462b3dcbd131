"""Runs of the generator against the test server, one after another."""

import json

from s3_jax.lexicon.generate import Limits, generate
from s3_jax.lexicon.prompting import Job
from tests.model_server import answer, good_records

KEY = "sk-test-0123456789abcdef"
NAMES = tuple(f"thing_{word}" for word in "abcdefg")


def job(names=NAMES, **changes):
  return Job(names, "a thing", "tiny", 0.5, 7)._replace(**changes)


def sizes(server):
  return [len(sent.labels) for sent in server.sent]


def changed(**fields):
  """Answers with the first entry changed."""

  def behave(sent):
    first, *rest = good_records(sent)
    return answer([{**first, **fields}, *rest])

  return behave


class Run:
  """One run after another over the same stored answers."""

  def __init__(self, ask):
    self.ask = ask
    self.records = []
    self.waits = []

  def __call__(self, what=None, *, store=None, ask=None, **limits):
    def keep(record):
      record = json.loads(json.dumps(record))  # as from a file
      self.records.append(record)
      return record

    return generate(
      what or job(),
      ask or self.ask,
      limits=Limits(**{"batch": 4, **limits}),
      stored=list(self.records),
      store=store or keep,
      sleep=self.waits.append,
    )
