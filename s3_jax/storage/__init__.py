"""Arrays on disk: the cache, its shards, and files of embeddings."""

from s3_jax.storage.embedding_files import (
  ImageEmbeddings,
  TextEmbeddings,
  read_image_embeddings,
  read_text_embeddings,
)
from s3_jax.storage.embedding_writing import (
  write_image_embeddings,
  write_text_embeddings,
)
from s3_jax.storage.text_tables import TextTable, pad_texts

__all__ = [
  "ImageEmbeddings",
  "TextEmbeddings",
  "TextTable",
  "pad_texts",
  "read_image_embeddings",
  "read_text_embeddings",
  "write_image_embeddings",
  "write_text_embeddings",
]
