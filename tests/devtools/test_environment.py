"""The environment: light for `dev.py run`, whole for tests; how far its making is; how it goes on after a failure."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from devtools import checks, doctor, environment, package, progress
from devtools.environment import LOCKS, RUN_LOCKS, SetupError
from devtools.progress import PipProgress, ProgressLine, run_watched
from tests.conftest import ROOT
from tests.processes import alive
from tests.test_deployment import distributions, imported, requirement

# What pip 26 prints about three requirements, one of them for another system, the last with its bytes as they come.
SAID = """\
Looking in indexes: https://pypi.org/simple
Ignoring colorama: markers "sys_platform == 'win32'" don't match your environment
Requirement already satisfied: idna==3.20 in ./.venv/lib/python3.11/site-packages (from -r requirements.txt (line 2))
Collecting azure-core==1.41.0 (from -r requirements.txt (line 4))
  Downloading azure_core-1.41.0-py3-none-any.whl.metadata (50 kB)
  Downloading azure_core-1.41.0-py3-none-any.whl (220 kB)
Collecting numpy==2.4.6 (from -r requirements.txt (line 5))
  Using cached numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl (16.8 MB)
Collecting av==18.1.0 (from -r requirements.txt (line 3))
  Downloading av-18.1.0-cp311-abi3-manylinux_2_28_x86_64.whl (35.8 MB)
