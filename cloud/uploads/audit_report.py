"""The figures of an audit; what they count is said in cloud.uploads.audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FAULTS = ("lost", "doubled", "stale", "orphaned")
PARTS = ("right", "lost", "doubled", "stale", "in_work", "waiting", "cancelled")  # of `in`
MOST_NAMED = 20  # of each kind of fault


@dataclass
class AuditReport:
    """What an audit has found. named: sentences, the first of each kind of fault; repaired: what became of them.

    looks: second looks; unconfirmed: names that could not be looked at, and faults beyond the most that are; pages:
    calls that the lists took.
    """

    counts: Counter[str] = field(default_factory=Counter)
    named: dict[str, list[str]] = field(default_factory=dict)
    repaired: Counter[str] = field(default_factory=Counter)
    pages: int = 0
    looks: int = 0
    unconfirmed: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong. What waits or is in work is not right yet, and no fault."""
        return not self.unconfirmed and not any(self.counts[kind] for kind in FAULTS)

    def to_json(self) -> dict[str, Any]:
        """All figures, by name."""
        counts = {kind: self.counts[kind] for kind in (*PARTS, "orphaned", "kept")}
        document: dict[str, Any] = {"in": sum(self.counts[part] for part in PARTS), **counts}
        document |= {"pages": self.pages, "looks": self.looks, "unconfirmed": self.unconfirmed}
        return document | {"repaired": dict(self.repaired), "named": self.named}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> AuditReport:
        """The way back. Raises ValueError, TypeError, AttributeError or KeyError for what is none."""
        counts = Counter({kind: int(document[kind]) for kind in (*PARTS, "orphaned", "kept")})
        repaired = Counter({str(how): int(number) for how, number in document["repaired"].items()})
        named = {str(kind): [str(name) for name in names][:MOST_NAMED] for kind, names in document["named"].items()}
        figures = (int(document[name]) for name in ("pages", "looks", "unconfirmed"))
        return cls(counts, named, repaired, *figures)

    def __str__(self) -> str:
        said = self.to_json()
        more = [f"{said[part]} {part.replace('_', ' ')}" for part in ("in_work", "waiting", "cancelled") if said[part]]
        faults = ", ".join(f"{said[fault]} {fault}" for fault in FAULTS)
        return f"{said['in']} in, {said['right']} right, {faults}" + (f" ({', '.join(more)})" if more else "")
