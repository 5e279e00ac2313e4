"""What is no picture is refused by its name, with what to do; what sniffs as one is told from video and raw."""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
from pathlib import Path
from urllib.parse import quote, quote_plus

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from inference.errors import CorruptMedia, UnsupportedMedia
from inference.image import other_kinds
from inference.image.media import decode
from inference.image.sent_as_text import changed_on_the_way
from inference.image.sniff import SNIFF_BYTES, sniff
from tests.inference.properties import examples

PHOTO = (Path(__file__).resolve().parents[3] / "samples/coffee.jpg").read_bytes()


def saved(kind: str) -> bytes:
    file = io.BytesIO()
    chance = np.random.default_rng(3)
    Pillow.fromarray(chance.integers(0, 255, (80, 80, 3), dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def stripped(kind: str) -> bytes:
    """What `curl -d @file` sends of a file."""
    return saved(kind).translate(None, b"\r\n\0")


PNG = saved("PNG")
TEXT = base64.b64encode(PHOTO)
FORM = (
    b'------75f5\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n'
    b"Content-Type: image/jpeg\r\n\r\n" + PHOTO + b"\r\n------75f5--\r\n"
)


def refusal(data: bytes) -> str:
    with pytest.raises(UnsupportedMedia) as caught:
        sniff(data[:SNIFF_BYTES])
    assert "expected an image (JPEG" in str(caught.value)
    return str(caught.value)


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "x" * 50)
    return file.getvalue()


SENT = {
    "base64": (TEXT, "base64 text of a picture (image/jpeg): decode it"),
    "base64, in lines": (base64.encodebytes(PNG), "base64 text of a picture (image/png)"),
    "base64 of an address": (base64.urlsafe_b64encode(PHOTO), "base64 text of a picture (image/jpeg)"),
    "base64 in UTF-16": (TEXT.decode().encode("utf-16"), "base64 text of a picture (image/jpeg)"),
    "base64 in UTF-16 without a mark": (TEXT.decode().encode("utf-16-be"), "base64 text of a picture (image/jpeg)"),
    "PEM": (b"-----BEGIN IMAGE-----\n" + base64.encodebytes(PNG), "base64 text of a picture (image/png)"),
    "a part of a message": (
        b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(PHOTO),
        "base64 text of a picture (image/jpeg)",
    ),
    "Postgres's bytea": (b"\\x" + PHOTO.hex().encode(), "hexadecimal text of a picture (image/jpeg)"),
    "PowerShell's >": (
        PHOTO.decode("cp437").encode("utf-16"),
        "a picture (image/jpeg) that was written as text (UTF-16)",
    ),
    "PowerShell's >, PNG": (PNG.decode("cp850").encode("utf-16"), "a picture (image/png) that was written as text"),
    "bytes as UTF-16": (PHOTO.decode("latin-1").encode("utf-16-le"), "a picture (image/jpeg) that was written as text"),
    "a console's characters": (PNG.decode("cp437").encode(), "a picture (image/png) that was written as text (UTF-8)"),
    "7 bits": (bytes(b & 127 for b in PNG), "a PNG whose first byte was changed on the way"),
    "ASCII": (
        saved("JPEG").decode("ascii", "replace").encode("ascii", "replace"),
        "a JPEG whose first bytes were changed",
    ),
    "a start": (b"\xff\xd8" + bytes(99), "the start of a JPEG and nothing that belongs behind it: the upload was cut"),
    "a start, BMP": (b"BM" + bytes(99), "a BMP whose header is damaged or unknown: the upload was cut"),
    "quoted": (b'"' + TEXT + b'"', "base64 text of a picture (image/jpeg)"),
    "data URL": (b"data:image/png;base64," + base64.b64encode(PNG), "base64 text of a picture (image/png)"),
    "Power Automate": (
        json.dumps({"$content-type": "image/jpeg", "$content": TEXT.decode()}).encode(),
        "base64 text of a picture (image/jpeg) in JSON",
    ),
    "octets in JSON": (
        json.dumps({"$content-type": "application/octet-stream", "$content": TEXT.decode()}).encode(),
        "base64 text of a picture (image/jpeg) in JSON",
    ),
    "JSON with strokes": (b'{"image": "' + TEXT.replace(b"/", b"\\/") + b'"}', "(image/jpeg) in JSON"),
    "base64 form": (b"image=" + quote_plus(TEXT.decode()).encode(), "base64 text of a picture (image/jpeg) in a form"),
    "form": (b"photo=" + quote(PHOTO[:1000]).encode(), "form text of a picture (image/jpeg): send the picture as the"),
    "plain form": (b"name=cat&age=3", "form text (application/x-www-form-urlencoded)"),
    "multipart": (FORM, "a form (multipart/form-data), as curl -F and web pages send it: send the picture as the body"),
    "hexadecimal": (PHOTO.hex().encode(), "hexadecimal text of a picture (image/jpeg)"),
    "Python's bytes": (str(PHOTO[:1000]).encode(), "the text that Python prints for bytes"),
    "latin-1 to UTF-8": (PHOTO.decode("latin-1").encode(), "a picture (image/jpeg) that was written as text (UTF-8)"),
    "read as UTF-8": (PHOTO.decode("utf-8", "replace").encode(), "a binary file that was read as text (UTF-8)"),
    "read as UTF-8, PNG": (PNG.decode("utf-8", "replace").encode(), "a binary file that was read as text (UTF-8)"),
    "FTP as text": (PNG.replace(b"\r\n", b"\n"), "a PNG whose line ends were changed on the way: send it as binary"),
    "FTP as text, back": (PNG.replace(b"\n", b"\r\n"), "a PNG whose line ends were changed on the way"),
    "curl -d": (PNG.translate(None, b"\r\n\0"), "a picture without its zeros and line ends, as curl -d sends it"),
    "numbers": (str(list(PHOTO[:99])).encode(), "a list of numbers, the bytes of a picture (image/jpeg)"),
    "Node's Buffer": (
        json.dumps({"type": "Buffer", "data": list(PNG[:99])}).encode(),
        "a list of numbers, the bytes of a picture (image/png)",
    ),
    "Uint8Array": (
        json.dumps(dict(enumerate(PHOTO[:99]))).encode(),
        "a list of numbers, the bytes of a picture (image/jpeg)",
    ),
    "XML": (b"<r><image>" + TEXT + b"</image></r>", "base64 text of a picture (image/jpeg)"),
    "a line before": (b"1f40\r\n" + PHOTO, "a picture (image/jpeg) behind 6 other bytes: send the picture alone"),
    "zeros before": (bytes(512) + PNG, "a picture (image/png) behind 512 other bytes"),
    "a length before": (struct.pack(">I", len(PHOTO)) + PHOTO, "a picture (image/jpeg) behind 4 other bytes"),
    "a cover": (b"ID3\x04\0\0\0\0\x23\x01APIC\0\0" + PHOTO, "an MP3 file"),
    "UTF-16": ("<HTML><body>".encode("utf-16"), "a web page"),
    "a form in forms": (b"a=" * 2040, "form text (application/x-www-form-urlencoded)"),
    "curl -d, TIFF": (stripped("TIFF"), "a picture without its zeros and line ends, as curl -d sends it"),
    "curl -d, WebP": (stripped("WEBP"), "a picture without its zeros and line ends, as curl -d sends it"),
    "curl -d, AVIF": (stripped("AVIF"), "a picture without its zeros and line ends, as curl -d sends it"),
    "name": (b"@photo.jpg", "the name of a file, without its content: send the picture as the body"),
    "address": (b"https://example.org/photo.jpg\n", "the address of a web page or a file"),
    "JSON": (b'{"status": "error"}', "JSON text"),
    "HTTP": (b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + PHOTO, "an answer of a web server"),
    "e-mail": (b"Return-Path: <a@example.org>\r\nSubject: photo\r\n", "an e-mail: send the attached pictures"),
}


@pytest.mark.parametrize(("data", "words"), SENT.values(), ids=SENT.keys())
def test_a_picture_that_was_sent_wrongly_is_told_so(data: bytes, words: str) -> None:
    assert f"this is {words}" in refusal(data) or words in refusal(data)


KINDS = {
    "a Mac's ._ companion file": b"\0\x05\x16\x07\0\x02\0\0Mac OS X        ",
    "a .DS_Store": b"\0\0\0\x01Bud1\0\0\x10\0",
    "a Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
    "a desktop.ini": "[.ShellClassInfo]\r\nIconResource=a.dll,3".encode("utf-8-sig"),
    "a JPEG XL picture": b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ",
    "an e-mail or a saved web page": b"From: <Saved by Blink>\r\nMIME-Version: 1.0\r\n",
    "an SVG drawing": b'<?xml version="1.0"?>\n<!-- made by x -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "a web page": b"\n<!DOCTYPE html><p>404",
    "an XMP side file": b'<?xml version="1.0"?><x:xmpmeta xmlns:x="adobe:ns:meta/"/>',
    "an Apple property list": b'<?xml version="1.0"?><!DOCTYPE plist PUBLIC "-//Apple//DTD"><plist/>',
    "XML text": b'<?xml version="1.0"?><a/>',
    "a PostScript or EPS file": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "a PDF document": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3",
    "a DICOM file": bytes(128) + b"DICM\x02\0\0\0UL",
    "a DICOM file without its preamble": bytes.fromhex("02000200 55490c00") + b"1.2.840.10008",
    "an ICC colour profile": b"\0\0\x02Llcms\x04\x30\0\0mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(88),
    "a Photoshop document": b"8BPS\0\x01" + bytes(20),
    "a GIMP document": b"gimp xcf v011\0",
    "a JPEG XS picture": b"\0\0\0\x18ftypjxs \0\0\0\0jxs ",
    "a CorelDRAW document": b"RIFF\x24\0\0\0CDRCvrsn",
    "a LERC raster": b"Lerc2 \x04\0\0\0",
    "a Word document": zipped("[Content_Types].xml", "word/document.xml"),
    "an Excel workbook": zipped("[Content_Types].xml", "xl/workbook.xml"),
    "a zip archive": zipped("a.jpg"),
    "a gzip archive": b"\x1f\x8b\x08\0" + bytes(20),
    "a 7-Zip archive": b"7z\xbc\xaf\x27\x1c\0\x04",
    "a RAR archive": b"Rar!\x1a\x07\x01\0",
    "a tar archive": b"a.jpg".ljust(257, b"\0") + b"ustar\x0000",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
    "an RTF document": b"{\\rtf1\\ansi hello}",
    "an OpenEXR picture": b"v/1\x01\x02\0\0\0",
    "a Radiance HDR picture": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n\x01\x02\x03\x80",
    "a PFM picture": b"PF\n3 2\n-1.0\n" + bytes(72),
    "a PAM picture": b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n\0\0\0\0",
    "a DDS texture": b"DDS |\0\0\0",
    "a KTX texture": b"\xabKTX 11\xbb\r\n\x1a\n",
    "probably a TGA picture": struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 8, 8, 24, 0) + bytes(99),
    "a PCX picture": b"\x0a\x05\x01\x08" + bytes(60),
    "a Windows cursor (CUR)": b"\0\0\x02\0\x01\0\x20\x20\0\0\x08\0\x08\0" + bytes(20),
    "a QOI picture": b"qoif\0\0\0\x01\0\0\0\x01\x03\0",
    "a Windows icon": b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0",
    "a FITS file": b"SIMPLE  =                    T".ljust(80),
    "a NIfTI volume": struct.pack("<I", 348).ljust(344, b"\0") + b"n+1\0",
    "an HDF5 file": b"\x89HDF\r\n\x1a\n\0",
    "a NetCDF file": b"CDF\x01\0\0\0\0",
    "a NumPy array": b"\x93NUMPY\x01\0v\0{'descr': '|u1'",
    "a NumPy archive": zipped("a.npy"),
    "a Parquet file": b"PAR1\x15\x04",
    "an ONNX model": b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\xa9\x01",
    "a program": b"\x7fELF\x02\x01\x01" + bytes(9),
    "a Windows program": b"MZ\x90\0\x03" + bytes(20),
    "an MP3 file": b"ID3\x04\0\0\0\0\0\x23",
    "an MP3 or AAC file": b"\xff\xfb\x90\x64" + bytes(40),
    "a WAV file": b"RIFF\x24\0\0\0WAVEfmt ",
    "a stream of a Blu-ray, encrypted (AACS)": bytes.fromhex("cd9ee202 47400010 00") + bytes(range(200, 255)) * 9,
    "an AC-3 file: it holds sound": b"\x0b\x77\x9b\xde\x14\x40",
    "an AIFF file: it holds sound": b"FORM\0\0\0\x2eAIFFCOMM",
    "an AU file: it holds sound": b".snd\0\0\0\x20",
    "an Ogg file": b"OggS\0\x02" + bytes(20),
    "a FLAC file": b"fLaC\0\0\0\x22",
    "an M4A file": b"\0\0\0\x1cftypM4A \0\0\0\0M4A mp42isom",
    "an encrypted file": b"Salted__" + bytes(range(8)),
    "begins with 4,096 bytes of 0": bytes(5000),
    "the file is empty": b"",
    "a text file": "Grüße".encode(),
    "an unknown kind that starts with 93 fa": b"\x93\xfa\x96\x7b",
    "(Canon CR2)": b"II*\0\x10\0\0\0CR\x02\0" + bytes(40),
    "(Canon CR3)": b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom",
    "(Canon CRW)": b"II\x1a\0\0\0HEAPCCDR",
    "(Olympus ORF)": b"IIRO\x08\0\0\0",
    "(Panasonic RW2)": b"IIU\0\x18\0\0\0",
    "(Fujifilm RAF)": b"FUJIFILMCCD-RAW 0201FF383501\0",
    "(Sigma X3F)": b"FOVb\0\0\x02\0",
    "(Minolta MRW)": b"\0MRM\0\0\x01\0",
    "(Phase One IIQ)": b"II*\0\x88\0\0\0IIIITwaR",
}


