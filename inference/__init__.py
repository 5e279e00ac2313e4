"""The engine: bytes in, predictions out. Knows nothing of Azure."""

__version__ = "0.1.0"
