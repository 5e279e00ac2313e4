"""Containers, blobs and paths: the only code that calls the storage SDK for blobs."""
