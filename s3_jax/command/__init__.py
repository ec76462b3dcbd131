"""The command line: `s3-jax`, `python -m s3_jax` and `main.py`.

Words of a person become absl's flags: a task's name its config, plain words and
`--field=value` its fields. What the flags mean is `experiment`'s business.
"""
