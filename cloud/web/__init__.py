"""The bodies of the HTTP functions."""
