"""Downloads against a real HTTP server that breaks off, lies, redirects, or says nothing."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.__main__ import main
from inference.cli import models
from inference.engine import pull as pulling
from inference.engine.catalog import Catalog, CatalogEntry, load_catalog
from inference.engine.download import NoConnection, OutOfTime, Patience, is_safe
from inference.engine.pull import Source, fetch, is_installed, pull, refusal_file, source_of, waiting_file
from inference.engine.registry import Registry
from inference.engine.trial import Trial
from inference.errors import BadManifest, BadModel, ModelUnavailable
from inference.tables import to_toml
from tests.conftest import ROOT
from tests.file_server import FileServer, serving
from tests.processes import eventually

CONTENT = (ROOT / "models/sketch/model.onnx").read_bytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer(content=CONTENT)) as served:
        yield served


def listing(url: str, name: str = "drawn") -> CatalogEntry:
    return CatalogEntry(
        name=name,
        purpose="sketch",
        url=url,
        sha256=SHA256,
        size=len(CONTENT),
        page="https://example.org",
        verified=True,
        figure="drawn here",
        manifest={
            "task": "image-to-image",
            "head": "image",
            "licence": "MIT",
            "labels": ["first", "second"],
            "preprocess": {"do_rescale": False, "size": {"longest_edge": 64}},
        },
    )


def leftovers(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and p.parent.name != "drawn"]


def ranges(server: FileServer) -> list[str | None]:
    return [wanted for _, wanted in server.asked]


def test_a_pulled_model_is_complete_loads_and_is_not_fetched_twice(server: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    model = listing(server.url + "/moved")  # over a redirect
    folder = pull(model, tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert is_installed(model, tmp_path) and not leftovers(tmp_path)
    manifest = Registry([tmp_path]).model("drawn").manifest
    assert manifest.labels == ("first", "second") and manifest.preprocess.size == {"longest_edge": 64}
    assert not manifest.preprocess.do_rescale
    assert pull(model, tmp_path) == folder and len(server.asked) == 1


def test_a_broken_off_download_goes_on_where_it_was(server: FileServer, tmp_path: Path) -> None:
    server.cut_after = [100, 50]
    pull(listing(server.url), tmp_path)
    assert ranges(server) == [None, "bytes=100-", "bytes=150-"]
    assert (tmp_path / "drawn/model.onnx").read_bytes() == CONTENT


def test_a_download_that_keeps_breaking_off_says_how_far_it_came_and_goes_on_next_time(
    server: FileServer, tmp_path: Path
) -> None:
    server.cut_after = [100, 50, 10]
    with pytest.raises(ModelUnavailable, match="drawn: 160 of"):
        pull(listing(server.url), tmp_path)
    assert not (tmp_path / "drawn").exists()
    pull(listing(server.url), tmp_path)
    assert ranges(server)[-1] == "bytes=160-"
    assert (tmp_path / "drawn/model.onnx").read_bytes() == CONTENT and not leftovers(tmp_path)


def test_a_server_without_ranges_starts_over(server: FileServer, tmp_path: Path) -> None:
    server.cut_after, server.ranges = [100], False
    pull(listing(server.url), tmp_path)
    assert (tmp_path / "drawn/model.onnx").read_bytes() == CONTENT


def test_a_file_with_the_wrong_hash_never_gets_its_name(server: FileServer, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(BadModel, match="sha256"):
        pull(listing(server.url), tmp_path)
    assert not (tmp_path / "drawn").exists() and not leftovers(tmp_path)


@pytest.mark.parametrize("content", [CONTENT + b"more", CONTENT[:500]])
def test_a_file_of_the_wrong_size_is_refused_before_it_is_fetched(
    server: FileServer, tmp_path: Path, content: bytes
) -> None:
    server.content = content
    with pytest.raises(BadModel, match="expects"):
        pull(listing(server.url), tmp_path)
    assert not (tmp_path / "drawn").exists() and len(server.asked) == 1


@pytest.mark.parametrize(("status", "error"), [(404, BadModel), (503, ModelUnavailable)])
def test_errors_of_the_server_are_told(server: FileServer, tmp_path: Path, status: int, error: type[Exception]) -> None:
    server.status = status
    with pytest.raises(error, match=str(status)):
        pull(listing(server.url), tmp_path)
    assert not leftovers(tmp_path) and not (tmp_path / ".pull").exists()


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(NoConnection, match="drawn: no connection to 127.0.0.1:9: "):
        pull(listing(NOWHERE), tmp_path)


def test_who_has_no_network_hears_of_the_other_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models, "load_catalog", lambda: Catalog((listing(NOWHERE),)))
    assert main(["models", "pull", "drawn", "--to", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("python -m inference: drawn: no connection") and "HTTPS_PROXY" in said and "--from" in said


def test_a_second_address_is_tried_where_the_first_has_nothing_or_something_else(
    server: FileServer, tmp_path: Path
) -> None:
    server.files = {"/good": CONTENT, "/other": b"?" * len(CONTENT)}
    server.content = None
    for number, first in enumerate(("/gone", "/other")):
        into = tmp_path / str(number)
        pull(replace(listing(server.url + first), also=(server.url + "/good",)), into)
        assert (into / "drawn/model.onnx").read_bytes() == CONTENT
    with pytest.raises(ModelUnavailable, match="answers 404 .*; no connection"):
        pull(replace(listing(server.url + "/gone"), also=(NOWHERE,)), tmp_path)


def test_a_silent_server_ends_with_the_time_and_what_came_is_kept(server: FileServer, tmp_path: Path) -> None:
    server.silent_after = 100
    with pytest.raises(OutOfTime):
        pull(listing(server.url), tmp_path, patience=Patience(until=time.monotonic() + 0.3))
    assert waiting_file(SHA256, tmp_path).stat().st_size == 100
    with pytest.raises(ModelUnavailable, match=r"200 of .*timed out"):
        pull(listing(server.url), tmp_path, patience=Patience(silence_s=0.05, attempts=1))
    server.silent_after = None
    pull(listing(server.url), tmp_path)
    assert ranges(server) == [None, "bytes=100-", "bytes=200-"]


def test_a_name_that_nobody_looks_up_is_no_connection_when_its_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No timeout of a socket covers the look-up."""
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: [] if answered.wait(30) else [])
    try:
        with pytest.raises(NoConnection, match="no connection to models.invalid:443 within"):
            pull(listing("https://models.invalid/model.onnx"), tmp_path, patience=Patience(connect_s=0.1))
    finally:
        answered.set()


