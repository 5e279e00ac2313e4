"""Which way up: by EXIF, and in AVIF by irot and imir; never by XMP."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import PngImagePlugin

from inference.errors import CorruptMedia
from inference.image.media import decode
from tests.inference.image.tiffs import tiff

_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def exif(orientation: int) -> bytes:
    block = Pillow.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def saved(kind: str, orientation: int | None) -> bytes:
    """48 x 32, with XMP that asks for a quarter turn."""
    file, image = io.BytesIO(), Pillow.new("RGB", (48, 32), "navy")
    how = {"exif": exif(orientation)} if orientation else {}
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", _XMP.decode())
        image.save(file, kind, pnginfo=text, **how)
    elif kind == "TIFF":
        tags = {700: _XMP} | ({274: orientation} if orientation else {})
        return tiff(np.zeros((32, 48, 3), np.uint8), photometric=2, tags=tags)
    else:
        image.save(file, kind, xmp=_XMP, **how)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF"])
def test_xmp_turns_nothing(kind: str) -> None:
    picture = decode(saved(kind, None))
    assert (picture.size, picture.image.size, picture.orientation) == ((48, 32), (48, 32), 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize(("orientation", "size"), [(1, (48, 32)), (8, (32, 48))])
def test_exif_turns_beside_xmp(kind: str, orientation: int, size: tuple[int, int]) -> None:
    picture = decode(saved(kind, orientation))
    assert (picture.size, picture.image.size, picture.orientation) == (size, size, orientation)


@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0nonsense and no more"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_broken_exif_block_costs_the_picture_nothing(kind: str, block: bytes) -> None:
    file = io.BytesIO()
    Pillow.new("RGB", (48, 32), "navy").save(file, kind, exif=block)
    assert decode(file.getvalue()).size == (48, 32)


@pytest.mark.parametrize("block", [exif(0), exif(9), exif(6)[:18], b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"])
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_xmp_stands_in_for_no_exif_that_says_nothing(kind: str, block: bytes) -> None:
    file = io.BytesIO()
    Pillow.new("RGB", (48, 32), "navy").save(file, kind, exif=block, xmp=_XMP)
    picture = decode(file.getvalue())
    assert (picture.size, picture.orientation) == ((48, 32), 1)


@pytest.mark.parametrize("block", [None, exif(6)], ids=["without exif", "with exif"])
def test_broken_pixels_are_not_hidden_by_reading_exif(block: bytes | None) -> None:
    file = io.BytesIO()
    noise = np.random.default_rng(3).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Pillow.fromarray(noise).save(file, "PNG", **({"exif": block} if block else {}))
    data = bytearray(file.getvalue())
    middle = data.index(b"IDAT") + 2000
    data[middle : middle + 400] = bytes(400)
    with pytest.raises(CorruptMedia):
        decode(bytes(data))
