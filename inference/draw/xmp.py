"""XMP in pictures and videos that a model made or altered: how they came about, in words that programs read.

The property is IPTC's Digital Source Type (IPTC Photo Metadata Standard 2025.1, NewsCodes `digitalsourcetype`), the
packing that of the XMP specification, part 3. Nothing in it depends on the time: the same result has the same bytes.
"""

from __future__ import annotations

import html
import struct
from pathlib import Path

from PIL.PngImagePlugin import PngInfo

from inference.predictions import Origin
from inference.version import __version__

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
# The `uuid` box of an MP4 file that holds XMP.
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
# A segment of a JPEG ends at 64 KiB; whatever a manifest says as a name, the packet stays far below.
_MAX_WORD = 200


def packet(origin: Origin) -> bytes:
    """An XMP packet: tool, model and digital source type; for trained models also IPTC's AI System Used."""
    model, version = _word(origin.model), _word(origin.version)
    properties = {
        "xmp:CreatorTool": f"Dropsight {__version__}, {model} {version}",
        "Iptc4xmpExt:DigitalSourceType": f"{SOURCE_TYPES}{origin.source_type}",
    }
    if origin.source_type != "algorithmicallyEnhanced":
        properties |= {"Iptc4xmpExt:AISystemUsed": model, "Iptc4xmpExt:AISystemVersionUsed": version}
    attributes = "".join(f'\n   {name}="{html.escape(value)}"' for name, value in properties.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        '  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"\n'
        f'   xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"{attributes}/>\n'
        " </rdf:RDF>\n"
        "</x:xmpmeta>\n"
        '<?xpacket end="r"?>'
    ).encode()


def _word(text: str) -> str:
    """XML has no control characters."""
    return "".join(c for c in text if c.isprintable())[:_MAX_WORD]


def png_text(origin: Origin) -> PngInfo:
    """The packet as the text chunk that readers of PNG look for."""
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet(origin).decode())
    return info


def append_to_mp4(path: Path, xmp: bytes) -> None:
    """Adds the packet to a finished MP4: a box at its end moves nothing that its index points to."""
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 8 + len(_XMP_BOX) + len(xmp), b"uuid") + _XMP_BOX + xmp)
