"""The fields that the configs of all benchmarks share."""

import ml_collections

_METRICS = (
  "nearest_point",
  "mean_similarity",
  "center",
  "local_center",
  "soft_local_center",
  "star_center",
  "simplex_center",
  "subspace",
  "affine_hull",
  "convex_hull",
  "complex",
)


def benchmark_config(dataset: str) -> ml_collections.ConfigDict:
  """Returns a benchmark run on one data set, not yet locked."""
  config = ml_collections.ConfigDict()
  config.task = "benchmark"
  config.model = "openai/clip-vit-base-patch16"
  config.model_spec = ""  # a name of the zoo, for a bare file
  config.tokenizer = ""  # default: the file beside the weights
  config.dataset = dataset
  config.data_dir = "data"  # docs/DATASETS.md shows what may lie there
  config.layout = "auto"  # or the one reader to try
  config.lexicon = ""  # a table in place of the data set's own
  config.partial = False  # True: another number of images is accepted
  config.strict = False  # True: a bad image makes the run fail at its end
  config.methods = (
    "class_name",
    "dataset_template",
    "templates_7",
    "templates_80",
    "descriptors",
    "synonyms_mean",
    "synonyms_nearest",
    "s3",
    "s3_descriptors",
  )
  config.baseline = "class_name"
  config.templates = ()  # of the vertices; default: the data set's template
  config.cupl_file = ""  # your files, for the methods cupl, dclip and waffle
  config.dclip_file = ""
  config.waffle_file = ""  # default: nonsense drawn by seed
  config.metric = "soft_local_center"  # of s3 and s3_descriptors
  config.neighbors = 4
  config.scale = "two_witnesses"  # or "gap", a distance, or None
  config.keep = "largest"
  config.min_fraction = 0.5
  config.min_gap = 0.05
  config.dtype = "float32"  # of the towers' matrix products
  config.batch_size = 64
  config.max_pixels = 89_478_485  # of an image file, all frames together
  config.mesh = 0  # devices of each process that are used; 0 for all
  config.model_axis = 1  # of them share the classes; the rest share images
  config.cache_dir = ""  # default: the user's cache folder
  config.write_embeddings = False  # True: as files, docs/EMBEDDINGS.md
  config.compilation_cache_dir = ""  # keeps compiled programs; default: off
  config.seed = 0
  return config


def suite_config(datasets: tuple[str, ...]) -> ml_collections.ConfigDict:
  """Returns a benchmark run on many data sets, not yet locked."""
  config = benchmark_config(datasets[0])
  del config["dataset"]
  config.datasets = datasets
  return config


def test_time_config(datasets: tuple[str, ...]) -> ml_collections.ConfigDict:
  """Returns a run of the methods that adapt to each image, not yet locked."""
  config = suite_config(datasets)
  config.methods = (
    "class_name",
    "templates_descriptors",
    "s3",
    "view_average",
    "mta",
    "tps",
    "tps_synonyms",
    "s3_view_average",
    "ts3",
    "s3_anchored",
  )
  config.metric = "local_center"  # docs/EVIDENCE.md has no views
  config.views = 64  # of an image, itself included
  config.augmix = "auto"  # on the ten fine-grained sets alone
  config.view_seeds = (0,)  # each further seed gives further rows
  config.learning_rate = 5e-3
  config.weight_decay = 0.01
  config.steps = 1
  config.confident_fraction = 0.1  # of the views, those of lowest entropy
  config.shift = "per_class"  # or "shared", one shift of all spaces
  config.batch_size = 64  # views
  return config


def embeddings_config(kind: str) -> ml_collections.ConfigDict:
  """Returns a run on embeddings that lie in files, not yet locked."""
  if kind not in ("run", "sweep"):
    raise ValueError(
      f'the word behind the colon must be "run" or "sweep", got {kind!r}.'
    )
  config = ml_collections.ConfigDict()
  config.task = "embeddings" if kind == "run" else "embeddings_sweep"
  config.images = "images.npz"
  config.labels = ""  # their file, where the file of images has none
  config.texts = "texts.npz"
  config.classes = ""  # names, a file or a table; default: those of the texts
  config.template = "{}"  # that names of classes stand in, in `texts`
  config.forms = ()  # kinds of text to take; default: all
  config.logit_scale = 100.0  # of probabilities; CLIP's
  if kind == "sweep":
    config.metrics = _METRICS
    config.neighbors = (1, 2, 3, 4, 5, 6, 8)
    config.scales = (None, "gap", 0.6, 0.8, 1.0, 1.2)  # numbers are chordal
    config.min_gaps = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)  # of the gap rule
    return config
  config.strict = False  # True: a name without a vector makes the run fail
  config.methods = (
    "class_name",
    "random_synonym",
    "synonyms_mean",
    "synonyms_nearest",
    *_METRICS,
    "s3",
  )
  config.baseline = "class_name"
  shared = benchmark_config("own")
  for field in (
    "metric",
    "neighbors",
    "scale",
    "keep",
    "min_fraction",
    "min_gap",
    "mesh",
    "model_axis",
    "compilation_cache_dir",
    "seed",
  ):
    config[field] = shared[field]
  return config
