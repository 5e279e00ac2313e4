"""Video: read, track, count, recognise, draw, write. Frames stream through; no clip is ever held whole.

`read` decodes with true timestamps, `overlap` runs the stages at the same time, `tracks` joins detections over time,
`zones`, `actions` and `follow` say what happens, `aggregate` puts it together, `write` and `join` make files that
browsers play. `run` analyses a clip in a single piece, `split` and `join` in parts; both feed `aggregate`.
"""
