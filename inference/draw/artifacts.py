"""The files that belong to a picture's result: the annotated picture, masks, maps, vectors, output images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image as Pillow

from inference.draw import annotate
from inference.draw.labels import named
from inference.draw.privacy import Redaction
from inference.draw.scaling import sized
from inference.draw.xmp import packet, png_text
from inference.image.media import Picture
from inference.predictions import Classes, Embedding, Ints, LabelMap, Objects, Origin, OutputImage, Predictions
from inference.results.file_names import file_name
from inference.results.result import StepResult
from inference.results.summary import LEAST_GUESS
from inference.routes import MOST_JPEG_SIDE, QUALITY, Draw


def image_artifacts(
    picture: Picture, steps: Sequence[StepResult], draw: Draw
) -> tuple[dict[str, bytes], dict[tuple[str, int], str]]:
    """(files by relative name, name of the file of (step, prediction); prediction -1: of the step itself)."""
    files: dict[str, bytes] = {}
    names: dict[tuple[str, int], str] = {}
    drawn: list[tuple[str, Predictions]]
    drawn = [(s.name, _as_drawn(s)) for s in steps if not isinstance(s.predictions, OutputImage | Embedding)]
    if draw.compare:
        drawn = drawn or [(s.name, s.predictions) for s in steps if isinstance(s.predictions, OutputImage)]
    if drawn and draw.annotated:
        # Before and after has a size of its own, and its pictures are scaled once.
        longest = None if draw.compare and isinstance(drawn[0][1], OutputImage) else draw.longest_side
        canvas, shown = sized(picture.full(), drawn, longest)
        files["annotated.jpg"] = jpeg(annotate(canvas, shown, draw), _origin(drawn), draw.quality)
    redaction = Redaction([(s.name, s.predictions) for s in steps], draw.blur, picture.size)
    for step in steps:
        published = replace(step, predictions=redaction.predictions(step.predictions))
        _step_files(published, files, names, draw.quality)
    return files, names


def _as_drawn(step: StepResult) -> Predictions:
    """What the annotated picture shows of a step: a name that is only a guess has a question mark, if worth a word."""
    predictions, limit = step.predictions, step.model.threshold
    if not isinstance(predictions, Classes):
        return predictions
    labels = map(named, predictions.names, predictions.label_ids.tolist())
    rows = [*zip(labels, predictions.scores.tolist(), strict=True)]
    keep = np.asarray([score >= min(limit, LEAST_GUESS) for _, score in rows], bool)
    names = tuple(
        name if score >= limit else f"{name}?" for (name, score), kept in zip(rows, keep, strict=True) if kept
    )
    return replace(predictions, label_ids=predictions.label_ids[keep], scores=predictions.scores[keep], names=names)


def _origin(drawn: Sequence[tuple[str, Predictions]]) -> Origin | None:
    """Of a picture before and after: what made the second half, a trained model's origin first. None for drawings."""
    origins = [p.origin for _, p in drawn if isinstance(p, OutputImage) and p.origin]
    return min(origins, key=lambda origin: origin.source_type == "algorithmicallyEnhanced", default=None)


def _step_files(step: StepResult, files: dict[str, bytes], names: dict[tuple[str, int], str], quality: float) -> None:
    predictions, name = step.predictions, file_name(step.name)
    if isinstance(predictions, OutputImage):
        alpha = predictions.pixels.shape[2] == 4
        image, origin = Pillow.fromarray(predictions.pixels), predictions.origin
        files[f"{name}.png" if alpha else f"{name}.jpg"] = png(image, origin) if alpha else jpeg(image, origin, quality)
    elif isinstance(predictions, Embedding):
        buffer = io.BytesIO()
        np.save(buffer, predictions.vector.astype(np.float32))
        names[step.name, -1] = f"{name}.npy"
        files[f"{name}.npy"] = buffer.getvalue()
    elif isinstance(predictions, LabelMap):
        names[step.name, -1] = f"{name}.png"
        files[f"{name}.png"] = png(Pillow.fromarray(_narrow(predictions.ids)))
    elif isinstance(predictions, Objects) and predictions.masks is not None:
        for i in range(len(predictions)):
            names[step.name, i] = f"masks/{name}-{i}.png"
            files[f"masks/{name}-{i}.png"] = png(Pillow.fromarray(predictions.masks.full(i)))


def _narrow(ids: Ints) -> Ints:
    """Label ids as a grey PNG holds them: 8 bits where they suffice, else 16."""
    return ids.astype(np.uint8 if ids.max(initial=0) < 256 else np.uint16)


def jpeg(image: Pillow.Image, origin: Origin | None = None, quality: float = QUALITY) -> bytes:
    """The image as a JPEG file, scaled down where that cannot hold it; origin: what its XMP says of how it came about,
    None leaves it without. quality: 1..95."""
    if max(image.size) > MOST_JPEG_SIDE:
        image = image.copy()
        image.thumbnail((MOST_JPEG_SIDE, MOST_JPEG_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(quality), xmp=packet(origin) if origin else None)
    return buffer.getvalue()


def png(image: Pillow.Image, origin: Origin | None = None) -> bytes:
    """The image as a PNG file, without loss; origin as for `jpeg`."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=png_text(origin) if origin else None)
    return buffer.getvalue()
