"""Which uploads a person names: one by its name, those whose names begin so, or those that fit a pattern."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cloud.settings import UPLOADS
from cloud.storage.containers import Storage
from cloud.storage.paths import canonical
from cloud.uploads.priority import outermost
from inference.errors import UnsupportedMedia
from inference.route_patterns import WILD, fits, literal_beginning
from inference.routes_file import sidecar_target

LONGEST = 1024  # that a blob's name can be


@dataclass(frozen=True)
class Named:
    """What `text` names. is_name: an upload is called just so, and it alone is meant, with its sidecar."""

    text: str
    is_name: bool

    @property
    def beginning(self) -> str:
        """With what all names begin that are meant."""
        return self.text if self.is_name else literal_beginning(self.text)

    def takes(self, name: str) -> bool:
        """Whether the upload is meant."""
        spoken_of = {name, sidecar_target(name) or name}
        if self.is_name:
            return self.text in spoken_of
        if WILD.search(self.text):
            return any(fits(self.text, each) for each in spoken_of)
        return name.startswith(self.text)


@dataclass
class Names:
    """The uploads that a person names; all of them where nothing is named."""

    texts: tuple[str, ...]
    named: tuple[Named, ...]
    _met: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, storage: Storage, texts: Iterable[str]) -> Names:
        """A call for each text, which tells names from their beginnings. Raises StorageUnavailable."""
        texts = tuple(dict.fromkeys(text.replace("\\", "/") for text in texts))  # as storage calls them
        return cls(texts, tuple(Named(form, _is_upload(storage, form)) for text in texts for form in forms_of(text)))

    @property
    def places(self) -> list[str]:
        """With what the names to be listed begin; none begins as another does."""
        return outermost({named.beginning for named in self.named}) if self.named else [""]

    def takes(self, name: str) -> bool:
        """Whether the upload is meant."""
        taken = [named.text for named in self.named if named.takes(name)]
        self._met.update(taken)
        return bool(taken) or not self.named

    @property
    def met(self) -> tuple[str, ...]:
        """What has named an upload so far."""
        return tuple(sorted(self._met))

    def remember(self, met: Iterable[str]) -> None:
        """What has named uploads in an earlier part of a list."""
        self._met.update(met)

    def unmet(self) -> Iterator[str]:
        """A sentence for each text that has named no upload so far."""
        for text in self.texts:
            if self._met.isdisjoint(forms_of(text)):
                inside = text.removeprefix(f"{UPLOADS}/")
                how = "" if inside == text else f"; names begin behind the container's: {inside!r}"
                what = "fits" if WILD.search(text) else "is, or begins with,"
                yield f"no upload's name {what} {text!r}{how}"


def forms_of(text: str) -> list[str]:
    """The text as it may be written in names: keyboards and file systems compose umlauts in two ways."""
    return list(dict.fromkeys((text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))))


def _is_upload(storage: Storage, name: str) -> bool:
    try:
        found = storage.head(UPLOADS, canonical(name)) if len(name) <= LONGEST else None
    except UnsupportedMedia:  # it would lead elsewhere
        return False
    return found is not None and not found.is_folder
