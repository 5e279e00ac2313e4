"""The picture or video of a result's page, and what its script is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloud.storage.paths import output_path
from cloud.uploads.publish import result_path
from cloud.web.pages import services
from cloud.web.pages.lanes import ZONE_WORDS, Lane, lanes_of
from cloud.web.pages.map_colours import map_colours
from cloud.web.pages.render import Frame
from cloud.web.pages.shapes import Shape, hexadecimal, is_too_small, plate_at
from cloud.web.pages.tiles import aspect_class
from cloud.web.signing import Kind
from inference.draw.colours import colour, ink, track_colour
from inference.draw.keypoints import shade
from inference.results.skeletons import Skeleton
from inference.results.summary import labels_of

Row = Mapping[str, Any]
# What browsers play, as far as its codec is known to them.
SHOWN_VIDEOS = ("video/mp4", "video/webm", "video/quicktime")
_DRAWN = ("annotated.jpg", "annotated.png")
# A plate is laid out for a picture that is shown so large; a script then knows.
_SHOWN_SIDE = 900


@dataclass(frozen=True)
class Plate:
    """A name at a box."""

    x: float
    y: float
    small: bool


@dataclass(frozen=True)
class MediaView:
    """What is shown. kind: picture, compare, video or none. drawn: the overlay is in the picture itself, which hides
    something or cannot be shown otherwise. data: for the script."""

    kind: str
    address: str = ""
    after: str = ""
    poster: str = ""
    width: int = 0
    height: int = 0
    drawn: bool = False
    hidden: bool = False
    scale: float = 1.0
    plates: Sequence[Plate] = ()
    lanes: Sequence[Lane] = ()
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def aspect(self) -> str:
        """The class of its aspect, by which a phone knows its height before it is there."""
        return aspect_class(self.width or 4, self.height or 3)


def media_view(document: Row, shapes: Sequence[Shape], frame: Frame, name: str, hidden: bool) -> MediaView:
    """The media of a result. hidden: the original is not shown, whatever it is."""
    addresses = _Addresses(document, frame, name)
    source = document["source"]
    size = int(source.get("width") or 0), int(source.get("height") or 0)
    if source.get("duration_s") is not None or "tracks" in document:
        return _video(document, addresses, size, hidden)
    made = _made(document)
    if hidden or not all(size):
        address = addresses.artifact("annotated") or (made and addresses.artifact(made)) or ""
        return MediaView("picture" if address else "none", address, "", "", *size, drawn=True, hidden=hidden)
    original = addresses.picture()
    if made:
        return MediaView("compare", original, addresses.artifact(made), "", *size)
    scale = max(max(size) / _SHOWN_SIDE, 0.2)
    plates = [Plate(*plate_at(shape, scale), is_too_small(shape, scale)) for shape in shapes]
    return MediaView(
        "picture",
        original,
        "",
        "",
        *size,
        scale=round(scale, 3),
        plates=plates,
        data=_picture_data(document, addresses),
    )


def artifacts_of(document: Row) -> Mapping[str, str]:
    """The files beside a document, by their short names."""
    files = document.get("artifacts")
    return files if isinstance(files, Mapping) else {}


class _Addresses:
    """Where the files of an upload are to be had from its page."""

    def __init__(self, document: Row, frame: Frame, name: str) -> None:
        self._document, self._frame, self._name = document, frame, name

    def artifact(self, kind: str) -> str:
        path = artifacts_of(self._document).get(kind)
        return self.file(path) if path else ""

    def file(self, path: str) -> str:
        address = services.media_address("results", f"{output_path(self._name)}/{path}")
        return self._frame.media(address)

    def document(self) -> str:
        return self._frame.media(services.media_address("results", result_path(self._name)))

    def picture(self) -> str:
        """The original, or what the app makes of it where it is of a kind, or a size, that no browser gets."""
        return self._upload("view")

    def original(self) -> str:
        return self._upload("uploads")

    def _upload(self, kind: Kind) -> str:
        version = str(self._document["source"]["etag"])  # so that browsers keep it
        return self._frame.media(services.media_address(kind, self._name, version=version))


def _made(document: Row) -> str:
    """The artifact that an image-to-image step made, "" where none did or others found something, too."""
    tasks = {step.get("task") for step in document["steps"]}
    if not tasks or not tasks <= {"image-to-image", "depth-estimation"}:
        return ""
    last = document["steps"][-1]["name"]
    others = (kind for kind, path in artifacts_of(document).items() if path.split("/")[-1] not in _DRAWN)
    return last if last in artifacts_of(document) else next(others, "")


def _picture_data(document: Row, addresses: _Addresses) -> dict[str, Any]:
    """What a script needs of the document beyond what the page says: masks and maps."""
    maps = [
        {
            "address": addresses.file(step["map"]),
            "colours": map_colours(step),
        }
        for step in document["steps"]
        if "map" in step
    ]
    masks = any("mask_rle" in item for step in document["steps"] for item in step["predictions"])
    return {"document": addresses.document() if masks else "", "maps": maps}


def _video(document: Row, addresses: _Addresses, size: tuple[int, int], hidden: bool) -> MediaView:
    playable = str(document["source"].get("media_type") or "") in SHOWN_VIDEOS
    annotated, poster = addresses.artifact("annotated"), addresses.artifact("poster")
    drawn = hidden or not playable
    address = annotated if drawn else addresses.original()
    shown = "video" if address else "none"
    data = _video_data(document, addresses, annotated, drawn)
    return MediaView(
        # A poster has drawings on it, over which the overlay would be drawn again.
        shown,
        address,
        "",
        poster if drawn else "",
        *size,
        drawn=drawn,
        hidden=hidden,
        lanes=lanes_of(document),
        data=data,
    )


def _video_data(document: Row, addresses: _Addresses, annotated: str, drawn: bool) -> dict[str, Any]:
    tracks = document.get("tracks") or []
    labels = {str(track["label"]) for track in tracks} | set(labels_of(document).objects)
    for step in document["steps"]:
        if len(names := services.labels_of(str((step.get("model") or {}).get("name", "")))) <= 100:
            labels |= set(names)
    shades = {label: colour(label) for label in sorted(labels)}
    return {
        "frames": "" if drawn else addresses.artifact("frames"),
        "instead": annotated if not drawn else "",
        "size": [document["source"].get("width"), document["source"].get("height")],
        "length": document["source"].get("duration_s"),
        "labels": {label: [hexadecimal(tint), hexadecimal(ink(tint))] for label, tint in shades.items()},
        "tracks": [_track(track) for track in tracks],
        "thresholds": {step["name"]: step.get("threshold") or 0 for step in document["steps"]},
        "skeletons": {
            step["name"]: _drawn_skeleton(step["skeleton"]) for step in document["steps"] if step.get("skeleton")
        },
        "events": [
            [item.get("t_s", item["start_s"]), item["zone"], item["kind"], item.get("direction", "")]
            for item in document.get("timeline") or ()
            if "zone" in item
        ],
        "spans": [
            [item["start_s"], item["end_s"], item.get("label", "")]
            for item in document.get("timeline") or ()
            if item["kind"] in ("scene", "action")
        ],
        "words": ZONE_WORDS,
        "posters": [addresses.file(path) for path in document.get("thumbnails") or ()],
    }  # fmt: skip


def _track(track: Row) -> list[Any]:
    """A track with its colour, and that of words on it."""
    tint = track_colour(str(track["label"]), track["id"])
    return [track["id"], track["label"], track["start_s"], track["end_s"], hexadecimal(tint), hexadecimal(ink(tint))]


def _drawn_skeleton(said: Row) -> dict[str, Any]:
    skeleton = Skeleton(tuple(said["points"]), ())
    return {
        "edges": said["edges"],
        "colours": [hexadecimal(shade(skeleton, place)) for place in range(len(said["points"]))],
    }
