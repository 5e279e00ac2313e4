"""Media: at addresses that are signed for minutes, by ranges, as types that no browser runs, nothing that is hidden."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from PIL import Image

from cloud.index.entry import Entry
from cloud.storage.containers import Storage
from cloud.web import signing
from cloud.web.shown import thumbnail_address
from cloud.web.signing import KINDS, PERIOD_S, Signer, media_address
from tests.cloud.helpers import jpeg
from tests.cloud.web.browsing import Site
from tests.localhost.support import Answer

pytestmark = pytest.mark.slow
FOLDER_OF_RESULT = "0123456789ab"


@pytest.fixture
def signed(site: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`media_address` of the running app."""
    signer = Signer(Storage(site.store.blobs))
    monkeypatch.setattr(signing, "default_signer", lambda: signer)
    return lambda *names, **options: f"api/{media_address(*names, **options)}"


def test_an_address_is_the_same_for_ten_minutes_and_good_for_ten_to_twenty(signed: Callable[..., str]) -> None:
    begin = 1_800_000_000 // PERIOD_S * PERIOD_S
    addresses = [signed("uploads", "a.jpg", now=begin + s) for s in (0, 1, 599, 600)]
    assert addresses[0] == addresses[1] == addresses[2] != addresses[3]
    assert f"until={begin + 1200}&" in addresses[0] and f"until={begin + 1800}&" in addresses[3]


def test_what_an_address_is_signed_for_is_all_that_it_opens(site: Site, signed: Callable[..., str]) -> None:
    for name in ("a.jpg", "b.jpg"):
        site.store.put(f"uploads/{name}", jpeg())
        site.store.put(f"results/{name}", jpeg())
    good = signed("uploads", "a.jpg", version="1")
    assert site.ask("GET", good).status == 200
    path, _, query = good.partition("?")
    for changed in (
        good.replace("a.jpg", "b.jpg"),
        good.replace("uploads", "results"),
        good.replace("uploads", "view"),
        good.replace("v=1", "v=2"),
        good.replace("v=1&", ""),
        good[:-2] + "AA",
        f"{path}?{query.partition('&sig')[0]}",
        path,
        f"{path}?{query.replace('until=', 'until=9')}",
        f"{path}?until=x&sig=y",
    ):
        answer = site.ask("GET", changed)
        assert (answer.status, b'"Forbidden"' in answer.body) == (403, True), changed


def test_an_address_that_is_over_says_so(site: Site, signed: Callable[..., str]) -> None:
    site.store.put("uploads/a.jpg", jpeg())
    answer = site.ask("GET", signed("uploads", "a.jpg", now=time.time() - 2 * PERIOD_S))
    assert answer.status == 403 and b"load the page again" in answer.body


def test_a_session_that_may_read_outlives_addresses_and_another_does_not(
    site: Site, signed: Callable[..., str]
) -> None:
    site.store.put("uploads/a.jpg", jpeg())
    old = signed("uploads", "a.jpg", now=time.time() - 2 * PERIOD_S)
    for address in (old, "api/media/uploads/a.jpg"):
        assert site.ask("GET", address, headers={"Cookie": site.signed_in("read")}).status == 200
        assert site.ask("GET", address, headers={"Cookie": site.signed_in("contribute")}).status == 403


@pytest.mark.parametrize(
    "name", ["a b/ü.jpg", "50%.jpg", "a%2Fb.jpg", "a?b#c&d.jpg", "a//b.jpg", "a+b;c=d.jpg", '"><script>.jpg', "a/b/"]
)
def test_any_name_has_an_address(site: Site, signed: Callable[..., str], name: str) -> None:
    site.store.put(f"uploads/{name}", jpeg())
    for kind in ("uploads", "view", "thumbnails"):
        answer = site.ask("GET", signed(kind, name))
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg"), answer.body


