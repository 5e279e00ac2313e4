"""The model manifest: the facts about a model that its file does not state, as data.

Words are borrowed: tasks are Hugging Face task tags, preprocessing uses the fields of Hugging Face image
processors, postprocessing those of OpenVINO Model API. Names and shapes of tensors are read from the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from inference.errors import BadManifest
from inference.label_lists import read_labels
from inference.ranges import check_range, check_share
from inference.tables import build, nearest, read_toml, text_of

Task = Literal[
    "image-classification",
    "object-detection",
    "image-segmentation",
    "keypoint-detection",
    "image-to-image",
    "image-feature-extraction",
    "video-classification",
    "depth-estimation",
]
ResizeMode = Literal["stretch", "letterbox", "letterbox_top_left", "shortest_edge"]
ColorOrder = Literal["rgb", "bgr", "gray", "y"]
# The keys of `size`; those of `crop_size` are the first two.
_SIDES = ("height", "width", "shortest_edge", "longest_edge")
MOST_SIDE = 65_536  # pixels of an input's side
MOST_INPUT_PIXELS = 1 << 26  # of all of an input: 0.8 GB of floats
Layout = Literal["nchw", "nhwc", "chw", "hwc", "ncthw", "ntchw", "nthwc"]


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes the input tensor.

    size: {height, width} or {shortest_edge[, longest_edge]} in pixels; empty takes it from the tensor. What is larger
    than a fixed input is shrunk to fit it and padded; only do_center_crop cuts.
    resample: Pillow's numbers, 0 nearest, 1 lanczos, 2 bilinear, 3 bicubic. antialias = false samples points,
    as OpenCV and torch do. crop_pct is not here: say size and crop_size. pad_value: 0..255, in all or in
    red, green and blue.
    size_divisor: pad a free-size input up to a multiple. crop_scale: how far a crop around a box is widened.
    align: "face112" wants faces turned upright by their five landmarks, in place of a crop.
    min_size (the shorter side of its box in pixels of the picture), min_score (0..1) and max_share (of the picture): on
    the crop of an object that is smaller, less certain or closer the model is not run, as its answer would be a guess.
    """

    do_resize: bool = True
    size: Mapping[str, int] = field(default_factory=dict)
    resample: int = 2
    antialias: bool = True
    resize_mode: ResizeMode = "stretch"
    do_center_crop: bool = False
    crop_size: Mapping[str, int] = field(default_factory=dict)
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    do_normalize: bool = False
    image_mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    image_std: tuple[float, ...] = (0.229, 0.224, 0.225)
    color_order: ColorOrder = "rgb"
    layout: Layout | Literal[""] = ""
    pad_value: tuple[float, ...] = (0.0,)
    size_divisor: int = 1
    crop_scale: float = 1.0
    align: Literal["", "face112"] = ""
    min_size: int = 0
    min_score: float = 0.0
    max_share: float = 1.0
    num_frames: int = 0
    sampling_rate: int = 1

    def __post_init__(self) -> None:
        for key, sides in (("size", self.size), ("crop_size", self.crop_size)):
            _check_sides(key, sides, _SIDES if key == "size" else _SIDES[:2])
        check_range("resample", self.resample, 0, 5, "Pillow's numbers are 0 nearest, 1 lanczos, 2 bilinear, 3 bicubic")
        if len(self.pad_value) not in (1, 3):
            raise ValueError(f"pad_value is {list(self.pad_value)}, expected one number, or red, green and blue")
        for value in self.pad_value:
            check_range("pad_value", value, 0, 255)
        check_range("size_divisor", self.size_divisor, 1, 4096)
        check_range("crop_scale", self.crop_scale, 0, 100, "1 is the box itself", above=True)
        check_range("min_size", self.min_size, 0, what="0 is for any size")
        check_share("min_score", self.min_score, "a score")
        check_share("max_share", self.max_share, "a share")
        check_range("num_frames", self.num_frames, 0, 10_000, "0 leaves it to the file")
        check_range("sampling_rate", self.sampling_rate, 1, 10_000)
        if not self.rescale_factor:
            raise ValueError("rescale_factor is 0, which makes every picture black; did you mean do_rescale = false?")
        self._check_normalization()

    def _check_normalization(self) -> None:
        for name, numbers in (("image_mean", self.image_mean), ("image_std", self.image_std)):
            if len(numbers) not in (1, 3):
                raise ValueError(f"{name} is {list(numbers)}, expected one number for each of 3 channels, or 1 for all")
        if not all(value > 0 for value in self.image_std):
            raise ValueError(f"image_std is {[*self.image_std]}, expected numbers to divide by, each more than 0")
        # Less a mean of 0..255, pixels of 0..1 are all alike, which shows in nothing but the scores.
        large = max(*map(abs, self.image_mean), *self.image_std) > 10
        if large and self.do_normalize and self.do_rescale and abs(self.rescale_factor) * 255 <= 2:
            raise ValueError(
                f"image_mean is {list(self.image_mean)} and image_std {list(self.image_std)}, but do_rescale makes "
                "pixels 0..1 before; say do_rescale = false, or divide both by 255"
            )


