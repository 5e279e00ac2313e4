"""The release, which every result document names."""

__version__ = "0.1.0"