@pytest.mark.parametrize(("words", "data"), KINDS.items())
def test_other_kinds_are_called_by_their_names(words: str, data: bytes) -> None:
    said = refusal(data)
    assert words in said
    assert ": " in said.partition("; expected")[0], "it says what to do"


def test_words_for_every_signature_are_reached() -> None:
    """No entry of the table is hidden by one before it, and each has something to do."""
    for offset, signature, what, do in other_kinds._SIGNATURES:
        head = bytes(offset).replace(b"\0", b"\x03") + signature + b"\x03" * 400
        assert other_kinds.binary_kind(head) == (what, do), signature


@pytest.mark.parametrize(
    ("brands", "media_type"),
    [
        (b"heic" + b"mif1heic", "image/heic"),
        (b"mif2" + b"mif2heicmiaf", "image/heic"),
        (b"MiHB" + b"mif1heicMiHB", "image/heic"),
        (b"abcd" + b"mif1heic", "image/heic"),
        (b"hevc" + b"msf1hevcmif1iso8", "image/heic"),
        (b"heim" + b"mif1", "image/heic"),
        (b"avif" + b"avifmif1", "image/avif"),
        (b"avis" + b"avismsf1iso8", "image/avif"),
        (b"mif1" + b"avifmiaf", "image/avif"),
        (b"isom" + b"isomavc1mp41", "video/mp4"),
        (b"mp42" + b"mp42mif1heic", "video/mp4"),
        (b"qt  " + b"qt  ", "video/quicktime"),
        (b"3gp5" + b"3gp5isom", "video/mp4"),
        (b"abcd" + b"abcd", "video/mp4"),
    ],
)
def test_brands_tell_pictures_from_videos(brands: bytes, media_type: str) -> None:
    box = brands[:4] + bytes(4) + brands[4:]
    assert sniff(struct.pack(">I", 8 + len(box)) + b"ftyp" + box + bytes(40)) == media_type


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"P6\n# by hand\n3 2\n255\n" + bytes(18), "image/x-portable-anymap"),
        (b"P5 3 2 255\n" + bytes(6), "image/x-portable-anymap"),
        (b"P2\n3 1\n9\n1 2 3\n", "image/x-portable-anymap"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
        (b"\xff\x4f\xff\x51\0\x2f", "image/jp2"),
    ],
)
def test_formats_that_the_library_reads_anyway_are_known(head: bytes, media_type: str) -> None:
    assert sniff(head) == media_type


