"""The two witnesses, against loops in float64 and by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax.space import build_space, two_witnesses, weigh_texts


def unit(rows):
  return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def draw(classes, texts, *, wrong=0, dim=24, seed=0, spread=0.12):
  """Texts around their class's direction; the last `wrong` are of others."""
  rng = np.random.default_rng(seed)
  centers = unit(rng.normal(size=(classes, dim))) + 0.8 * unit(np.ones(dim))
  points = centers[:, None] + spread * rng.normal(size=(classes, texts, dim))
  for index in range(texts - wrong, texts):
    shift = rng.integers(1, classes, classes)
    other = (np.arange(classes) + shift) % classes
    points[:, index] = centers[other] + spread * rng.normal(size=(classes, dim))
  return unit(points).astype(np.float32)


# --- An oracle that shares no code: lists, loops, float64. ---


def component_of(distances, members, scale, keep):
  """The kept component of a class, by flooding from every vertex."""
  left, parts = set(members), []
  while left:
    part, frontier = set(), {min(left)}
    while frontier:
      part |= frontier
      frontier = {
        j
        for i in frontier
        for j in left - part
        if distances[i][j] <= scale + 1e-7
      }
    left -= part
    parts.append(sorted(part))
  if keep == "label":
    return next(part for part in parts if 0 in part)

  def rank(part):
    pairs = [distances[i][j] for i in part for j in part if i != j]
    mean = sum(pairs) / len(pairs) if pairs else 0.0
    return (-len(part), round(mean, 6), part[0])

  return min(parts, key=rank)


def gap_of(distances, members, min_fraction, min_gap):
  """Scale of the rule "gap", from Kruskal's deaths."""
  edges = sorted((distances[i][j], i, j) for i in members for j in members)
  parent = {i: i for i in members}

  def root(i):
    while parent[i] != i:
      i = parent[i]
    return i

  deaths = []
  for length, i, j in edges:
    if root(i) != root(j):
      parent[root(i)] = root(j)
      deaths.append(length)
  if not deaths:
    return 0.0
  best = None
  for j in range(len(deaths) - 1):
    size = len(component_of(distances, members, deaths[j], "largest"))
    if deaths[j] > 0 and size >= min_fraction * len(members) - 1e-4:
      gap = deaths[j + 1] - deaths[j]
      if best is None or gap >= best[0]:
        best = (gap, (deaths[j] + deaths[j + 1]) / 2)
  if best is not None and best[0] >= min_gap * deaths[-1]:
    return best[1]
  return deaths[-1]


def oracle(points, mask, forms, official, keep="largest", gap=0.05):
  points = points.astype(np.float64)
  classes, texts = mask.shape
  real = [(c, i) for c in range(classes) for i in range(texts) if mask[c, i]]
  whole = np.mean([points[at] for at in real], axis=0)
  centred = {}
  for at in real:
    of_form = [b for b in real if forms[b] == forms[at]]
    rare = len({c for c, _ in of_form}) < 8
    mean = whole if rare else np.mean([points[b] for b in of_form], axis=0)
    centred[at] = unit(points[at] - mean)
  names = {
    c: [at for at in real if at[0] == c and official[at]]
    for c in range(classes)
  }
  equal = {
    (c, b)
    for c in range(classes)
    for other in range(classes)
    for b in names[other]
    for a in names[c]
    if other != c and 2 - 2 * (centred[a] @ centred[b]) < 1e-6
  }

  def own(at):
    found = [centred[at] @ centred[b] for b in names[at[0]]]
    return max(found, default=-np.inf)

  def other(at):
    found = [
      centred[at] @ centred[b]
      for c in range(classes)
      for b in names[c]
      if c != at[0] and (at[0], b) not in equal
    ]
    return max(found, default=-np.inf)

  nearest = [
    max(other(at) for at in names[c]) for c in range(classes) if names[c]
  ]
  nearest = [cosine for cosine in nearest if np.isfinite(cosine)]
  common = float(np.median(np.sqrt(2 - 2 * np.array(nearest))))
  accused = {"own": set(), "common": set()}
  for c in range(classes):
    members = [i for i in range(texts) if mask[c, i]]
    if not members:
      continue
    distances = [
      [
        np.linalg.norm(centred[c, i] - centred[c, j])
        if i in members and j in members
        else np.inf
        for j in range(texts)
      ]
      for i in range(texts)
    ]
    for i in members:
      for j in members:
        if distances[i][j] < 1e-3:
          distances[i][j] = 0.0
    scale = max(gap_of(distances, members, 0.5, gap), common)
    for word, at_scale in (("own", scale), ("common", common)):
      kept = component_of(distances, members, at_scale, keep)
      for i in set(members) - set(kept):
        at = (c, i)
        is_nearer = np.isfinite(own(at)) and other(at) > own(at) + 1e-6
        if is_nearer and not official[at]:
          accused[word].add(at)
  candidates = sum(not official[at] for at in real)
  is_common = 2 * len(accused["common"] - accused["own"]) > candidates
  out = accused["common" if is_common else "own"]
  kept = np.array(mask)
  for at in out:
    kept[at] = False
  return kept, common, is_common, own, other


