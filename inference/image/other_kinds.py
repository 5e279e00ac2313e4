"""What is uploaded beside pictures and videos: each kind by its first bytes, in words, with what to do.

Signatures are those of the formats' specifications, as file(1), ExifTool and LibRaw look for them. The words are used
by every refusal: the command line's, the HTTP answer's and the error record's.
"""

from __future__ import annotations

import re

from inference.image.ogg import ogg_sound

RAW = "export it as JPEG or TIFF, or send the JPEG that the camera wrote beside it"
SAVE = "save it as JPEG or PNG"
DRAWING = "export it as PNG"
_UNPACK = "unpack it and send the pictures in it"
SOUND = "it holds sound and no pictures"
VIDEO = "convert it to MP4"
UNPROTECTED = "export or record it without copy protection (DRM), and send that"
_TAKE_OUT = "save the pictures in it as JPEG"
PAGES = "save its pages as pictures"
NUMBERS = "save what it shows as an 8-bit PNG"
RENDER = "render it and save that as JPEG or PNG"
_DAMAGED = "the upload was cut or the disk lost it; upload it again"
NOTHING = "there is nothing in it to analyse"
BINARY = "send it as binary, byte for byte (curl --data-binary, FTP in binary mode, files opened as binary)"
_MEDICAL = "export its picture as PNG or JPEG"
_MODEL = "models belong into the folder or container `models`"

# Second byte of a frame of MPEG audio: MPEG-1, 2 and 2.5, layers 1 to 3, and AAC in ADTS.
_MPEG_AUDIO = (0xFA, 0xFB, 0xF2, 0xF3, 0xE2, 0xE3, 0xFC, 0xFD, 0xF4, 0xF5, 0xF0, 0xF1, 0xF8, 0xF9)

# Types of the first value of a DICOM data set: version, class, instance, transfer syntax, character set, date (PS3.10).
_DICOM_TYPES = (b"UL", b"OB", b"UI", b"CS", b"DA")