@pytest.mark.parametrize("text", [b"P2 is 12 years old", b"P1 10 20 thirty", b"Get free shipping", b"BMW and others"])
def test_texts_are_no_pictures(text: bytes) -> None:
    assert "a text file" in refusal(text)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (PHOTO.translate(None, b"\r\n\0"), "its line ends were taken out on the way, as curl -d does: send it as bin"),
        (stripped("JPEG")[:300], "its line ends were taken out on the way, as curl -d does"),
        (PHOTO.replace(b"\r", b""), "its line ends were changed on the way"),
        (b"\xff\xd8\xff" + PHOTO[3:].decode("utf-8", "replace").encode(), "its bytes were read as text (UTF-8)"),
        (PHOTO[:9000], "export or upload the file again"),
    ],
    ids=["curl -d", "curl -d, small", "no CR", "UTF-8", "cut"],
)
def test_a_broken_picture_says_how_a_text_mode_changed_it(data: bytes, words: str) -> None:
    with pytest.raises(CorruptMedia) as caught:
        decode(data)
    assert words in str(caught.value)


def test_line_ends_tell_only_where_all_are_alike() -> None:
    windows = PHOTO.replace(b"\n", b"\r\n")
    assert "line ends were changed" in changed_on_the_way(windows, compressed=True)
    assert changed_on_the_way(PHOTO, compressed=True) == ""
    assert changed_on_the_way(windows, compressed=False) == "", "a flat picture may well hold nothing but 13, 10"
    assert changed_on_the_way(bytes(8191), compressed=True) == "", "too few bytes to tell"


