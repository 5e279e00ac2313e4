"""What a draft says of the colours, made to fit the channels that the picture input has."""

from __future__ import annotations

from dataclasses import replace

from inference.errors import BadManifest
from inference.recognize._export import Draft, Export

_COLOURS = (1, 3)


def with_channels(export: Export, draft: Draft) -> Draft:
    """The draft, in grey where the input has one channel. Raises BadManifest where it has neither 1 nor 3.

    Families state the colours of their own models; somebody who trained on grey pictures changed only the input.
    """
    how = draft.table.get("preprocess", {})
    if how.get("layout"):
        return draft
    refuse_unfit(export)
    if _channels(export.picture.shape) != 1 or how.get("color_order") in ("gray", "y"):
        return draft
    assumed = draft.assumed
    if how.get("do_normalize") and any(len(set(how.get(key, ()))) > 1 for key in ("image_mean", "image_std")):
        assumed += (
            "the input has 1 channel, but the mean and deviation have 3: those of the first are taken; say image_mean "
            "and image_std with one number in [preprocess] of model.toml",
        )
    table = {**draft.table, "preprocess": {**how, "color_order": "gray"}}
    return replace(draft, table=table, reasons=(*draft.reasons, "the input has 1 channel: grey"), assumed=assumed)


def refuse_unfit(export: Export) -> None:
    """Raises BadManifest where the picture input has neither 1 nor 3 channels."""
    channels = _channels(export.picture.shape)
    if channels not in (None, *_COLOURS):
        raise BadManifest(f"{export.file}: {unfit(channels or 0)}")


def takes_pictures(export: Export) -> bool:
    """Whether an input has a picture's, or a video's, axes and type."""
    return any(3 <= len(tensor.shape) <= 5 and tensor.dtype.kind in "iuf" for tensor in export.inputs)


def refuse_no_picture(export: Export) -> None:
    """Raises BadManifest where no input can take a picture: those of tables, text and sound have fewer axes."""
    if takes_pictures(export):
        return
    found = "; ".join(map(str, export.inputs)) or "there are none"
    raise BadManifest(
        f"{export.file}: no input takes a picture, which has 3 to 5 axes of numbers ({found[:300]}); models of tables, "
        "text or sound are not run here; of pictures in a row, or of another type: export it with a float32 input "
        "[N, 3, H, W]"
    )


def unfit(channels: int) -> str:
    """Why a model of so many channels is refused."""
    return (
        f"its input has {channels} channels (multispectral, or several pictures at once); pictures here have 1 or 3: "
        "train and export it with one of these"
    )


def _channels(shape: tuple[int | None, ...]) -> int | None:
    """Of a picture input with four axes, channels first or last; None where that axis is free, or not to be told."""
    if len(shape) != 4:
        return None
    first, last = shape[1], shape[3]
    for channels in (first, last):
        if channels in _COLOURS:
            return channels
    known = [n for n in (first, last) if n]
    return min(known) if first and known and min(known) <= 32 else None
