"""The task "synonyms": a table of names and descriptors for one's classes.

From an endpoint's language model, from the packaged tables, or from answers
that a person copied from a chat. The key of an endpoint is read from the
environment variable OPENAI_API_KEY, handed to the client, kept nowhere else.
"""

import datetime
import os
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import Classes, Settings
from s3_jax.experiment.tasks.synonyms.answer_files import (
  answer_writer,
  read_answers,
)
from s3_jax.experiment.tasks.synonyms.report import write_generation_report
from s3_jax.experiment.tasks.synonyms.table_file import read_table, write_table
from s3_jax.experiment.tasks.synonyms.without_key import (
  Asked,
  look_names_up,
  print_prompts,
  take_pasted,
)
from s3_jax.fields import Count, Inline, Rule, Where, words
from s3_jax.lexicon.endpoint import endpoint_host, open_endpoint
from s3_jax.lexicon.generate import Generated, Limits, generate
from s3_jax.lexicon.given_classes import is_text
from s3_jax.lexicon.lookup import LOOKUP_TABLES
from s3_jax.lexicon.prompting import (
  PROMPT_VERSION,
  Job,
  estimate_request,
  write_request,
)
from s3_jax.messages import visible

KEY_VARIABLE = "OPENAI_API_KEY"
_OWN_FILES = ("report",)
_WITHOUT_KEY = ("dry_run", "offline", "prompt", "paste")


Text = Annotated[str, Rule("must be text", is_text)]


class Generation(NamedTuple):
  """The settings of a table's making."""

  classes: Classes  # names between commas, a file, or a table
  limits: Inline[Limits]
  domain: Text = ""  # what every class is, such as "a type of pet"
  name: str = ""  # of the table; default: after the file or table
  base_url: str = "http://localhost:8000/v1"  # of an OpenAI-compatible endpoint
  model: Text = ""  # its name at the endpoint; nothing is asked without one
  # Of the sampling; None leaves one out of the requests.
  temperature: Annotated[float | None, Rule(minimum=0, flag=object)] = 0.7
  # Of the sampling; None leaves it out.
  seed: Annotated[int | None, Rule(minimum=0, flag=object)] = 0
  timeout: Annotated[float, Rule(minimum=0.001)] = 300.0  # seconds a request
  allow_fallback: bool = False  # plain names where no answer was usable
  dry_run: bool = False  # print the requests and what they cost, ask nothing
  offline: bool = False  # look the names up in packaged tables, no network
  # Tables to look into, the first that has a name counts; default: all of them.
  tables: Annotated[tuple[str, ...], words(LOOKUP_TABLES, least=0)] = ()
  prompt: bool = False  # print what to paste into any chat, ask nothing
  paste_size: Count = 30  # classes in one text to paste
  paste: Text = ""  # a file with answers copied from a chat, - is stdin

  @property
  def job(self) -> Job:
    """What the wording of the requests depends on."""
    return Job(
      self.classes.names, self.domain, self.model, self.temperature, self.seed
    )

  @property
  def table(self) -> str:
    """The name of the table, which is that of its file."""
    return _table_name(self.name, self.classes.title)

  def asked(self, folder: pathlib.Path) -> Asked:
    """Returns the classes and their table's place, for work without a key."""
    return Asked(self.job, self.classes.wnids, folder / f"{self.table}.json")

  def check(self, where: Where) -> None:
    """Refuses a name that no file can have, and two ways at once."""
    ways = [way for way in _WITHOUT_KEY if getattr(self, way)]
    if len(ways) > 1:
      where.at(ways[1]).refuse(
        f"must be left out beside `{where.at(ways[0]).path}`",
        getattr(self, ways[1]),
      )
    if self.tables and not self.offline:
      where.at("tables").refuse(
        f"must be left out without `{where.at('offline').path}`", self.tables
      )
    assert self.table
    endpoint_host(self.base_url)


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a table's making."""
  generation = settings.read(Generation)
  if generation.dry_run:
    return lambda folder: _show_prompts(generation)
  if generation.prompt:
    return lambda folder: print_prompts(
      generation.asked(folder), size=generation.paste_size
    )
  if generation.offline or generation.paste:
    return lambda folder: _make_by_hand(generation, folder)
  return lambda folder: make_table(generation, folder)


def _make_by_hand(generation: Generation, folder: pathlib.Path) -> pathlib.Path:
  """Makes or completes the table without asking an endpoint."""
  _say_taken(generation)
  asked = generation.asked(folder)
  if generation.offline:
    return look_names_up(asked, tables=generation.tables)
  return take_pasted(asked, generation.paste)