Progress 0 of 35800000
Progress 10000000 of 35800000"""
PINS = ["idna==3.20", "colorama==0.4.6 ; sys_platform == 'win32'", "av==18.1.0", "azure-core==1.41.0", "numpy==2.4.6"]


# ---- what `dev.py run` needs


@pytest.mark.slow
def test_every_library_that_a_local_run_imports_is_in_its_locks() -> None:
    pinned = {requirement(name) for lock in RUN_LOCKS for name in package.locked(lock)}
    trees = ("cloud", "inference", "localhost", "devtools")
    known = {*sys.stdlib_module_names, *trees, "function_app"}
    files = [ROOT / "function_app.py", *(file for tree in trees for file in (ROOT / tree).rglob("*.py"))]
    modules = {module for file in files for module in imported(file.relative_to(ROOT))}
    in_the_checks = [text for text in vars(checks).values() if isinstance(text, str) and "\nimport " in text]
    assert len(in_the_checks) >= 6
    for text in in_the_checks:
        nodes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom))
        modules |= {node.module for node in nodes if node.module}
    foreign = {module for module in modules if module.split(".")[0] not in known}
    # azurefunctions.extensions is the root of azurefunctions-extensions-base and of what extends it
    pinned |= {name.removesuffix("-base") for name in pinned}
    assert {module for module in foreign if not distributions(module) & pinned} == set()
    assert "aiohttp" in foreign


def test_what_two_locks_name_has_one_version_and_the_tests_lock_has_all_of_the_local_one() -> None:
    pins = [
        {line.split("==")[0]: line.split(" ;")[0] for line in lock.read_text("utf-8").splitlines() if "==" in line}
        for lock in LOCKS
    ]
    core, local, tests = pins
    assert local.items() <= tests.items()
    # azure-functions, with a version for old and one for new Pythons, is in the core alone
    assert {name: pin for name, pin in [*local.items(), *tests.items()] if core.get(name, pin) != pin} == {}


# ---- stamps


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Callable[[int], Path], list[list[str]]]:
    """(makes a `.venv` from the first locks of three, what was installed so far); nothing is really installed."""
    locks = [tmp_path / name for name in ("requirements.txt", "requirements-local.txt", "requirements-dev.txt")]
    for lock in locks:
        lock.write_text("a==1\n")
    done: list[list[str]] = []
    monkeypatch.setattr(environment, "LOCKS", tuple(locks))
    monkeypatch.setattr(environment, "make_venv", lambda venv: venv.mkdir())
    monkeypatch.setattr(environment, "_is_venv_of_this_version", lambda python: (tmp_path / ".venv").exists())
    monkeypatch.setattr(
        environment, "pip_install", lambda _, words, *rest: done.append([Path(word).name for word in words[1::2]])
    )

    def prepare(count: int) -> Path:
        return environment.prepare_venv(tmp_path / ".venv", locks[:count])

    return prepare, done


RUN, ALL = 2, 3


def test_tests_are_added_to_the_environment_of_the_app_and_nothing_is_installed_twice(
    installed: tuple[Callable[[int], Path], list[list[str]]], tmp_path: Path
) -> None:
    prepare, done = installed
    light = ["requirements.txt", "requirements-local.txt"]
    for _ in range(2):
        prepare(RUN)
    assert done == [light]
    for count in (ALL, ALL, RUN, ALL):
        prepare(count)
    assert done == [light, [*light, "requirements-dev.txt"]], "the whole environment runs the app too"
    (tmp_path / "requirements.txt").write_text("a==2\n")
    prepare(RUN)
    prepare(RUN)
    assert done[2:] == [light]
    (tmp_path / "requirements.txt").write_text("a==1\n")
    prepare(ALL)
    assert len(done) == 4, "an older state of the locks is not what is there any more"


def test_an_installation_that_failed_is_begun_again(
    installed: tuple[Callable[[int], Path], list[list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, done = installed
    prepare(RUN)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(environment, "pip_install", fail)
        with pytest.raises(KeyboardInterrupt):
            prepare(ALL)
    prepare(RUN)
    assert len(done) == 2


def test_the_doctor_is_content_with_either_environment(
    installed: tuple[Callable[[int], Path], list[list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, _ = installed
    monkeypatch.setattr(environment, "RUN_LOCKS", environment.LOCKS[:RUN])
    monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(environment.venv_has, "__defaults__", (tmp_path / ".venv",))
    assert doctor.environment_finding().ok is False and "not there yet" in doctor.environment_finding().words
    prepare(RUN)
    assert doctor.environment_finding().ok and "`dev.py test` adds" in doctor.environment_finding().words
    prepare(ALL)
    assert doctor.environment_finding().ok and "with what tests need" in doctor.environment_finding().words
    (tmp_path / "requirements-local.txt").write_text("a==2\n")
    assert doctor.environment_finding().ok is False


# ---- how far it is


def test_pips_progress_is_said_in_packages_and_bytes(tmp_path: Path) -> None:
    pip = PipProgress(PINS, [tmp_path])
    assert pip.state() == "  0 of 5 packages downloaded, 0 MB"
    for line in SAID.splitlines():
        pip.read(line)
    assert pip.state() == "  2 of 3 packages downloaded, 27 MB; next is av with 36 MB"
    pip.read("Installing collected packages: numpy, azure-core, av")
    assert pip.state() == "  0 of 3 packages installed, 0 MB"
    for name, complete in (("numpy-2.4.6", True), ("av-18.1.0", False)):
        info = tmp_path / f"{name}.dist-info"
        info.mkdir()
        (info / "RECORD").write_text(f"{name}/a.py,sha256=x,60000000\n{name}.dist-info/RECORD,,\n")
        if complete:
            (info / "INSTALLER").write_text("pip\n")
    assert pip.state() == "  1 of 3 packages installed, 60 MB"


def test_a_terminal_has_a_line_that_is_written_over_and_a_log_few_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    line = ProgressLine()
    line.show("2 of 3 packages")
    line.show("3 of 3")
    line.say("a complaint")
    assert capsys.readouterr().out == f"\r2 of 3 packages\r3 of 3         \r{'':6}\ra complaint\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    line = ProgressLine()
    line.show("too early")
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    line.show("2 of 3 packages")
    assert capsys.readouterr().out == "2 of 3 packages\n"


def test_complaints_pass_and_the_status_is_the_commands(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines: list[str] = []
    code = "import sys; print('Collecting a'); print('no such package', file=sys.stderr); sys.exit(3)"
    status, complaints = run_watched([sys.executable, "-c", code], tmp_path, lines.append, lambda: "", {})
    assert (status, complaints, lines) == (3, "no such package", ["Collecting a"])
    assert "no such package" in capfd.readouterr().err


def test_an_interrupted_command_is_ended(tmp_path: Path) -> None:
    pids: list[int] = []

    def interrupt() -> str:
        if pids:
            raise KeyboardInterrupt
        return ""

    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with pytest.raises(KeyboardInterrupt):
        run_watched([sys.executable, "-c", code], tmp_path, lambda line: pids.append(int(line)), interrupt, {})
    assert not alive(pids[0])


# ---- pip itself


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="packages lie elsewhere below a prefix")
def test_pip_installs_mends_and_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "tiny_thing-1.0-py3-none-any.whl", "w") as wheel:
        info = "tiny_thing-1.0.dist-info"
        wheel.writestr("tiny.py", "answer = 42\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"tiny.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    venv, lock = tmp_path / ".venv", tmp_path / "requirements.txt"
    lock.write_text("tiny-thing==1.0\n")
    python = Path(sys.executable)
    site = venv / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    site.mkdir(parents=True)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    # the pip of these tests, which installs into that folder and looks there for what is installed
    monkeypatch.setenv("PIP_PREFIX", str(venv))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # where nobody listens
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(
        SetupError, match="Could not install it: the package index http://127.0.0.1:9/.* does not answer"
    ):
        environment.pip_install(python, ["-r", str(lock)], "install it", venv)

    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for _round in ("new", "interrupted"):
        environment.pip_install(python, ["-r", str(lock)], "install it", venv)
        assert "1 of 1 packages installed" in capfd.readouterr().out
        assert subprocess.check_output([python, "-c", "import tiny; print(tiny.answer)"], text=True) == "42\n"
        # as pip leaves a package where it is killed: with metadata, but not to its end
        (site / "tiny.py").unlink()
        (site / info / "INSTALLER").unlink()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a shell script stands in for npm")
@pytest.mark.parametrize("status", [0, 1])
def test_npm_keeps_its_cache_in_the_folder_until_it_has_done_its_work(status: int, tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text(
        "#!/bin/sh\n"
        'while [ "$1" != --cache ]; do shift; done\nmkdir -p "$2"; echo 1 > "$2/file"; echo "$2" > called\n'
        f"exit {status}\n"
    )
    npm.chmod(0o755)
    assert environment._npm_ci(tmp_path, [str(npm)], Path("/usr/bin/node")) is (status == 0)
    cache = tmp_path / ".azurite" / "npm-cache"
    assert (tmp_path / "called").read_text().strip() == str(cache)
    assert cache.exists() is bool(status), "a failed download is not begun from nothing"


def test_old_pips_are_not_asked_for_what_they_cannot_print(tmp_path: Path) -> None:
    for version, word in (("23.2.1", "off"), ("24.0", "off"), ("24.1", "raw"), ("26.3", "raw")):
        folder = tmp_path / version
        (folder / f"pip-{version}.dist-info").mkdir(parents=True)
        assert environment._bytes_of_pip([folder]) == word
