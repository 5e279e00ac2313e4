"""POST v1/analyze takes a picture however people wrap it, and says how to send what it does not take."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from PIL import Image

from cloud.settings import RESULTS
from cloud.uploads.upload_worker import UploadWorker
from cloud.web.envelopes import unwrapped
from inference.errors import BadRequest, UnsupportedMedia
from tests.cloud.helpers import jpeg, names
from tests.cloud.web.asking import ask, said, serve

PHOTO = jpeg(side=128)
TEXT = base64.b64encode(PHOTO)
FORM = "multipart/form-data; boundary=x-y"
OF_CURL = "application/x-www-form-urlencoded"


def form(*parts: tuple[str, bytes], boundary: bytes = b"x-y") -> bytes:
    """A form of these parts: what follows Content-Disposition: form-data, and the content."""
    head = b"--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n"
    return b"".join(head % (boundary, said.encode(), content) for said, content in parts) + b"--%s--\r\n" % boundary


FILE = 'name="file"; filename="street/a b.jpg"'


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (PHOTO, ""),
        (PHOTO, OF_CURL),  # curl --data-binary
        (PHOTO, "text/plain"),
        (form((FILE, PHOTO)), FORM),
        (form((FILE, PHOTO)), 'Multipart/Form-Data; boundary="x-y"; charset=utf-8'),
        (form((FILE, PHOTO)), ""),  # whose Content-Type was lost
        (form(('name="note"', b"hello"), (FILE, PHOTO)), FORM),
        (form(('name="file"', PHOTO)), FORM),  # as programs send it that know no name
        (form((f"{FILE}\r\nContent-Type: image/jpeg\r\nContent-Transfer-Encoding: base64", TEXT)), FORM),
        (TEXT, "text/plain"),
        (TEXT.rstrip(b"="), ""),
        (base64.encodebytes(PHOTO), OF_CURL),
        (base64.urlsafe_b64encode(PHOTO), ""),
        (b"data:image/jpeg;base64," + TEXT, ""),
        (b'"data:image/jpeg;base64,' + TEXT + b'"', "application/json"),
        (json.dumps({"image": TEXT.decode()}).encode(), "application/json"),
        (json.dumps({"file": "data:image/jpeg;base64," + TEXT.decode(), "id": 7}).encode(), OF_CURL),
    ],
)  # fmt: skip
def test_a_picture_is_found_in_what_it_is_sent_in(body: bytes, content_type: str) -> None:
    assert unwrapped(body, content_type).content == PHOTO


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (PHOTO.replace(b"\n", b"").replace(b"\r", b"").replace(b"\0", b""), OF_CURL, "--data-binary"),
        (form((FILE, PHOTO), ('name="b"; filename="c.jpg"', PHOTO)), FORM, "2 files ('street/a b.jpg', 'c.jpg')"),
        (form(('name="note"', b"hello")), FORM, "no file (its fields: 'note')"),
        (form((FILE, PHOTO))[:-8], FORM, "cut off"),
        (form((FILE, PHOTO)), "multipart/form-data; boundary=z", "cut off, or has another boundary"),
        (b"nothing", "multipart/form-data", "does not say its boundary"),
        (form(*[('name="n"', b"")] * 21), FORM, "more than 20 parts"),
        (form((f"{FILE}\r\nContent-Transfer-Encoding: base64", b"?")), FORM, "says that it is base64"),
        (b'{"image": ', "application/json", "begins as JSON and is none"),
        (b"[" * 10, "application/json", ""),
        (b'{"img": "x"}', "application/json", "the members of the JSON object are 'img'"),
        (b'{"image": "x", "data": "y"}', "application/json", "with one of image, data"),
        (b'{"image": [1]}', "application/json", "image is no text"),
        (b'{"image": "?"}', "application/json", "what should be base64 is none"),
        (b"data:image/svg+xml,%3Csvg", "", "the data: URL is not base64"),
        (b"image=" + TEXT.replace(b"+", b"%2B"), OF_CURL, "in a form"),
        (b"", "", "the file is empty"),
    ],
)
def test_what_is_no_single_picture_is_said_to_be_so(body: bytes, content_type: str, words: str) -> None:
    with pytest.raises((BadRequest, UnsupportedMedia)) as caught:
        unwrapped(body, content_type)
    assert words in str(caught.value), caught.value


@pytest.mark.slow
def test_a_form_is_analysed_by_the_name_of_its_file(worker: UploadWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, worker)
    body = form(('name="file"; filename="night/a.jpg"', PHOTO))
    answer = ask("POST", "v1/analyze", body, {"Content-Type": FORM})
    found = said(answer)
    assert (answer.status_code, found["route"], found["source"]["name"]) == (200, "night", "night/a.jpg")
    assert (found["source"]["bytes"], found["artifacts"]) == (len(PHOTO), {})
    assert said(ask("POST", "v1/analyze?name=b.jpg", body, {"Content-Type": FORM}))["route"] == "default"
    assert names(worker, RESULTS) == []


@pytest.mark.slow
def test_the_annotated_picture_is_the_answer_or_stands_in_the_document(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, worker)
    address = "v1/analyze?artifacts=annotated&route=classify"
    picture = ask("POST", address, PHOTO, {"Accept": "image/*"})
    assert (picture.status_code, picture.mimetype) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(picture.get_body())).format == "JPEG"
    found: dict[str, Any] = said(ask("POST", address, PHOTO, {"Accept": "application/json"}))
    start = "data:image/jpeg;base64,"
    assert [*found["artifacts"]] == ["annotated"] and found["artifacts"]["annotated"].startswith(start)
    drawn = base64.b64decode(found["artifacts"]["annotated"].removeprefix(start))
    assert drawn == picture.get_body()
