"""The commands of `python -m cloud`."""