STARTS = st.sampled_from([s for _, s, _, _ in other_kinds._SIGNATURES] + [
    b"", b"II*\0", b"MM\0+", b"\0\0\0\x20ftyp", b"RIFF", b"PK\x03\x04", b"--", b'{"', b"data:", b"b'\\x", b"a=", b"BM",
    b"P6", b"P3\n", b"\xff\xfe", b"\xef\xbb\xbf", b"<?xml", b"/9j/4AAQSkZJRgABAQ", b"\xff\xd8\xff", b"%", b"\x08\x01",
])  # fmt: skip


@pytest.mark.slow
@examples(400)
@given(st.binary(max_size=130), STARTS, st.binary(max_size=300), st.integers(0, 600))
def test_any_bytes_have_a_type_or_a_refusal(before: bytes, start: bytes, after: bytes, cut: int) -> None:
    for head in (start + after, before + start + after, (start + after)[:cut]):
        try:
            assert sniff(head).startswith(("image/", "video/"))
        except UnsupportedMedia as error:
            assert str(error).isprintable()


@pytest.mark.slow
@examples(60)
@given(
    st.sampled_from([PHOTO, PNG]),
    st.integers(64, 3000),
    st.sampled_from(["", '"', '{"a": "', "x="]),
    st.integers(20, 90),
)
def test_base64_is_seen_through_whatever_surrounds_it(data: bytes, length: int, before: str, width: int) -> None:
    text = base64.b64encode(data[:length]).decode()
    lines = "\r\n".join(text[i : i + width] for i in range(0, len(text), width)) if before == "" else text
    assert "base64 text of a picture (image/" in refusal((before + lines).encode())
