"""Models: located, downloaded, loaded once, and run."""
