"""Spellings of one name: British or American, accents, hyphens, plural.

Keys that are equal where two texts may be one name. They are compared, never
shown: "sho" stands for "shoes" beside "shoe", and harms nobody.
"""

import functools
import re
import unicodedata

from s3_jax.lexicon.matching import loose_key, plain_key

# American, British. Only spellings: "sidewalk" and "pavement" are two words.
_PAIRS = """
airplane aeroplane, airplanes aeroplanes, aluminum aluminium, analog analogue,
armor armour, armored armoured, artifact artefact, ax axe, behavior behaviour,
caliber calibre, carburetor carburettor, catalog catalogue, center centre,
centers centres, centerpiece centrepiece, check cheque, checkered chequered,
chili chilli, cigaret cigarette, color colour, colored coloured,
colorful colourful, colors colours, cozy cosy, curb kerb, defense defence,
demitasse demi-tasse, dialog dialogue, disk disc, donut doughnut,
donuts doughnuts, draft draught, enameled enamelled, encyclopedia encyclopaedia,
favorite favourite, fiber fibre, fiberglass fibreglass, flavor flavour,
flavored flavoured, fledgling fledgeling, gray grey, grayish greyish,
graying greying, grill grille, gypsy gipsy, harbor harbour, harbors harbours,
honor honour, jewelry jewellery, jeweler jeweller, jeweled jewelled,
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
pretense pretence, rigor rigour, saber sabre, savory savoury, scepter sceptre,
skeptic sceptic, skillful skilful, smolder smoulder, somber sombre,
specialty speciality, specter spectre, spiraled spiralled, story storey,
stenciled stencilled, sulfur sulphur, theater theatre, theaters theatres,
tidbit titbit, tire tyre, tires tyres, traveler traveller,
traveling travelling, tumor tumour, vapor vapour, vise vice, whiskey whisky,
woolen woollen, yogurt yoghurt
"""
_BRITISH = dict(pair.split() for pair in _PAIRS.split(","))

_IRREGULAR = {
  "cacti": "cactus",
  "children": "child",
  "dice": "die",
  "feet": "foot",
  "fungi": "fungus",
  "geese": "goose",
  "lice": "louse",
  "mice": "mouse",
  "octopi": "octopus",
  "oxen": "ox",
  "people": "person",
  "teeth": "tooth",
}
_LETTERS = re.compile(r"[^\W\d_]+")


def spelling_key(name: str) -> str:
  """Returns the form in which the spellings of one name are equal."""
  plain = unicodedata.normalize("NFD", plain_key(name))
  plain = "".join(c for c in plain if unicodedata.category(c) != "Mn")
  plain = _LETTERS.sub(lambda word: _BRITISH.get(word[0], word[0]), plain)
  return loose_key(plain) or plain


def number_keys(name: str) -> frozenset[str]:
  """Returns keys of which two names share one if they differ in number."""
  plain = plain_key(name)
  *_, last = (None, *_LETTERS.finditer(plain))
  if last is None or last.end() < len(plain):
    return frozenset((spelling_key(name),))
  return frozenset(
    spelling_key(plain[: last.start()] + form) for form in _singulars(last[0])
  )


def word_forms(plain: str) -> list[frozenset[str]]:
  """Lists the words of a plain key, each with what it may be the plural of."""
  return [_singulars(word) for word in _LETTERS.findall(plain)]


@functools.cache
def _singulars(word: str) -> frozenset[str]:
  """Lists a word, and what it may be the plural of."""
  forms = {word}
  if word in _IRREGULAR:
    forms.add(_IRREGULAR[word])
  elif word.endswith("men"):
    forms.add(f"{word[:-2]}an")
  elif len(word) > 3 and word.endswith("s"):
    if word.endswith(("ss", "us", "is")):
      return frozenset(forms)
    forms.add(word[:-1])
    if word.endswith(("ches", "shes", "ses", "xes", "zes", "oes")):
      forms.add(word[:-2])
    if word.endswith("ies"):
      forms.add(f"{word[:-3]}y")
    if word.endswith("ves"):
      forms |= {f"{word[:-3]}f", f"{word[:-3]}fe"}
  return frozenset(forms)
