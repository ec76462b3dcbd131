"""Runs one experiment: `python main.py --config=configs/demo.py`.

`python main.py --help` lists the tasks; after an installation `s3-jax` does.
"""

if __name__ == "__main__":
  import signal

  # The imports take a second, in which an interrupt just ends the process.
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

  from absl import flags

  import s3_jax.__main__ as program

  flags.adopt_module_key_flags(program)  # `--help` lists them
  program.run_main(default="demo")
