"""The release, which every result document names."""

VERSION = "0.1.0"
