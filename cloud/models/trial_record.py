"""What `state` keeps of the trial of a model: that it began, how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cloud.settings import deployment
from inference.engine.trial import memory_of_a_trial
from inference.version import __version__

MOST_DEATHS = 2
# AGAIN: it ended without an answer, and is to be tried once more by whoever comes to it.
TRYING, AGAIN, RAN, REFUSED = "trying", "again", "ran", "refused"


def _by() -> str:
    try:
        return f"dropsight {__version__}, onnxruntime {version('onnxruntime')}"
    except PackageNotFoundError:
        return f"dropsight {__version__}"


@dataclass(frozen=True)
class Record:
    """deaths: trials that ended without an answer. memory: bytes that were too few, where that is why it is refused."""

    model: str
    state: str = TRYING
    why: str = ""
    deaths: int = 0
    memory: int = 0
    at: str = ""
    deployment: str = ""
    by: str = ""

    @classmethod
    def from_json(cls, document: Any) -> Record:
        """As it was stored; what cannot be read is a trial without an answer."""
        known = document if isinstance(document, Mapping) else {}
        kinds = {"deaths": int, "memory": int}
        taken = {
            name: known[name]
            for name in cls.__dataclass_fields__
            if isinstance(known.get(name), kinds.get(name, str)) and not isinstance(known[name], bool)
        }
        return cls(**{"model": "", **taken})

    def binds(self) -> bool:
        """Whether a refusal holds for this process, too."""
        return self.by == _by() and (not self.memory or self.memory >= memory_of_a_trial())

    @classmethod
    def new(cls, model: str) -> Record:
        """Of a trial that begins now."""
        return cls(model, at=datetime.now(UTC).isoformat(timespec="seconds"), deployment=deployment(), by=_by())

    def died(self, why: str, key: str) -> Record:
        """After a trial that ended without an answer: another one, or none."""
        died = replace(self, why=why, deaths=self.deaths + 1)
        return died.refused(key) if died.deaths >= MOST_DEATHS else replace(died, state=AGAIN)

    def refused(self, key: str) -> Record:
        """With the way on in its words. key: of the model's files."""
        how = f"it was tried {self.deaths} times: {self.why}" if self.deaths >= MOST_DEATHS else self.why
        why = (
            f"model {self.model!r} is not opened here, {how}; export it anew, or `python -m cloud models try-again "
            f"{self.model}` has it tried again (its trial is {key[:12]})"
        )
        return replace(self, state=REFUSED, why=why)
