"""The release, which every result document names. pyproject.toml says the same."""

__version__ = "0.2.0"
