"""What README.md promises, run."""

import re


def test_the_library_example_runs_as_printed(repository, monkeypatch):
  text = (repository / "README.md").read_text("utf-8")
  (example,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
  monkeypatch.chdir(repository)
  names: dict = {}
  exec(compile(example, "README.md", "exec"), names)
  found = names["found"]
  assert found.names == ("jet",) and found.texts == ("airplane",)
  assert found.scores.shape == (1, 2)
  assert found.probabilities[0, 0] > 0.9


def test_the_page_is_short(repository):
  text = (repository / "README.md").read_text("utf-8")
  assert text.count("\n") <= 150


def test_the_examples_of_docs_python_run_as_printed(repository, monkeypatch):
  text = (repository / "docs" / "PYTHON.md").read_text("utf-8")
  examples = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
  monkeypatch.chdir(repository)
  names: list[dict] = [{} for _ in examples]
  for example, known in zip(examples, names, strict=True):
    exec(compile(example, "PYTHON.md", "exec"), known)
  words, own, estimator = names
  assert words["found"].names == ("jet",)
  assert words["found"].texts == ("airplane",)
  assert own["found"].names == ("north", "east")
  assert own["found"].texts == ("text 0", "text 0")
  path = ["docs/figures/airplane.png"]
  assert estimator["model"].predict(path).tolist() == ["jet"]


def test_every_linked_file_exists(repository):
  for page in (repository / "README.md", *(repository / "docs").glob("*.md")):
    prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#:]+)\)", prose):
      assert (page.parent / target).exists(), f"{page.name}: {target}"
