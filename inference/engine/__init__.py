"""Models: found, downloaded, loaded once, and run."""