@pytest.mark.parametrize(
  ("classes", "texts", "wrong", "keep", "seed"),
  [
    (9, 4, 0, "largest", 0),
    (12, 6, 2, "largest", 1),
    (12, 6, 2, "label", 2),
    (10, 7, 5, "largest", 3),  # wrong majorities
    (10, 7, 5, "label", 4),
    (16, 2, 1, "largest", 5),  # pairs, in which no gap can be
    (9, 1, 0, "label", 6),
  ],
)
def test_the_rule_is_that_of_loops(classes, texts, wrong, keep, seed):
  points = draw(classes, texts, wrong=wrong, seed=seed)
  rng = np.random.default_rng(seed)
  mask = rng.random((classes, texts)) < 0.9
  mask[:, 0] = True
  forms = rng.integers(0, 3, (classes, texts))
  forms[:, 0] = 0
  forms[:3, -1] = 7  # a form that three classes have
  official = np.zeros((classes, texts), bool)
  official[:, 0] = True
  official[1] = mask[1]  # a class whose texts are all official names
  evidence = weigh_texts(
    points, mask, forms=forms, official=official, keep=keep
  )
  kept, common, is_common, own, other = oracle(
    points, mask, forms, official & mask, keep
  )
  np.testing.assert_array_equal(evidence.kept, kept)
  assert bool(evidence.is_common) == is_common
  assert float(evidence.common_scale) == pytest.approx(common, abs=1e-5)
  for at in zip(*np.nonzero(mask), strict=True):
    assert float(evidence.own[at]) == pytest.approx(own(at), abs=2e-5)
    assert float(evidence.other[at]) == pytest.approx(other(at), abs=2e-5)
  assert np.isneginf(np.asarray(evidence.own)[~mask]).all()
  same = two_witnesses(points, mask, forms=forms, official=official, keep=keep)
  np.testing.assert_array_equal(same, kept)


def test_the_cases_above_cut_something_and_spare_something():
  # Else the comparison with the oracle would hold for a rule that does nothing.
  points = draw(12, 6, wrong=2, seed=1)
  kept = np.asarray(two_witnesses(points, np.ones((12, 6), bool)))
  assert kept[:, :4].mean() > 0.9 and kept[:, 4:].mean() < 0.4
  points = draw(16, 2, wrong=1, seed=5)
  evidence = weigh_texts(points, np.ones((16, 2), bool))
  assert evidence.is_common
  assert np.asarray(evidence.kept)[:, 1].mean() < 0.2


def test_a_text_goes_only_if_both_witnesses_speak_against_it():
  points = draw(10, 5, wrong=1, seed=8)
  mask = np.ones((10, 5), bool)
  evidence = weigh_texts(points, mask)
  gone = ~np.asarray(evidence.kept)
  assert gone.any()
  nearer = np.asarray(evidence.other) > np.asarray(evidence.own)
  assert (gone <= (np.asarray(evidence.left_out) & nearer)).all()
  # A distant text that is nobody else's either stays, however far it lies.
  far, mean = points.copy(), points.mean(axis=(0, 1))
  far[0, 4] = far[0, 1]
  names = unit(far[:, 0] - mean)
  beside = np.linalg.svd(names)[2][-1]  # like no official name
  far[0, 3] = unit(mean + unit(0.1 * names[0] + beside))
  told = weigh_texts(far, mask)
  assert bool(told.left_out[0, 3]) and bool(told.kept[0, 3])


