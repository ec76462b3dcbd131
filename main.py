"""Runs one experiment: `python main.py --config=configs/demo.py`."""

from absl import flags

import s3_jax.__main__ as program

if __name__ == "__main__":
  flags.adopt_module_key_flags(program)  # `--help` lists them
  program.run_main()
