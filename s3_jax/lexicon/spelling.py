"""When two texts are one name: the normaliser of the lexicon.

Blanks, hyphens, accents, number, British or American spelling, word order and
articles make no other name: "knee pads" and "kneepad" are one concept, which is
one vertex of a class. Tables, generator, readers and look-up ask here. Keys are
compared, never shown: "sho" stands for "shoes" beside "shoe", and harms nobody.

Separators are forgiven in words alone, not in numbers, where they change the
value ("2.5" is not "25"); symbols that tell names apart are no separators ("C#"
is not "C++").
"""

import functools
import re
import unicodedata
from collections.abc import Sequence

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.ASCII)
# A number inside of a name with its sign, its point, and whatever stands
# between its digits.
_DIGITS = re.compile(r"(?:(?<!\S)[-+−±.,]+)?\d+(?:[^\w]+\d+)*(?:e[-+]\d+)?")
_SEPARATORS = re.compile(r"[\s_.,:;!?'\"`´’‘“”/\\|()\[\]{}&‐‑‒–—-]+")


# American, British. Only spellings: "sidewalk" and "pavement" are two words.
_PAIRS = """
airplane aeroplane, airplanes aeroplanes, aluminum aluminium, analog analogue,
armor armour, armored armoured, artifact artefact, ax axe, behavior behaviour,
caldron cauldron, caliber calibre, carburetor carburettor,
catalog catalogue, center centre,
centers centres, centerpiece centrepiece, check cheque, checkered chequered,
chili chilli, cigaret cigarette, color colour, colored coloured,
colorful colourful, colors colours, cozy cosy, curb kerb, defense defence,
demitasse demi-tasse, dialog dialogue, disk disc, donut doughnut,
donuts doughnuts, draft draught, enameled enamelled, encyclopedia encyclopaedia,
favorite favourite, fiber fibre, fiberglass fibreglass, flavor flavour,
flavored flavoured, fledgling fledgeling, gray grey, grayish greyish,
graying greying, gypsy gipsy, harbor harbour, harbors harbours,
honor honour, hyena hyaena, jewelry jewellery, jeweler jeweller,
jeweled jewelled,
ketchup catsup, labor labour, labeled labelled, licorice liquorice,
license licence, liter litre, luster lustre, maneuver manoeuvre,
marvelous marvellous, medieval mediaeval, meter metre, mold mould,
molded moulded, molding moulding, moldy mouldy, mollusk mollusc,
multicolored multicoloured, mustache moustache, mustached moustached,
neighbor neighbour, neighborhood neighbourhood, omelet omelette,
omelets omelettes, organization organisation, organized organised,
ocher ochre, pajama pyjama, pajamas pyjamas, paneled panelled,
paneling panelling, parlor parlour, pedaled pedalled, plow plough,
plows ploughs, plowed ploughed, program programme, pulverized pulverised,
racket racquet,
pretense pretence, rigor rigour, saber sabre, savory savoury, scepter sceptre,
skeptic sceptic, skillful skilful, smolder smoulder, somber sombre,
specialty speciality, specter spectre, spiraled spiralled, story storey,
stenciled stencilled, sulfur sulphur, theater theatre, theaters theatres,
tidbit titbit, tire tyre, tires tyres, traveler traveller,
traveling travelling, tumor tumour, vapor vapour, vise vice, whiskey whisky,
woolen woollen, yogurt yoghurt
"""
_BRITISH = {
  american: british
  for american, british in (pair.split() for pair in _PAIRS.split(","))
}
# But where a word has a meaning in which it has one spelling alone: "parking
# meter", "checks", "a story".
_SAFE = _BRITISH.keys() - set(
  [
    "ax",
    "check",
    "disk",
    "draft",
    "license",
    "meter",
    "program",
    "savory",
    "story",
    "vise",
  ]
)
_AMERICAN = {_BRITISH[american]: american for american in _SAFE}

