"""MPEG transport streams by the headers of their packets (ISO/IEC 13818-1, 2.4.3.2), wherever the file begins."""

from __future__ import annotations

from typing import NamedTuple

# Plain packets, those of camcorders and Blu-ray (a clock before each), those of broadcasting (parity behind each).
_SIZES = (188, 192, 204)
_SYNC = 0x47
_NOTHING = 0x1FFF
# So many headers in a row are no chance, in a file that begins with a packet, and within one: at least, and enough.
_FEWEST = 3
_FEWEST_CUT, _ENOUGH = 5, 16


class Packet(NamedTuple):
    """What a header says. pid: which stream it belongs to. scrambled: whether its content is encrypted."""

    pid: int
    counter: int
    payload: bool
    scrambled: bool


def packets(data: bytes) -> list[Packet]:
    """The headers of all packets in `data`, the beginning of a transport stream; none of anything else."""
    size, start = _lattice(data)
    return [_header(data, at) for at in range(start, len(data) - 3, size) if data[at] == _SYNC] if size else []


def is_transport_stream(head: bytes) -> bool:
    """Whether it begins with a packet, and others follow."""
    return any(_are_packets(head, _first(size), size) for size in _SIZES)


def is_cut_transport_stream(head: bytes) -> bool:
    """Whether packets follow one another behind what may be the end of one."""
    return _lattice(head) != (0, 0)


def _lattice(head: bytes) -> tuple[int, int]:
    """(size of a packet, where the first header lies); zeros where there are none."""
    for size in _SIZES:
        for start in range(size):
            if head[start : start + 1] == b"G" and _are_packets(head, start, size):
                return size, start
    return 0, 0


def _first(size: int) -> int:
    """Where the header lies in a packet of that size."""
    return 4 if size == 192 else 0


def _are_packets(head: bytes, start: int, size: int) -> bool:
    """Whether packets begin there and lie `size` bytes apart."""
    begins = start == _first(size)
    places = range(start, len(head) - 3, size)[: _FEWEST if begins else _ENOUGH]
    found = [_header(head, at) for at in places if head[at] == _SYNC and head[at + 3] & 0x30]
    if len(found) < max(len(places), _FEWEST if begins else _FEWEST_CUT):
        return False
    printed = all(byte >= 32 or byte in b"\t\r\n" for byte in head[: start + 2 * size])
    return not printed and (begins or _counts(found))


def _header(head: bytes, at: int) -> Packet:
    flags = head[at + 3]
    return Packet((head[at + 1] & 0x1F) << 8 | head[at + 2], flags & 15, bool(flags & 0x10), bool(flags & 0xC0))


def _counts(found: list[Packet]) -> bool:
    """Whether the counters of each stream go up by one, as those of other tables of that width do not."""
    last: dict[int, int] = {}
    right = wrong = 0
    for packet in found:
        if packet.pid == _NOTHING or not packet.payload:
            continue
        if packet.pid in last:
            follows = packet.counter == (last[packet.pid] + 1) % 16
            right, wrong = right + follows, wrong + (not follows)
        last[packet.pid] = packet.counter
    return right > 2 * wrong
