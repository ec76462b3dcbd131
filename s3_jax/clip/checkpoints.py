"""The zoo: one row for each public checkpoint that can be loaded by name.

A row holds every setting that changes an embedding, so weights cannot meet the
activation, the pixel statistics or the tokens of another checkpoint. A bare row
such as `_VIT_B_32` is an architecture in the form of OpenAI's own files; what
differs from it is written beside the name.

References:
  OpenAI: github.com/openai/CLIP, clip/clip.py and clip/model.py. LAION,
  DataComp, MetaCLIP, DFN: github.com/mlfoundations/open_clip, src/open_clip:
  pretrained.py and model_configs. SigLIP: github.com/huggingface/transformers,
  models/siglip/convert_siglip_to_hf.py, and github.com/google-research/
  big_vision, configs/proj/image_text.
"""

from s3_jax.clip.zoo import SIGLIP, ModelSpec, Source

_HALVES = (0.5, 0.5, 0.5)

# Vision transformers, as OpenAI's .pt files have them.
_VIT_B_32 = ModelSpec(
  name="",
  image_size=224,
  patch_size=32,
  image_width=768,
  image_layers=12,
  image_heads=12,
  image_mlp_dim=3072,
  text_width=512,
  text_layers=12,
  text_heads=8,
  text_mlp_dim=2048,
  vocab_size=49408,
  context_length=77,
  embed_dim=512,
  activation="quick_gelu",
  layer_norm_eps=1e-5,
  image_mean=(0.48145466, 0.4578275, 0.40821073),
  image_std=(0.26862954, 0.26130258, 0.27577711),
  resize_size=224,
  crop_size=224,
  interpolation="bicubic",
  school="openai",
  start_token_id=49406,
  end_token_id=49407,
  pad_token_id=0,
)
_VIT_B_16 = _VIT_B_32._replace(patch_size=16)
_VIT_L_14 = _VIT_B_32._replace(
  patch_size=14,
  image_width=1024,
  image_layers=24,
  image_heads=16,
  image_mlp_dim=4096,
  text_width=768,
  text_heads=12,
  text_mlp_dim=3072,
  embed_dim=768,
)
_VIT_H_14 = _VIT_B_32._replace(
  patch_size=14,
  image_width=1280,
  image_layers=32,
  image_heads=16,
  image_mlp_dim=5120,
  text_width=1024,
  text_layers=24,
  text_heads=16,
  text_mlp_dim=4096,
  embed_dim=1024,
)
_VIT_G_14 = _VIT_H_14._replace(
  image_width=1408, image_layers=40, image_mlp_dim=6144
)


def _resnet(
  size: int, width: int, stages: tuple[int, ...], text_width: int, dim: int
) -> ModelSpec:
  """OpenAI's ResNets; heads of 64 channels, pooling over 32 times the stem."""
  return _VIT_B_32._replace(
    image_size=size,
    resize_size=size,
    crop_size=size,
    patch_size=32,
    image_width=width,
    image_layers=sum(stages),
    image_heads=width * 32 // 64,
    image_mlp_dim=0,
    text_width=text_width,
    text_heads=text_width // 64,
    text_mlp_dim=4 * text_width,
    embed_dim=dim,
    image_tower="resnet",
    image_stages=stages,
    image_pooling="attention",
    pre_norm=False,
    image_projection=False,
  )


# SigLIP's towers, as Google's Hugging Face repositories have them.
_SIGLIP_B_16 = _VIT_B_16._replace(
  text_width=768,
  text_heads=12,
  text_mlp_dim=3072,
  vocab_size=32000,
  context_length=64,
  embed_dim=768,
  activation="gelu_tanh",
  layer_norm_eps=1e-6,
  image_mean=_HALVES,
  image_std=_HALVES,
  school="transformers",
  start_token_id=None,
  end_token_id=1,
  pad_token_id=1,
  **SIGLIP,
  text_cleaning="canonical",
  resize_mode="squash",
)
_SIGLIP_L_16 = _SIGLIP_B_16._replace(
  image_width=1024,
  image_layers=24,
  image_heads=16,
  image_mlp_dim=4096,
  text_width=1024,
  text_layers=24,
  text_heads=16,
  text_mlp_dim=4096,
  embed_dim=1024,
)
_SIGLIP_SO_14 = _SIGLIP_B_16._replace(
  patch_size=14,
  image_width=1152,
  image_layers=27,
  image_heads=16,
  image_mlp_dim=4304,
  text_width=1152,
  text_layers=27,
  text_heads=16,
  text_mlp_dim=4304,
  embed_dim=1152,
)


def _second(spec: ModelSpec) -> ModelSpec:
  """SigLIP 2 beside SigLIP: Gemma's vocabulary, and another resize filter."""
  return spec._replace(
    vocab_size=256000,
    pad_token_id=0,
    text_cleaning="lower",
    interpolation="bilinear",
  )


