"""An entry of the index, as lists of the API have it."""

from __future__ import annotations

from cloud.index.entry import Entry
from cloud.web.answers import UploadItemDoc
from cloud.web.shown import thumbnail_address


def item_of(entry: Entry) -> UploadItemDoc:
    """The entry as JSON says it."""
    failed = {"class": entry.error_class, "message": entry.message}
    return {
        "name": entry.name,
        "state": entry.state,
        "route": entry.route,
        "created": entry.created.isoformat(),
        "summary": {"objects": dict(entry.objects), "scene": dict(entry.scene)},
        "thumbnail": thumbnail_address(entry) or None,
        "etag": entry.etag,
        "media_type": entry.media_type,
        "width": entry.width,
        "height": entry.height,
        "duration_s": entry.duration_s,
        "error": failed if entry.error_class else None,  # type: ignore[typeddict-item]
        "message": entry.message,
        "share": entry.share,
        "job": entry.job or None,
    }
