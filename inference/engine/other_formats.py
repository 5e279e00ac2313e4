"""What people bring in place of an .onnx file: known by its name or its first bytes, with what to do about it.

The commands are those of the exporters' own documentation (Ultralytics, PyTorch, Optimum, tf2onnx, Paddle2ONNX).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import islice
from pathlib import Path, PurePath

from inference.errors import BadModel

_PYTORCH = (
    "PyTorch weights, which onnxruntime does not run: export them to ONNX (Ultralytics: `yolo export model={name} "
    "format=onnx`; else torch.onnx.export) and bring the .onnx file"
)
_HUGGING_FACE = (
    "weights without their network: `optimum-cli export onnx --model FOLDER OUT` makes the .onnx file of a Hugging "
    "Face folder"
)
_KERAS = (
    "a Keras model: export it to ONNX (Keras 3: `model.export('model.onnx', format='onnx')`; else `python -m "
    "tf2onnx.convert --keras {name} --output model.onnx`)"
)
_TENSORFLOW = (
    "a TensorFlow graph: `python -m tf2onnx.convert` makes an .onnx file of it (--saved-model FOLDER, or --graphdef "
    "{name} with --inputs and --outputs)"
)
_TFLITE = "a TensorFlow Lite model: `python -m tf2onnx.convert --tflite {name} --output model.onnx` makes an .onnx file"
_TENSORRT = "a TensorRT engine, made for one kind of GPU: bring the .onnx file that it was built from"
_CORE_ML = "a Core ML model: export the original to ONNX and bring the .onnx file"
_OPENVINO = "OpenVINO IR: export the original to ONNX and bring the .onnx file"
_PADDLE = "a Paddle model: `paddle2onnx --model_dir FOLDER --save_file model.onnx` makes an .onnx file of it"
_ORT = "ONNX Runtime's own format: bring the .onnx file that it was made from"
_ARCHIVE = (
    "an archive: unpack it into a folder of its own, with everything that is in it (Custom Vision, Roboflow and others "
    "export so)"
)
_PICKLE = "a pickled Python object: export the model in it to ONNX (scikit-learn: skl2onnx; PyTorch: torch.onnx.export)"
_DARKNET = "Darknet weights: convert them with their .cfg to ONNX, and bring the .onnx file"
_CAFFE = "a Caffe model: convert it to ONNX, and bring the .onnx file"
_DEVICE = "made for another runtime or chip: export the original to ONNX and bring the .onnx file"

_UNFINISHED = "an unfinished download: wait for its end, or download it again"

_BY_SUFFIX = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".torchscript", ".ptl", ".pte"), _PYTORCH),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), _PICKLE),
    **dict.fromkeys((".h5", ".hdf5", ".keras"), _KERAS),
    **dict.fromkeys((".pb", ".pbtxt", ".savedmodel"), _TENSORFLOW),
    **dict.fromkeys((".tflite", ".lite"), _TFLITE),
    **dict.fromkeys((".engine", ".trt", ".plan"), _TENSORRT),
    **dict.fromkeys((".mlmodel", ".mlpackage", ".mlmodelc"), _CORE_ML),
    **dict.fromkeys((".pdmodel", ".pdiparams", ".pdparams"), _PADDLE),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2", ".7z", ".rar", ".mar"), _ARCHIVE),
    **dict.fromkeys((".caffemodel", ".prototxt"), _CAFFE),
    **dict.fromkeys(
        (".rknn", ".hef", ".blob", ".mnn", ".ncnn", ".dlc", ".om", ".bmodel", ".gguf", ".nb", ".param"), _DEVICE
    ),
    **dict.fromkeys((".crdownload", ".part", ".download", ".partial"), _UNFINISHED),
    ".safetensors": _HUGGING_FACE,
    ".msgpack": _HUGGING_FACE,
    ".weights": _DARKNET,
    ".ort": _ORT,
}
_LFS = b"version https://git-lfs"
_MOST_FILES = 1000


def is_onnx(path: PurePath) -> bool:
    """Whether it has an .onnx file's name, in whatever case. Hidden files do not: macOS puts `._model.onnx` beside."""
    return path.suffix.lower() == ".onnx" and not path.name.startswith(".")


