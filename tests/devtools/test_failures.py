"""Why an installation or a run fails, in a sentence: what the system, pip and npm say, and what the index answers."""

from __future__ import annotations

import errno
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from devtools import cli, environment, failures, first_run, pip_wheel, run
from devtools.environment import SetupError

INDEX = "https://bob:secret@packages.example/simple"
RETRYING = "WARNING: Retrying (Retry(total=0)) after connection broken by '{}': /simple/av/\n"
NONE = "ERROR: Could not find a version that satisfies the requirement av==18.1 (from versions: none)\n"
OLD = "NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection>: Failed to establish a new connection')"
NEW = "NameResolutionError(\"HTTPSConnection(host='a', port=443): Failed to resolve 'a' ([Errno -2])\")"
TLS = "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed'))"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.mark.parametrize(
    ("complaints", "answer", "words"),
    [
        (RETRYING.format(OLD) + NONE, "", "packages.example/simple does not answer. Is the network there"),
        (RETRYING.format(NEW) + NONE, "", "does not answer. Is the network there"),
        (NONE, "no answer: [Errno -3] Temporary failure in name resolution", "does not answer. Is the network there"),
        (RETRYING.format(TLS) + NONE, "", "CA in PIP_CERT, NODE_EXTRA_CA_CERTS and SSL_CERT_FILE"),
        (RETRYING.format("OSError('Tunnel connection failed: 403 Forbidden')") + NONE, "", "mend HTTPS_PROXY"),
        (RETRYING.format("ProxyError('Cannot connect to proxy.', ...)") + NONE, "", "mend HTTPS_PROXY"),
        ("ERROR: Missing dependencies for SOCKS support.", "", "name an HTTP proxy in HTTPS_PROXY"),
        ("ERROR: Could not find a suitable TLS CA certificate bundle, invalid path: /x", "", "that is not there"),
        (NONE, "it answers 401 Unauthorized", "asks for a login, or refuses yours: write it into the index's address"),
        (NONE, "it answers 503 Service Unavailable", "is out of order: try later"),
        (NONE, "it answers 404 Not Found", "lacks what the lines above name: mend its address"),
        (NONE, "", "lacks what the lines above name"),
        ("ERROR: HTTP error 403 while getting https://a/av.whl", "", "asks for a login, or refuses yours"),
        ("ERROR: ... [Errno 28] No space left on device", "", "is full: make room"),
        ("ERROR: ... [Errno 13] Permission denied: '/x'", "", "may not be written"),
    ],
)
def test_pip(complaints: str, answer: str, words: str) -> None:
    reason = failures.of_pip(complaints, INDEX, answer, "/app")
    assert words in reason and "secret" not in reason


def test_what_is_not_known_is_left_to_the_lines_above() -> None:
    assert failures.of_pip("ERROR: the moon is full", INDEX, "", "/app") == ""
    assert failures.of_npm("npm error code EUSAGE\nnpm error lock file and package.json", "/app") == ""


@pytest.mark.parametrize(
    ("complaints", "words"),
    [
        (
            "npm error code ECONNREFUSED\nnpm error request to http://u:p@r.example/x failed",
            "registry http://r.example",
        ),
        ("npm ERR! code EAI_AGAIN", "does not answer. Is the network there"),
        ("npm error code E401\nnpm error Incorrect or missing password.", "`npm login`, or a token in ~/.npmrc"),
        ("npm error code E404\nnpm error 404 Not Found - GET http://r.example/x", "lacks what the lines above name"),
        ("npm error code SELF_SIGNED_CERT_IN_CHAIN", "NODE_EXTRA_CA_CERTS"),
        ("npm error code UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "NODE_EXTRA_CA_CERTS"),
        ("npm error code ECONNRESET\nnpm error tunneling socket, statusCode=407", "mend HTTPS_PROXY"),
        ("npm error code ENOSPC", "is full: make room"),
        ("npm error code EROFS", "may not be written"),
    ],
)
def test_npm(complaints: str, words: str) -> None:
    assert words in failures.of_npm(complaints, "/app")


def test_the_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://bob:secret@proxy.example:8080")
    reason = failures.of_pip(RETRYING.format(OLD), INDEX, "", "/app")
    assert "does not answer (HTTPS_PROXY=http://proxy.example:8080). Is the network there" in reason


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://bob:secret@proxy:8080/", "http://proxy:8080/"),
        ("bob:secret@proxy:8080", "proxy:8080"),  # as curl takes it
        ("http://bob:sec/ret@proxy:8080", "http://proxy:8080"),
        ("socks5h://bob:sec@ret@proxy:1080", "socks5h://proxy:1080"),
        ("proxy:8080", "proxy:8080"),
        ("https://mirror/simple", "https://mirror/simple"),
    ],
)
def test_a_password_is_shown_in_no_spelling(url: str, shown: str) -> None:
    assert failures.without_password(url) == shown


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (lambda folder: (folder / "file" / "x").mkdir(), "x is a file where a folder is expected|file/x: Not a dir"),
        (lambda folder: (folder / "file").mkdir(), "file is a file where a folder is expected: move it away"),
        (lambda folder: (folder / "sub").write_text("x"), "sub is a folder where a file is expected: move it away"),
        (lambda folder: (folder / "none").read_text(), "none: No such file or directory. Mend that"),
    ],
)
def test_errors_of_the_system(cause: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "sub").mkdir()
    with pytest.raises(OSError) as error:
        cause(tmp_path)
    assert re.search(words, failures.in_words(error.value, tmp_path))