_IRREGULAR = {
  **{"cacti": "cactus", "children": "child", "dice": "die", "feet": "foot"},
  **{"fungi": "fungus", "geese": "goose", "lice": "louse", "mice": "mouse"},
  **{"octopi": "octopus", "oxen": "ox", "people": "person", "teeth": "tooth"},
  **{"men": "man", "women": "woman", "skis": "ski", "taxis": "taxi"},
  **{"kiwis": "kiwi", "bikinis": "bikini", "zucchinis": "zucchini"},
  **{"corgis": "corgi", "martinis": "martini", "safaris": "safari"},
  **{"menus": "menu", "emus": "emu", "gnus": "gnu", "bayous": "bayou"},
  **{"lenses": "lens", "gases": "gas", "elves": "elf", "quizzes": "quiz"},
  **{"busses": "bus", "chilis": "chili", "chilies": "chili"},
  **{"chillies": "chilli", "grandchildren": "grandchild"},
}
# "bookshelves", "midwives"; not "caves", "olives".
_IN_VES = re.compile(
  r"(.*(cal|hal|hoo|kni|lea|loa|scar|shel|thie|wi|wol|whar|dwar|shea))ves"
)
_SINGULAR = frozenset(
  [
    "gas",
    "lens",
    "canvas",
    "atlas",
    "pancreas",
    "christmas",
    "texas",
    "kansas",
    "arkansas",
    "swiss",
    "news",
  ]
)
# Plurals that are another thing than several of one.
_OWN_THING = frozenset(
  ("glasses", "spectacles", "goods", "arms", "shorts", "woods")
)
# Inside of a name "A" may be a letter: "influenza A virus".
_ARTICLE = re.compile(
  r"^\s*(?:[Aa]n?|[Tt]he)\s+(?=[^\W\d_])|(?<=\s)(?:an?|the)\s+(?=[^\W\d_])"
  r"|(?<=-)(?:an?|the)-"
)
_POSSESSIVE = re.compile(r"['\u2019]s?(?!\w)")
# A number as it is written ("737-200", "2.5"), or letters, or other signs.
_TOKENS = re.compile(
  r"(?:(?<!\S)[-+−±.,]+)?\d+(?:[^\w\s]+\d+)*(?:e[-+]\d+)?|[^\W\d_]+|[^\w\s]+"
)
_LETTERS = re.compile(r"[^\W\d_]+")


def comparison_key(text: str) -> str:
  """Returns the form in which texts are the same: NFKC, folded, spaces one."""
  return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def plain_key(name: str) -> str:
  """Returns the form in which names are equal but for case and blanks."""
  key = comparison_key(name.replace("_", " "))
  # "²" alone is no "2", though "m²" may be written "m2".
  odd = any(unicodedata.category(character) == "No" for character in name)
  return name.strip() if odd and is_number(key) else key


def loose_key(name: str) -> str:
  """Returns the form in which names are equal but for separators as well."""
  plain = plain_key(name)
  if is_number(plain) or not any(map(str.isalpha, plain)):
    return ""
  parts, start = [], 0
  for digits in _DIGITS.finditer(plain):
    parts += [_SEPARATORS.sub("", plain[start : digits.start()]), digits[0]]
    start = digits.end()
  return "".join(parts) + _SEPARATORS.sub("", plain[start:])


def is_number(text: str) -> bool:
  """Says whether a text is a number, whole or not, in ASCII digits."""
  return _NUMBER.fullmatch(text.casefold()) is not None


def concept_keys(name: str) -> frozenset[str]:
  """Returns keys of which two names share one if they are one concept.

  One key has the words as they stand, without blanks; the other has them in
  alphabetical order. Numbers are not put into another order.
  """
  words = concept_words(name)
  numbers = sum(not any(map(str.isalpha, word)) for word in words)
  if len(words) < 2 or numbers > 1:
    return frozenset(("".join(words),))
  return frozenset(("".join(words), " ".join(sorted(words))))


def ordered_key(name: str) -> str:
  """Returns the form in which names of one order of words are equal."""
  return "".join(concept_words(name))


