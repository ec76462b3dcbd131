"""The documentation as a site: built strictly, read without a network."""

import json
import os
import re
import subprocess
import sys

import pytest

import s3_jax


def _directives(repository) -> list[str]:
  text = (repository / "docs" / "API.md").read_text("utf-8")
  return re.findall(r"^::: s3_jax\.(\w+)$", text, flags=re.MULTILINE)


def test_the_page_of_functions_has_every_public_name_once(repository):
  assert sorted(_directives(repository)) == sorted(s3_jax.__all__)


@pytest.fixture(scope="module")
def site(repository, tmp_path_factory):
  pytest.importorskip("mkdocs", reason="requirements-dev.txt has mkdocs")
  folder = tmp_path_factory.mktemp("site")
  command = ["-m", "mkdocs", "build", "--strict", "--quiet"]
  done = subprocess.run(
    [sys.executable, *command, "--site-dir", str(folder)],
    cwd=repository,
    env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )
  assert not done.returncode, done.stdout + done.stderr
  return folder


def _page(site, name: str) -> str:
  return (site / name / "index.html").read_text("utf-8")


def test_docstrings_are_on_the_page_of_functions(site):
  page = _page(site, "API")
  for name in s3_jax.__all__:
    assert f'id="s3_jax.{name}"' in page
  first, *_ = (s3_jax.two_witnesses.__doc__ or "").splitlines()
  assert first in page


def test_the_start_page_is_the_readme_with_links_that_work(site, repository):
  page = _page(site, "")
  readme = (repository / "README.md").read_text("utf-8")
  for heading in re.findall(r"^## (.*)$", readme, flags=re.MULTILINE):
    assert heading in page
  assert 'href="tour/"' in page
  pictures = re.findall(r"\]\(docs/(figures/[^)]+)\)", readme)
  assert pictures
  for picture in pictures:
    assert f'src="{picture}"' in page
    assert (site / picture).is_file()
  for name in ("NOTICE", "CITATION.cff"):
    assert f'href="{name}"' in page
    assert (site / name).read_bytes() == (repository / name).read_bytes()


def test_the_notebook_is_a_page_with_its_pictures(site, repository):
  notebook = json.loads((repository / "docs" / "tour.ipynb").read_text("utf-8"))
  page = _page(site, "tour")
  pictures = re.findall(r'<img alt="([^"]+)" src="([^"]+)"', page)
  labels = [
    output["data"]["text/plain"][0]
    for cell in notebook["cells"]
    for output in cell.get("outputs", ())
    if output["output_type"] == "display_data"
  ]
  assert [alt for alt, _ in pictures] == labels
  for _, source in pictures:
    data = (site / "tour" / source).resolve().read_bytes()
    assert data.startswith(b"\x89PNG")
  assert "900 of 900 answers are the same" in page


def test_a_reader_fetches_nothing_from_elsewhere(site):
  for path in site.rglob("*.html"):
    text = path.read_text("utf-8")
    for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", text):
      found = re.search(r'(?:src|href)="(?:https?:)?//', tag)
      assert not found or 'rel="canonical"' in tag, f"{path.name}: {tag}"
