"""One file per starter model."""
