"""The directories of a TIFF: which page is the picture, and which files are camera raw.

Tags and values: TIFF 6.0, TIFF/EP, the DNG specification 1.7, BigTIFF. What libraries decode is page 1 of a file, which
is a thumbnail in camera raw files and may be one elsewhere; NewSubfileType says so.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from inference.errors import UnsupportedMedia
from inference.image.other_kinds import RAW, SAVE
from inference.image.sniff import EXPECTED

# What is looked at, of hostile files too: directories, and their entries altogether.
MAX_DIRECTORIES = 10_000
MAX_ENTRIES = 200_000
_MAX_SUBIFDS = 32
# Strips or tiles: each costs a decoder time and a kilobyte. 120 megapixels in tiles of 16 x 16 pixels are fewer.
MAX_PARTS = 500_000
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_CFA, _LINEAR_RAW = 32803, 34892
# Compressions of sensor data only: Nikon, Sony, Pentax, Kodak, Samsung, Epson, lossy DNG (libtiff's tiff.h, ExifTool).
_RAW_COMPRESSIONS = {34713, 32767, 65535, 65000, 32867, 32770, 32769, 34892}
_MAKERS = {
    "nikon": "Nikon NEF", "sony": "Sony ARW", "pentax": "Pentax PEF", "ricoh": "Pentax PEF", "samsung": "Samsung SRW",
    "hasselblad": "Hasselblad 3FR", "phase one": "Phase One IIQ", "leaf": "Leaf MOS", "mamiya": "Mamiya MEF",
    "canon": "Canon", "epson": "Epson ERF", "seiko epson": "Epson ERF", "eastman kodak": "Kodak DCR or KDC",
    "kodak": "Kodak DCR or KDC", "olympus": "Olympus ORF", "panasonic": "Panasonic RW2", "leica": "Leica",
    "fujifilm": "Fujifilm", "konica minolta": "Minolta", "casio": "Casio",
}  # fmt: skip
_SIZES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
_PARTS = (273, 279, 324, 325)  # where strips and tiles lie, and how long they are
_MAKE, _SAMPLES, _SUBIFDS, _EXTRA, _FORMAT, _LEAF, _DNG = 271, 277, 330, 338, 339, 34310, 50706
_WANTED = {
    _SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC,
    _MAKE, _SAMPLES, _SUBIFDS, _EXTRA, _FORMAT, _LEAF, _DNG,
}  # fmt: skip


@dataclass(frozen=True)
class Page:
    """One directory. size: (width, height) in pixels as stored. tags: the numbers of those that count here.
    parts: how many strips or tiles it lists."""

    offset: int
    size: tuple[int, int]
    tags: dict[int, tuple[int, ...]] = field(repr=False)
    make: str = ""
    number: int = 0  # from 1 in the chain; 0: a directory below another
    parts: int = 0

    @property
    def compression(self) -> int:
        return self.first(_COMPRESSION, 1)

    def first(self, tag: int, default: int) -> int:
        return self.tags.get(tag, (default,))[0]

    @property
    def area(self) -> int:
        return self.size[0] * self.size[1]

    @property
    def whole(self) -> bool:
        """Whether it is a picture of its own: neither a reduced copy of another nor a mask."""
        return not (self.mask or self.first(_SUBFILE, 0) & _REDUCED) and self.first(_OLD_SUBFILE, 1) != 2

    @property
    def mask(self) -> bool:
        """Whether it says which pixels of another page count."""
        return bool(self.first(_SUBFILE, 0) & _MASK) or self.first(_PHOTOMETRIC, 0) == 4

    @property
    def raw(self) -> bool:
        """Whether it holds what a sensor measured."""
        return self.first(_PHOTOMETRIC, 0) in (_CFA, _LINEAR_RAW) or (
            self.compression in _RAW_COMPRESSIONS or _LEAF in self.tags
        )


@dataclass(frozen=True)
class Chosen:
    """A TIFF whose first directory is the picture. pages: pictures in the file, 0 for not counted. page: None where
    no directory can be read."""

    data: bytes
    pages: int
    note: str = ""
    page: Page | None = None


class _Directories:
    """Reads directories within the two bounds above; a broken one ends the walk, for the decoder to judge."""

    def __init__(self, data: bytes) -> None:
        self.data, self.order = data, "<" if data[:2] == b"II" else ">"
        self.big = struct.unpack_from(f"{self.order}H", data, 2)[0] == 43
        self.left = MAX_ENTRIES
        self.complete = True

    def chain(self) -> Iterator[Page]:
        """The pages in the order of the file."""
        offset = self._number("Q", 8) if self.big else self._number("I", 4)
        seen = set[int]()
        while offset and offset not in seen:
            if len(seen) >= MAX_DIRECTORIES or self.left <= 0:
                self.complete = False
                return
            seen.add(offset)
            try:
                page, offset = self.page(offset, len(seen))
            except (struct.error, OverflowError):
                return
            yield page

    def below(self, page: Page) -> Iterator[Page]:
        """The directories that a page points to."""
        for offset in page.tags.get(_SUBIFDS, ())[:_MAX_SUBIFDS]:
            try:
                yield self.page(offset, 0)[0]
            except (struct.error, OverflowError):
                continue

    def page(self, offset: int, number: int) -> tuple[Page, int]:
        """(the directory at an offset, the offset of the next)."""
        count = self._number("Q" if self.big else "H", offset)
        start, entry = offset + (8 if self.big else 2), 20 if self.big else 12
        if start + count * entry > len(self.data):
            raise struct.error("the directory ends behind the file")
        self.left -= count
        tags, make, parts = dict[int, tuple[int, ...]](), "", 0
        for at in range(start, start + min(count, max(self.left, 0)) * entry, entry):
            tag = self._number("H", at)
            if tag == _MAKE:
                make = self._value(at, 64, "s").decode("latin-1").partition("\0")[0].strip()
            elif tag in _PARTS:
                parts = max(parts, self._count(at))
            elif tag in _WANTED:
                tags[tag] = self._numbers(at) or (0,)
        following = self._number("Q" if self.big else "I", start + count * entry)
        size = tags.get(_WIDTH, (0,))[0], tags.get(_HEIGHT, (0,))[0]
        return Page(offset, size, tags, make, number, parts), following

    def _numbers(self, at: int) -> tuple[int, ...]:
        kind = _SIZES.get(self._number("H", at + 2))
        if kind is None:
            return ()
        data = self._value(at, _MAX_SUBIFDS, kind)
        return struct.unpack(f"{self.order}{len(data) // struct.calcsize(kind)}{kind}", data)

    def _value(self, at: int, most: int, kind: str) -> bytes:
        """The bytes of an entry's value, of `most` numbers at most."""
        size = struct.calcsize(kind)
        count = min(self._count(at), most)
        inside, width = (at + 12, 8) if self.big else (at + 8, 4)
        begin = inside if count * size <= width else self._number("Q" if self.big else "I", inside)
        return self.data[begin : begin + count * size][: count * size // size * size]

    def _count(self, at: int) -> int:
        """How many numbers an entry has."""
        return self._number("Q" if self.big else "I", at + 4)

    def _number(self, kind: str, at: int) -> int:
        number: int = struct.unpack_from(self.order + kind, self.data, at)[0]
        return number


def choose(data: bytes) -> Chosen:
    """The page of a TIFF that is its picture: the first, unless that is a reduced copy or a mask.

    Then it is the first page (or else the largest directory below one) that is a picture of its own and is not much
    smaller than the largest. Raises UnsupportedMedia for camera raw files.
    """
    reader = _Directories(data)
    try:
        pages = list(reader.chain())
    except struct.error:
        pages = []
    if not pages:
        return Chosen(data, 1)
    first = pages[0]
    # A scan of many pages keeps its first one: what is below the others is of no interest.
    below = [page for top in pages[:_MAX_SUBIFDS] for page in reader.below(top)]
    whole = [page for page in pages if page.whole]
    count = max(len(whole), 1) if reader.complete else 0
    refuse_raw(pages, below)
    if first.whole:
        refuse_unread(first)
        return Chosen(data, count, _larger(first, whole) or _uncounted(reader, whole), first)
    rest = [page for page in (*whole, *(p for p in below if p.whole)) if first.mask or page.area >= first.area]
    if not rest:
        refuse_unread(first)
        which = "its only page" if len(pages) == 1 else "its first page, the largest,"
        return Chosen(data, count, f"{which} says that it is a reduced copy of another picture", first)
    largest = max(page.area for page in rest)
    best = next(page for page in rest if page.area * 2 >= largest)
    refuse_unread(best)
    where = f"page {best.number}" if best.number else "a page below it"
    note = f"the first page of the TIFF is a {_dimensions(first)} copy or mask; {where} was read, {_dimensions(best)}"
    return Chosen(_beginning_at(data, best.offset), max(count, 1), note, best)


def refuse_raw(pages: list[Page], below: list[Page]) -> None:
    """Raises UnsupportedMedia for camera raw files, by their sensor data, or by a thumbnail that comes alone."""
    first, every = pages[0], [*pages, *below]
    alone = (
        bool(first.make or _DNG in first.tags)
        and not any(page.whole and page.area > first.area for page in every)
        and not first.whole
    )
    if not alone and not any(page.raw for page in every):
        return
    make = next((page.make for page in every if page.make), "").lower()
    name = "DNG" if any(_DNG in page.tags for page in pages) else ""
    name = name or next((name for maker, name in _MAKERS.items() if make.startswith(maker)), "a TIFF of sensor data")
    raise UnsupportedMedia(f"this is a camera raw file ({name}): {RAW}; {EXPECTED}")


def refuse_unread(page: Page) -> None:
    """Raises UnsupportedMedia for a page of which a decoder takes less than is there, or complains on stderr."""
    if page.compression == _WEBP:
        raise UnsupportedMedia(f"this is {described(page)}: {SAVE}; {EXPECTED}")
    samples = page.first(_SAMPLES, len(page.tags.get(_BITS, (1,))))
    if samples > 2 and page.first(_PHOTOMETRIC, 0) in (0, 1):
        raise UnsupportedMedia(f"this is {described(page)}: save the three bands to look at as 8-bit RGB; {EXPECTED}")


def _uncounted(reader: _Directories, whole: list[Page]) -> str:
    """What is said where counting ended at a bound."""
    if reader.complete:
        return ""
    return f"it holds at least {len(whole):,} pictures, of which the first is analysed; split it to have all"


def _larger(first: Page, whole: list[Page]) -> str:
    """What is said where nothing marks the first page as a copy, and another is four times as large."""
    larger = next((page for page in whole if page.area >= 4 * first.area), None)
    if larger is None:
        return ""
    return (
        f"the first page of the TIFF was read, {_dimensions(first)}; "
        f"page {larger.number} is larger ({_dimensions(larger)}): save it alone to have that one analysed"
    )


def _dimensions(page: Page) -> str:
    return f"{page.size[0]} x {page.size[1]}"


def _beginning_at(data: bytes, offset: int) -> bytes:
    """The file with that directory as its first: decoders take the first, and libtiff goes by the file's header."""
    order = "<" if data[:2] == b"II" else ">"
    if struct.unpack_from(f"{order}H", data, 2)[0] == 43:
        return data[:8] + struct.pack(f"{order}Q", offset) + data[16:]
    return data[:4] + struct.pack(f"{order}I", offset) + data[8:]


_FORMATS = {1: "unsigned", 2: "signed", 3: "float", 4: "unknown", 5: "complex whole", 6: "complex float"}
_PHOTOMETRICS = {
    0: "white is zero", 1: "black is zero", 2: "RGB", 3: "palette", 4: "mask", 5: "inks", 6: "YCbCr", 8: "CIE Lab",
    9: "ICC Lab", 10: "ITU Lab", 32844: "LogL", 32845: "LogLuv", 51177: "depth",
}  # fmt: skip
_COLOUR_SAMPLES = {2: 3, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3}
# Pillow's libtiff knows the number and has no decoder, and says so on stderr.
_WEBP = 50001
_COMPRESSIONS = {
    1: "none", 2: "CCITT", 3: "fax 3", 4: "fax 4", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "Deflate", 9: "JBIG",
    10: "JBIG", 32773: "PackBits", 32946: "Deflate", 33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000",
    34661: "JBIG", 34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 34933: "PNG", 34934: "JPEG XR",
    22610: "JPEG XR", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip


def first_page(data: bytes) -> Page | None:
    """The first page of a TIFF; None where it has no readable directory with a size."""
    try:
        page = next(_Directories(data).chain(), None)
    except struct.error:
        return None
    return page if page and page.area else None


def is_unusual(page: Page) -> bool:
    """Whether its samples are other than whole numbers of up to 16 bits, a colour's and one more."""
    bits = page.tags.get(_BITS, (1,))
    more = page.first(_SAMPLES, len(bits)) - _COLOUR_SAMPLES.get(page.first(_PHOTOMETRIC, 0), 1)
    return page.first(_FORMAT, 1) != 1 or any(b not in (1, 2, 4, 8, 16) for b in bits) or more > 1


def described(page: Page) -> str:
    """A page in words: its samples, its colours, its compression."""
    bits = page.tags.get(_BITS, (1,))
    samples = page.first(_SAMPLES, len(bits))
    depth = f"{bits[0]}-bit" if len(set(bits)) == 1 else f"{'/'.join(map(str, bits[:8]))}-bit"
    kind = _FORMATS.get(page.first(_FORMAT, 1), "unknown")
    compression, photometric = page.compression, page.first(_PHOTOMETRIC, 0)
    return (
        f"a TIFF of {samples} x {depth} {kind} samples, {_PHOTOMETRICS.get(photometric, f'colours {photometric}')}, "
        f"compression {compression} ({_COMPRESSIONS.get(compression, 'unknown')})"
    )
