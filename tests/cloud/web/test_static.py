"""Static files: those of the pages' folder, kept by browsers as long as they are the same."""

from __future__ import annotations

from pathlib import Path

import azure.functions as func
import pytest

from cloud.web.problems import NotFound
from cloud.web.static import static, static_address


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    made = tmp_path / "static"
    made.mkdir()
    (made / "app.css").write_text("a{}")
    (made / "page.js").write_text("1")
    (made / "notes.py").write_text("secret")
    (tmp_path / "outside.css").write_text("secret")
    monkeypatch.setattr("cloud.web.static.FOLDER", made)
    return made


def asked(address: str, **headers: str) -> func.HttpResponse:
    path, _, query = address.partition("?")
    params = dict(part.split("=") for part in query.split("&") if part)
    route = {"path": path.removeprefix("static/")}
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return static(
        func.HttpRequest("GET", f"http://h/api/{address}", headers=sent, params=params, route_params=route, body=b"")
    )


def test_a_file_at_its_address_is_kept_for_good_and_another_content_has_another_address(folder: Path) -> None:
    address = static_address("app.css")
    answer = asked(address)
    assert (answer.get_body(), answer.headers["Content-Type"]) == (b"a{}", "text/css; charset=utf-8")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert asked("static/app.css").headers["Cache-Control"] == "no-cache"
    assert asked(address, If_None_Match=answer.headers["ETag"]).status_code == 304
    (folder / "app.css").write_text("b{} ")
    assert static_address("app.css") != address
    assert (asked(address).get_body(), asked(address).headers["Cache-Control"]) == (b"b{} ", "no-cache")
    assert asked("static/page.js").headers["Content-Type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    ["", "notes.py", "../outside.css", "..%2Foutside.css", "./app.css", "app.css/", "APP.CSS", "\0", "/etc/passwd"],
)
def test_there_are_no_other_files(folder: Path, path: str) -> None:
    with pytest.raises(NotFound, match="the pages have no file"):
        asked(f"static/{path}")
