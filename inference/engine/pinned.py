"""Models of one moment: what was planned with them is done with just these."""

from __future__ import annotations

from collections.abc import Iterable

from inference.engine.folders import InstalledModel
from inference.engine.model import Loaded
from inference.engine.registry import Registry
from inference.errors import ModelReplaced


class PinnedModels(Registry):
    """A registry that gives models under the digests that it had in the beginning, and none under others."""

    def __init__(self, registry: Registry, names: Iterable[str]) -> None:
        """Raises as `Registry.digest`."""
        self._registry = registry
        self._pins = {name: registry.digest(name) for name in names}

    def list(self) -> list[InstalledModel]:
        return self._registry.list()

    def entry(self, name: str) -> InstalledModel:
        return self._registry.entry(name)

    def load(self, name: str) -> Loaded:
        """As `Registry.load`. Raises ModelReplaced, too."""
        model = self._registry.load(name)
        if self._pins.get(name, model.digest) != model.digest:
            raise ModelReplaced(f"model {name!r} was replaced meanwhile; what was planned with it is planned anew")
        return model

    def digest(self, name: str) -> str:
        return self._pins.get(name) or self._registry.digest(name)

    def look(self, name: str) -> None:
        """What was planned stays as it is."""

    def trouble(self, name: str) -> str:
        return self._registry.trouble(name)