# (offset, first bytes, what it is, what to do); the first that fits counts.
_SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    # Camera raw files
    (8, b"CR\x02", "a camera raw file (Canon CR2)", RAW),
    (8, b"IIII", "a camera raw file (Phase One IIQ)", RAW),
    (8, b"MMMM", "a camera raw file (Phase One IIQ)", RAW),
    (4, b"ftypcrx ", "a camera raw file (Canon CR3)", RAW),
    (6, b"HEAPCCDR", "a camera raw file (Canon CRW)", RAW),
    (0, b"IIRO", "a camera raw file (Olympus ORF)", RAW),
    (0, b"IIRS", "a camera raw file (Olympus ORF)", RAW),
    (0, b"MMOR", "a camera raw file (Olympus ORF)", RAW),
    (0, b"IIU\0", "a camera raw file (Panasonic RW2)", RAW),
    (0, b"FUJIFILMCCD-RAW", "a camera raw file (Fujifilm RAF)", RAW),
    (0, b"FOVb", "a camera raw file (Sigma X3F)", RAW),
    (0, b"\0MRM", "a camera raw file (Minolta MRW)", RAW),
    (0, b"ARRI", "a camera raw file (ARRIRAW)", RAW),
    (4, b"RED1", "a camera raw video (RED R3D)", VIDEO),
    (4, b"RED2", "a camera raw video (RED R3D)", VIDEO),
    # Pictures of kinds that are not read
    (0, b"\xff\x0a", "a JPEG XL picture", SAVE),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture", SAVE),
    (0, b"II\xbc\x01", "a JPEG XR picture", SAVE),
    (0, b"8BPS", "a Photoshop document", SAVE),
    (0, b"gimp xcf", "a GIMP document (XCF)", SAVE),
    (0, b"PDN3", "a Paint.NET document", SAVE),
    (0, b"CSFCHUNK", "a Clip Studio document", SAVE),
    (0, b"DanM", "a Microsoft Paint picture of Windows 1 (MSP)", SAVE),
    (0, b"LinS", "a Microsoft Paint picture of Windows 2 (MSP)", SAVE),
    (0, b"\x00\xffKA", "an Affinity document", SAVE),
    (0, b"v/1\x01", "an OpenEXR picture of floating point numbers", SAVE),
    (0, b"DDS ", "a DDS texture", SAVE),
    (0, b"\xabKTX ", "a KTX texture", SAVE),
    (0, b"\x13\xab\xa1\x5c", "an ASTC texture", SAVE),
    (0, b"PVR\x03", "a PVR texture", SAVE),
    (0, b"VTF\0", "a VTF texture", SAVE),
    (0, b"BLP1", "a BLP texture", SAVE),
    (0, b"BLP2", "a BLP texture", SAVE),
    (0, b"qoif", "a QOI picture", SAVE),
    (0, b"\0\0\x01\0", "a Windows icon (ICO)", SAVE),
    (0, b"icns", "a Mac icon (ICNS)", SAVE),
    (0, b"BA", "an OS/2 bitmap array, a group of bitmaps or icons", SAVE),
    (0, b"(\0\0\0", "a bitmap without a file header, as a clipboard holds it (DIB)", "save it as BMP or PNG"),
    (0, b"\x0a\x05\x01", "a PCX picture", SAVE),
    (0, b"\x0a\x03\x01", "a PCX picture", SAVE),
    (0, b"\xb1\x68\xde\x3a", "a DCX fax", SAVE),
    (0, b"\x01\xda", "an SGI picture", SAVE),
    (0, b"\x59\xa6\x6a\x95", "a Sun raster picture", SAVE),
    (0, b"FLIF", "a FLIF picture", SAVE),
    (0, b"farbfeld", "a farbfeld picture", SAVE),
    (0, b"\x97JB2", "a JBIG2 picture", SAVE),
    (0, b"\0\0\0\x0cJXS ", "a JPEG XS picture", SAVE),
    (4, b"ftypjxs ", "a JPEG XS picture", SAVE),
    (0, b"msid", "a MrSID raster", SAVE),
    (0, b"BPG\xfb", "a BPG picture", SAVE),
    (0, b"\x8aMNG", "an MNG animation", SAVE),
    (0, b"\x8bJNG", "a JNG picture", SAVE),
    (0, b"AT&TFORM", "a DjVu document", PAGES),
    (0, b"SDPX", "a DPX film frame", SAVE),
    (0, b"XPDS", "a DPX film frame", SAVE),
    (0, b"\x80\x2a\x5f\xd7", "a Cineon film frame", SAVE),
    (0, b"FFF\0", "a FLIR thermal recording", "export it as JPEG or PNG"),
    (0, b"\x08\xf2\xa6\xb6", "a VIPS picture", SAVE),
    (0, b"\xb6\xa6\xf2\x08", "a VIPS picture", SAVE),
    (128, b"DICM", "a DICOM file", _MEDICAL),
    (0, b"\x08\0\x05\0", "a DICOM file without its preamble", _MEDICAL),
    (0, b"\x08\0\x08\0", "a DICOM file without its preamble", _MEDICAL),
    (344, b"n+1\0", "a NIfTI volume", NUMBERS),
    (344, b"ni1\0", "a NIfTI volume", NUMBERS),
    (0, b"ZISRAWFILE", "a Zeiss CZI recording of a microscope", "export it as TIFF or PNG"),
    (0, b"\xda\xce\xbe\x0a", "a Nikon ND2 recording of a microscope", "export it as TIFF or PNG"),
    # Drawings and documents
    (0, b"\xc5\xd0\xd3\xc6", "an EPS file", DRAWING),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile (WMF)", DRAWING),
    (0, b"\x01\0\x09\0\0\x03", "a Windows metafile (WMF)", DRAWING),
    (0, b"\x06\x06\xed\xf5\xd8\x1d", "an InDesign document", PAGES),
    (0, b"fig-kiwi", "a Figma document", DRAWING),
    (0, b"FWS", "a Flash animation (SWF)", "save what it shows as PNG"),
    (0, b"CWS", "a Flash animation (SWF)", "save what it shows as PNG"),
    (40, b" EMF", "a Windows metafile (EMF)", DRAWING),
    (0, b"AC10", "an AutoCAD drawing (DWG)", DRAWING),
    (0, b"\xd0\xcf\x11\xe0", "an old Office file, an Outlook message or a Thumbs.db", _TAKE_OUT),
    (0, b"\x78\x9f\x3e\x22", "a winmail.dat of Outlook", "save the attached picture and send that"),
    (0, b"SQLite format 3\0", "a SQLite database", NOTHING),
    # Archives and what is compressed
    (0, b"\x78\x9c", "a zlib stream", _UNPACK),
    (0, b"\x78\xda", "a zlib stream", _UNPACK),
    (0, b"PK\x05\x06", "an empty zip archive", NOTHING),
    (0, b"PK\x07\x08", "a part of a zip archive", _UNPACK),
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, b"\xfd7zXZ\0", "an xz archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive", _UNPACK),
    (0, b"\x04\x22\x4d\x18", "an LZ4 archive", _UNPACK),
    (0, b"\x1f\x9d", "a compress (.Z) archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (0, b"MSCF", "a Windows cabinet (CAB)", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    # Numbers and models
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", NUMBERS),
    (0, b"CDF\x01", "a NetCDF file", NUMBERS),
    (0, b"CDF\x02", "a NetCDF file", NUMBERS),
    (0, b"\x93NUMPY", "a NumPy array (.npy)", NUMBERS),
    (0, b"GRIB", "a GRIB weather file", NUMBERS),
    (0, b"PAR1", "a Parquet file", "it holds a table and no picture"),
    (4, b"TFL3", "a TensorFlow Lite model", f"{_MODEL}, converted to ONNX"),
    (0, b"GGUF", "a GGUF model", "it holds a language model and no picture"),
    (0, b"Lerc2 ", "a LERC raster", NUMBERS),
    (0, b"CntZImage ", "a LERC raster", NUMBERS),
    (0, b"LASF", "a point cloud (LAS)", NUMBERS),
    (0, b"glTF", "a 3D scene (glTF)", RENDER),
    # Sound, and videos in other containers
    (0, b"ID3", "an MP3 file", SOUND),
    (0, b"fLaC", "a FLAC file", SOUND),
    (8, b"AIFF", "an AIFF file", SOUND),
    (8, b"AIFC", "an AIFF file", SOUND),
    (0, b"RF64", "a WAV file", SOUND),
    (0, b"BW64", "a WAV file", SOUND),
    (0, b"riff\x2e\x91\xcf\x11", "a WAV file of Sony's (W64)", SOUND),
    (0, b".snd", "an AU file", SOUND),
    (0, b"\x0b\x77", "an AC-3 file", SOUND),
    (0, b"\x7f\xfe\x80\x01", "a DTS file", SOUND),
    (0, b"wvpk", "a WavPack file", SOUND),
    (0, b"MAC ", "a Monkey's Audio file", SOUND),
    (0, b"DSD ", "a DSD file", SOUND),
    (0, b"FRM8", "a DSD file", SOUND),
    (0, b"FORM", "an IFF file (AIFF sound, an Amiga picture)", SAVE),
    (0, b"MThd", "a MIDI file", SOUND),
    (0, b"caff", "a CAF file", SOUND),
    (4, b"ftypM4A", "an M4A file", SOUND),
    (4, b"ftypM4B", "an M4B audio book", SOUND),
    (4, b"ftypM4P", "an M4P file", SOUND),
    (4, b"ftypF4A", "an F4A file", SOUND),
    (0, b".RMF", "a RealMedia file", VIDEO),
    (0, b".ra\xfd", "a RealAudio file", SOUND),
    (0, b"\xb7\xd8\0\x20\x37\x49\xda\x11", "a recording of Windows Media Center (WTV)", VIDEO),
    (0, b"nut/multimedia container\0", "a NUT video", VIDEO),
    (0, b"\0\0\0\0\x01\xbc", "a GXF video", VIDEO),
    (0, b"\0\x0aSMJPEG", "an SMJPEG video", VIDEO),
    (0, b"DHAV", "a recording of a Dahua camera (DAV)", VIDEO),
    (0, b"NSVf", "an NSV video", VIDEO),
    (0, b"BIK", "a Bink video", VIDEO),
    (0, b"KB2", "a Bink video", VIDEO),
    (0, b"SMK2", "a Smacker video", VIDEO),
    (4, b"\x11\xaf", "a FLIC animation", VIDEO),
    (4, b"\x12\xaf", "a FLIC animation", VIDEO),
    (0, b"\0\0\x02\x80\x01", "a DNxHD stream without a container", VIDEO),
    (0, b"BBCD\0", "a Dirac stream without a container", VIDEO),
    (0, b"\0\0\0\x01\0\x71", "an H.266 stream without a container", VIDEO),
    (0, b"\0\0\0\x01\0\x79", "an H.266 stream without a container", VIDEO),
    (0, b"\0\0\0\x01\0\xa1", "an H.266 stream without a container", VIDEO),
    (0, b"\0\0\x01\x0f", "a VC-1 stream without a container", VIDEO),
    # What systems leave beside pictures
    (0, b"\0\x05\x16\x07", "a Mac's ._ companion file (AppleDouble)", f"{NOTHING}: the picture has no ._"),
    (0, b"\0\x05\x16\0", "an AppleSingle file", _UNPACK),
    (0, b"\0\0\0\x01Bud1", "a .DS_Store of a Mac's folder", NOTHING),
    (0, b"bplist00", "a property list (as iCloud leaves for a file that is not downloaded)", "download the picture"),
    (0, b"L\0\0\0\x01\x14\x02\0", "a Windows shortcut (.lnk)", "send the file that it points to"),
    (36, b"acsp", "an ICC colour profile", NOTHING),
    # Programs, keys, encrypted files
    (0, b"\x7fELF", "a program (ELF)", NOTHING),
    (0, b"MZ", "a Windows program", NOTHING),
    (0, b"\xcf\xfa\xed\xfe", "a Mac program", NOTHING),
    (0, b"\xca\xfe\xba\xbe", "a Java class or a Mac program", NOTHING),
    (0, b"\0asm", "a WebAssembly program", NOTHING),
    (0, b"wOFF", "a font", NOTHING),
    (0, b"wOF2", "a font", NOTHING),
    (0, b"OTTO", "a font", NOTHING),
    (0, b"\0\x01\0\0\0", "a font (TrueType) or a Microsoft Access file", NOTHING),
    (0, b"Salted__", "an encrypted file (OpenSSL)", "decrypt it first"),
    (0, b".pfile", "a file protected by Microsoft Purview (.pfile)", "remove the protection first"),
    # Pictures that were changed on the way: PNG's signature is there to show just that
    (0, b"\x89PNG\n\x1a\n", "a PNG whose line ends were changed on the way", BINARY),
    (0, b"\x89PNG\r\r\n\x1a\r\n", "a PNG whose line ends were changed on the way", BINARY),
    (0, b"\x89PNG\r\n\x1a\r\n", "a PNG whose line ends were changed on the way", BINARY),
    (1, b"PNG\r\n\x1a\n", "a PNG whose first byte was changed on the way, as 7 bits or another character", BINARY),
    (6, b"JFIF\0", "a JPEG whose first bytes were changed on the way", BINARY),
    (6, b"Exif\0\0", "a JPEG whose first bytes were changed on the way", BINARY),
    (0, b"\xff\xd8", "the start of a JPEG and nothing that belongs behind it", _DAMAGED),
    (0, b"\x89PNG", "the start of a PNG and nothing that belongs behind it", _DAMAGED),
)  # fmt: skip
# Zip archives by names of members, which stand in the head; programs that write pictures come first.
_ZIPS = (
    (b"mimetypeimage/openraster", "an OpenRaster document", SAVE),
    (b"mimetypeapplication/x-krita", "a Krita document", SAVE),
    (b"mimetypeapplication/epub", "an EPUB book", "send its pictures"),
    (b"mimetypeapplication/vnd.oasis", "an OpenDocument file", PAGES),
    (b"word/", "a Word document", PAGES),
    (b"xl/", "an Excel workbook", _TAKE_OUT),
    (b"ppt/", "a PowerPoint presentation", "save its slides as pictures"),
    (b"[Content_Types].xml", "an Office document", PAGES),
    (b"/data.pkl", "a PyTorch file", f"{_MODEL}, exported as ONNX"),
    (b".npy", "a NumPy archive (.npz)", NUMBERS),
    (b"META-INF/", "a Java or Android package", NOTHING),
)
_RIFF = {
    b"WAVE": ("a WAV file", SOUND),
    b"RMID": ("a MIDI file", SOUND),
    b"ACON": ("an animated cursor of Windows", SAVE),
    b"CDXA": ("a file of a Video CD", VIDEO),
    b"AMV ": ("an AMV video", VIDEO),
}