def make_table(generation: Generation, folder: pathlib.Path) -> pathlib.Path:
  """Asks for whatever the workdir does not hold yet, and writes the table."""
  job = generation.job
  if not job.model.strip():
    raise ValueError(
      "`config.model` must name a model of the endpoint, got ''; set"
      " --config.model=NAME."
    )
  path = folder / f"{generation.table}.json"
  before = read_table(path, job.names, replaces=True)
  # A table that a person has a hand in is completed, not written anew.
  kept = {
    label: before.entries[label]
    for label in before.sources
    if before.entries[label].synonyms
  }
  write = answer_writer(
    folder / "answers", host=endpoint_host(generation.base_url)
  )

  def store(record: dict[str, Any]) -> Mapping[str, Any]:
    return write({**record, "date": datetime.date.today().isoformat()})

  with open_endpoint(
    generation.base_url,
    key=os.environ.get(KEY_VARIABLE),
    timeout=generation.timeout,
  ) as ask:
    generated = generate(
      job,
      ask,
      limits=generation.limits,
      stored=read_answers(folder / "answers"),
      store=store,
      known=kept,
    )
  missing = len(generated.fallback)
  usable = not missing or (
    generation.allow_fallback and generated.stopped != "endpoint"
  )
  provenance = _provenance(job, generated.records)
  if kept:
    provenance["earlier"] = [before.provenance]
  if usable:
    sources = {label: before.sources[label] for label in kept}
    write_table(path, job.names, generated.entries, provenance, sources)
  write_generation_report(
    generated,
    job,
    folder,
    provenance=provenance,
    table=path.name if usable else None,
  )
  if not usable:
    raise ValueError(_complaint(generated, generation, folder))
  _say_taken(generation)
  tell(
    f"{path}\n{len(job.names) - missing} of {len(job.names)} classes with an"
    f" answer, {missing} with their plain name; see report.md beside it\n"
  )
  return path


def _table_name(name: str, source: str) -> str:
  slug = re.sub(r"[^a-z0-9_]+", "-", (name or source).lower()).strip("-")
  if name and (slug != name or len(name) > 60 or name in _OWN_FILES):
    raise ValueError(
      "`config.name` must be at most 60 of a-z, 0-9, _ and -, and none of"
      f" {', '.join(_OWN_FILES)}, got {name!r}."
    )
  slug = slug[:60].strip("-")
  return slug if slug and slug not in _OWN_FILES else "classes"


def _say_taken(generation: Generation) -> None:
  if generation.classes.taken:
    tell(f"Classes of {visible(generation.classes.taken)}\n")


def _show_prompts(generation: Generation) -> None:
  """Prints the first prompt about every class, and what they will cost."""
  _say_taken(generation)
  job, size = generation.job, generation.limits.batch
  batches = [
    range(start, min(start + size, len(job.names)))
    for start in range(0, len(job.names), size)
  ]
  requests = [write_request(job, labels, 0) for labels in batches]
  for number, request in enumerate(requests, 1):
    tell(f"--- request {number} ---\n{request.prompt}\n\n")
  tokens = sum(map(estimate_request, requests, map(len, batches)))
  tell(
    f"{len(requests)} requests and about {tokens} tokens for"
    f" {len(job.names)} classes, if every answer is usable. Nothing was"
    " asked.\n"
  )


def _provenance(
  job: Job, records: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
  """Describes the origin; from the answers, so that a replay says the same."""
  return {
    "author": "a large language model",
    "date": max((record["date"] for record in records), default=None),
    "model": job.model,
    "model_reported": sorted(
      {record["reply"]["model"] for record in records} - {""}
    ),
    "endpoint": sorted({record["host"] for record in records}),
    "temperature": job.temperature,
    "seed": job.seed,
    "domain": job.domain,
    "prompt_version": PROMPT_VERSION,
    "how": "asked in batches and checked by program, not read by people; see"
    " docs/LEXICON.md",
  }


def _complaint(
  generated: Generated, generation: Generation, folder: pathlib.Path
) -> str:
  names = generation.job.names
  some = ", ".join(repr(names[label]) for label in generated.fallback[:3])
  what = (
    f"every class must have an answer, got none for"
    f" {len(generated.fallback)} of {len(names)}"
  )
  again = f"the same command with --workdir={folder} goes on from here"
  if generated.stopped:
    what += f": {generated.detail}; {again}"
  else:
    what += (
      f" ({some}{', ...' if len(generated.fallback) > 3 else ''})"
      f" after {generation.limits.attempts} tries each; raise `config.attempts`"
      f" and {again}, or try another model"
    )
  if generated.stopped != "endpoint":
    what += ", or set --config.allow_fallback=True to take their plain names"
  return f"{what}."
