"""The temporary disk: shared out before it is written to; whose fault it is where it is full."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from cloud.storage import scratch as module
from cloud.storage.scratch import Disk
from inference import time_limits
from inference.errors import DiskFull, LimitExceeded, StorageUnavailable
from tests.processes import eventually

MIB = 2**20


class Disc:
    """What the system says of a disk of `total` bytes of which others have `others`."""

    def __init__(self, total: int, others: int = 0) -> None:
        self.total, self.others = total, others

    def __call__(self, folder: object) -> SimpleNamespace:
        ours = sum(module._used(made) for made in Path(tempfile.gettempdir()).glob(f"{module.PREFIX}*"))
        return SimpleNamespace(total=self.total, free=self.total - self.others - ours)


@pytest.fixture
def disc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Disc:
    made = Disc(120 * MIB)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("shutil.disk_usage", made)
    return made


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Others(ExitStack):
    """Threads that want folders, and are inside until the block ends."""

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self._disk, self._go = disk, threading.Event()
        self.inside: list[int] = []

    def come(self, megabytes: int) -> None:
        def run() -> None:
            with self._disk.folder(megabytes * MIB):
                self.inside.append(megabytes)
                self._go.wait(20)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.callback(thread.join, 20)
        self.callback(self._go.set)


def test_files_that_do_not_fit_beside_each_other_are_done_in_turn(disc: Disc) -> None:
    disk, together, most = Disk(), [0], [0]
    counting = threading.Lock()

    def work() -> None:
        with disk.folder(43 * MIB) as folder:
            with counting:
                together[0] += 1
                most[0] = max(most[0], together[0])
            (folder / "media").write_bytes(b"1234")
            with counting:
                together[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == [1]


def test_small_files_share_the_disk_and_what_was_written_is_not_counted_twice(disc: Disc) -> None:
    disc.total = 200 * MIB  # a file of 10 MiB reserves 94: two fit, whether or not they are written already
    disk = Disk()
    with disk.folder(10 * MIB) as folder:
        (folder / "media").write_bytes(bytes(30 * MIB))
        with Others(disk) as others:
            others.come(10)
            eventually(lambda: others.inside == [10], "the second is inside")
            others.come(11)
            eventually(lambda: len(disk._waiting) == 1, "the third waits")
        assert others.inside == [10, 11]  # once there was room


def test_a_folder_within_a_folder_does_not_wait_for_itself(disc: Disc) -> None:
    disk = Disk()
    with disk.folder(100 * MIB), disk.folder(100 * MIB) as inner, disk.folder(0) as innermost:
        assert inner.is_dir() and innermost.is_dir()
    assert not (inner.exists() or innermost.exists() or disk._shares)


def test_what_can_never_fit_is_the_files_fault_and_says_so(disc: Disc) -> None:
    words = r"it has 125,829,121 bytes, .* 125,829,120 in all: make the file smaller"
    with pytest.raises(LimitExceeded, match=words), Disk().folder(120 * MIB + 1):
        raise AssertionError("not reached")


def test_a_disk_that_others_filled_is_no_files_fault(disc: Disc) -> None:
    disc.others, disk = 100 * MIB, Disk()
    with pytest.raises(DiskFull, match="none of it is in use by an upload"), disk.folder(43 * MIB):
        raise AssertionError("not reached")
    with pytest.raises(DiskFull), disk.folder(10 * MIB):
        raise full()  # in the middle: what is made of it was more than it
    disc.others = 0
    with disk.folder(43 * MIB):
        pass


def test_results_that_never_fit_are_told_from_those_that_had_no_room_beside_others(disc: Disc) -> None:
    disk = Disk()
    words = r"what is made of it does not fit .* \(draw.annotated = false\)"
    with pytest.raises(LimitExceeded, match=words), disk.folder(43 * MIB, name="a"):
        raise full()
    disc.total = 400 * MIB
    with Others(disk) as others:
        others.come(10)
        eventually(lambda: others.inside == [10], "another is at work")
        with pytest.raises(DiskFull), disk.folder(10 * MIB, name="b"):
            raise full()
        with time_limits.within(0.05, "a test"), pytest.raises(DiskFull, match="other files"), disk.folder(1, name="b"):
            raise AssertionError("not reached: next time it has the disk for itself")
        with disk.folder(1, name="c"):
            pass
    with disk.folder(10 * MIB, name="b"):
        pass


def test_who_cannot_wait_leaves_the_line(disc: Disc) -> None:
    disk = Disk()
    with Others(disk) as others:
        others.come(43)
        eventually(lambda: others.inside == [43], "the disk is taken")
        with time_limits.within(0.01, "a test"), pytest.raises(DiskFull), disk.folder(43 * MIB):
            raise AssertionError("not reached")
    with disk.folder(43 * MIB):
        pass


def test_other_errors_pass_and_leave_nothing(disc: Disc, tmp_path: Path) -> None:
    disk = Disk()
    with pytest.raises(ZeroDivisionError), disk.folder(5 * MIB):
        raise ZeroDivisionError
    with pytest.raises(StorageUnavailable) as caught, disk.folder(5 * MIB):
        raise OSError(errno.EROFS, "read-only")
    assert not isinstance(caught.value, DiskFull)
    assert not disk._shares
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 8 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root mounts disks")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", place], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_real_disk_that_is_full_is_told_by_who_filled_it(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    disk = Disk()
    with pytest.raises(LimitExceeded, match="8,388,608 bytes in all"), disk.folder(MIB) as folder:
        (folder / "results").write_bytes(bytes(9 * MIB))
    (small_disk / "of others").write_bytes(bytes(6 * MIB))
    with pytest.raises(DiskFull), disk.folder(MIB) as folder:
        (folder / "results").write_bytes(bytes(9 * MIB))
    (small_disk / "of others").unlink()
    with disk.folder(7 * MIB) as folder:
        (folder / "media").write_bytes(bytes(7 * MIB))
    assert list(small_disk.iterdir()) == []
