"""`serving.json`: which release of a model serves, what served before it, and what was rolled back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cloud.settings import MODELS
from cloud.storage.containers import Conflict, Storage
from cloud.storage.parsed_json import read_parsed
from inference.errors import BadModel, ServiceBusy

POINTER = "serving.json"
BY_HAND = "by hand"
KEEP = 10

_IN_DATASTORE = re.compile(r".*?/datastores/([^/]+)/paths/", re.IGNORECASE)


@dataclass(frozen=True)
class Release:
    """A version of a registered model in the container. What an older document does not say is empty.

    version: its folder below `versions/`; BY_HAND means no release, but the files dropped by hand, or the model that
    came with the app. number: as registered, where the folder is called otherwise because another release of that
    number came. source: the path of its files in the workspace. created: when it was registered. layout: of its files
    in the container, which nobody serves where they are others.
    """

    version: str
    model: str = ""
    source: str = ""
    created: str = ""
    number: str = ""
    layout: str = field(default="", compare=False)

    @property
    def registered_number(self) -> str:
        """The number in the workspace."""
        return self.number or self.version

    def is_same(self, other: Release) -> bool:
        """Whether both are one release, as far as is known: an empty field is equal to any."""
        return self.registered_number == other.registered_number and all(
            not mine or not theirs or mine == theirs
            for mine, theirs in (
                (self.model, other.model),
                (_place(self.source), _place(other.source)),
                (_moment(self.created), _moment(other.created)),
            )
        )

    def to_json(self) -> dict[str, str]:
        """As it is stored: what is empty is left out."""
        return {key: value for key, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, document: Any) -> Release:
        """As it was stored; older releases of the app stored the version alone."""
        known = document if isinstance(document, Mapping) else {"version": document}
        release = cls(**{key: text(known, key) for key in cls.__dataclass_fields__})
        if not release.version:
            raise TypeError("it says no version")
        return release


@dataclass(frozen=True)
class Pointer:
    """`serving.json`. previous: what served before, newest first. rejected: what was rolled back."""

    release: Release
    previous: tuple[Release, ...] = ()
    rejected: tuple[Release, ...] = ()
    canary: Mapping[str, Any] | None = None
    at: str = ""

    @property
    def version(self) -> str:
        """The folder that serves."""
        return self.release.version

    def refers_to(self, version: str) -> bool:
        """Whether it serves that folder or may go back to it."""
        return any(release.version == version for release in (self.release, *self.previous))

    def renamed(self, version: str, to: str) -> Pointer:
        """The same releases, where the files in the folder `version` lie in `to`."""

        def moved(release: Release) -> Release:
            if release.version != version:
                return release
            return replace(release, version=to, number=release.registered_number)

        return replace(
            self,
            release=moved(self.release),
            previous=tuple(map(moved, self.previous)),
            rejected=tuple(map(moved, self.rejected)),
        )

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "schema": "dropsight-serving/1",
            **self.release.to_json(),
            "previous": [release.to_json() for release in self.previous],
            "rejected": [release.to_json() for release in self.rejected],
            "canary": self.canary,
            "at": self.at,
        }

    @classmethod
    def from_json(cls, document: Any) -> Pointer:
        """As it was stored; unknown members are ignored. Raises TypeError."""
        if not isinstance(document, Mapping):
            raise TypeError("it is no JSON object")
        release = Release.from_json(document)
        previous, rejected = (tuple(map(Release.from_json, _list(document, key))) for key in ("previous", "rejected"))
        if rejected and not release.model:  # a rollback of an older release of the app left the source of the other
            release = replace(release, source="")
        canary = document.get("canary")
        return cls(release, previous, rejected, canary if isinstance(canary, Mapping) else None, text(document, "at"))


def read_pointer(storage: Storage, name: str) -> tuple[Pointer, str] | None:
    """The pointer of a model and its ETag; None where nothing was released yet. Raises BadModel."""
    remedy = f"restore it, or delete it, or `python -m cloud models deliver {name} --again` writes it anew"
    return read_parsed(storage, MODELS, f"{name}/{POINTER}", Pointer.from_json, BadModel, remedy)


def write_pointer(storage: Storage, name: str, pointer: Pointer, etag: str | None) -> tuple[Pointer, str]:
    """Write it over the version that was read (None: there was none). Raises ServiceBusy where that has changed."""
    unchanged: dict[str, Any] = {"if_match": etag} if etag else {"if_absent": True}
    try:
        return pointer, storage.write_json(MODELS, f"{name}/{POINTER}", pointer.to_json(), **unchanged)
    except Conflict as error:
        raise ServiceBusy(
            f"what serves {name!r} was changed by somebody else at this moment; look, and try again (the tick tries a "
            "delivery again by itself)"
        ) from error


def text(document: Mapping[str, Any], key: str) -> str:
    """A member that is a text or a whole number; empty where it is missing. Raises TypeError."""
    value = document.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise TypeError(f"{key} is {str(value)[:40]!r}, expected a text")
    return "" if value is None else str(value)


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key) or []
    if not isinstance(value, list):
        raise TypeError(f"{key} is {str(value)[:40]!r}, expected a list")
    return value


def _place(source: str) -> str:
    """Where files lie, in the one spelling: by datastore and path, whatever the workspace's own id is written like; of
    web addresses, without what signs them."""
    if source.startswith("http"):
        source = source.partition("?")[0]
    return _IN_DATASTORE.sub(r"\1/", source, count=1).rstrip("/")


def _moment(created: str) -> str:
    """A date in the one spelling, in whole seconds."""
    try:
        date = datetime.fromisoformat(created)
    except ValueError:
        return created
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="seconds")