_SIGLIP2_B_16 = _second(_SIGLIP_B_16)
_SIGLIP2_L_16 = _second(_SIGLIP_L_16)
_SIGLIP2_SO_14 = _second(_SIGLIP_SO_14)
_SIGLIP2_SO_16 = _SIGLIP2_SO_14._replace(patch_size=16)
# Its text tower is So400m's.
_SIGLIP2_G_16 = _SIGLIP2_SO_16._replace(
  image_width=1536, image_layers=40, image_mlp_dim=6144, embed_dim=1536
)


def _at(size: int, spec: ModelSpec) -> ModelSpec:
  """Sets another input size."""
  return spec._replace(image_size=size, resize_size=size, crop_size=size)


def _gelu(spec: ModelSpec) -> ModelSpec:
  return spec._replace(activation="gelu")


_OPENAI = "https://github.com/openai/CLIP/blob/main/clip/clip.py"
_OPENAI_FILES = "https://openaipublic.azureedge.net/clip/models"
_OPEN_CLIP = (
  "https://github.com/mlfoundations/open_clip/blob/main/src/open_clip/"
  "pretrained.py"
)


def _openai(name: str, sha256: str, spec: ModelSpec) -> ModelSpec:
  """A bare file of OpenAI, whose address holds its sha256."""
  file = name.replace("/", "-").replace("@", "-")
  source = Source(
    file=f"{_OPENAI_FILES}/{sha256}/{file}.pt",
    sha256=sha256,
    licence="MIT",
    reference=_OPENAI,
  )
  return spec._replace(name=f"openai/{name}", source=source)


def _hub(
  name: str, spec: ModelSpec, *, file: str = "model.safetensors", licence: str
) -> ModelSpec:
  """A Hugging Face repository in the layout of `transformers`."""
  spec = spec._replace(
    name=name,
    school="transformers",
    source=Source(
      repository=name,
      file=file,
      licence=licence,
      reference=f"https://huggingface.co/{name}",
    ),
  )
  if spec.tokenizer == "bpe":
    spec = spec._replace(pad_token_id=spec.end_token_id)
  return spec


def _open_clip(
  name: str,
  spec: ModelSpec,
  *,
  file: str = "open_clip_pytorch_model.bin",
  licence: str,
) -> ModelSpec:
  """A Hugging Face repository whose file is open_clip's."""
  source = Source(
    repository=name, file=file, licence=licence, reference=_OPEN_CLIP
  )
  return spec._replace(name=name, source=source)


def _google(name: str, spec: ModelSpec) -> ModelSpec:
  return _hub(f"google/{name}", spec, licence="apache-2.0")


def _meta(name: str, spec: ModelSpec) -> ModelSpec:
  file, licence = "pytorch_model.bin", "cc-by-nc-4.0"
  return _hub(f"facebook/metaclip-{name}", spec, file=file, licence=licence)


def _apple(name: str, spec: ModelSpec) -> ModelSpec:
  return _open_clip(f"apple/{name}", spec, licence="apple-sample-code-license")


def _laion(name: str, spec: ModelSpec, **options: str) -> ModelSpec:
  return _open_clip(f"laion/CLIP-{name}", spec, licence="mit", **options)


_BIN = "pytorch_model.bin"
_SAFE = "open_clip_model.safetensors"
_DFN_H = _VIT_H_14._replace(resize_mode="squash")