def test_the_proxy_of_the_environment_is_used_but_not_for_this_machine(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first address does not exist: the proxy is asked for a tunnel to it, and knows no tunnels."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, server.url)
    with pytest.raises(ModelUnavailable, match="501"):
        pull(listing("https://models.invalid/model.onnx"), tmp_path / "a", patience=Patience(attempts=1))
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, NOWHERE)
    pull(listing(server.url), tmp_path / "b")


def test_a_damaged_installation_is_replaced(server: FileServer, tmp_path: Path) -> None:
    folder = pull(listing(server.url), tmp_path)
    (folder / "model.onnx").write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(BadModel, match="sha256"):
        Registry([tmp_path]).model("drawn")
    pull(listing(server.url), tmp_path)
    assert Registry([tmp_path]).model("drawn")


def test_a_manifest_that_the_catalog_has_changed_is_renewed_without_fetching_the_file_again(
    server: FileServer, tmp_path: Path
) -> None:
    older = listing(server.url)
    pull(older, tmp_path)
    newer = replace(older, url=NOWHERE, manifest={**older.manifest, "labels": ["other"]})
    assert not is_installed(newer, tmp_path)
    pull(newer, tmp_path)
    assert is_installed(newer, tmp_path) and not leftovers(tmp_path)
    assert Registry([tmp_path]).model("drawn").manifest.labels == ("other",)


def test_a_folder_is_searched_by_content_not_by_name(tmp_path: Path) -> None:
    mirror, into = tmp_path / "mirror", tmp_path / "models"
    (mirror / "deep").mkdir(parents=True)
    (mirror / "deep" / "whatever.bin").write_bytes(CONTENT)
    (mirror / "model.onnx").write_bytes(b"x" * len(CONTENT))
    pull(listing(NOWHERE), into, [mirror])
    assert (into / "drawn/model.onnx").read_bytes() == CONTENT
    with pytest.raises(BadModel, match="no file of"):
        pull(replace(listing(NOWHERE), sha256="0" * 64), into, [mirror])


def test_what_waits_is_installed_without_asking_anybody(server: FileServer, tmp_path: Path) -> None:
    fetch(listing(server.url), tmp_path)
    assert not (tmp_path / "drawn").exists() and Registry([tmp_path]).list() == []
    pull(listing(NOWHERE), tmp_path)
    assert is_installed(listing(NOWHERE), tmp_path) and not (tmp_path / ".pull").exists()


