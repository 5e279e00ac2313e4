"""Tracking by detection, Kalman filters, assignment and optical flow: arrays in, arrays out."""
