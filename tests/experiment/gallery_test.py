"""The gallery draws every class, and some classes in every style."""

import pytest
from PIL import Image

from s3_jax import experiment


@pytest.mark.parametrize("world", ["emoji", "pictographs"])
def test_two_pictures_are_drawn(read_config, tmp_path, capsys, world):
  config = read_config("gallery", lexicon=world, labels=(3, 89))
  paths = experiment.run(config, str(tmp_path / "run"))
  assert [path.name for path in paths] == ["classes.png", "styles.png"]
  sizes = []
  for path in paths:
    with Image.open(path) as image:
      sizes.append(image.size)
      assert len(set(image.convert("L").tobytes())) > 50
  # Fifteen columns of classes or more, two of styles.
  assert sizes[0][0] > 3 * sizes[1][0]
  assert all(str(path) in capsys.readouterr().out for path in paths[:1])
