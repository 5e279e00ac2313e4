"""What this process may use, as the container's limits say: cores and memory; and what it has used."""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")


@cache
def cpu_quota() -> int:
    """Cores that this process may use: the container's CPU quota, else the affinity mask; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for quota, period in _cpu_quotas():
        if quota > 0 and period > 0:
            cores = min(cores, math.ceil(quota / period))
    return max(cores, 1)


def _cpu_quotas() -> Iterator[tuple[int, int]]:
    with suppress(OSError, ValueError):  # not cgroup v2, or no quota ("max")
        quota, period = (_GROUP / "cpu.max").read_text("ascii").split()
        yield int(quota), int(period)
    with suppress(OSError, ValueError):  # not cgroup v1
        yield (
            int((_GROUP / "cpu/cpu.cfs_quota_us").read_text("ascii")),
            int((_GROUP / "cpu/cpu.cfs_period_us").read_text("ascii")),
        )


@cache
def memory_limit() -> int:
    """Bytes of memory that this process may use: the smallest of what the machine, the container and ulimit allow."""
    return min(_memory_limits(), default=4 << 30)


def _memory_limits() -> Iterator[int]:
    if hasattr(os, "sysconf"):
        with suppress(OSError, ValueError):  # names that this system does not know
            yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in (_GROUP / "memory.max", _GROUP / "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # no such cgroup, or no limit ("max")
            yield int(file.read_text("ascii"))
    if sys.platform != "win32":
        import resource  # not on Windows

        for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            limit = resource.getrlimit(kind)[0]
            if limit != resource.RLIM_INFINITY:
                yield limit


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
# Blocks from the first size on go back to the system when they are freed; of smaller ones an arena keeps the second.
_OF_VIDEOS = ((_M_MMAP_THRESHOLD, 8 << 20), (_M_TRIM_THRESHOLD, 16 << 20))
# Of a process that works on many pictures in many threads: buffers of pictures and of networks go back when freed.
_OF_PICTURES, _ARENAS = ((_M_MMAP_THRESHOLD, 1 << 20), (_M_TRIM_THRESHOLD, 4 << 20)), 2


class _Freed:
    """What glibc is to do with freed memory, as all of the process asks for it."""

    pictures = False
    videos = 0
    lock = threading.Lock()


@cache
def keep_little_memory() -> None:
    """Makes glibc share two arenas among all threads, and give large blocks back to the system when they are freed;
    elsewhere, and where MALLOC_... in the environment says otherwise, nothing is done.

    By itself it has eight arenas for each core, each of which keeps the most that any thread took from it at once.
    Measured with 16 threads, pictures of up to 1600 x 1600 and 16 arenas: 1326 MiB after 200 pictures, 1600 after 800;
    with this 122 after 400, 125 after 1000. Pages have to be fetched again: about a tenth more time of the
    processor than with two arenas alone, on a machine that was busy with other things.
    """
    if sys.platform == "win32" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    with _Freed.lock:
        _Freed.pictures = True
        _mallopt((_M_ARENA_MAX, _ARENAS), *_OF_PICTURES)


@contextmanager
def returning_freed_memory() -> Iterator[None]:
    """For the time in which a video is read, makes glibc give freed blocks back to the system; elsewhere nothing is
    done. What `keep_little_memory` asked for holds again after the last video.

    By itself it keeps up to 64 MiB for every thread once blocks of 32 MiB were freed, as networks do between frames:
    of a small clip that was half of the peak. Frames of 1080p stay below the limit, since mapping each takes time.
    """
    with _Freed.lock:
        _Freed.videos += 1
        _mallopt(*_OF_VIDEOS)
    try:
        yield
    finally:
        with _Freed.lock:
            _Freed.videos -= 1
            if _Freed.pictures and not _Freed.videos:
                _mallopt(*_OF_PICTURES)


def _mallopt(*options: tuple[int, int]) -> None:
    if sys.platform == "win32":  # there CDLL(None) raises TypeError
        return
    with suppress(OSError, AttributeError):  # another C library
        for name, value in options:
            ctypes.CDLL(None).mallopt(name, value)


def rss_bytes(pid: int | str = "self") -> int:
    """What a process holds in memory now; 0 where this system does not say it so (only Linux does)."""
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/statm", encoding="ascii") as status:
        return int(status.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def peak_rss_mb() -> int | None:
    """This process's highest resident size so far in MiB; None on Windows, which has no such counter."""
    if sys.platform == "win32":
        return None
    # Linux hands ru_maxrss on through fork and exec: a child would have its parent's peak. VmHWM begins anew.
    with suppress(OSError, StopIteration, ValueError), open("/proc/self/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("VmHWM:")).split()[1]) // 1024
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak / 2**20 if sys.platform == "darwin" else peak / 2**10)