def test_noise_in_most_classes_is_seen_from_all_of_them():
  points = draw(40, 2, wrong=1, seed=9)
  mask = np.ones((40, 2), bool)
  evidence = weigh_texts(points, mask)
  assert evidence.is_common
  assert not np.asarray(evidence.kept)[:, 1].any()
  # The same pairs in a few classes are synonyms that lie far off.
  few = mask.copy()
  few[8:, 1] = False
  right = draw(40, 2, seed=9)
  right[:8] = points[:8]
  right_mask = np.ones((40, 2), bool)
  evidence = weigh_texts(right, right_mask)
  assert not evidence.is_common
  assert np.asarray(evidence.kept).all()


def test_a_space_of_the_kept_texts_is_raw():
  points = draw(12, 6, wrong=2, seed=1)
  mask = np.ones((12, 6), bool)
  kept = np.asarray(two_witnesses(points, mask))
  space = build_space(points, kept)
  np.testing.assert_array_equal(space.mask, kept)
  np.testing.assert_array_equal(space.points, points)
  for label in range(12):
    rows = points[label][kept[label]].astype(np.float64)
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=-1)
    reached, longest = {0}, 0.0
    while len(reached) < len(rows):
      length, new = min(
        (distances[i, j], j)
        for i in reached
        for j in set(range(len(rows))) - reached
      )
      longest = max(longest, length)
      reached.add(new)
    assert float(space.max_edge_length[label]) == pytest.approx(
      longest, abs=1e-6
    )


def test_few_classes_are_left_alone():
  points = draw(7, 5, wrong=2, seed=2)
  mask = np.ones((7, 5), bool)
  evidence = weigh_texts(points, mask)
  assert not evidence.is_on and np.asarray(evidence.kept).all()
  assert not evidence.is_common and not np.asarray(evidence.left_out).any()
  # Classes without a text are no classes.
  points, mask = draw(12, 5, wrong=2, seed=2), np.ones((12, 5), bool)
  mask[7:] = False
  assert not weigh_texts(points, mask).is_on
  mask[7] = True
  assert weigh_texts(points, mask).is_on


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (9, 1)])
def test_empty_and_single_texts_stay(shape):
  points = draw(9, 3)[: shape[0], : shape[1]]
  kept = two_witnesses(points, np.ones(shape, bool))
  assert kept.shape == shape and kept.dtype == bool
  assert np.asarray(kept).all()


def test_names_that_never_go():
  # Every text of a class is another class's name; only the own name stays.
  points = draw(20, 4, wrong=3, seed=3)
  mask = np.ones((20, 4), bool)
  evidence = weigh_texts(points, mask)
  assert evidence.is_common
  assert np.asarray(evidence.kept)[:, 0].all()
  official = np.zeros((20, 4), bool)
  official[:, 0] = official[5] = True
  assert np.asarray(two_witnesses(points, mask, official=official))[5].all()
  # A class without its official name has nobody to speak for it: all stay.
  mask[4, 0] = False
  assert np.asarray(two_witnesses(points, mask))[4, 1:].all()


def test_equal_official_names_are_no_evidence():
  points = draw(12, 4, wrong=1, seed=5)
  mask = np.ones((12, 4), bool)
  before = weigh_texts(points, mask)
  label = int(np.flatnonzero(~np.asarray(before.kept)[:, 3])[0])
  # The class that this wrong text is like takes the very name of `label`.
  similar = points[:, 0] @ points[label, 3]
  similar[label] = -1
  twin = int(np.argmax(similar))
  points[label, 3] = points[label, 0]
  points[twin, 0] = points[label, 0]
  evidence = weigh_texts(points, mask)
  assert np.asarray(evidence.kept)[label, 3]
  assert float(evidence.other[label, 3]) < 0.99
  assert float(evidence.own[label, 3]) == pytest.approx(1, abs=1e-6)


def test_forms_are_compared_with_their_own_kind():
  rng = np.random.default_rng(0)
  points = draw(16, 4, seed=6).astype(np.float64)
  points[:, 2:] += 1.5 * unit(rng.normal(size=points.shape[-1]))
  points = unit(points).astype(np.float32)
  forms = np.tile([0, 0, 1, 1], (16, 1))
  mask = np.ones((16, 4), bool)
  moved = weigh_texts(points, mask, forms=forms * 1_000_003)
  alike = weigh_texts(points, mask, forms=forms)
  np.testing.assert_array_equal(moved.own, alike.own)
  blind = weigh_texts(points, mask)
  # Without forms a sentence is nearer to every sentence's mean than to a name.
  assert np.asarray(alike.own)[:, 2:].mean() > (
    np.asarray(blind.own)[:, 2:].mean() + 0.1
  )


