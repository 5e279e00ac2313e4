"""`[[model]]` in pipelines.toml: which registered model comes into the container."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from inference.ranges import check_share

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class ModelEntry:
    """name: as registered. serves: its folder in the container, which routes name; as registered unless said.

    registry: an Azure Machine Learning registry instead of the workspace. stage, tags: only versions that
    have them. min_agreement: how far a new version must agree with the version that serves, on the samples, 0 to 1;
    0 compares nothing.
    """

    name: str
    serves: str = ""
    registry: str = ""
    stage: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    min_agreement: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "serves", self.serves or self.name)
        for word in (self.name, self.serves):
            if not NAME.fullmatch(word):
                raise ValueError(f"the name {word!r} must be 1 to 64 letters, digits, dots, hyphens and underscores")
        check_share("min_agreement", self.min_agreement, "a share")
