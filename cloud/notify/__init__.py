"""Tells other programs that a result was written, has failed or was cancelled."""
