"""How programs end: one sentence on standard error and an exit status, never a traceback."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from inference import command_line
from inference.errors import BadRoute, StorageUnavailable
from inference.os_errors import own_files, trouble_of_ours
from inference.results.export_rows import whole_file

ROOT = Path(__file__).resolve().parents[2]
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="/dev/full is a device of Linux")


def ended(body: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """(exit status, what is said) of a program that raises `body`, or returns it."""

    def run() -> int:
        if isinstance(body, BaseException):
            raise body
        assert isinstance(body, int)
        return body

    status = command_line.run("prog", run, lambda error: 2 if isinstance(error, BadRoute) else None)
    return status, capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (0, 0, ""),
        (1, 1, ""),
        (BadRoute("a\nb"), 2, "prog: a\\nb\n"),
        (KeyboardInterrupt(), 130, "prog: interrupted\n"),
        (PermissionError(errno.EACCES, "Permission denied", "x.json"), 1, "prog: x.json: Permission denied; "),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "x"), 1, "prog: x: Is a directory; expected a file"),
        (MemoryError(), 1, "prog: memory ran out"),
        (KeyError("k"), 1, "prog: stopped by a fault of its own, please report it (KeyError: 'k', "),
    ],
)
def test_what_stops_a_program_is_said_in_one_sentence(
    body: object, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, words = ended(body, capsys)
    assert code == status and words.startswith(said) and words.count("\n") == bool(said)


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_leaves_no_temporary_files(name: str, status: int, tmp_path: Path) -> None:
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip("a signal of POSIX")
    before = signal.getsignal(number)

    def body() -> int:
        with tempfile.TemporaryDirectory(dir=tmp_path):
            signal.raise_signal(number)
        return 0

    assert command_line.run("prog", body, lambda error: None) == status
    assert not list(tmp_path.iterdir()) and signal.getsignal(number) == before


def test_an_interrupt_counts_that_a_library_made_something_else_of(capsys: pytest.CaptureFixture[str]) -> None:
    def body(error: Exception | None) -> int:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        if error:
            raise error
        return 0

    for error in (ImportError("initialization failed"), BadRoute("x"), None):
        assert command_line.run("prog", partial(body, error), lambda error: 2) == 130
        assert capsys.readouterr().err == "prog: interrupted\n"


@pytest.mark.skipif(os.name == "nt", reason="processes have no signals there")
def test_an_interrupt_while_python_imports_gives_no_traceback() -> None:
    source = (
        "import runpy, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'inference.command_line': signal.raise_signal(signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "runpy.run_module('inference', run_name='__main__', alter_sys=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


PROGRAM = """
import sys
from inference import command_line
sys.exit(command_line.run("prog", lambda: print("x" * int(sys.argv[1])) or 0, lambda error: None))
"""


def program(redirected: str, size: int = 10) -> subprocess.CompletedProcess[str]:
    """A program that writes so many characters, its output redirected by a shell."""
    return subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {size} {redirected}', sys.executable, PROGRAM],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@needs_full
@pytest.mark.parametrize("size", [10, 100_000])
def test_a_full_disk_on_standard_output_is_said(size: int) -> None:
    """The little that waits for the interpreter's end as well as what is written at once."""
    done = program("> /dev/full", size)
    assert (done.returncode, done.stderr) == (
        1, "prog: standard output: No space left on device; free some space or name another place\n",
    )  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="redirections of a POSIX shell")
def test_closed_streams_and_readers_that_have_read_enough() -> None:
    closed = program(">&-")
    assert closed.returncode == 1 and closed.stderr.startswith("prog: standard output is closed; ")
    assert closed.stderr.count("\n") == 1
    mute = program("2>&- <&-")
    assert (mute.returncode, mute.stdout) == (0, "x" * 10 + "\n")
    enough = program("| head -c 1", 1_000_000)
    assert (enough.stdout, enough.stderr) == ("x", "")


@needs_full
@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("inference", "models", "list"), ("inference", "schema"), ("cloud", "settings")])
def test_both_programs_end_so(arguments: tuple[str, ...]) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"python -m {arguments[0]}: standard output: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (OSError(errno.EIO, "Input/output error"), False),
        (PermissionError(errno.EACCES, "Permission denied", "clip.mp4"), False),
        (PermissionError(errno.EACCES, "Permission denied", "/tmp/x/annotated.mp4"), True),
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EMFILE, "Too many open files", "clip.mp4"), True),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/nonexistent']"), True),
    ],
)
def test_trouble_of_the_machine_is_not_that_of_the_file(error: OSError, ours: bool) -> None:
    trouble = trouble_of_ours(error, Path("clip.mp4"))
    assert (trouble is not None) == ours
    with pytest.raises(StorageUnavailable if ours else OSError, match=str(error.strerror).split("[")[0]), \
            own_files(Path("clip.mp4")):  # fmt: skip
        raise error


@needs_full
def test_an_export_takes_no_device_s_place_and_names_what_it_cannot_write(tmp_path: Path) -> None:
    inside = tmp_path / "file" / "export.json"
    inside.parent.touch()
    for path, status in ((FULL, errno.ENOSPC), (tmp_path, errno.EISDIR)):
        with pytest.raises(OSError) as raised, whole_file(path) as file:
            file.write("x")
        assert (raised.value.errno, raised.value.filename) == (status, str(path))
    with pytest.raises(FileExistsError), whole_file(inside):
        pass
    assert FULL.is_char_device() and list(tmp_path.iterdir()) == [inside.parent]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_name_in_letters_that_the_terminal_lacks_stops_nothing(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace('"x" * int(sys.argv[1])', r'"\u65e5.jpg"')],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\u65e5.jpg\n", "")


@pytest.mark.slow
@needs_full
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("dev.py", "--help"), "dev.py: standard output: "),
        (("-m", "localhost", "tests/localhost/apps/queues", "--check"), "'standard output': "),
    ],
)
def test_the_other_programs_blame_neither_the_project_s_disk_nor_a_port(arguments: tuple[str, ...], said: str) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1 and done.stderr.startswith(f"{said}No space left on device")
    assert done.stderr.count("\n") == 1