@pytest.mark.parametrize(
    ("number", "file", "words"),
    [
        (
            errno.EACCES,
            "/a/local.settings.json",
            "/a/local.settings.json may not be read or written (Permission denied)",
        ),
        (errno.EROFS, "/a", "/a may not be read or written (Read-only file system): have it given to you, or clone"),
        (errno.ENOSPC, None, "The disk of /app is full (No space left on device): make room"),
    ],
)
def test_folders_that_cannot_be_written(number: int, file: str | None, words: str) -> None:
    error = OSError(number, os.strerror(number), file)
    assert words in failures.in_words(error, "/app")


def test_no_command_of_dev_py_ends_in_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "local.settings.example.json").write_text('{"Values": {}}')
    (tmp_path / "inbox").touch()
    monkeypatch.setattr(environment, "prepare", lambda tests: Path("python"))
    real = run.main
    monkeypatch.setattr(run, "main", lambda python, **options: real(python, **options, root=tmp_path))
    assert cli.main(["run"]) == 1
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith("inbox is a file where a folder is expected: move it away. Then run this again.")
    )


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """An index that answers with `status` and `page`."""
    says = SimpleNamespace(status=200, page=b'<a href="av-18.1.whl">av-18.1.whl</a>')

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(says.status)
            self.end_headers()
            self.wfile.write(says.page)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://bob:secret@127.0.0.1:{server.server_port}/simple")
    yield says
    server.shutdown()
    server.server_close()


def test_the_index_is_asked_why_it_has_nothing(index: SimpleNamespace) -> None:
    assert pip_wheel.refusal("av") == ""
    for status, page, words in (
        (401, b"", r"the package index http://127.0.0.1:\d+/simple \(it answers 401 Unauthorized\) asks for a login"),
        (
            200,
            b"<form>Sign in</form>",
            r".* \(it answers with a page without packages\) lacks what the lines above name",
        ),
    ):
        index.status, index.page = status, page
        assert re.match(f"Could not install it: {words}", environment._failed("install it", NONE))
        (finding,) = first_run.network_findings(first=True)
        assert finding.ok is False and re.match(words, finding.words)


def test_the_doctor_names_proxies_index_and_certificates(
    index: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://bob:secret@proxy.example:1080")
    monkeypatch.setenv("NO_PROXY", "intra.example,127.0.0.1")
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "none.pem"))
    found = {finding.what: finding for finding in first_run.network_findings(first=False)}
    assert found["Proxy"].ok is None
    assert found["Proxy"].words == "ALL_PROXY=socks5://proxy.example:1080; not for intra.example,127.0.0.1"
    assert "name an HTTP proxy in HTTPS_PROXY" in found["SOCKS"].words
    assert found["PIP_CERT"].ok is False and "none.pem is not there" in found["PIP_CERT"].words
    assert found["Index"].ok is None and "pip asks http://127.0.0.1" in found["Index"].words
    assert not any("secret" in finding.words for finding in found.values())


def test_the_doctor_says_whether_the_folder_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert first_run.folder_finding(tmp_path, first=False).ok is True
    (tmp_path / "outbox").touch()
    finding = first_run.folder_finding(tmp_path, first=False)
    assert finding.ok is False and "outbox is a file where a folder is expected" in finding.words
    (tmp_path / "outbox").unlink()
    (tmp_path / ".azurite" / "data").mkdir(parents=True)
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "data" and may(path, mode))
    finding = first_run.folder_finding(tmp_path, first=False)
    assert finding.ok is False and f"{tmp_path / '.azurite' / 'data'} may not be read or written" in finding.words
    monkeypatch.setattr(os, "access", may)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match="No space left"):
        first_run.check_data(tmp_path / ".azurite")
    finding = first_run.folder_finding(tmp_path, first=True)
    assert finding.ok is False and finding.words.startswith(f"The disk of {tmp_path / '.azurite'} is full")


def test_settings_that_may_not_be_read_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").mkdir()
    with pytest.raises(SetupError, match="local.settings.json: cannot be read .Is a directory"):
        run.settings(tmp_path)
