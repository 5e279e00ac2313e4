"""Files from https addresses, from a real server with a certificate of its own."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.__main__ import main
from inference.engine.download import Patience
from inference.engine.https_file import blocks_of
from inference.errors import StorageUnavailable, UnreadableMedia
from tests.certificates import of_localhost
from tests.conftest import ROOT
from tests.file_server import FileServer, serving

pytestmark = pytest.mark.slow

CAT = (ROOT / "samples/cat.jpg").read_bytes()
MODEL = ("--model", "colors")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return of_localhost(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(FileServer(content=CAT), context) as served:
        yield served


def analyze(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main(["analyze", *words, *MODEL])
    out, err = capsys.readouterr()
    assert "secret" not in out + err and "Traceback" not in err
    return status, out + err


def test_a_picture_is_called_like_the_end_of_its_address(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What signs in is sent to the address's own host, and stands in no document."""
    url = f"https://me:secret%21@{server.url[8:]}/a%20b/ü cat.jpg?sig=secret#part"
    status, out = analyze(capsys, url, "--out", str(tmp_path), "--json")
    assert (status, json.loads(out)["source"]["name"]) == (0, "ü cat.jpg")
    assert json.loads(out)["source"]["bytes"] == len(CAT)
    assert server.asked == [("/a%20b/%C3%BC%20cat.jpg?sig=secret", None)]
    assert server.signed_in == ["Basic " + base64.b64encode(b"me:secret!").decode()]
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"secret" not in written and (tmp_path / "ü cat.jpg/result.json").exists()


def test_the_longest_names_are_shortened_to_what_a_file_may_be_called(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert analyze(capsys, f"{server.url}/{'ü' * 300}.jpg", "--out", str(tmp_path))[0] == 0
    assert (tmp_path / f"{'ü' * 98}.jpg/result.json").is_file()


def test_what_is_done_already_is_seen_by_the_content(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (f"{server.url}/a.jpg", "--out", str(tmp_path), "--resume")
    assert "0 of 1 done already" in analyze(capsys, *words)[1]
    assert "1 of 1 done already" in analyze(capsys, *words)[1]
    server.content = (ROOT / "samples/coffee.jpg").read_bytes()
    assert "0 of 1 done already" in analyze(capsys, *words)[1]


def test_what_the_server_does_instead_is_said(server: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"{server.url}/a.jpg"

    def said() -> str:
        status, out = analyze(capsys, f"{address}?sig=secret")
        assert status == 1 and out.startswith(f"{address}: failed: ")
        return out

    server.leads_to = "/file"
    assert analyze(capsys, f"{server.url}/moved")[0] == 0
    server.leads_to = f"http://{server.url[8:]}/b.jpg?sig=secret"
    assert "leads to an address without https" in analyze(capsys, f"{server.url}/moved?sig=secret"[:-11])[1]
    server.leads_to = "file:///etc/secret"
    assert "leads to an address without https" in analyze(capsys, f"{server.url}/moved")[1]
    server.leads_to = f"https://me:secret@{server.url[8:]}/file"
    assert analyze(capsys, f"{server.url}/moved")[0] == 0, "the server has asked for no sign-in"
    server.leads_to = "/moved"
    assert "without end" in analyze(capsys, f"{server.url}/moved")[1]
    server.content = b"<!DOCTYPE html><title>Watch</title>"
    assert "this is a web page" in said()
    for content, status, words in (
        (CAT, 304, "answers 304"),
        (None, 200, "answers 404"),
        (CAT, 503, "answers 503"),
        (CAT, 403, "answers 403"),
    ):
        server.content, server.status = content, status
        assert words in said()
    server.content, server.status, server.cut_after = CAT, 200, [100]
    assert "100 of" in said() or "broke" in said()
    server.content, server.length = b"\x01\x02" * 2**20, "unknown"
    assert "a file of an unknown kind" in said()


def test_the_limit_holds_for_what_comes_and_not_for_what_is_said(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("inference.cli.fetched.MOST_VIDEO_BYTES", 2**20)
    server.content = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(4 * 2**20)
    server.length = "unknown"
    assert "more than the 1,048,576 bytes" in analyze(capsys, f"{server.url}/a.mp4")[1]


def test_a_certificate_that_nobody_knows_is_not_taken(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    assert "self-signed certificate" in analyze(capsys, f"{server.url}/a.jpg")[1]
    assert server.asked == []


def test_a_server_that_says_nothing_is_not_waited_for(server: FileServer) -> None:
    server.silent_after = 10
    with pytest.raises(StorageUnavailable, match=r"https://x: the connection broke \(.*timed out"):
        list(blocks_of(f"{server.url}/a.jpg", "https://x", lambda done, total: None, Patience(silence_s=0.2)))


@pytest.mark.parametrize(
    "url", ["https://", "https:///a.jpg", "https://host:port/a", "https://[::1/a", "https://a..b/x"]
)
def test_what_is_no_address_is_said(url: str) -> None:
    with pytest.raises(UnreadableMedia, match="not an address"):
        list(blocks_of(url, "https://x", lambda done, total: None))