def group_spellings(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
  """Puts the names of a class that are one concept together, in order."""
  if len(names) < 2:
    return tuple((name,) for name in names)
  groups: dict[int, list[str]] = {}
  for name, concept in zip(names, _concepts(names), strict=True):
    groups.setdefault(concept, []).append(name)
  return tuple(map(tuple, groups.values()))


def first_spellings(names: Sequence[str]) -> tuple[str, ...]:
  """Lists what each vertex of a class is called."""
  return tuple(spellings[0] for spellings in group_spellings(names))


def shared_concepts(
  names: Sequence[Sequence[str]],
) -> tuple[tuple[tuple[str, int], ...], ...]:
  """Lists the concepts of several classes, each as (name, class) pairs."""
  texts = [(name, label) for label, each in enumerate(names) for name in each]
  owners: dict[int, dict[int, str]] = {}
  concepts = _concepts([name for name, _ in texts])
  for (name, label), concept in zip(texts, concepts, strict=True):
    owners.setdefault(concept, {}).setdefault(label, name)
  return tuple(
    tuple((name, label) for label, name in found.items())
    for found in owners.values()
    if len(found) > 1
  )


def _concepts(names: Sequence[str]) -> list[int]:
  """Numbers the concepts of names: what shares a key with what shares a key."""
  parents: list[int] = []
  place_of: dict[str, int] = {}

  def root(place: int) -> int:
    while parents[place] != place:
      parents[place] = parents[parents[place]]
      place = parents[place]
    return place

  for place, name in enumerate(names):
    parents.append(place)
    for key in concept_keys(name):
      one, other = root(place), root(place_of.setdefault(key, place))
      parents[max(one, other)] = min(one, other)
  return [root(place) for place in range(len(names))]


def american(text: str) -> str:
  """Spells a text as Americans do."""
  return _LETTERS.sub(lambda word: _AMERICAN.get(word[0], word[0]), text)


def both_spellings(text: str) -> tuple[str, ...]:
  """Lists a text, then its American and British spellings if they differ."""
  british = _LETTERS.sub(
    lambda word: _BRITISH[word[0]] if word[0] in _SAFE else word[0], text
  )
  return tuple(dict.fromkeys((text, american(text), british)))


def written_key(name: str) -> str:
  """Returns the form in which names of the same letters are equal."""
  return loose_key(name) or plain_key(name)


def spelling_key(name: str) -> str:
  """Returns the form in which names of one number and order are equal."""
  plain = _without_accents(plain_key(name))
  plain = _LETTERS.sub(lambda word: _BRITISH.get(word[0], word[0]), plain)
  return written_key(plain)


def word_stems(name: str) -> frozenset[str]:
  """Returns the words of a name, whatever their number and spelling."""
  return frozenset(word for word in concept_words(name) if word.isalpha())


def _without_accents(text: str) -> str:
  """Takes marks off Latin and Greek letters; elsewhere they make other ones."""
  if text.isascii():
    return text
  kept, is_bare = [], False
  for letter in unicodedata.normalize("NFD", text):
    if unicodedata.category(letter) != "Mn":
      script = unicodedata.name(letter, "").partition(" ")[0]
      is_bare = script in ("LATIN", "GREEK")
    elif is_bare:
      continue
    kept.append(letter)
  return unicodedata.normalize("NFC", "".join(kept))


@functools.lru_cache(maxsize=1 << 16)
def concept_words(name: str) -> tuple[str, ...]:
  """Splits a name into words in their one form."""
  plain = _without_accents(plain_key(_ARTICLE.sub("", name.replace("_", " "))))
  is_word = any(map(str.isalpha, plain)) and not is_number(plain)
  if plain in _OWN_THING or not is_word:
    return (plain,)
  plain = _POSSESSIVE.sub("", plain)
  words, end = [], -1
  for part in _TOKENS.finditer(plain):
    text = part[0]
    if not text[-1].isdigit():
      text = _stem(_SEPARATORS.sub("", text))
    if part.start() == end and words:  # "A4" is one word
      words[-1] += text
    elif text:
      words.append(text)
    end = part.end() if text else -1
  return tuple(words) or (plain,)


@functools.lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
  """Returns what a word has in common with its plural and its other spelling.

  "shoe" and "shoes" both give "sho", as "tomatoes" is no plural of "tomatoe".
  """
  word = _IRREGULAR.get(word, word)
  if word in _SINGULAR:
    return word
  if plural := _IN_VES.fullmatch(word):
    word = f"{plural[1]}{'fe' if plural[2] in ('kni', 'wi') else 'f'}"
  elif len(word) > 3 and word[-1] == "s" and word[-2] not in "sui":
    word = word[:-1]
  if word.endswith("men") and len(word) > 5:
    word = f"{word[:-2]}an"
  word = _BRITISH.get(word, word)
  if word.endswith("ie"):
    return f"{word[:-2]}y"
  if word.endswith(("oe", "che", "she", "se", "xe", "ze")):
    return word[:-1]
  return word
