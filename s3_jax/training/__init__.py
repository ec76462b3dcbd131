"""Contrastive training of the embedded checkpoint."""

from s3_jax.training.loop import TrainingOptions, train_checkpoint

__all__ = ["TrainingOptions", "train_checkpoint"]