# Signatures of pictures without the zeros and line ends that belong to them.
_STRIPPED = re.compile(rb"\x89PNG\x1a|II\*|MM\*|RIFF.{1,4}WEBP|BM|.?ftyp(?:heic|mif1|avif)", re.DOTALL)


def binary_kind(head: bytes) -> tuple[str, str] | None:
    """(what it is, what to do) of a file by its first bytes; None for a kind that is not in the tables."""
    if head[:1] in (b"\0", b"\xff") and not head.strip(head[:1]):
        return f"a file that begins with {len(head):,} bytes of {head[0]}, and no picture", _DAMAGED
    if _STRIPPED.match(head) and len(head) >= 256 and not any(byte in head for byte in b"\0\r\n"):
        return "a picture without its zeros and line ends, as curl -d sends it", BINARY
    if head.startswith(b"OggS"):
        sound = ogg_sound(head)
        return (f"an Ogg file ({sound})", SOUND) if sound else ("an Ogg file without a video that is read", VIDEO)
    if head.startswith(b"PK\x03\x04") and head[6:7] and head[6] & 1:
        return "a password-protected zip archive", _UNPACK
    if head.startswith(b"PK\x03\x04"):
        return next(((what, do) for name, what, do in _ZIPS if name in head), ("a zip archive", _UNPACK))
    if head.startswith(b"RIFF"):
        if head[8:11] in (b"CDR", b"cdr"):  # and a letter of its version
            return "a CorelDRAW document", DRAWING
        return _RIFF.get(head[8:12], ("a RIFF file of an unknown kind", SAVE))
    for offset, signature, what, do in _SIGNATURES:
        if head.startswith(signature, offset):
            return what, do
    return _by_structure(head)


