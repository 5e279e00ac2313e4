"""What all pages have in common: their policy, addresses, budgets, rights, forms."""

from __future__ import annotations

import re
from html import unescape

import azure.functions as func
import pytest

from cloud.settings import UPLOADS
from cloud.web.pages.gallery import gallery
from cloud.web.pages.render import POLICY, STATIC
from tests.web.documents import picture, result, step, street, thing
from tests.web.page_server import RIGHTS, App, Visitor, ask, links, listed, text

HOSTILE = "<script>alert(1)</script> \"'&amp; \u202e\u2067עברית\u2069"


def test_every_page_says_what_may_be_loaded_and_has_nothing_inline(app: App) -> None:
    app.add("a.jpg", street(), picture(), {})
    for path in ("", "result/a.jpg", "status", "nowhere"):
        answer = ask(path)
        assert answer.headers["Content-Security-Policy"] == POLICY
        page = text(answer)
        assert not re.search(r"\sstyle=|<style|\son\w+=|javascript:", page)
        scripts = re.findall(r"<script[^>]*>", page)
        assert all("src=" in script or 'type="application/json"' in script for script in scripts)


def test_a_hostile_name_and_label_are_text_everywhere(app: App) -> None:
    name = f"{HOSTILE}/{'long' * 60}.jpg"
    app.add(
        name, result([step("objects", "object-detection", [thing(0, HOSTILE, 0.9, (1, 1, 500, 400))])]), picture(), {}
    )
    app.fail(f"{HOSTILE}.txt", f"{HOSTILE}; expected another", HOSTILE)
    grid = text(ask())
    address = next(link for link in links(grid) if link.endswith("long.jpg"))
    page = ask(address.removeprefix("./"))
    assert page.status_code == 200
    failed = ask(next(link for link in links(grid) if "result/" in link and link.endswith(".txt")).removeprefix("./"))
    for shown in (grid, text(page), text(failed), text(ask("status")), text(ask(f"?label={HOSTILE[:8]}"))):
        assert "<script>alert" not in shown
    assert unescape(text(page)).count(HOSTILE) > 3


def test_addresses_are_relative_so_that_any_prefix_holds(app: App) -> None:
    app.add("deep/down/a b#c?.jpg", street(), picture(), {"annotated.jpg": picture()})
    for path in ("", "result/deep/down/a%20b%23c%3F.jpg", "status"):
        for link in links(text(ask(path))):
            assert not link.startswith("/") and "://" not in link
    page = text(ask("result/deep/down/a%20b%23c%3F.jpg"))
    assert "../../../../static/app.css?v=" in page and 'href="../../../"' in page
    assert any(link.startswith("../../../../media/uploads/deep/down/a%20b%23c%3F.jpg?") for link in links(page))


def test_a_host_that_keeps_escaped_slashes_gets_the_depth_that_its_browsers_see(app: App) -> None:
    app.add("a/b.jpg", street(), picture(), {})
    url = "http://localhost/api/gallery/result/a%2Fb.jpg"
    request = func.HttpRequest("GET", url, route_params={"path": "result/a/b.jpg"}, body=b"")
    page = text(gallery(request))
    assert "../../static/app.css" in page and "../../../static" not in page


def test_gallery_without_its_slash_leads_to_it(app: App) -> None:
    answer = gallery(func.HttpRequest("GET", "http://localhost/api/gallery", route_params={}, body=b""))
    assert (answer.status_code, answer.headers["Location"]) == (303, "gallery/")


def test_the_first_page_keeps_to_its_budgets(app: App) -> None:
    listed(app, 200)
    for path in ("", "?folder=street%2F&label=person", "?label=person&cursor=60"):
        size = len(ask(path).get_body())
        assert size < 40 * 1024, (path, size)
    assert (STATIC / "app.css").stat().st_size < 14 * 1024
    of_grid = ("grid.js", "keys.js", "times.js", "upload.js")
    of_result = ("result.js", "keys.js", "times.js", "choice.js", "picture.js", "masks.js", "video.js", "frames.js")
    assert {*of_grid, *of_result} == {file.name for file in STATIC.glob("*.js")}
    for files in (of_grid, of_result):
        assert sum((STATIC / file).stat().st_size for file in files) < 30 * 1024


