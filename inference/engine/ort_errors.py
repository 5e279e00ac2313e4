"""What onnxruntime says when it refuses a file or a run, in plain sentences with what to do."""

from __future__ import annotations

import re
from pathlib import Path

# An allocation that fails has no error class of its own.
_NO_MEMORY = re.compile(r"bad_alloc|[Ff]ailed to allocate|out of memory|Cannot allocate")
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
    (r"Could not find an implementation for (\S+)",
     "this onnxruntime has no implementation of its operator {0}; export it again with opset 17"),
    (r"Protobuf parsing failed|INVALID_PROTOBUF|No graph was found|does not have a graph",
     "it is not a complete ONNX file (cut off, or of another format); download or export it again"),
)  # fmt: skip


def refusal_in_words(error: Exception) -> str:
    """What an error of onnxruntime at load means, and what to do, in a sentence without the path."""
    text = " ".join(str(error).split())
    for pattern, sentence in _LOAD_ERRORS:
        if match := re.search(pattern, text):
            return sentence.format(*(Path(g).name if "/" in g and ":" not in g else g for g in match.groups()))
    return f"onnxruntime refuses it ({without_places(error)}); export it again, with opset 17"


def without_places(error: Exception) -> str:
    """The message without error numbers, the path and onnxruntime's own source files and signatures."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(str(error).split()))
    text = re.sub(r"Load model from .*? failed:\s*", "", text)
    text = re.sub(r"\S*\.(?:cc|h):\d+ (?:.*?\) (?=[A-Z]))?", "", text)
    return text.strip(" .")[:240]


def is_no_memory(error: Exception) -> bool:
    return bool(_NO_MEMORY.search(str(error)))
