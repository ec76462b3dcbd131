"""Pages of the site that are made of files which have their home elsewhere.

A hook of `mkdocs build`, named in mkdocs.yml: README.md is the start page, and
the notebook is a page with its stored outputs.
"""

import base64
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_PAGES = {
  "index.md": "README.md",
  "CONTRIBUTING.md": "CONTRIBUTING.md",
  "CHANGELOG.md": "CHANGELOG.md",
}
_FILES = ("NOTICE", "LICENSE", "CITATION.cff")  # as they are: pages link there
_NOTEBOOK = "tour"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
  """Adds the pages to those of docs/."""
  for uri, source in _PAGES.items():
    text = (_ROOT / source).read_text("utf-8")
    # A page of the root lies beside those of docs/ here.
    text = re.sub(r"\]\(docs/", "](", text)
    text = text.replace(f"]({_NOTEBOOK}.ipynb)", f"]({_NOTEBOOK}.md)")
    files.append(File.generated(config, uri, content=text))
  for name in _FILES:
    files.append(File.generated(config, name, abs_src_path=str(_ROOT / name)))
  path = _ROOT / "docs" / f"{_NOTEBOOK}.ipynb"
  for uri, content in _notebook(json.loads(path.read_text("utf-8"))):
    files.append(File.generated(config, uri, content=content))
  return files


def _notebook(notebook: dict[str, Any]) -> Iterator[tuple[str, str | bytes]]:
  """Gives a notebook's pictures, then its page in Markdown."""
  blocks = []
  for cell in notebook["cells"]:
    source = "".join(cell["source"])
    is_code = cell["cell_type"] == "code"
    blocks.append(f"```python\n{source}\n```" if is_code else source)
    for number, output in enumerate(cell.get("outputs", ())):
      data = output.get("data", {})
      text = "".join(output.get("text", data.get("text/plain", ())))
      if "image/png" not in data:
        blocks.append(f"```text\n{text.rstrip()}\n```")
        continue
      uri = f"{_NOTEBOOK}/{cell['id']}-{number}.png"
      yield uri, base64.b64decode(data["image/png"])
      blocks.append(f"![{text}]({uri})")
  yield f"{_NOTEBOOK}.md", "\n\n".join(blocks) + "\n"