def onnx_files(folder: Path) -> list[Path]:
    """The .onnx files in a folder and below it, in order, those in hidden folders left out."""
    found = (p for p in sorted(folder.rglob("*.[oO][nN][nN][xX]")) if p.is_file() and is_onnx(p))
    return [p for p in found if not any(part.startswith((".", "__MACOSX")) for part in p.relative_to(folder).parts)]


def kind_by_name(name: str, beside: Sequence[str] = ()) -> str:
    """What a file or folder is by its name, and what to do; empty where it is none of these.

    beside: the names in its folder, which tell OpenVINO's .xml from others by the .bin of the same name.
    """
    path = PurePath(name)
    words = _BY_SUFFIX.get(path.suffix.lower(), "")
    if path.suffix.lower() == ".xml" and f"{path.stem}.bin" in beside:
        words = _OPENVINO
    if name.lower().endswith((".pth.tar", ".pt.tar", ".ckpt.tar")):  # torch.save's, as PyTorch's own examples call them
        words = _PYTORCH
    if name in ("pytorch_model.bin", "diffusion_pytorch_model.bin"):
        words = _HUGGING_FACE
    return words.format(name=path.name) if words else ""


def kind_of_file(path: Path) -> str:
    """As `kind_by_name`, with what lies beside it. Raises OSError."""
    return kind_by_name(path.name, [p.name for p in path.parent.iterdir()] if path.suffix.lower() == ".xml" else ())


def what_is_there(folder: Path) -> str:
    """What a folder without .onnx files holds, and what to do. Raises OSError."""
    files = islice((p for p in folder.rglob("*") if not p.name.startswith(".")), _MOST_FILES)
    return what_is_in(sorted(p.relative_to(folder).as_posix() for p in files)) or "it is empty"


def what_is_in(names: Sequence[str]) -> str:
    """As `what_is_there`, by the paths in it; empty where there are none."""
    if "saved_model.pb" in names:
        return f"it is {_TENSORFLOW.format(name='saved_model.pb')}"
    for name in names:
        if words := kind_by_name(PurePath(name).name, [PurePath(n).name for n in names]):
            return f"{name} is {words}"
    held = textwrap.shorten(", ".join(names), 120, placeholder=" ...")
    return f"it holds {held}" if names else ""


def lfs_pointer(head: bytes) -> str:
    """What the file is, and what to do, where Git LFS left a pointer to it; else empty."""
    return (
        "a Git LFS pointer, not the weights; run `git lfs pull` or download the file" if head.startswith(_LFS) else ""
    )


def not_a_model(head: bytes) -> str:
    """What a file is by its first 512 bytes, and what to do; empty where it may be a model."""
    if pointer := lfs_pointer(head):
        return pointer
    if head.lstrip()[:15].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, not a model; download the raw file instead of its page"
    if head.startswith(b"PK\x03\x04"):
        return _PYTORCH.format(name="FILE.pt") if b"data.pkl" in head or b"/.format_version" in head else _ARCHIVE
    if head.startswith((b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\xfd7zXZ\x00")):
        return _ARCHIVE
    if head.startswith(b"\x89HDF\r\n"):
        return _KERAS.format(name="FILE.h5")
    if head[4:8] == b"TFL3":
        return _TFLITE.format(name="FILE.tflite")
    if head[4:8] == b"ORTM":
        return _ORT
    return _PICKLE if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") else ""


def refuse_what_is_not_onnx(path: Path) -> None:
    """Raises BadModel for the usual things that are saved under the name of a model, or brought in place of one."""
    if not str(path).isascii() and str(path) != str(path).encode(errors="ignore").decode():
        raise BadModel(f"{str(path)!a}: this name is not UTF-8, which onnxruntime wants; rename the file or its folder")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise BadModel(f"{path}: cannot be read ({error.strerror}); check the file and its rights") from error
    if not head:
        raise BadModel(f"{path}: the file is empty; download or export it again")
    if problem := (not is_onnx(path) and kind_of_file(path)) or not_a_model(head):
        raise BadModel(f"{path}: this is {problem}")
