"""Lists of classes in the forms that people have, and what is refused."""

import json
import time

import pytest

from s3_jax.lexicon.class_lists import read_class_list
from s3_jax.lexicon.reading import read_class_texts


@pytest.fixture
def read(tmp_path):
  def read(name, content):
    path = tmp_path / name
    if not isinstance(content, str):
      content = json.dumps(content)
    path.write_bytes(content.encode())
    return read_class_list(path)

  return read


def shown(found):
  """Writes a list as "class=text/text|class", without blanks in the texts."""
  return "|".join(
    entry.name
    if entry.texts is None
    else f"{entry.name}={'/'.join(text.strip() for text in entry.texts)}"
    for entry in found.classes
  )


@pytest.mark.parametrize(
  ("name", "content", "expected", "note"),
  [
    # A header, in any order and words.
    ("a.csv", "cls,bin\ntabby,cat\npug,dog\n", "cat=tabby|dog=pug", "header"),
    ("a.csv", "class,name\ncat,tabby\ncat,manx\n", "cat=tabby/manx", "header"),
    ("a.csv", "Label Name;Alias\ncat;manx\n", "cat=manx", "header"),
    ("a.csv", "text,category\nmanx,cat\n", "cat=manx", "header"),
    ("a.csv", "class\ncat\ndog\n", "cat|dog", "header"),
    ("a.csv", "id,animal\n0,cat\n1,dog\n", "cat|dog", "header"),
    ("a.csv", ",name\n0,cat\n1,dog\n", "cat|dog", "running numbers"),
    ("a.csv", "id,name,note\n1,cat,x\n2,dog,y\n", "cat|dog", "'note' left out"),
    ("a.csv", "label,name\n0,cat\n1,dog\n", "cat|dog", "running numbers"),
    (
      "a.csv",
      'class,synonyms\ncat,"manx; tabby"\ndog,pug\n',
      "cat=manx/tabby|dog=pug",
      "several texts a cell",
    ),
    # Tables without one.
    ("a.csv", "manx,cat\ntabby,cat\npug,dog\n", "cat=manx/tabby|dog=pug", ""),
    ("a.csv", "0,cat\n1,dog\n", "cat|dog", "running numbers"),
    ("a.csv", "cat\ndog\n", "cat|dog", ""),
    ("a.tsv", "manx, grey\tcat\n", "cat=manx, grey", ""),
    ("a.csv", "manx;cat\npug;dog\n", "cat=manx|dog=pug", ""),
    ("a.csv", "n01440764,tench\nn01443537,goldfish\n", "tench|goldfish", "Net"),
    # What looks like the end of a line, and is part of a cell.
    ("a.csv", '"two\nlines",cat\n', "cat=two\nlines", ""),
    ("a.csv", "a\u2028b,cat\nc\u0085d,cat\n", "cat=a\u2028b/c\u0085d", ""),
    ("a.txt", "a\u2028b\r\nc\u0085d\re\n", "a\u2028b|c\u0085d|e", ""),
    ("a.txt", "\ufeffcat\ndog\n", "cat|dog", ""),
    ("a.csv", "\ufeffname,class\nmanx,cat\n", "cat=manx", "header"),
    ("a.json", '\ufeff["cat"]', "cat", ""),
    ("a.yaml", "\ufeff- cat\n", "cat", ""),
    # Numbers and ids beside the names.
    ("a.txt", "0 cat\n1 dog\n", "cat|dog", "numbers from 0 before"),
    ("a.txt", "1: cat\n2: dog\n", "cat|dog", "numbers from 1 before"),
    ("a.txt", "1 001.Manx\n2 002.Pug\n", "Manx|Pug", "before"),
    (
      "a.txt",
      "/a/bay 0\n/b/cave/in 1\n",
      "bay|in cave",
      "numbers from 0 after",
    ),
    ("a.txt", "0\tcat\n1\tdog\n", "cat|dog", "running numbers"),
    ("a.txt", "n00000001 cat\n", "cat", "WordNet ids"),
    ("a.txt", "2012 Audi\n1999 BMW\n", "2012 Audi|1999 BMW", ""),
    ("a.txt", "3d printer\n4x4 car\n", "3d printer|4x4 car", ""),
    ("a.txt", "0 - cat\n1 - dog\n", "cat|dog", "numbers from 0 before"),
    ("a.txt", "1-butanol\n2-hexanol\n", "1-butanol|2-hexanol", "part of them"),
    ("a.txt", "0\n1\n2\n", "0|1|2", ""),
    ("a.json", ["0", "1"], "0|1", ""),
    ("a.txt", "stage 0\nstage 1\n", "stage 0|stage 1", ""),
    ("a.txt", "3 musketeers\n7 dwarfs\n", "3 musketeers|7 dwarfs", ""),
    # Lines of other kinds.
    (
      "a.txt",
      "cat: manx, tabby\ndog: pug\neel:\n",
      "cat=manx/tabby|dog=pug|eel=",
      "CLASS: TEXT",
    ),
    ("a.txt", "labels\ncat\ndog\n", "cat|dog", "header"),
    ("a.txt", "- cat\n- dog\n", "cat|dog", "bullets"),
    ("a.txt", "'cat',\n'dog'\n", "cat|dog", "quotes"),
    ("a.txt", "['cat', \"dog\"]\n", "cat|dog", ""),
    ("a.txt", "{0: 'cat',\n 1: 'dog'}", "cat|dog", "names by number"),
    ("a.jsonl", '{"name": "cat"}\n{"name": "dog"}\n', "cat|dog", "'name'"),
    # Objects.
    ("a.json", {"0": "cat", "1": "dog"}, "cat|dog", "by number"),
    ("a.json", {"10": "k", **{str(n): "x" for n in range(1, 10)}}, "", ""),
    ("a.json", {"id2label": {"0": "cat"}, "hidden": 3}, "cat", "id2label"),
    ("a.json", {"dog": 1, "cat": 0}, "cat|dog", "numbers by name"),
    (
      "a.json",
      {"1": ["n00000002", "dog"], "0": ["n00000001", "cat"]},
      "cat|dog",
      "WordNet ids",
    ),
    ("a.json", {"n00000001": ["cat", "tom"]}, "cat=cat/tom", "by WordNet id"),
    ("a.json", [["n00000001", "cat"]], "cat", "WordNet ids"),
    (
      "a.json",
      {"categories": [{"id": 2, "name": "dog"}, {"id": 1, "name": "cat"}]},
      "cat|dog",
      "'categories'",
    ),
    ("a.json", ["0 cat", "1 dog"], "0 cat|1 dog", "are part of them"),
    ("a.json", {"cat": ["manx"], "dog": "pug"}, "cat=manx|dog=pug", ""),
    # YAML, whose types are left alone.
    ("a.yaml", "names:\n  0: cat\n  1: no\nnc: 2\n", "cat|no", "'names'"),
    ("a.yml", "path: x\nnames: [cat, 1.0]\n", "cat|1.0", "'names'"),
    ("a.yaml", "cat: [manx, tabby]\ndog: pug\n", "cat=manx/tabby|dog=pug", ""),
  ],
)
def test_forms_that_people_have(read, name, content, expected, note):
  found = read(name, content)
  if expected:
    assert shown(found) == expected
  else:
    assert found.classes[9].name == "k"
  assert note in "; ".join(found.notes)
  assert note or "left out" not in "; ".join(found.notes)


