"""The commands of `python -m inference` beside `analyze`: one module each, with `run(options) -> exit status`."""
