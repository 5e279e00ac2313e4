"""What people type where a file is expected, as other tools take it: in a sentence, what to do instead.

Imports nothing that costs: --help needs it.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

STDIN = "-"
_PARAMETER = re.compile(r"-{0,2}([A-Za-z][A-Za-z_-]*)=(.*)", re.DOTALL)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=/|[^/\\]*[@.])")  # one letter is a drive of Windows
_STREAMS = {"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "udp", "tcp", "mms", "hls", "whip", "whep", "v4l2"}
_CAMERAS = {"webcam", "camera", "cam", "screen"}
_RECORD = "record a part of it first, say `ffmpeg -i {} -t 60 clip.mp4`, and give that file"
_PATH = "source input inputs file files path image images img_path video video_path folder dir uri url data"
_THRESHOLD = "conf confidence conf_thres conf_threshold confidence_threshold threshold thres thresh score score_thr"
_OUT = "save save_txt save_json save_crop save_dir save_conf project output output_dir out results exist_ok"
# By the words of other tools' options, underscores for dashes: what to write instead; {} stands for the value.
_INSTEAD = {
    **dict.fromkeys(_PATH.split(), "give the path alone: {}"),
    **dict.fromkeys(_THRESHOLD.split(), "write --threshold {}"),
    **dict.fromkeys(_OUT.split(), "write --out DIR, a folder for all results"),
    **dict.fromkeys(("model", "weights", "checkpoint"), "write --model NAME, and --models DIR for its folder"),
    **dict.fromkeys(("route", "routes"), "write --route NAME, and --routes FILE for the file of routes"),
    **dict.fromkeys(
        ("imgsz", "img_size", "image_size", "size"),
        "a model has its own size; tile = {} in a step of a route finds small objects in large pictures",
    ),
    **dict.fromkeys(
        ("device", "gpu", "provider", "half"), "the setting DROPSIGHT_PROVIDERS says what models run on (cuda,cpu)"
    ),
    **dict.fromkeys(
        ("iou", "iou_thres", "nms", "max_det"), "a model's own iou_threshold, in its model.toml, decides that"
    ),
    **dict.fromkeys(
        ("fps", "stride", "vid_stride", "frame_stride", "tracker", "start_s", "end_s"),
        "the table [route.video] of a route says that; give its file with --routes",
    ),
    **dict.fromkeys(("tile", "slice", "overlap"), "a step of a route says that; give its file with --routes"),
    "blur": "the table [route.draw] of a route says that, as blur = [{!r}]; give its file with --routes",
    **dict.fromkeys(("show", "stream", "verbose", "task", "mode", "predict", "batch", "workers"), "leave it out"),
}  # fmt: skip


def why_not(text: str) -> str:
    """Why what was typed is no file, and what to do instead; nothing for what may be the path of one."""
    if os.path.lexists(text):
        return ""
    if re.fullmatch(r"-?\d+", text) or text.lower() in _CAMERAS:
        return f"{text}: cameras and screens are not read; record a clip first and give its file"
    if found := _PARAMETER.fullmatch(text):
        return _instead(text, found[1], found[2])
    if re.match(r"(www\.|youtu\.be/|(m\.)?youtube\.com/)", text, re.IGNORECASE):
        return f"{shown(text)}: no such file; an address begins with https://"
    if text[:5].lower() == "data:":
        return "data: no file but its content as text; decode it into a file and give that"
    scheme = _SCHEME.match(text)
    return _why_not_address(text, scheme[1].lower()) if scheme else ""


def shown(text: str) -> str:
    """An address without the secrets that it may hold: name, password, query. Other text stays as it is."""
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):
        return text
    scheme, _, rest = text.partition("://")
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme.lower()}://{host.rpartition('@')[2]}{slash}{path}"


def local_file(text: str) -> Path:
    """The type of an argument that is a file on this machine. Raises ArgumentTypeError for what can be none."""
    if not os.path.lexists(text):
        if text == STDIN:
            raise argparse.ArgumentTypeError("- : standard input is not read here; save it in a file")
        if why := why_not(text) or (text.lower().startswith("https:") and f"{shown(text)}: download it first"):
            raise argparse.ArgumentTypeError(why)
    return Path(text)


def local_place(text: str) -> Path:
    """The type of an argument that is a file or folder on this machine, to be read or made. Raises ArgumentTypeError
    for an address, of which a folder `https:` would be made."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) and not os.path.lexists(text):
        raise argparse.ArgumentTypeError(f"{shown(text)}: no place on this machine; give a path, and copy it there")
    return Path(text)


def empty_word(words: Iterable[str]) -> str:
    """What to do about an argument that says nothing, as a variable that is not set; nothing where there is none.

    Taken as a path it would be the current folder, whose every file nobody asked for.
    """
    word = next((word for word in words if not word.strip() or re.fullmatch(r"--[a-z-]+=\s*", word)), None)
    return "" if word is None else f"argument {word!r} is empty, as a variable that is not set; give a value, or none"


def unknown_options(words: Sequence[str], known: Iterable[str]) -> str:
    """What to write in place of options that nobody knows. words: as argparse leaves them over."""
    word = next((word for word in words if word.startswith("-")), words[0])
    from inference.tables import closest  # lazily, as below: only mistakes need it

    option, equals, value = word.partition("=")
    if not equals:
        value = next(iter(words[words.index(word) + 1 :]), "")
    near = closest(option.lstrip("-"), (name.lstrip("-") for name in known if name.startswith("--")))
    instead = _INSTEAD.get(option.lstrip("-").replace("-", "_").lower())
    advice = f"; {instead.format(value or 'X')}" if instead else f"; did you mean --{near}?" if near else ""
    return f"unrecognized arguments: {' '.join(words)}{advice}"


def _instead(text: str, key: str, value: str) -> str:
    """For `conf=0.5`; nothing for a name of a file that has such a character."""
    word = key.replace("-", "_").lower()
    instead = _INSTEAD.get(word) or (_INSTEAD[near] if (near := _near(word, value)) else "")
    shown_value = shown(value) or "X"
    what = text if value == shown_value else f"{key}=..."
    return f"{what}: no file but an option as other tools take them; {instead.format(shown_value)}" if instead else ""


def _near(word: str, value: str) -> str | None:
    from inference.tables import closest

    return closest(word, _INSTEAD) if len(word) > 3 and re.fullmatch(r"[\w.,-]*", value) else None


def _why_not_address(text: str, scheme: str) -> str:
    plain = shown(text)
    if scheme == "https":
        return "" if text[:8].lower() == "https://" else f"{plain}: no such file; an address begins with https://"
    if scheme == "http":
        return f"{plain}: only https:// is read, which nobody on the way can change; use https or download it first"
    if scheme in _STREAMS:
        return f"{plain}: live streams are not read; {_RECORD.format(plain)}"
    if scheme == "file":
        return f"{plain}: give the path alone: {unquote(urlsplit(text).path)}"
    if re.match(r"[^:]+://", text):
        return f"{plain}: only https: is read of all addresses; download it first and give the file"
    return ""
