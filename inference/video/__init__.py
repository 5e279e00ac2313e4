"""Video: read, track, count, recognise, draw, write. Frames stream through; no clip is ever held whole.

`read` decodes with true timestamps, `pipeline` overlaps the stages, `track` joins detections over time,
`zones`, `actions` and `follow` say what happens, `aggregate` puts it together, `write` and `join` make files that
browsers play. `analyze` runs one clip in one piece, `prepare`, `parts` and `join` in parts; both feed `aggregate`.
"""