def _check_sides(key: str, sides: Mapping[str, int], known: Sequence[str]) -> None:
    for side, pixels in sides.items():
        if side not in known:
            raise ValueError(f"{key}: unknown key {side!r}{nearest(side, known)}")
        check_range(f"{key}.{side}", pixels, 1, MOST_SIDE, "it is in pixels")
    for one, other in (("height", "width"), ("shortest_edge", "shortest_edge")):
        if (pixels := sides.get(one, 0) * sides.get(other, 0)) > MOST_INPUT_PIXELS:
            raise ValueError(
                f"{key} asks for {sides[one]} x {sides[other]}, {pixels:,} pixels, expected at most "
                f"{MOST_INPUT_PIXELS:,} (8192 x 8192)"
            )
    shortest, longest = sides.get("shortest_edge", 0), sides.get("longest_edge", MOST_SIDE)
    if shortest > longest:
        raise ValueError(f"{key}.shortest_edge is {shortest}, expected at most longest_edge, {longest}")


@dataclass(frozen=True)
class Postprocess:
    """How the output tensors become predictions. Each head says which of these it reads.

    outputs: which output plays which part, where the order of the file does not tell ({boxes = "output_1"}).
    params: numbers that only a single head knows (anchors, strides ...), documented in that head.
    """

    confidence_threshold: float | None = None
    iou_threshold: float = 0.45
    nms_execute: bool = True
    agnostic_nms: bool = False
    topk: int = 0
    multilabel: bool = False
    max_detections: int = 100
    skeleton: str = ""
    background: int | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_share("confidence_threshold", self.confidence_threshold, "a score")
        check_share("iou_threshold", self.iou_threshold)
        check_range("topk", self.topk, 0, what="0 is for the usual number")
        check_range("max_detections", self.max_detections, 1)
        check_range("background", self.background, 0, what="leave it out where no class is the background")


@dataclass(frozen=True)
class Manifest:
    """The manifest of a model.

    labels: names by label id. label_offset: label id = class index of the tensor + label_offset (a file whose
    index 0 is the label list's line 1 says 1). folder: where the manifest lies; set when it is read.
    file: empty for a head that needs no network.
    everyday: on how many of 50 everyday photos it is useful, "41 of 50", as `python -m benchmarks everyday` measures.
    use: "research" where the data or the weights may not be used commercially.
    threads: for onnxruntime, 0 leaves it to the engine.
    """

    name: str
    task: Task
    head: str
    version: str = "1"
    file: str = "model.onnx"
    sha256: str = ""
    labels: tuple[str, ...] = ()
    label_offset: int = 0
    licence: str = ""
    source: str = ""
    description: str = ""
    accuracy: str = ""
    everyday: str = ""
    use: Literal["any", "research"] = "any"
    threads: int = 0
    preprocess: Preprocess = field(default_factory=Preprocess)
    postprocess: Postprocess = field(default_factory=Postprocess)
    folder: Path | None = None

    def __post_init__(self) -> None:
        check_range("threads", self.threads, 0, 1024, "0 leaves it to the engine")

    def names(self, label_ids: Iterable[int]) -> tuple[str, ...]:
        """The names of label ids (places in `labels`); ids outside the list are named by their number."""
        count = len(self.labels)
        return tuple(self.labels[i] if 0 <= i < count else str(i) for i in map(int, label_ids))