def test_a_list_that_cannot_be_had_is_a_page_that_says_so(app: App) -> None:
    app.down = True
    answer = ask()
    assert answer.status_code == 503 and "did not answer within 5 s" in text(answer) and "Try again" in text(answer)
    app.add("a.jpg", street(), picture(), {})
    assert ask("result/a.jpg").status_code == 200  # only its neighbours are not known


def test_without_a_session_every_page_asks_for_a_key_and_leads_back(app: App) -> None:
    app.visitor = Visitor(frozenset(), False, True)
    for path in ("", "?label=dog", "result/a/b.jpg?state=done", "status"):
        answer = ask(path)
        assert answer.status_code == 401
        assert f'name="next" value="gallery/{path}"' in unescape(text(answer)) and 'type="password"' in text(answer)
    assert ask("delete/a.jpg", "POST").status_code == 401 and not app.calls
    assert "opens nothing here" in text(ask("?refused=1&next=gallery/status"))


def test_a_key_that_may_not_read_is_told_so(app: App) -> None:
    app.visitor = Visitor(frozenset(("contribute",)), True, True)
    answer = ask()
    assert answer.status_code == 401 and "of the function read" in text(answer)


def test_who_may_only_read_is_offered_nothing_else(app: App) -> None:
    app.visitor = Visitor(frozenset(("read",)), True, True)
    app.add("a.jpg", street(), picture(), {})
    app.fail("b.jpg", "broken", "CorruptMedia")
    for path in ("", "result/a.jpg", "result/b.jpg"):
        page = text(ask(path))
        assert "Try again" not in page and "Delete" not in page and 'id="upload"' not in page
        assert "Sign out" in page


def form(app: App, files: dict[str, bytes], folder: str = "") -> func.HttpResponse:
    edge = "edge"
    parts = [f'--{edge}\r\nContent-Disposition: form-data; name="folder"\r\n\r\n{folder}\r\n'.encode()]
    for name, content in files.items():
        said = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: image/jpeg'
        parts.append(f"--{edge}\r\n{said}\r\n\r\n".encode() + content + b"\r\n")
    body = b"".join([*parts, f"--{edge}--\r\n".encode()])
    return ask("upload", "POST", body, Content_Type=f"multipart/form-data; boundary={edge}")


def test_without_scripts_a_form_uploads(app: App) -> None:
    answer = form(app, {"a.jpg": b"1", "b.jpg": b"22"}, "street/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "./")
    assert app.calls == [("PUT", "v1/uploads/street/a.jpg", b"1"), ("PUT", "v1/uploads/street/b.jpg", b"22")]
    refused = form(app, {"c.jpg": b"x" * (app.limit + 1)})
    assert refused.status_code == 413 and "the body has 1,048,577 bytes" in text(refused)
    assert form(app, {}).status_code == 400


def test_without_scripts_forms_try_again_and_delete(app: App) -> None:
    app.fail("a/b.jpg", "broken", "CorruptMedia")
    answer = ask("replay/a/b.jpg?state=failed", "POST")
    assert (answer.status_code, answer.headers["Location"]) == (303, "../../?state=failed")
    assert app.calls.pop() == ("POST", "operate/replays", b'{"names": ["a/b.jpg"], "all": true}')
    assert ask("replay/a", "POST").status_code == 404 and not app.calls  # it would take all that begin so
    answer = ask("delete/a/b.jpg?state=failed", "POST")
    assert (answer.status_code, answer.headers["Location"]) == (303, "../../?state=failed")
    assert app.calls == [("DELETE", "v1/uploads/a/b.jpg", b"")]


def test_a_change_from_another_site_is_refused(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    from inference.errors import BadRequest

    def refuse(_: object) -> None:
        raise BadRequest("this was sent by another site")

    monkeypatch.setattr("cloud.web.pages.services.check_origin", refuse)
    app.storage.write(UPLOADS, "a.jpg", b"?")
    for path in ("delete/a.jpg", "replay/a.jpg", "upload"):
        assert "sent by another site" in text(ask(path, "POST"))
    with pytest.raises(BadRequest):
        ask("v1/uploads/a.jpg", "PUT", b"1")
    assert not app.calls


def test_the_api_lies_below_the_pages_with_the_rights_of_the_session(app: App) -> None:
    app.visitor = Visitor(RIGHTS, True, True)
    assert ask("v1/uploads/a.jpg", "PUT", b"1").status_code == 201
    assert app.calls == [("PUT", "v1/uploads/a.jpg", b"1")]