@pytest.mark.parametrize(
  ("name", "content", "words"),
  [
    ("a.csv", "cat,manx\ncat,tabby\ndog,pug\n", "line 2 repeats 'cat'"),
    ("a.csv", "name,thing\nmanx,cat\n", "line 1 may be a header or a row"),
    ("a.csv", "what,is\na,b\nc,b\nd,e\nf,e\n", "line 1 may be a header or a"),
    ("a.csv", "label,category\nmanx,cat\n", "which column has the classes"),
    ("a.csv", "5,cat\n9,dog\n", "column 1 must run 0, 1, 2"),
    ("a.csv", "a,b\nc\n", "line 2 must hold a name and a class"),
    ("a.csv", 'a,b\n"c,d\n', "must be a CSV"),
    ("a.txt", "1 cat\n3 dog\n", "line 2 must have the number 2"),
    ("a.txt", "1 dog\n0 cat\n", "line 1 must have the number|line 2 must have"),
    ("a.txt", "cat: manx\ndog\n", "line 2 must be CLASS: TEXT"),
    ("a.txt", "cat, dog, eel\n", "line 1 may be one name or several"),
    ("a.txt", "# animals\ncat\n", "line 1 must name a class"),
    ("a.txt", "[cat, dog]\n", "must be a list or an object"),
    ("a.txt", "n99999999\n", "got the WordNet id 'n99999999' as class 0"),
    ("a.txt", "cat\n\ndog\n", "empty name, got '' as class 1"),
    ("a.json", {"1": "cat", "3": "dog"}, "without gaps, got 1 to 3"),
    ("a.json", {"cat": 0, "dog": 0}, "each number to one class"),
    ("a.json", '{"a": ["x"], "a": ["y"]}', "name each class once, got 'a'"),
    ("a.json", {"a": {"b": ["c"]}}, "must hold a list of texts"),
    ("a.json", [1], "got 1 as class 0"),
    ("a.yaml", "a: &x [b]\nc: *x\n", "no anchors"),
    ("a.yaml", "a: b\na: c\n", "name each class once, got 'a'"),
    ("a.yaml", "[" * 50_000, "too deep"),
    ("a.yaml", "- a\n---\n- b\n", "one document, got 2"),
    ("a.yaml", "a: [b\n", "must be YAML, got: "),
    ("a.yaml", "? [a]\n: b\n", "must have texts as keys"),
  ],
)
def test_what_may_mean_two_things_is_refused(read, name, content, words):
  with pytest.raises(ValueError, match=words) as error:
    read(name, content)
  assert "\n" not in str(error.value)
  assert len(str(error.value).replace(str(error.value).split(".")[0], "")) < 300


def test_wordnet_ids_alone_are_found_in_our_table(read):
  found = read("a.txt", "n01443537\nn01440764\n")
  assert [entry.name for entry in found.classes] == ["goldfish", "tench"]
  assert [entry.wnid for entry in found.classes] == ["n01443537", "n01440764"]
  assert "gold fish" in (found.classes[0].texts or ())
  assert "table imagenet" in found.notes[0]


def test_an_object_of_many_classes_is_read_in_one_pass(read):
  """30,000 keys took half a minute where each was counted among all."""
  start = time.process_time()
  found = read("a.json", {f"class {n}": [f"name {n}"] for n in range(30_000)})
  assert len(found.classes) == 30_000
  assert time.process_time() - start < 5


def test_texts_for_given_classes_are_read_from_the_same_forms(tmp_path):
  for name, content in {
    "a.CSV": "\ufeffclass,text\ncat,manx\ndog,pug\n",
    "b.yaml": "dog: [pug]\ncat: manx\n",
    "c.txt": "dog: pug\ncat: manx\n",
    "d.tsv": "manx\tcat\npug\tdog\n",
    "e.JSON": '\ufeff{"dog": ["pug"], "cat": "manx"}',
  }.items():
    (tmp_path / name).write_text(content, "utf-8")
    read = read_class_texts(tmp_path / name, ["cat", "dog"])
    assert read.texts == (("manx",), ("pug",))
