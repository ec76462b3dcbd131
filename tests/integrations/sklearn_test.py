"""The estimator: scikit-learn's own checks, words, images, and its tools."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import s3_jax
from s3_jax.integrations.sklearn import S3Classifier

MODEL = "s3_jax/pictographs"
WORDS = {"jet": ["jet", "airplane", "plane"], "cat": ["cat", "kitten"]}
SCALE = math.log(100)

# The metric's temperature is one of hundreds of dimensions; these have two. Of
# fewer than eight classes no text is left out, and programs compile sooner.
CHECKED = S3Classifier(logit_scale=SCALE, metric="center", scale=None)

EXPECTED = {
  "check_estimators_dtypes": (
    "rounds numbers to integers, and a row of zeros has no direction"
  ),
}


@parametrize_with_checks(
  [CHECKED], expected_failed_checks=lambda estimator: EXPECTED
)
def test_scikit_learns_own_checks(estimator, check):
  check(estimator)


@pytest.fixture(scope="module")
def pictures(repository):
  path = repository / "docs" / "figures" / "airplane.png"
  with Image.open(path) as image:
    return [str(path), image.convert("RGB").copy()]


@pytest.fixture(scope="module")
def fitted():
  return S3Classifier(MODEL).fit(WORDS)


def test_answers_are_those_of_classify(fitted, pictures):
  clip = s3_jax.load_clip(MODEL)
  space = s3_jax.embed_classes(clip, WORDS)
  expected = s3_jax.classify(clip, space, pictures)
  assert fitted.predict(pictures).tolist() == ["jet", "jet"]
  # Sorted by name, and the words with them.
  assert fitted.classes_.tolist() == ["cat", "jet"]
  assert fitted.space_.texts == (("cat", "kitten"), tuple(WORDS["jet"]))
  np.testing.assert_allclose(
    fitted.predict_proba(pictures), expected.probabilities[:, ::-1], atol=1e-6
  )
  assert fitted.score(pictures, ["jet", "cat"]) == 0.5


def test_classes_may_stand_in_the_constructor(pictures):
  estimator = S3Classifier(MODEL, WORDS)
  estimator.fit(pictures, ["jet", "jet"])
  assert estimator.classes_.tolist() == ["cat", "jet"]
  assert estimator.fit().predict(pictures).tolist() == ["jet", "jet"]
  with pytest.raises(ValueError, match="`y` must hold names of `classes`"):
    estimator.fit(pictures, ["jet", "dog"])
  copied = clone(estimator)
  assert copied.get_params() == estimator.get_params()
  copied.set_params(template="{}").fit()
  assert copied.space_.texts == estimator.space_.texts
  with pytest.raises(ValueError, match="requires y to be passed"):
    S3Classifier(MODEL).fit()


def test_names_of_a_target_are_the_classes(pictures):
  names = np.array(["n02123159", "jet", "jet"])
  estimator = S3Classifier(MODEL).fit([*pictures, "not looked at"], names)
  # WordNet's id is read, and stays the label that the target has.
  assert estimator.classes_.tolist() == ["jet", "n02123159"]
  assert estimator.space_.texts[1][0] == "tiger cat"
  assert estimator.predict(pictures).tolist() == ["jet", "jet"]
  with pytest.raises(ValueError, match=r"`y` must hold names .* got 0: give"):
    S3Classifier(MODEL).fit(pictures, [0, 1])


def test_a_fitted_one_can_be_kept(fitted, pictures):
  kept = pickle.dumps(fitted)
  assert len(kept) < 1e5, "the checkpoint's weights are in it"
  again = pickle.loads(kept)
  assert again.predict(pictures).tolist() == fitted.predict(pictures).tolist()
  assert not hasattr(pickle.loads(pickle.dumps(S3Classifier("no"))), "clip_")


def test_a_model_is_a_checkpoint():
  with pytest.raises(ValueError, match="`model` must be what .*, got 3"):
    S3Classifier(3).fit(["cat", "dog"])


def test_two_classes_of_one_name_are_refused(tmp_path):
  path = tmp_path / "names.txt"
  path.write_text("crane\ncat\ncrane\n", "utf-8")
  with pytest.raises(ValueError, match="different names, got 'crane' twice"):
    S3Classifier(MODEL, path).fit()


@pytest.fixture(scope="module")
def embedded():
  """Texts and images of three classes around axes of 16 dimensions."""
  generator = np.random.default_rng(0)
  labels = np.repeat(["a", "b", "c"], 20)
  axes = np.repeat(np.eye(3, 16), 20, axis=0)
  return axes + generator.normal(0, 0.2, axes.shape), labels


def test_embeddings_of_another_encoder(embedded):
  points, labels = embedded
  estimator = S3Classifier(logit_scale=SCALE)
  estimator.fit(points[::4], labels[::4])  # embedded texts, and whose they are
  assert estimator.n_features_in_ == 16
  assert estimator.score(points, labels) > 0.95
  by_class = {name: points[::4][labels[::4] == name] for name in "cab"}
  same = S3Classifier(classes=by_class, logit_scale=SCALE).fit()
  np.testing.assert_allclose(
    same.predict_proba(points), estimator.predict_proba(points), atol=1e-6
  )
  with pytest.raises(ValueError, match="requires y to be passed"):
    estimator.fit(points)
  with pytest.raises(ValueError, match="`logit_scale` must be given"):
    S3Classifier().fit(points, labels)
  with pytest.raises(ValueError, match="15 features, but S3Classifier is ex"):
    same.predict(points[:, 1:])


def test_scikit_learns_tools_take_it(embedded):
  points, labels = embedded
  estimator = S3Classifier(logit_scale=0.0)
  assert cross_val_score(estimator, points, labels, cv=3).min() > 0.9
  search = GridSearchCV(
    estimator, {"logit_scale": [0.0, SCALE]}, scoring="neg_log_loss", cv=2
  )
  search.fit(points, labels)
  assert search.best_params_ == {"logit_scale": SCALE}
  # The scorer takes the columns for those of the sorted names.
  shares = search.predict_proba(points)
  own = [shares[row, "abc".index(name)] for row, name in enumerate(labels)]
  loss = log_loss(labels, shares.astype(np.float64))
  assert loss == pytest.approx(-np.log(own).mean(), rel=1e-4)


def test_without_scikit_learn_one_line_says_what_to_install(repository):
  script = (
    "import sys; sys.modules['sklearn'] = None\n"
    "try:\n  import s3_jax.integrations.sklearn\n"
    "except ImportError as error:\n  print(error)\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", script],
    cwd=repository,
    capture_output=True,
    text=True,
    check=True,
    timeout=120,
  )
  assert done.stdout == (
    "`s3_jax.integrations.sklearn` needs scikit-learn 1.6 or newer: pip install"
    ' "scikit-learn>=1.6"\n'
  )