MANIFEST_FILE = "model.toml"


def read_manifest(path: Path) -> Manifest:
    """Read `model.toml`. Raises BadManifest with the file, the key and the nearest known key."""
    return manifest_from({"name": folder_name(path.parent), **read_toml(path)}, str(path), path.parent)


def folder_name(folder: Path) -> str:
    """The name of a folder, also of `.`; a link has its own and not that of what it leads to."""
    return Path(os.path.abspath(folder)).name


def not_called_so(folder: Path) -> str:
    """The name of a file that is meant as a model.toml and called otherwise (Model.toml, model.toml.txt, which Windows
    shows as model.toml); empty where there is none, or the right one, too."""
    if not folder.is_dir() or (folder / MANIFEST_FILE).exists():
        return ""
    names = (path.name for path in sorted(folder.iterdir()))
    return next((name for name in names if name.lower() in (MANIFEST_FILE, f"{MANIFEST_FILE}.txt")), "")


def declaration_of(path: Path) -> Path | None:
    """The model.toml that declares a model's folder, or an .onnx file beside it; None where there is none.

    A model.toml that cannot be read counts, so that its mistake is reported and not passed over.
    """
    declared = (path.parent if path.is_file() else path) / MANIFEST_FILE
    if not declared.is_file():
        return None
    try:
        return declared if path.is_dir() or read_manifest(declared).file == path.name else None
    except BadManifest:
        return declared


def manifest_from(table: Mapping[str, Any], where: str, folder: Path | None = None) -> Manifest:
    """A manifest from a parsed table; `labels` may be a list, the name of a file beside it (label_lists.py), or
    a set that comes with the engine ("builtin:coco80"). Raises BadManifest; `where` begins the message."""
    labels = table.get("labels")
    read = {"labels": _read_labels(labels, where, folder)} if isinstance(labels, str) else {}
    manifest = build(Manifest, {**table, **read}, where)
    # A mark that its exporter took for part of the first name would make it another name.
    names = tuple(map(_label, manifest.labels))
    return replace(manifest, labels=names, folder=folder)


def _label(name: str) -> str:
    """A label on a single line that any text file can hold: JSON has halves of UTF-16's pairs and line breaks."""
    line = name.replace("\ufeff", "").replace("\0", "").replace("\r", " ").replace("\n", " ")
    return line.encode("utf-8", "replace").decode()


LABEL_SETS = Path(__file__).parent / "labels"


def _read_labels(name: str, where: str, folder: Path | None) -> list[str]:
    if name.startswith("builtin:"):
        path = LABEL_SETS / f"{name[8:]}.txt"
        if not path.is_file():
            sets = sorted(p.stem for p in LABEL_SETS.glob("*.txt"))
            raise BadManifest(f"{where}: labels {name!r}: no such label set{nearest(name[8:], sets)}")
    else:
        path = inside(folder, name, where)
    try:
        return read_labels(path.name, text_of(path))[0]
    except OSError as error:
        raise BadManifest(f"{where}: labels file {name!r} cannot be read ({error.strerror}); check the file") from error
    except UnicodeDecodeError as error:
        raise BadManifest(
            f"{where}: labels file {name!r} cannot be read ({error}); save it as UTF-8, a label per line"
        ) from error
    except ValueError as error:
        raise BadManifest(f"{where}: labels file {name!r} {error}") from error


def inside(folder: Path | None, name: str, where: str) -> Path:
    """`folder/name`, refused when it leaves the folder. Raises BadManifest."""
    base = (folder or Path()).resolve()
    if "\0" in name:
        raise BadManifest(f"{where}: {name!r} is no name of a file; give one that lies beside the manifest")
    path = (base / name).resolve()
    if not path.is_relative_to(base):
        raise BadManifest(f"{where}: {name!r} leaves the model's folder; files must lie beside the manifest")
    return path
