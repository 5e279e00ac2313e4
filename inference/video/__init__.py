"""Video: read, track, count, recognise, draw, write. Frames stream through; no clip is ever held whole.

`read` decodes with true timestamps, `pipeline` overlaps the stages, `track` joins detections over time,
`zones`, `actions` and `follow` tell what happens, `write` and `join` make files that browsers play,
`analyze` is the story of one clip.
"""
