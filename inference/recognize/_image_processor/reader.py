"""One preprocessor_config.json while it is read: its fields, the defaults of its class, the export's input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inference.errors import BadManifest
from inference.recognize._export import Export
from inference.recognize._fields import Fields
from inference.recognize._image_processor.defaults import ELSEWHERE, PROCESSORS, Processor, stem_of


@dataclass
class Reading:
    """What a side file says: the manifest's [preprocess], where its defaults are from, and what was assumed.

    reduces_labels: whether label 0 of the data set was left out of the classes (do_reduce_labels).
    """

    how: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    reduces_labels: bool = False


class Reader:
    """fixed: {height, width} of the export's input, empty where a side is free. channels: 1 or 3.

    known: the class's defaults, None for an unknown class; default: the same, with a plain one for an unknown class.
    """

    def __init__(self, fields: Fields, kind: str, export: Export) -> None:
        self.fields, self.reading = fields, Reading()
        self.fixed, self.channels = export.size(), 1 if export.channels == 1 else 3
        named = ("image_processor_type", "feature_extractor_type", "video_processor_type")
        class_name = next(filter(None, map(fields.text, named)), "")
        stem = stem_of(class_name, kind)
        if stem in ELSEWHERE:
            raise BadManifest(
                f"{fields.where}: {class_name or kind} makes {ELSEWHERE[stem]} of a picture, which is not done "
                "here; export a model that takes one resized picture, or write a model.toml"
            )
        self.known = PROCESSORS.get(stem)
        self.default: Processor = self.known or Processor({})
        self.name = class_name or f"model_type {kind!r}"
        self.left_out: list[str] = []
        if self.known is None:
            self.assume(
                f"{self.name} is an image processor that is not known here: its fields are taken to mean what they do "
                "elsewhere; a model.toml with [preprocess] says otherwise"
            )

    def missing(self, name: str) -> None:
        """Note a field that the class's default answers. Raises BadManifest where the class is not known."""
        if self.known is None:
            raise BadManifest(
                f"{self.fields.where}: it leaves out {name}, and the default of {self.name} is not known here; "
                f"add {name} to it, or write a model.toml"
            )
        self.left_out.append(name)

    def assume(self, sentence: str) -> None:
        self.reading.assumed.append(sentence)

    def follow(self, name: str, key: str) -> None:
        """Say that a field is done that transformers leaves unread in this class. key: of [preprocess], to undo it."""
        self.assume(
            f"{name} is done as the side file says, though transformers does not read it for {self.name}; "
            f"preprocess.{key} says otherwise"
        )

    def cannot(self, name: str, why: str) -> BadManifest:
        """The refusal of a field whose meaning is clear or unknown, but not done here."""
        value = self.fields.get(name)
        said = "" if value is None else f" = {str(value)[:60]}"
        return BadManifest(
            f"{self.fields.where}: {name}{said}: {why}; export the model again with a processor that does without, or "
            "write a model.toml with [preprocess]"
        )


def shown(size: Mapping[str, int]) -> str:
    """A size or a crop in words."""
    if "height" in size:
        return f"{size['height']} high and {size['width']} wide"
    return " and ".join(f"{k} {v}" for k, v in size.items())
