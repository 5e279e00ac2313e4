"""Which page of a TIFF is read, which TIFFs are camera raw, and that walking the directories is bounded."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import Permanent, UnsupportedMedia
from inference.image import tiff_pages
from inference.image.limits import Limits
from inference.image.media import decode
from inference.image.tiff_pages import choose
from tests.inference.properties import examples

Order = Literal["<", ">"]
SUBFILE, OLD_SUBFILE, COMPRESSION, PHOTOMETRIC, MAKE, SUBIFDS, DNG = 254, 255, 259, 262, 271, 330, 50706


@dataclass
class Page:
    """A grey 8-bit page of one value. below: directories that it points to."""

    width: int
    height: int
    value: int
    tags: dict[int, int | bytes] = field(default_factory=dict)
    below: tuple[Page, ...] = ()


def tiff(*pages: Page, order: Order = "<", big: bool = False) -> bytes:
    """The pages in a chain, their data before their directories; TIFF 6.0 or BigTIFF."""
    number = "Q" if big else "I"
    header = b"II" if order == "<" else b"MM"
    data = bytearray(header + struct.pack(f"{order}H", 43 if big else 42))
    data += struct.pack(f"{order}HHQ", 8, 0, 0) if big else bytes(4)
    link = 8 if big else 4

    def place(content: bytes) -> int:
        data.extend(bytes(-len(data) % 2))
        data.extend(content)
        return len(data) - len(content)

    def directory(page: Page) -> tuple[int, int]:
        """(its offset, the place of the link to the next)."""
        pixels = place(bytes([page.value]) * (page.width * page.height))
        tags: dict[int, int | bytes | list[int]] = {
            256: page.width, 257: page.height, 258: 8, 259: 1, 262: 1, 273: pixels, 277: 1, 278: page.height,
            279: page.width * page.height,
        }  # fmt: skip
        tags |= page.tags
        if page.below:
            tags[SUBIFDS] = [directory(below)[0] for below in page.below]
        rows = []
        for tag, value in sorted(tags.items()):
            if isinstance(value, bytes):
                kind, count, content = 2, len(value), value
            else:
                values = value if isinstance(value, list) else [value]
                kind, count = (16 if big else 4), len(values)
                content = struct.pack(f"{order}{count}{number}", *values)
            room = 8 if big else 4
            stored = content.ljust(room, b"\0") if len(content) <= room else struct.pack(order + number, place(content))
            rows.append(struct.pack(f"{order}HH{number}", tag, kind, count) + stored)
        start = place(struct.pack(order + ("Q" if big else "H"), len(rows)) + b"".join(rows) + bytes(8 if big else 4))
        return start, start + (8 if big else 2) + len(rows) * (20 if big else 12)

    for page in pages:
        offset, following = directory(page)
        struct.pack_into(order + number, data, link, offset)
        link = following
    return bytes(data)


THUMB = Page(4, 3, 10, {SUBFILE: 1})
PHOTO = Page(40, 30, 200)


def seen(data: bytes) -> tuple[tuple[int, int], int, int, int]:
    """(size, grey value, pictures, notes)."""
    picture = decode(data)
    assert (picture.pixels == picture.pixels[0, 0]).all()
    return picture.size, int(picture.pixels[0, 0, 0]), picture.frames, len(picture.notes)


@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
def test_a_reduced_copy_in_front_is_not_the_picture(order: Order, big: bool) -> None:
    data = tiff(THUMB, PHOTO, order=order, big=big)
    assert seen(data) == ((40, 30), 200, 1, 1)
    assert decode(data).notes == ("the first page of the TIFF is a 4 x 3 copy or mask; page 2 was read, 40 x 30",)


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ((Page(4, 3, 10, {OLD_SUBFILE: 2}), PHOTO), ((40, 30), 200, 1, 1)),
        ((Page(4, 3, 10, {SUBFILE: 1}, (PHOTO,)),), ((40, 30), 200, 1, 1)),
        ((Page(4, 3, 10, {SUBFILE: 4}), PHOTO), ((40, 30), 200, 1, 1)),  # a mask
        ((Page(40, 30, 10, {SUBFILE: 4}), PHOTO), ((40, 30), 200, 1, 1)),  # of the picture's size, as masks are
        ((Page(80, 60, 10, {PHOTOMETRIC: 4}), PHOTO), ((40, 30), 200, 1, 1)),  # finer, and not a subfile
        ((THUMB, Page(8, 6, 20, {SUBFILE: 1}), PHOTO), ((40, 30), 200, 1, 1)),
        ((THUMB, PHOTO, THUMB, Page(42, 30, 90)), ((40, 30), 200, 2, 1)),  # a scan with a preview of each page
        ((THUMB, Page(6, 6, 90), PHOTO), ((40, 30), 200, 2, 1)),  # a label before the picture
        ((PHOTO, Page(20, 15, 90, {SUBFILE: 1}), THUMB), ((40, 30), 200, 1, 0)),  # a pyramid
        ((Page(40, 30, 200, {}, (Page(20, 15, 9, {SUBFILE: 1}),)),), ((40, 30), 200, 1, 0)),  # a pyramid below
        ((PHOTO, Page(40, 30, 90), Page(40, 30, 91)), ((40, 30), 200, 3, 1)),  # a scan: said
        ((PHOTO, Page(90, 60, 90)), ((40, 30), 200, 2, 1)),  # nothing marks the first as a copy: said
        ((THUMB,), ((4, 3), 10, 1, 1)),  # nothing else there
        ((Page(40, 30, 200, {SUBFILE: 1}), Page(4, 3, 10)), ((40, 30), 200, 1, 1)),  # "reduced" is larger
        ((Page(40, 30, 10, {SUBFILE: 1}), PHOTO), ((40, 30), 200, 1, 1)),  # or as large
    ],
)
def test_the_page_that_is_the_picture_is_read(
    pages: tuple[Page, ...], expected: tuple[tuple[int, int], int, int, int]
) -> None:
    assert seen(tiff(*pages)) == expected


def test_what_is_said_of_a_reduced_copy_that_is_read() -> None:
    (alone,), (largest,) = (decode(tiff(*pages)).notes for pages in ((THUMB,), (THUMB, Page(2, 2, 90))))
    assert alone == "its only page says that it is a reduced copy of another picture"
    assert largest == "its first page, the largest, says that it is a reduced copy of another picture"


def test_a_bigtiff_that_pillow_cannot_read_is_described() -> None:
    with pytest.raises(UnsupportedMedia, match="in a BigTIFF of big-endian order"):
        decode(tiff(PHOTO, order=">", big=True))


CFA, LINEAR = {PHOTOMETRIC: 32803}, {PHOTOMETRIC: 34892}
RAW = {
    "DNG": (tiff(Page(4, 3, 1, {SUBFILE: 1, DNG: 1 + (4 << 8)}, (Page(40, 30, 2, dict(CFA)),))), "(DNG)"),
    "DNG of a thumbnail alone": (tiff(Page(4, 3, 1, {SUBFILE: 1, DNG: 1 + (4 << 8)})), "(DNG)"),
    "linear DNG": (tiff(Page(40, 30, 1, {**LINEAR, DNG: 1})), "(DNG)"),
    "NEF": (
        tiff(Page(4, 3, 1, {SUBFILE: 1, MAKE: b"NIKON CORPORATION\0"}, (Page(40, 30, 2, dict(CFA)),))),
        "Nikon NEF",
    ),
    "NEF, big preview": (
        tiff(Page(4, 3, 1, {MAKE: b"NIKON\0"}, (Page(90, 60, 3, {SUBFILE: 1}), Page(40, 30, 2, dict(CFA)))), order=">"),
        "Nikon NEF",
    ),
    "ARW": (tiff(Page(4, 3, 1, {SUBFILE: 1, MAKE: b"SONY\0"}, (Page(40, 30, 2, {COMPRESSION: 32767}),))), "Sony ARW"),
    "PEF": (tiff(Page(40, 30, 1, {**CFA, MAKE: b"PENTAX\0"}), THUMB), "Pentax PEF"),
    "SRW": (tiff(Page(4, 3, 1, {MAKE: b"SAMSUNG\0"}, (Page(40, 30, 2, {COMPRESSION: 32770}),))), "Samsung SRW"),
    "3FR": (tiff(Page(4, 3, 1, {SUBFILE: 1, MAKE: b"Hasselblad\0"}, (Page(40, 30, 2, dict(CFA)),))), "Hasselblad 3FR"),
    "MOS": (tiff(Page(4, 3, 1, {MAKE: b"Leaf\0", 34310: b"PKTS\0"})), "Leaf MOS"),
    "raw in the second page": (tiff(PHOTO, Page(40, 30, 2, {COMPRESSION: 34713, MAKE: b"NIKON\0"})), "Nikon NEF"),
    "raw elsewhere": (tiff(Page(4, 3, 1, {SUBFILE: 1, MAKE: b"Unheard of\0"})), "a TIFF of sensor data"),
    "no maker": (tiff(Page(40, 30, 1, dict(CFA))), "a TIFF of sensor data"),
}


@pytest.mark.parametrize(("data", "name"), RAW.values(), ids=RAW.keys())
def test_camera_raw_is_refused_by_its_name(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedMedia) as caught:
        decode(data)
    assert "this is a camera raw file (" in str(caught.value)
    assert name in str(caught.value)
    assert "export it as JPEG or TIFF" in str(caught.value)


def test_a_dng_of_a_scanner_and_a_camera_s_tiff_are_read() -> None:
    assert seen(tiff(Page(40, 30, 200, {DNG: 1}))) == ((40, 30), 200, 1, 0)
    below = Page(4, 3, 1, {SUBFILE: 1, MAKE: b"NIKON CORPORATION\0"}, (PHOTO,))
    assert seen(tiff(below)) == ((40, 30), 200, 1, 1)


def test_a_page_that_is_turned_and_below_another_comes_upright() -> None:
    data = tiff(Page(4, 3, 10, {SUBFILE: 1}, (Page(40, 30, 200, {274: 6}),)))
    assert decode(data).size == decode(data).image.size == (30, 40)


def test_directories_are_walked_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiff(*[Page(2, 2, 7)] * 30)
    assert choose(data).pages == 30
    monkeypatch.setattr(tiff_pages, "MAX_DIRECTORIES", 29)
    assert choose(data).pages == 0
    monkeypatch.undo()
    monkeypatch.setattr(tiff_pages, "MAX_ENTRIES", 100)
    assert choose(data).pages == 0
    picture = decode(data)
    assert picture.frames == 0 and picture.notes[0].startswith("it holds at least ")


def test_a_chain_that_bites_its_tail_ends() -> None:
    data = bytearray(tiff(PHOTO, Page(40, 30, 90)))
    (first,) = struct.unpack_from("<I", data, 4)
    (second,) = struct.unpack_from("<I", data, first + 2 + 9 * 12)
    struct.pack_into("<I", data, second + 2 + 9 * 12, first)
    assert seen(bytes(data)) == ((40, 30), 200, 2, 1)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({258: 32, 339: 3, COMPRESSION: 34887}, "1 x 32-bit float samples, black is zero, compression 34887 (LERC)"),
        ({COMPRESSION: 50001}, "compression 50001 (WebP)"),
        ({COMPRESSION: 50002}, "compression 50002 (JPEG XL)"),
        ({COMPRESSION: 34712}, "compression 34712 (JPEG 2000)"),
        ({COMPRESSION: 12345}, "compression 12345 (unknown)"),
        ({258: 24}, "1 x 24-bit unsigned samples"),
        ({277: 5}, "5 x 8-bit unsigned samples"),
        ({277: 5, 284: 2}, "5 x 8-bit unsigned samples"),  # of which decoders would take the first band
        ({PHOTOMETRIC: 32845}, "LogLuv"),
        ({339: 6, 258: 64}, "1 x 64-bit complex float samples"),
    ],
)
def test_an_intact_tiff_that_is_not_read_is_described(
    tags: dict[int, int | bytes], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnsupportedMedia) as caught:
        decode(tiff(Page(8, 8, 1, tags)))
    assert words in str(caught.value)
    assert ": convert " in str(caught.value) or ": save " in str(caught.value)
    assert capfd.readouterr().err == "", "libtiff says nothing of its own"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on odd tags
@examples(300)
@given(
    st.sampled_from([data for data, _ in RAW.values()] + [tiff(THUMB, PHOTO), tiff(THUMB, PHOTO, order=">", big=True)]),
    st.lists(st.tuples(st.integers(0, 1), st.integers(4, 10_000), st.binary(min_size=1, max_size=8)), max_size=6),
    st.integers(0, 10_000),
)
def test_broken_directories_are_an_error_of_the_file(
    data: bytes, changes: list[tuple[int, int, bytes]], cut: int
) -> None:
    broken = bytearray(data)
    for from_end, at, content in changes:
        place = at % len(data) if not from_end else max(len(data) - at % 400, 4)
        broken[place : place + len(content)] = content
    for candidate in (bytes(broken), data[: max(cut % len(data), 4)]):
        with contextlib.suppress(Permanent):
            decode(candidate, Limits(pixels=1_000_000))
