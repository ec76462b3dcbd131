"""Runs one experiment: `python main.py --config=configs/demo.py`."""

from s3_jax.__main__ import run_main

if __name__ == "__main__":
  run_main()