_ROWS = (
  # OpenAI, as its Hugging Face repositories have them; they name no licence.
  _hub("openai/clip-vit-base-patch32", _VIT_B_32, file=_BIN, licence=""),
  _hub("openai/clip-vit-base-patch16", _VIT_B_16, file=_BIN, licence=""),
  _hub("openai/clip-vit-large-patch14", _VIT_L_14, licence=""),
  _hub(
    "openai/clip-vit-large-patch14-336",
    _at(336, _VIT_L_14),
    file=_BIN,
    licence="",
  ),
  # The same and its ResNets, as OpenAI's own files.
  _openai(
    "ViT-B/32",
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    _VIT_B_32,
  ),
  _openai(
    "ViT-B/16",
    "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
    _VIT_B_16,
  ),
  _openai(
    "ViT-L/14",
    "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
    _VIT_L_14,
  ),
  _openai(
    "ViT-L/14@336px",
    "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
    _at(336, _VIT_L_14),
  ),
  _openai(
    "RN50",
    "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
    _resnet(224, 64, (3, 4, 6, 3), 512, 1024),
  ),
  _openai(
    "RN101",
    "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599",
    _resnet(224, 64, (3, 4, 23, 3), 512, 512),
  ),
  _openai(
    "RN50x4",
    "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd",
    _resnet(288, 80, (4, 6, 10, 6), 640, 640),
  ),
  _openai(
    "RN50x16",
    "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa",
    _resnet(384, 96, (6, 8, 18, 8), 768, 768),
  ),
  _openai(
    "RN50x64",
    "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c",
    _resnet(448, 128, (3, 15, 36, 10), 1024, 1024),
  ),
  # LAION-2B and DataComp-XL, trained with open_clip and with the exact GELU.
  _laion("ViT-B-32-laion2B-s34B-b79K", _gelu(_VIT_B_32), file=_SAFE),
  _laion("ViT-B-16-laion2B-s34B-b88K", _gelu(_VIT_B_16)),
  # The only one of them with other pixel statistics.
  _laion(
    "ViT-L-14-laion2B-s32B-b82K",
    _gelu(_VIT_L_14)._replace(image_mean=_HALVES, image_std=_HALVES),
  ),
  _laion("ViT-H-14-laion2B-s32B-b79K", _gelu(_VIT_H_14), file=_SAFE),
  _laion("ViT-g-14-laion2B-s12B-b42K", _gelu(_VIT_G_14)),
  _laion("ViT-g-14-laion2B-s34B-b88K", _gelu(_VIT_G_14)),
  _laion("ViT-B-32-DataComp.XL-s13B-b90K", _gelu(_VIT_B_32)),
  _laion("ViT-B-16-DataComp.XL-s13B-b90K", _gelu(_VIT_B_16)),
  _laion("ViT-L-14-DataComp.XL-s13B-b90K", _gelu(_VIT_L_14)),
  # MetaCLIP.
  _meta("b32-400m", _VIT_B_32),
  _meta("b32-fullcc2.5b", _VIT_B_32),
  _meta("b16-400m", _VIT_B_16),
  _meta("b16-fullcc2.5b", _VIT_B_16),
  _meta("l14-400m", _VIT_L_14),
  _meta("l14-fullcc2.5b", _VIT_L_14),
  _meta("h14-fullcc2.5b", _VIT_H_14),
  # Data filtering networks.
  _apple("DFN2B-CLIP-ViT-B-16", _VIT_B_16),
  _apple("DFN2B-CLIP-ViT-L-14", _VIT_L_14),
  _apple("DFN2B-CLIP-ViT-L-14-39B", _gelu(_VIT_L_14)),
  _apple("DFN5B-CLIP-ViT-H-14", _DFN_H),
  _apple("DFN5B-CLIP-ViT-H-14-378", _at(378, _DFN_H)),
  # SigLIP.
  _google("siglip-base-patch16-224", _SIGLIP_B_16),
  _google("siglip-base-patch16-256", _at(256, _SIGLIP_B_16)),
  _google("siglip-base-patch16-384", _at(384, _SIGLIP_B_16)),
  _google("siglip-base-patch16-512", _at(512, _SIGLIP_B_16)),
  _google("siglip-large-patch16-256", _at(256, _SIGLIP_L_16)),
  _google("siglip-large-patch16-384", _at(384, _SIGLIP_L_16)),
  # Trained on short texts, the only one.
  _google(
    "siglip-so400m-patch14-224", _SIGLIP_SO_14._replace(context_length=16)
  ),
  _google("siglip-so400m-patch14-384", _at(384, _SIGLIP_SO_14)),
  # SigLIP 2, the checkpoints of one resolution.
  _google(
    "siglip2-base-patch32-256",
    _at(256, _SIGLIP2_B_16)._replace(patch_size=32),
  ),
  _google("siglip2-base-patch16-224", _SIGLIP2_B_16),
  _google("siglip2-base-patch16-256", _at(256, _SIGLIP2_B_16)),
  _google("siglip2-base-patch16-384", _at(384, _SIGLIP2_B_16)),
  _google("siglip2-base-patch16-512", _at(512, _SIGLIP2_B_16)),
  _google("siglip2-large-patch16-256", _at(256, _SIGLIP2_L_16)),
  _google("siglip2-large-patch16-384", _at(384, _SIGLIP2_L_16)),
  _google("siglip2-large-patch16-512", _at(512, _SIGLIP2_L_16)),
  _google("siglip2-so400m-patch14-224", _SIGLIP2_SO_14),
  _google("siglip2-so400m-patch14-384", _at(384, _SIGLIP2_SO_14)),
  _google("siglip2-so400m-patch16-256", _at(256, _SIGLIP2_SO_16)),
  _google("siglip2-so400m-patch16-384", _at(384, _SIGLIP2_SO_16)),
  _google("siglip2-so400m-patch16-512", _at(512, _SIGLIP2_SO_16)),
  _google("siglip2-giant-opt-patch16-256", _at(256, _SIGLIP2_G_16)),
  _google("siglip2-giant-opt-patch16-384", _at(384, _SIGLIP2_G_16)),
)

ZOO: dict[str, ModelSpec] = {spec.name: spec for spec in _ROWS}
"""Public checkpoints by the name that `load_clip` takes."""