def test_rotation_order_and_padding_change_nothing():
  points, mask = draw(14, 6, wrong=3, seed=7), np.ones((14, 6), bool)
  mask[::3, 4:] = False
  kept = np.asarray(two_witnesses(points, mask))
  assert not kept[mask].all()
  rng = np.random.default_rng(1)
  turn, _ = np.linalg.qr(rng.normal(size=(24, 24)))
  turned = (points.astype(np.float64) @ turn).astype(np.float32)
  np.testing.assert_array_equal(two_witnesses(turned, mask), kept)
  order = rng.permutation(14)
  np.testing.assert_array_equal(
    two_witnesses(points[order], mask[order]), kept[order]
  )
  texts = np.array([0, 3, 1, 5, 4, 2])
  np.testing.assert_array_equal(
    two_witnesses(points[:, texts], mask[:, texts]), kept[:, texts]
  )
  points[~mask] = np.nan
  np.testing.assert_array_equal(two_witnesses(points, mask), kept)
  wide = np.zeros((14, 9, 24), np.float32)
  wide[:, :6] = np.nan_to_num(points)
  wider = np.zeros((14, 9), bool)
  wider[:, :6] = mask
  np.testing.assert_array_equal(two_witnesses(wide, wider)[:, :6], kept)


def test_jit_is_eager():
  points, mask = draw(12, 5, wrong=3, seed=4), np.ones((12, 5), bool)
  forms = np.tile([0, 0, 0, 1, 1], (12, 1))
  official = np.tile(np.arange(5) == 0, (12, 1))
  expected = weigh_texts(points, mask, forms=forms)
  assert not np.asarray(expected.kept).all()
  jitted = jax.jit(functools.partial(weigh_texts, num_forms=2))(
    points, mask, forms=forms, official=official
  )
  np.testing.assert_array_equal(jitted.kept, expected.kept)
  np.testing.assert_allclose(jitted.own, expected.own, atol=1e-6)
  plain = jax.jit(two_witnesses)(jnp.asarray(points), jnp.asarray(mask))
  np.testing.assert_array_equal(plain, two_witnesses(points, mask))


@pytest.mark.parametrize(
  ("change", "rule"),
  [
    ({"keep": "most"}, '`keep` must be one of "largest"'),
    ({"min_gap": -1.0}, "`min_gap` must be finite and >= 0"),
    ({"mask": np.ones((9, 2), bool)}, r"agree on \[classes, synonyms\]"),
    ({"embeddings": np.ones((9, 3, 2), "f4")}, "unit norm, got norm 1.41421"),
    ({"forms": np.zeros((9, 2), int)}, "`forms` and `mask` must agree"),
    ({"forms": np.zeros((9, 3))}, "`forms` must be whole numbers, got float"),
    ({"forms": np.full((9, 3), -2)}, "`forms` must be >= 0, got -2"),
    ({"official": np.ones((3, 9), bool)}, "`official` and `mask` must agree"),
    ({"official": np.ones((9, 3))}, "`official` must be bool"),
  ],
)
def test_what_is_refused(change, rule):
  arguments = {
    "embeddings": np.tile(np.eye(3, 4, dtype=np.float32), (9, 1, 1)),
    "mask": np.ones((9, 3), bool),
  } | change
  with pytest.raises(ValueError, match=rule) as error:
    two_witnesses(**arguments)
  assert len(str(error.value)) <= 300


def test_traced_forms_need_their_number():
  points, mask = draw(9, 3), np.ones((9, 3), bool)
  with pytest.raises(ValueError, match="`num_forms` must be given"):
    jax.jit(lambda forms: two_witnesses(points, mask, forms=forms))(
      np.zeros((9, 3), int)
    )


def test_many_classes_stay_within_memory():
  # 21,000 classes of 32 texts: tiles, not a table of all texts and names.
  shape = (21_000, 32, 512)
  program = jax.jit(two_witnesses).lower(
    jax.ShapeDtypeStruct(shape, jnp.float32),
    jax.ShapeDtypeStruct(shape[:2], bool),
  )
  memory = program.compile().memory_analysis()
  # Of this 41 MiB are the centred official names, the rest a few numbers a
  # text and the tiles.
  assert memory.temp_size_in_bytes <= 100 * 2**20
