"""A result in the formats of other tools, made when it is asked for."""

from __future__ import annotations

import tempfile
from pathlib import Path

import azure.functions as func

from cloud.storage.paths import requested_path
from cloud.web.pages.render import HEADERS, Frame, page
from cloud.web.pages.result_page import EXPORTS, read_result
from inference.results.export_rows import Found
from inference.results.file_names import file_name
from inference.results.formats import write

_ENDS = {"csv": ("csv", "text/csv"), "coco": ("coco.json", "application/json"), "jsonl": ("jsonl", "application/jsonl")}


def export(_: func.HttpRequest, frame: Frame, rest: str) -> func.HttpResponse:
    """`rest`: format/name. A file to keep; a page that says why there is none."""
    form, _slash, asked = rest.partition("/")
    name = requested_path(asked)
    document = read_result(name) if name and form in EXPORTS else None
    if document is None or name is None:
        message = f"there is no result of {asked[:200]!r} as {form[:20]!r}; there are {', '.join(EXPORTS)}"
        return page("problem.html", frame, 404, title="Not here", message=message, retry="")
    end, mimetype = _ENDS[form]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, end)
        report = write([Found(document)], form, out)
        if not out.is_file():
            message = "; ".join(report.notes) or f"this result has nothing that {form} could hold"
            return page("problem.html", frame, 404, title="Nothing to export", message=message, retry="")
        body = out.read_bytes()
    plain = file_name(name.rpartition("/")[2]).encode("ascii", "replace").decode().replace('"', "_").replace("?", "_")
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{plain}.{end}"'}
    return func.HttpResponse(body, mimetype=mimetype, headers=headers)