def test_a_video_is_played_by_ranges(site: Site, signed: Callable[..., str]) -> None:
    content = b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(6_000_000)
    etag = site.store.put("uploads/a.mp4", content)
    address = signed("uploads", "a.mp4")
    part = site.ask("GET", address, headers={"Range": "bytes=10-19"})
    assert (part.status, part.body, part.headers["Content-Range"]) == (206, content[10:20], "bytes 10-19/6000024")
    whole = site.ask("GET", address, headers={"Range": "bytes=0-"})
    assert (whole.status, len(whole.body), whole.headers["Content-Type"]) == (206, 4 * 2**20, "video/mp4")
    head = site.ask("HEAD", address)
    assert (head.status, head.headers["Content-Length"], head.headers["Accept-Ranges"]) == (200, "6000024", "bytes")
    assert head.headers["ETag"] == etag
    assert site.ask("GET", address, headers={"If-None-Match": etag}).status == 304


def test_what_has_its_version_in_its_address_is_kept_and_all_else_is_asked_for_again(
    site: Site, signed: Callable[..., str]
) -> None:
    etag = site.store.put("uploads/a.jpg", jpeg()).strip('"')
    for kind in ("uploads", "thumbnails"):
        kept = site.ask("GET", signed(kind, "a.jpg", version=etag))
        assert kept.headers["Cache-Control"] == "private, max-age=1200, immutable"
        assert site.ask("GET", signed(kind, "a.jpg")).headers["Cache-Control"] == "private, no-cache"
    known = {"If-None-Match": f'"{etag}"'}
    assert site.ask("GET", signed("thumbnails", "a.jpg", version=etag), headers=known).status == 304


@pytest.mark.parametrize(
    "content", [b"<html><script>1</script>", b'<svg xmlns="http://www.w3.org/2000/svg"/>', b"%PDF-"]
)
def test_what_a_browser_would_run_is_only_downloaded(site: Site, signed: Callable[..., str], content: bytes) -> None:
    site.store.put("uploads/photo.jpg", content)
    site.store.put("results/photo.jpg/x.html", content)
    site.store.put("results/photo.jpg/x.svg", content)
    for address in (signed("uploads", "photo.jpg"), *(signed("results", f"photo.jpg/x.{e}") for e in ("html", "svg"))):
        answer = site.ask("GET", address)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/octet-stream")
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert site.ask("GET", signed("view", "photo.jpg")).status == 415
    assert site.ask("GET", signed("thumbnails", "photo.jpg")).status == 404


def test_files_of_results_are_what_their_names_say(site: Site, signed: Callable[..., str]) -> None:
    site.store.put("results/a.jpg/result.json", b"{}")
    answer = site.ask("GET", signed("results", "a.jpg/result.json"))
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "application/json", b"{}")
    assert "Content-Disposition" not in answer.headers
    assert site.ask("GET", signed("results", "a.jpg/other.json")).status == 404


def test_a_picture_that_browsers_do_not_show_is_made_one_that_they_do(site: Site, signed: Callable[..., str]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (5200, 2600), (200, 30, 30)).save(buffer, "TIFF", compression="tiff_lzw")
    site.store.put("uploads/a.tif", buffer.getvalue())
    site.store.put("uploads/a.jpg", jpeg())
    as_it_is = site.ask("GET", signed("uploads", "a.tif"))
    assert as_it_is.headers["Content-Type"] == "image/tiff"
    assert as_it_is.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a.tif"
    view = site.ask("GET", signed("view", "a.tif"))
    assert (view.status, view.headers["Content-Type"]) == (200, "image/jpeg")
    with Image.open(io.BytesIO(view.body)) as image:
        assert image.size == (2560, 1280)
    assert site.ask("GET", signed("view", "a.tif"), headers={"If-None-Match": view.headers["ETag"]}).status == 304
    assert site.ask("GET", signed("view", "a.jpg")).body == jpeg()  # as it is


def thumbnail_size(answer: Answer) -> tuple[int, int]:
    with Image.open(io.BytesIO(answer.body)) as image:
        return image.size


