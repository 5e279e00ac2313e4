"""dev.py: which Python it goes on in, what it installs, and that nothing it starts is left behind."""

from __future__ import annotations

import ast
import base64
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest

import dev
from devtools import azurite, environment, pip_wheel
from devtools.environment import SetupError

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")


# ---- which Python


def fake_command(folder: Path, name: str, words: str) -> str:
    script = folder / name
    script.write_text(f"#!/bin/sh\n{words}\n")
    script.chmod(0o755)
    return str(script)


def fake_python(folder: Path, name: str, version: str) -> str:
    """A command that answers as a Python of this version would; version "" is a pyenv shim that only fails."""
    return fake_command(folder, name, f"echo {version}" if version else "echo 'command not found' >&2; exit 127")


@posix
def test_a_python_works_if_it_is_supported_and_answers(tmp_path: Path) -> None:
    for number, version in enumerate(("3.11", "3.12", "3.13", "3.14")):
        assert dev.works([fake_python(tmp_path, f"good{number}", version)])
    for number, version in enumerate(("", "3.10", "3.15", "2.7")):
        assert not dev.works([fake_python(tmp_path, f"bad{number}", version)])
    assert not dev.works([str(tmp_path / "missing")])
    assert dev.works([sys.executable]), "the question is one that a real Python can answer"