def test_a_waiting_file_that_is_whole_in_size_alone_is_fetched_anew(server: FileServer, tmp_path: Path) -> None:
    part = waiting_file(SHA256, tmp_path)
    part.parent.mkdir()
    part.write_bytes(bytes(len(CONTENT)))  # as a machine leaves it that lost power
    pull(listing(server.url), tmp_path)
    assert ranges(server) == [None] and is_installed(listing(server.url), tmp_path)


@pytest.mark.parametrize("call", ["replace of the weights", "trial", "rename of the old", "rename of the new"])
def test_an_installation_that_is_killed_loses_neither_the_file_nor_the_model_and_leaves_nothing(
    call: str, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    calls = ["replace of the weights", "trial", "rename of the old", "rename of the new"]
    remaining = iter(calls)
    replaced = os.replace

    def step() -> None:
        if next(remaining, None) == call:
            raise Killed

    def replace_(source: Path, target: Path) -> None:
        step()
        replaced(source, target)

    def trial(folder: Path) -> Trial:
        step()
        return Trial()

    older = listing(server.url)
    pull(older, tmp_path)
    (tmp_path / "drawn/model.onnx").write_bytes(b"damaged")
    new = replace(older, verified=False, figure="", manifest={**older.manifest, "labels": ["other"]})
    monkeypatch.setattr(pulling, "trial", trial)
    monkeypatch.setattr(os, "replace", replace_)
    with pytest.raises(Killed):
        pull(new, tmp_path)
    monkeypatch.undo()
    pull(replace(new, url=NOWHERE, verified=True, figure="drawn here"), tmp_path)
    assert is_installed(new, tmp_path) and not (tmp_path / ".pull").exists() and len(server.asked) == 2


def test_where_the_new_folder_cannot_take_its_place_the_old_one_stays(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = listing(server.url)
    pull(older, tmp_path)
    replaced = os.replace

    def busy(source: Path, target: Path) -> None:
        if Path(source).parent.name == ".pull" and Path(target) == tmp_path / "drawn" and Path(source).name == "drawn":
            raise PermissionError(13, "in use")
        replaced(source, target)

    monkeypatch.setattr(os, "replace", busy)
    newer = replace(older, manifest={**older.manifest, "labels": ["other"]})
    with pytest.raises(BadModel, match="in use; nothing was installed"):
        pull(newer, tmp_path)
    assert is_installed(older, tmp_path)


def test_two_pulls_at_once_fetch_the_file_once(server: FileServer, tmp_path: Path) -> None:
    server.hold = threading.Event()
    pulls = [threading.Thread(target=pull, args=(listing(server.url), tmp_path)) for _ in range(2)]
    for thread in pulls:
        thread.start()
    eventually(lambda: bool(server.asked), "the first has asked")
    with pytest.raises(OutOfTime):  # a third, with less patience
        fetch(listing(server.url), tmp_path, patience=Patience(until=time.monotonic() + 0.2))
    server.hold.set()
    for thread in pulls:
        thread.join()
    assert len(server.asked) == 1
    assert is_installed(listing(server.url), tmp_path) and not (tmp_path / ".pull").exists()


@pytest.mark.parametrize(
    ("leads_to", "why"),
    [
        ("ftp://127.0.0.1:9/model.onnx", "leads to ftp://127.0.0.1:9/model.onnx, expected an https address"),
        ("http://example.org/model.onnx", "leads to http://example.org/model.onnx, expected an https address"),
        ("file:///etc/hostname", "answers 302"),
        ("http://[::1/model", "Invalid IPv6 URL"),
    ],
)
def test_an_address_that_leads_elsewhere_than_to_http_is_refused_in_a_sentence(
    leads_to: str, why: str, server: FileServer, tmp_path: Path
) -> None:
    server.leads_to = leads_to
    with pytest.raises((BadModel, ModelUnavailable), match=f"drawn: .*{why}"):
        pull(listing(server.url + "/moved"), tmp_path)
    assert server.asked == []


@pytest.mark.parametrize("length", ["\xb2", "9" * 5000], ids=["superscript", "long"])
def test_a_length_that_is_no_number_is_not_believed(length: str, server: FileServer, tmp_path: Path) -> None:
    server.length = length
    pull(listing(server.url), tmp_path)
    assert is_installed(listing(server.url), tmp_path)


def test_a_place_that_cannot_be_written_to_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadModel, match="drawn: .*nothing was installed"):
        pull(listing(NOWHERE), tmp_path / "file", [tmp_path])


@pytest.mark.slow
def test_a_model_that_was_never_run_is_tried_and_stays_only_where_it_runs(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/a").write_bytes(CONTENT)
    (tmp_path / "mirror/b").write_bytes(b"no model at all")
    new = replace(listing(NOWHERE), verified=False, figure="")
    broken = replace(new, name="broken", sha256=hashlib.sha256(b"no model at all").hexdigest(), size=15)
    into = tmp_path / "models"
    assert is_installed(new, pull(new, into, [tmp_path / "mirror"]).parent)
    with pytest.raises(BadModel, match="broken: it was fetched, but it does not run here, so it was removed: .*onnx"):
        pull(broken, into, [tmp_path / "mirror"])
    assert sorted(path.name for path in into.iterdir()) == [".pull", "drawn"]
    assert list((into / ".pull").iterdir()) == [refusal_file(broken.sha256, into)]


@pytest.mark.parametrize("flat", [True, False], ids=["URL/SHA256", "folder"])
def test_what_a_source_lacks_is_said_and_the_others_come(
    flat: bool, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files, server.content = {f"/{SHA256}": CONTENT}, None
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/any").write_bytes(CONTENT)
    absent = replace(listing(NOWHERE, "absent"), sha256="0" * 64)
    pack = tuple(replace(entry, recommended=True) for entry in (absent, listing(NOWHERE)))
    monkeypatch.setattr(models, "load_catalog", lambda: Catalog(pack))
    source: Source = server.url + "/" if flat else tmp_path / "mirror"
    command = ["models", "pull", "--recommended", "--from", str(source), "--to", str(tmp_path / "into")]
    assert main(command) == 1
    said = capsys.readouterr()
    assert "drawn (0.0 MB, MIT): fetched and checked (drawn here)" in said.out
    lacks = "answers 404 Not Found" if flat else f"no file of {len(CONTENT):,} bytes with sha256 000"
    assert said.err.startswith("python -m inference: absent: ") and lacks in said.err
    assert main([*command[:2], "drawn", *command[3:]]) == 0
    assert "drawn (0.0 MB, MIT): already there" in capsys.readouterr().out


def test_a_source_that_is_nothing_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "--recommended", "--from", str(tmp_path / "nowhere")]) == 2
    assert "nowhere: no such folder; --from takes a folder" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://models.invalid/model.onnx", "ftp://models.invalid/x", "HTTP://10.0.0.1/x"])
def test_nothing_is_fetched_from_an_address_that_others_can_change(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="https"):
        pull(listing(url), tmp_path)
    with pytest.raises(BadModel):
        source_of(url)
    assert not list(tmp_path.rglob("model.onnx"))


def test_https_does_not_lead_to_servers_of_this_machine() -> None:
    assert is_safe("https://a/x") and is_safe("http://127.0.0.1:9/x") and is_safe("http://127.0.0.1:9/x", NOWHERE)
    assert is_safe("https://127.0.0.1/x", "https://10.0.0.1/x") and not is_safe("http://127.0.0.1/x", "https://a/x")
    private = ("127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]", "[fd00::1]", "[::ffff:10.0.0.1]")
    assert not any(is_safe(f"https://{host}/x", "https://a/x") for host in private)
    assert all(is_safe(f"https://{host}/x") for host in private) and is_safe("https://8.8.8.8/x", "https://a/x")


def test_a_download_ends_although_nobody_says_when(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.engine.pull.WHOLE_S", 0.2)
    server.hold = threading.Event()
    try:
        with pytest.raises(OutOfTime):
            pull(listing(server.url), tmp_path)
    finally:
        server.hold.set()


@pytest.mark.parametrize(
    "change",
    [{"name": "../x"}, {"name": "a\\b"}, {"name": "a:b"}, {"name": "x" * 300}, {"sha256": "../../x"}, {"size": 0},
     {"size": 2**50}, {"url": "http://example.org/x"}],
)  # fmt: skip
def test_a_catalog_that_leads_out_of_its_folder_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    entry = {**vars(listing("https://example.org/x")), **change}
    (tmp_path / "catalog.toml").write_text("[[model]]\n" + to_toml({k: v for k, v in entry.items() if v != ()}))
    with pytest.raises(BadManifest):
        load_catalog(tmp_path / "catalog.toml")