def is_signed(head: bytes) -> bool:
    """Whether it begins as a file of another kind, by more than a few bytes: what lies in it may be a video."""
    long = ((at, sign) for at, sign, _, _ in _SIGNATURES if len(sign) > 3 and sign.strip(b"\0\x01"))
    return head.startswith((b"PK\x03\x04", b"RIFF", b"OggS")) or any(head.startswith(s, at) for at, s in long)


def _by_structure(head: bytes) -> tuple[str, str] | None:
    """Kinds whose first bytes decide only together."""
    if len(head) < 18:
        return None
    if head[0] >> 6 == 3 and head[4] == 0x47 and head[5] >> 5 == 2 and head[7] & 0xD0 == 0x10:
        # Copying is not permitted, it says before its first packet, and behind that all is noise.
        return "a stream of a Blu-ray, encrypted (AACS)", UNPROTECTED
    if head[:2] == b"BM" and not any(head[6:10]):
        return "a BMP whose header is damaged or unknown", _DAMAGED
    if head[:4] == b"\0\0\x02\0" and head[4] and not head[9]:
        return "a Windows cursor (CUR)", SAVE
    if head[0] == 0xFF and head[1] in _MPEG_AUDIO and head[2] >> 4 != 15:
        return "an MP3 or AAC file", SOUND
    if head[1:2] == b"\0" and head[0] in (2, 8) and head[4:6] in _DICOM_TYPES:
        return "a DICOM file without its preamble", _MEDICAL
    if head[0] == 8 and 0 < head[1] < 32 and head[2] in (0x12, 0x1A, 0x22, 0x3A):
        return "an ONNX model", _MODEL
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 2**28:
        return "a safetensors model", f"{_MODEL}, exported as ONNX"
    if head[0] == 0x80 and 2 <= head[1] <= 5 and head[2] in b"c}](\x95\x8a":
        return "a Python pickle (such as a PyTorch file)", f"{_MODEL}, exported as ONNX"
    if head[1] in (0, 1) and head[2] in (1, 2, 3, 9, 10, 11) and head[16] in (8, 15, 16, 24, 32):
        return "probably a TGA picture", SAVE
    return None
