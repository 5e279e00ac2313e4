"""The commands of `python -m inference`, a module for every group of them; `run(options)` gives the exit status."""