def test_the_supported_pythons_are_said_the_same_everywhere() -> None:
    supported = sorted(dev.SUPPORTED)
    assert supported == [(3, minor) for minor in range(supported[0][1], supported[-1][1] + 1)]
    oldest, newest = (f"{major}.{minor}" for major, minor in (supported[0], supported[-1]))
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert pyproject["project"]["requires-python"] == f">={oldest},<3.{supported[-1][1] + 1}"
    assert pyproject["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    for document in ("README.md", "docs/development.md", ".ci/run"):
        assert f"Python {oldest} to {newest}" in (ROOT / document).read_text(encoding="utf-8"), document


@posix
def test_pyenvs_pythons_are_found_behind_its_failing_shims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shims, versions = tmp_path / "shims", tmp_path / "versions" / "3.12.1" / "bin"
    shims.mkdir()
    versions.mkdir(parents=True)
    fake_python(shims, "python3.12", "")
    good = fake_python(versions, "python3", "3.12")
    monkeypatch.setenv("PATH", f"{shims}:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    commands = dev.candidates()
    assert commands[0] == [str(shims / "python3.12")]
    assert [good] in commands


def test_no_supported_python_is_one_line_with_what_brings_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    monkeypatch.setattr(dev, "candidates", list)
    monkeypatch.setattr(dev, "installer", lambda: "uv python install 3.12")
    assert dev.main() == 1
    said = capsys.readouterr().err
    assert "needs Python 3.11, 3.12, 3.13 or 3.14" in said and "this one is 3.9" in said and said.count("\n") == 1
    assert "uv python install 3.12" in said
    monkeypatch.setattr(dev, "installer", str)
    assert dev.main() == 1
    assert "https://www.python.org/downloads/" in capsys.readouterr().err


@posix
def test_the_command_that_brings_a_python_is_one_that_this_system_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grep = shutil.which("grep")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert dev.installer() == ""
    fake_command(tmp_path, "pyenv", "exit 1")
    assert dev.installer() == "pyenv install 3.12"
    fake_command(tmp_path, "apt-cache", "exit 0")
    assert dev.installer() == "pyenv install 3.12", "an old Debian has none to install"
    # It searches by patterns: a bare "python3.13" would also be postgresql-plpython3-13.
    fake_command(tmp_path, "apt-cache", f"printf 'postgresql-plpython3-13\\npython3.11\\n' | {grep} -e \"$3\"")
    assert dev.installer() == "sudo apt install python3.11"
    fake_command(tmp_path, "dnf", "exit 1")
    assert dev.installer() == "sudo dnf install python3.12"
    fake_command(tmp_path, "uv", "exit 1")
    assert dev.installer() == "uv python install 3.12"


def test_dev_py_is_what_old_pythons_can_read() -> None:
    ast.parse((ROOT / "dev.py").read_text(encoding="utf-8"), feature_version=(3, 5))


# ---- a Python without ensurepip, as Debian and Ubuntu have it


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package index on this machine, which pip is told to use, and in it the pip that runs these tests as a wheel.

    It wants a password, as those of companies do.
    """
    folder = tmp_path / "index"
    (folder / "simple" / "pip").mkdir(parents=True)
    with zipfile.ZipFile(folder / pip_wheel.WHEEL, "w") as wheel:
        for file in metadata.files("pip") or ():
            if ".." not in file.parts and file.name not in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
                wheel.write(str(file.locate()), str(file))
        wheel.writestr(f"pip-{metadata.version('pip')}.dist-info/RECORD", "")
    link = f'<a href="../../{pip_wheel.WHEEL}#sha256=0" data-requires-python="&gt;=3.10">{pip_wheel.WHEEL}</a>'
    (folder / "simple" / "pip" / "index.html").write_text(link)
    monkeypatch.setattr(pip_wheel, "SHA256", hashlib.sha256((folder / pip_wheel.WHEEL).read_bytes()).hexdigest())

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers["Authorization"] != "Basic " + base64.b64encode(b"me:p@ss").decode():
                self.send_error(401)
                return
            super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://me:p%40ss@127.0.0.1:{server.server_port}/simple/")
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        yield folder
        server.shutdown()


def test_without_ensurepip_pip_comes_from_its_own_wheel(index: Path, tmp_path: Path) -> None:
    environment.make_venv(tmp_path / ".venv")
    python = environment.venv_python(tmp_path / ".venv")
    answer = subprocess.run([*environment.pip(python), "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith(f"pip {metadata.version('pip')} from {tmp_path}")


def test_a_pip_that_is_another_is_not_run(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pip_wheel, "SHA256", "0" * 64)
    with pytest.raises(SetupError, match=r"another SHA-256 .*apt install python3\.\d+-venv\), and run this again\.$"):
        environment.make_venv(tmp_path / ".venv")
    assert not (tmp_path / ".venv").exists()


def test_an_index_that_does_not_give_pip_is_one_sentence_without_its_password(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (index / "simple" / "pip" / "index.html").write_text("<a href='pip-1.zip'>pip-1.zip</a>")
    with pytest.raises(SetupError, match=r"comes without pip, and 127.0.0.1:\d+ has no pip-"):
        environment.make_venv(tmp_path / ".venv")
    monkeypatch.setenv("PIP_INDEX_URL", os.environ["PIP_INDEX_URL"].replace("p%40ss", "wrong"))
    with pytest.raises(SetupError, match="HTTP Error 401") as refused:
        environment.make_venv(tmp_path / ".venv")
    assert "wrong" not in str(refused.value) and "\n" not in str(refused.value)


def test_the_index_is_the_one_that_pip_is_told_to_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "pip.conf", tmp_path / "own.conf"
    monkeypatch.setattr(pip_wheel, "CONFIGURATION", (str(first),))
    for name in ("PIP_CONFIG_FILE", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    assert pip_wheel.option("index-url") == ""
    first.write_text("[global]\nindex-url = https://one.example/a%20b\n")
    assert pip_wheel.option("index-url") == "https://one.example/a%20b"
    second.write_text("[install]\nindex-url = https://two.example\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(second))
    assert pip_wheel.option("index-url") == "https://two.example"
    monkeypatch.setenv("PIP_INDEX_URL", "https://three.example")
    assert pip_wheel.option("index-url") == "https://three.example"


# ---- what is installed


def test_every_requirement_is_pinned_and_no_index_is_named() -> None:
    for lock in environment.LOCKS:
        for line in lock.read_text(encoding="utf-8").splitlines():
            pinned = re.fullmatch(r"[a-z0-9-]+(\[[a-z,]+\])?==[^ ]+( ; .+)?|#.*|", line)
            assert pinned and "://" not in line, f"{lock.name}: {line}"


def test_what_is_deployed_has_nothing_of_development() -> None:
    deployed = environment.LOCKS[0].read_text(encoding="utf-8").splitlines()
    names = {line.split("==")[0] for line in deployed}
    unwanted = {"opencv-python", "inference", "torch", "azureml-core", "grpcio", "onnx", "pytest"}
    assert not names & unwanted
    assert "requirements-dev.txt" in (ROOT / ".funcignore").read_text(encoding="utf-8").splitlines()


def test_the_npm_lock_names_no_registry() -> None:
    lock = json.loads(environment.NODE_LOCK.read_text(encoding="utf-8"))
    packages = [each for name, each in lock["packages"].items() if name]
    assert packages and all("integrity" in each and "resolved" not in each for each in packages)


def test_a_stamp_holds_until_the_lock_changes(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("a==1")
    (tmp_path / environment.STAMP).write_text(environment.digest(lock))
    assert environment.stamped(tmp_path, environment.digest(lock))
    lock.write_text("a==2")
    assert not environment.stamped(tmp_path, environment.digest(lock))
    assert environment.digest(lock) != environment.digest(lock, extra="3.12")


@posix
def test_an_npm_that_is_broken_does_not_end_the_setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package.json").write_text('{"name": "x"}')
    (tmp_path / "package-lock.json").write_text('{"name": "x", "lockfileVersion": 3, "packages": {"": {"name": "x"}}}')
    node = azurite.find_node(environment.site_packages())
    working = environment.npm_command(node)
    assert node and working
    monkeypatch.setattr(environment, "_node_from_pypi", lambda python: (node, working))
    monkeypatch.setenv("PATH", f"{tmp_path}:{node.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("DROPSIGHT_AZURITE", raising=False)
    (tmp_path / "node").symlink_to(node)
    fake_command(tmp_path, "npm", f"touch {tmp_path}/called; echo 'Cannot find module' >&2; exit 1")
    (tmp_path / "node_modules").mkdir()
    environment.prepare_azurite(tmp_path, Path(sys.executable))
    assert (tmp_path / "called").exists()
    assert environment.stamped(tmp_path / "node_modules", environment.digest(tmp_path / "package-lock.json"))


# ---- settings and ports


# ---- doctor