def test_an_upload_whose_result_hides_something_is_shown_by_nothing_but_what_was_published(
    site: Site, signed: Callable[..., str]
) -> None:
    etag = site.store.put("uploads/face.jpg", jpeg(1)).strip('"')
    site.ask("GET", signed("thumbnails", "face.jpg"))  # of a time before that
    published = jpeg(2, 80)
    annotated = f"{FOLDER_OF_RESULT}/annotated.jpg"
    site.store.put(f"results/face.jpg/{annotated}", published)
    source = {"name": "face.jpg", "etag": etag, "media_type": "image/jpeg"}
    document = {"source": source, "route": "r", "blurred": ["face"], "artifacts": {"annotated": annotated}}
    site.store.put("results/face.jpg/result.json", json.dumps(document).encode(), metadata={"folder": FOLDER_OF_RESULT})
    for kind in ("uploads", "view"):
        answer = site.ask("GET", signed(kind, "face.jpg"))
        assert (answer.status, answer.body) == (200, published)
    # Not even by the version that is stored, for who has no address of ours.
    reader = {"Cookie": site.signed_in("read")}
    sizes = [thumbnail_size(site.ask("GET", f"api/media/thumbnails/face.jpg?v={etag}", headers=reader))]
    entry = Entry("face.jpg", etag, "done", datetime.now(UTC), folder=FOLDER_OF_RESULT, blurred=True)
    answer = site.ask("GET", f"api/{thumbnail_address(entry)}")
    sizes.append(thumbnail_size(answer))
    assert sizes == [(80, 80)] * 2  # that of what was published
    assert answer.headers["ETag"] == f'"{etag}.{FOLDER_OF_RESULT}"'


def test_a_video_whose_result_hides_something_is_played_as_it_was_published(
    site: Site, signed: Callable[..., str]
) -> None:
    head = b"\0\0\0\x18ftypisom\0\0\0\0isommp42"
    etag = site.store.put("uploads/face.mp4", head + b"original").strip('"')
    site.store.put(f"results/face.mp4/{FOLDER_OF_RESULT}/annotated.mp4", head + b"published")
    site.store.put(f"results/face.mp4/{FOLDER_OF_RESULT}/poster.jpg", jpeg(2, 80))
    artifacts = {name: f"{FOLDER_OF_RESULT}/{name}.{end}" for name, end in (("annotated", "mp4"), ("poster", "jpg"))}
    source = {"name": "face.mp4", "etag": etag, "media_type": "video/mp4"}
    document = {"source": source, "route": "r", "blurred": ["face"], "artifacts": artifacts}
    site.store.put("results/face.mp4/result.json", json.dumps(document).encode(), metadata={"folder": FOLDER_OF_RESULT})
    part = site.ask("GET", signed("uploads", "face.mp4"), headers={"Range": "bytes=24-"})
    assert (part.status, part.body, part.headers["Content-Type"]) == (206, b"published", "video/mp4")
    assert thumbnail_size(site.ask("GET", signed("thumbnails", "face.mp4"))) == (80, 80)
    assert site.ask("GET", signed("view", "face.mp4")).status == 415


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "path", ["..%2Fstate/web/secret", "a%2F..%2F..%2Fstate/web/secret", "..%5Cstate%5Cweb/secret", ".%2Fa.jpg", "a%00b"]
)
def test_no_name_leads_out_of_its_container(site: Site, signed: Callable[..., str], kind: str, path: str) -> None:
    signed("uploads", "a.jpg")  # the secret is made
    site.store.put("uploads/a.jpg", jpeg())
    site.store.put("results/a.jpg", jpeg())
    answer = site.ask("GET", f"api/media/{kind}/{path}", headers={"Cookie": site.signed_in("read")})
    assert answer.status == 404 and answer.headers["Content-Type"] == "application/problem+json"


def test_other_kinds_are_named(site: Site) -> None:
    for path in ("state/web/secret", "uploads", "uploads/", "", "../state/web/secret"):
        answer = site.ask("GET", f"api/media/{path}", headers={"Cookie": site.signed_in("read")})
        assert answer.status == 404, path
    assert KINDS == ("uploads", "results", "thumbnails", "view")
