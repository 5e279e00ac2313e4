"""The full lists of labels of the models in results, from the models that are here and the catalog of public ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from inference.engine.catalog import load_catalog
from inference.engine.registry import Registry
from inference.errors import DropsightError
from inference.manifest import Manifest
from inference.results.classes import LabelsOf


def labels_from(registry: Callable[[], Registry]) -> LabelsOf:
    """A LabelsOf. registry: gives the models; called when the first list is asked for.

    A model of the same weights is taken first; one that is only called alike has perhaps other labels by now, which
    whoever asks compares with those of the results.
    """

    @cache
    def known() -> tuple[Manifest, ...]:  # reading all of them takes longer than a small export
        return tuple(m for m in _manifests(registry()) if m.labels)

    @cache
    def labels_of(name: str, sha256: str) -> tuple[str, ...] | None:
        same = [m for m in known() if sha256 and m.sha256 == sha256]
        alike = [m for m in known() if m.name == name]
        found = next((m for m in (*(m for m in same if m.name == name), *same, *alike)), None)
        # A class without a name is called by its number, as results call it.
        return tuple(label or str(i) for i, label in enumerate(found.labels)) if found else None

    return labels_of


def _manifests(registry: Registry) -> Iterator[Manifest]:
    yield from (entry.manifest for entry in registry.list() if entry.manifest)
    for entry in load_catalog().model:
        try:
            yield entry.full_manifest()
        except DropsightError:  # of a later release: the others serve on
            continue
