"""What onnxruntime says, in sentences for whoever brings the model."""

from __future__ import annotations

import re
from pathlib import Path

# What onnxruntime says at load, and what that means and asks for. {0}, {1}: the groups of the pattern.
_LOAD_ERRORS = (
    (r"External data path does not exist: \W*([^\"]+)",
     "its external data file {0} is missing; put it beside the model"),
    (r'escapes model directory\. External data path: "([^"]+)"',
     "its external data {0} lies outside the model's folder, which is not allowed; put the file beside the model and "
     "export it again"),
    (r"Absolute path not allowed for external data",
     "its external data has an absolute path, which is not allowed; put the file beside the model and export it again"),
    (r"External initializer: \S+ offset: \d+ size to read: (\d+) given file_length: (\d+)",
     "its external data file is too short ({1} bytes); copy or download it again"),
    (r"[Ee]xternal data|External initializer", "its external data cannot be read; put the data file beside the model"),
    (r"Unsupported model IR version: (\d+), max supported IR version: (\d+)",
     "it is of ONNX IR version {0}, this onnxruntime reads up to {1}; export it again with IR version {1} or lower"),
    (r"Missing opset", "it names no opset, as files of ONNX IR version 1 and 2 do; export it again with opset 17"),
    (r"Opset (\d+) is under development", "opset {0} is newer than this onnxruntime; export it again with opset 17"),
    (r"Fatal error: (\S+?)\(-?\d+\) is not a registered",
     "it needs the operator {0}, which plain onnxruntime does not have; export it without custom operators"),
    (r"No Op registered for (\S+) with domain_version of (\d+)",
     "it needs the operator {0} (opset {1}), which this onnxruntime does not have; export it without custom operators, "
     "with opset 17"),
    (r"Type 'tensor\(u?int16\)' of input parameter \(.*?\) of operator \((\w+)\)",
     "its {0} works on 16 bits, which ONNX has since opset 21; export it again with opset 21"),
    (r"Could not find an implementation for (\S+)",
     "this onnxruntime has no implementation of its operator {0}; export it again with opset 17"),
    (r"Protobuf parsing failed|INVALID_PROTOBUF|No graph was found|does not have a graph",
     "it is not a complete ONNX file (cut off, or of another format); download or export it again"),
)  # fmt: skip


def plain(message: str) -> str:
    """What an onnxruntime load error means, and what to do, in a sentence."""
    text = " ".join(message.split())
    for pattern, sentence in _LOAD_ERRORS:
        if match := re.search(pattern, text):
            return sentence.format(*(Path(g).name if "/" in g and ":" not in g else g for g in match.groups()))
    return f"onnxruntime refuses it ({without_places(text)}); export it again, with opset 17"


def without_places(text: str) -> str:
    """The message without error numbers, the path and onnxruntime's own source files and signatures."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(text.split()))
    text = re.sub(r"Load model from .*? failed:\s*", "", text)
    text = re.sub(r"\S*\.(?:cc|h):\d+ (?:.*?\) (?=[A-Z]))?", "", text)
    return text.strip(" .")[:240]
