"""The pack of public models for `dev.py run`: before the app starts, beside it, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools import cli, pack, pull_pack
from devtools.supervisor import Supervisor
from inference.engine.catalog import Catalog, CatalogEntry, load_catalog
from inference.engine.pull import refusal_file, waiting_file
from inference.version import __version__
from tests.conftest import ROOT
from tests.file_server import FileServer, serving
from tests.processes import eventually

PYTHON = Path(sys.executable)
PACK = {"mobilenetv2-int8", "picodet-s-416", "yunet-2023mar", "mp-pose-2023mar"}
CONTENT = (ROOT / "models/sketch/model.onnx").read_bytes()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the models of the project, and a place of its own for public ones."""
    folder = tmp_path / "app"
    (folder / ".azurite").mkdir(parents=True)
    (folder / "models").symlink_to(ROOT / "models")
    monkeypatch.setenv("DROPSIGHT_PUBLIC_MODELS", str(tmp_path / "public"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer()) as served:
        yield served


@pytest.fixture
def unhashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are taken for whole by their size."""
    monkeypatch.setattr(pack, "_is_whole", lambda file, entry: file.stat().st_size == entry["size"])


def public(root: Path) -> Path:
    return pack.public_folder(root, {})


def installed(root: Path) -> set[str]:
    return PACK - {entry["name"] for entry in pack.missing(root, public(root))}


def place(root: Path, name: str, short_by: int = 0) -> Path:
    """What looks like an installed model while `unhashed`; returns its manifest."""
    entry = load_catalog().named(name)
    folder = public(root) / name
    folder.mkdir(parents=True)
    (folder / "model.toml").write_text(entry.model_toml(), "utf-8")
    with (folder / "model.onnx").open("wb") as file:
        file.truncate(entry.size - short_by)
    return folder / "model.toml"


@pytest.mark.usefixtures("unhashed")
def test_with_everything_there_nothing_is_started_and_nothing_is_said(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {entry["name"] for entry in pack.missing(root, public(root))} == PACK
    for entry in pack.missing(root, public(root))[1:]:
        place(root, entry["name"])
    (last,) = pack.missing(root, public(root))
    refused = refusal_file(last["sha256"], public(root))  # it does not run here: nobody misses it
    refused.parent.mkdir()
    refused.write_text(json.dumps({"release": __version__, "manifest": last["manifest"], "why": "a test"}))
    with Supervisor() as supervisor:
        assert not pack.bring(supervisor, Path("no python"), root, public(root), None, offline=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("other", [{"release": "0.0.1"}, {"manifest": {"head": "other"}}])
def test_another_release_or_another_manifest_gets_a_new_try_at_a_model_that_did_not_run(
    root: Path, other: dict[str, object]
) -> None:
    first, *_ = pack.missing(root, public(root))
    note = {"release": __version__, "manifest": first["manifest"], "why": "a test"}
    file = refusal_file(first["sha256"], public(root))
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(note))
    assert first["name"] in installed(root)
    file.write_text(json.dumps(note | other))
    assert first["name"] not in installed(root)


@pytest.mark.needs_shared
def test_a_damaged_file_of_the_right_size_is_missing(root: Path, shared: Path) -> None:
    name = "yunet-2023mar"
    (weights,) = (shared / "models/face-yunet-2023mar").glob("*.onnx")
    file = place(root, name).parent / "model.onnx"
    shutil.copyfile(weights, file)
    assert installed(root) == {name}
    file.write_bytes(bytes(file.stat().st_size))
    assert not installed(root)


def test_the_place_of_public_models_is_the_apps_wherever_dev_py_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app runs in the project's folder, with the values of local.settings.json."""
    monkeypatch.delenv("DROPSIGHT_PUBLIC_MODELS")
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "app"
    assert pack.public_folder(root, {}) == root / "models/_public"
    assert pack.public_folder(root, {"DROPSIGHT_PUBLIC_MODELS": "my models"}) == root / "my models"
    monkeypatch.setenv("DROPSIGHT_PUBLIC_MODELS", "elsewhere")
    assert pack.public_folder(root, {}) == root / "elsewhere"


@pytest.mark.usefixtures("unhashed")
def test_a_file_of_another_size_or_an_older_manifest_is_missing(root: Path) -> None:
    assert not installed(root)
    place(root, "picodet-s-416", short_by=1)
    assert not installed(root)
    manifest = place(root, "yunet-2023mar")
    assert installed(root) == {"yunet-2023mar"}
    manifest.write_text(manifest.read_text().replace("iou_threshold = 0.3", "iou_threshold = 0.4"))
    assert not installed(root)


def test_offline_is_one_line_with_what_is_missing_and_what_fetches_it(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Supervisor() as supervisor:
        assert not pack.bring(supervisor, root / ".venv/bin/python", root, public(root), None, offline=True)
    assert capsys.readouterr().out == (
        "Not here: mobilenetv2-int8, picodet-s-416, yunet-2023mar and mp-pose-2023mar (13.5 MB); the app does without. "
        "To fetch: .venv/bin/python -m inference models pull --recommended\n"
    )


@pytest.mark.slow
@pytest.mark.needs_shared
def test_what_a_folder_has_is_installed_and_what_it_lacks_is_said(
    root: Path, shared: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Supervisor() as supervisor:
        assert not pack.bring(supervisor, PYTHON, root, public(root), str(shared / "models"), offline=False)
    assert installed(root) == PACK - {"mp-pose-2023mar"}
    said = capfd.readouterr().out
    assert "picodet-s-416 (4.0 MB, Apache-2.0): fetched and checked\n" in said
    assert "mp-pose-2023mar: no file of 5,557,238 bytes with sha256 9d89c" in said
    assert "Not here: mp-pose-2023mar (5.6 MB); the app does without. To fetch: " in said


@pytest.mark.slow
@pytest.mark.needs_shared
@pytest.mark.usefixtures("unhashed")
def test_what_is_not_there_in_time_comes_beside_the_app_and_is_installed_at_the_next_start(
    root: Path, shared: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    detector = load_catalog().named("picodet-s-416")
    server.files = {f"/{detector.sha256}": (shared / "models/det-picodet-s-416/model.onnx").read_bytes()}
    into = public(root)
    for entry in pack.missing(root, public(root)):
        if entry["name"] != detector.name:
            place(root, entry["name"])
    monkeypatch.setattr(pack, "FETCH_S", 1.0)
    monkeypatch.setattr(pack, "GRACE_S", 60.0)  # the child notices by itself
    server.silent_after = 1000
    with Supervisor() as supervisor:
        assert pack.bring(supervisor, PYTHON, root, public(root), server.url, offline=False)
        assert not supervisor.children
        assert "Still to come: picodet-s-416 (4.0 MB), in the background; used from the next start on." in (
            capfd.readouterr().out
        )
        server.silent_after = None
        pack.go_on(supervisor, PYTHON, root, public(root), server.url)
        child = supervisor.children["The models"].process
        eventually(lambda: child.poll() is not None, "the rest is there")
        assert child.returncode == 0 and supervisor.ended() is None  # its end is not the end of everything
    assert server.asked[-1] == (f"/{detector.sha256}", "bytes=1000-")  # from where it was
    assert waiting_file(detector.sha256, into).stat().st_size == detector.size
    assert "picodet-s-416 (4.0 MB, Apache-2.0): fetched; it is installed at the next start" in (
        (root / ".azurite/models.log").read_text()
    )
    assert installed(root) == PACK - {detector.name}  # the running app has what it had
    asked = len(server.asked)
    with Supervisor() as supervisor:
        assert not pack.bring(supervisor, PYTHON, root, public(root), server.url, offline=True)
    assert installed(root) == PACK and len(server.asked) == asked


@pytest.mark.slow
def test_a_child_that_does_not_notice_that_its_time_is_over_is_ended(
    root: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pack, "FETCH_S", 0.1)
    monkeypatch.setattr(pack, "GRACE_S", -0.05)  # before it has begun
    with Supervisor() as supervisor:
        assert pack.bring(supervisor, PYTHON, root, public(root), server.url, offline=False)
        assert not supervisor.children
    assert "Still to come: mobilenetv2-int8, picodet-s-416, yunet-2023mar and mp-pose" in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_interrupted_while_it_fetches_it_stops_and_keeps_what_has_come(root: Path, server: FileServer) -> None:
    first, *_ = pack.missing(root, public(root))
    server.content, server.silent_after = bytes(first["size"]), 100_000
    shutil.copy(ROOT / "local.settings.example.json", root)
    code = (
        "import sys; from pathlib import Path; from devtools import run\n"
        "from devtools.supervisor import handling, interrupt\n"
        "with handling(interrupt):\n"
        "    sys.exit(run.main(Path(sys.executable), port=1, samples=False, verbose=False, host=False,"
        " models_from=sys.argv[1], root=Path(sys.argv[2])))\n"
    )
    command = [sys.executable, "-u", "-c", code, server.url, str(root)]
    part = waiting_file(first["sha256"], public(root))
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        eventually(lambda: part.is_file() and part.stat().st_size > 0, "the download has begun")
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 0, said
    assert said.rstrip().endswith("Stopping.") and "Traceback" not in said
    assert 0 < part.stat().st_size <= 100_000 and len(installed(root)) == 0


def listing(name: str, content: bytes, url: str) -> CatalogEntry:
    return CatalogEntry(
        name=name,
        purpose="sketch",
        url=url,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        page="https://example.org",
        verified=True,
        figure="drawn here",
        manifest={"task": "image-to-image", "head": "image", "licence": "MIT", "preprocess": {"do_rescale": False}},
    )


def test_the_first_that_cannot_be_reached_is_the_last_that_is_asked_for(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unreachable = listing("unreachable", b"1", "http://127.0.0.1:9")
    behind = listing("behind", CONTENT, server.url)
    waiting = listing("waiting", b"w", server.url)
    part = waiting_file(waiting.sha256, tmp_path)
    part.parent.mkdir()
    part.write_bytes(b"w")
    monkeypatch.setattr(pull_pack, "load_catalog", lambda: Catalog((unreachable, behind, waiting)))
    assert pull_pack.main([str(tmp_path), "unreachable", "behind", "waiting"]) == pack.WITHOUT
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "waiting (0.0 MB, MIT): fetched and checked" and len(said) == 2  # it needs no network
    assert said[1].startswith("no connection to 127.0.0.1:9: ") and server.asked == []


def test_a_model_that_fails_does_not_stop_the_others(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files = {"/here": CONTENT}
    gone, here = listing("gone", b"1", server.url + "/gone"), listing("here", CONTENT, server.url + "/here")
    monkeypatch.setattr(pull_pack, "load_catalog", lambda: Catalog((gone, here)))
    assert pull_pack.main([str(tmp_path), "gone", "here"]) == pack.WITHOUT
    assert (tmp_path / "here/model.onnx").read_bytes() == CONTENT
    assert "gone: " in (said := capsys.readouterr().out) and "answers 404 Not Found" in said
    assert pull_pack.main([str(tmp_path), "here"]) == pack.DONE


def test_a_place_for_models_that_is_none_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--models-from", str(tmp_path / "nowhere")])
    assert ended.value.code == 2
    assert "is neither a folder that is there nor an http(s) address" in capsys.readouterr().err
