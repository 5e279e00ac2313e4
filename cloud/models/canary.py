"""Trying a model before it serves: it loads, it keeps its contract, it runs, it agrees with the model that serves."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from cloud.models.agreement import Agreement, compared, together
from cloud.models.model_entry import ModelEntry
from cloud.models.pointer import BY_HAND
from cloud.models.snapshots import Snapshot, fetch, last_good, serving
from cloud.models.trials import Trials
from cloud.settings import MODELS
from cloud.storage.containers import Storage
from inference.analysis import analyze
from inference.engine.model import Model
from inference.engine.registry import Registry
from inference.engine.weights import Weights
from inference.errors import BadModel, CorruptMedia, DropsightError, Transient, UnsupportedMedia
from inference.predictions import Predictions
from inference.results.result import Source
from inference.routes import Route, Step

T = TypeVar("T")


def verify(root: Path, name: str, samples: Mapping[str, bytes] | None = None) -> int:
    """Load the model called `name` from the folder `root` that holds its folder, and run it on the samples.

    Checks the weights' sha256 against the manifest, the tensors against the head, and that it runs at all
    (on a plain picture where there are no samples). Returns on how many samples it ran: on none where it is one of
    clips, as samples are pictures. Raises BadModel, BadManifest.
    """
    registry = _registry(root, name)
    if not isinstance(registry.load(name), Model):  # of clips: it has done what loading checks
        return 0
    for sample, data in (samples or {"plain picture": _plain_picture()}).items():
        _answer(registry, name, sample, data)
    return len(samples or ())


def tried(storage: Storage, entry: ModelEntry, scratch: Path, samples: Mapping[str, bytes]) -> dict[str, Any]:
    """Verify the version in `scratch`/new and, where the entry has min_agreement, hold it against what serves.

    What is to be noted with its release. Raises BadModel and BadManifest; BadModel, too, where it agrees too little
    and where that cannot be measured although something serves: a gate that cannot measure is closed.
    """
    name, root = entry.serves, scratch / "new"
    known = _serving(storage, name) if entry.min_agreement else None
    if known is None:
        noted = {"samples": verify(root, name, samples)}
        first = {
            "agreement": None,
            "why": f"nothing was compared: nothing from the container serves as {name} yet",
        }
        return noted | first if entry.min_agreement else noted
    result = _against(known, root, scratch / "old" / name, samples)
    if result.share is None:
        raise BadModel(
            f"min_agreement is {_percent(entry.min_agreement)}, and how far it agrees with {known.words} cannot be "
            f"measured: {_why_not(entry, result, len(samples))}, then `python -m cloud models deliver {name} --again` "
            "(--again alone measures once more, and lets nothing through unmeasured)"
        )
    if round(result.share, 4) < entry.min_agreement:
        raise BadModel(
            f"it agrees with {known.words} on {_percent(result.share)} ({result.measure}, over {result.samples} "
            f"of {len(samples)} samples); min_agreement is {_percent(entry.min_agreement)}. Where it is to differ "
            f"so much, lower that or take it out, then `python -m cloud models deliver {name} --again`"
        )
    share = round(result.share, 4)
    return {"samples": len(samples), "agreement": share, "measure": result.measure, "compared": result.samples}


def in_words(noted: Mapping[str, Any]) -> str:
    """What `tried` noted, for people: on how many samples it ran, and how far it agrees with what served."""
    count = noted["samples"]
    ran = f"tried on {count} sample{'s' * (count != 1)}" if count else "verified without samples"
    if "why" in noted:
        return f"{ran}; {noted['why']}"
    if "agreement" in noted:
        share, compared = _percent(noted["agreement"]), noted["compared"]
        return f"{ran}; it agrees with what served before on {share} ({noted['measure']}, over {compared} of them)"
    return ran


def _why_not(entry: ModelEntry, result: Agreement, samples: int) -> str:
    """Why nothing could be measured, and what to do before it is tried again."""
    without = "take min_agreement out of its [[model]] to release it without a comparison"
    if result.why:
        return f"{result.why}; {without}"
    place = f"{MODELS}/{entry.serves}/samples/"
    found = "neither version finds anything on any sample in" if samples else "there are no samples in"
    return f"{found} {place}; put pictures there that show what the model is for, or {without}"


@dataclass(frozen=True)
class _Serving:
    """What serves, in words, and how to get at it: a registry that holds it, by the folder for its files. `open` raises
    Permanent where it cannot be had any more, Transient."""

    words: str
    open: Callable[[Path], Registry]


def _serving(storage: Storage, name: str) -> _Serving | None:
    """What serves under this name from the container now. A model of that name that came with the app is no earlier
    version of this one."""
    now = serving(storage, name)
    if now and now.problem:  # then what was verified last serves
        now = last_good(storage, name) or now
    if now is None:
        return None
    words = "the folder dropped by hand" if now.version == BY_HAND else f"version {now.version}"
    return _Serving(words, partial(_fetched, storage, now))


def _fetched(storage: Storage, snapshot: Snapshot, folder: Path) -> Registry:
    fetch(storage, snapshot, folder)
    Trials(storage).require(folder)
    return _registry(folder.parent, folder.name)


def _against(known: _Serving, root: Path, folder: Path, samples: Mapping[str, bytes]) -> Agreement:
    """Both versions on the samples, one after the other: the answers to all of them would not fit in memory. `folder`
    takes the files of what serves. Raises BadModel and BadManifest of the new version, Transient of both."""
    name = folder.name
    registry = _registry(root, name)
    model = registry.load(name)
    if not samples or not isinstance(model, Model):
        verify(root, name)
        clips = f"it does {model.manifest.task} on clips, and the samples are pictures"
        return Agreement(None, why="" if isinstance(model, Model) else clips)

    def opened() -> tuple[Registry, str]:
        old = known.open(folder)
        return old, old.load(name).manifest.task

    found = _unless_broken(opened, folder)
    if isinstance(found, str):
        return Agreement(None, why=found)
    old, task = found
    if task != model.manifest.task:
        return Agreement(None, why=f"the new version does {model.manifest.task}, the serving one {task}")
    parts: list[Agreement] = []
    for sample, data in samples.items():
        ours = _answer(registry, name, sample, data)
        theirs = _unless_broken(partial(_answer, old, name, sample, data), folder)
        if isinstance(theirs, str):
            return Agreement(None, why=theirs)
        parts.append(compared(task, ours, theirs))
        if parts[-1].why:
            break
    return together(parts)


def _unless_broken(call: Callable[[], T], folder: Path) -> T | str:
    """What it gives, or why what serves does not run any more, whatever it is that is wrong with that."""
    try:
        return call()
    except (Transient, MemoryError, UnsupportedMedia, CorruptMedia):  # of the surroundings, or of the sample
        raise
    except Exception as error:  # noqa: BLE001 - it serves, so that nobody is to be stopped by a traceback of it
        why = str(error) if isinstance(error, DropsightError) else f"{type(error).__name__}: {error}"
        return f"that does not run any more: {why}".replace(f"{folder}{os.sep}", "")


def _registry(root: Path, name: str) -> Registry:
    """Of the model called `name` alone. Raises BadModel."""
    registry = Registry([root], weights=Weights([]))
    names = [entry.name for entry in registry.list()]
    if name not in names:
        raise BadModel(f"model {name!r}: its folder holds {names or 'no model'}; the manifest's name must be {name!r}")
    return registry


def _answer(registry: Registry, name: str, sample: str, data: bytes) -> Predictions:
    # The best name counts, however unsure: two classifiers that keep quiet agree about nothing.
    threshold = 0.0 if registry.load(name).manifest.task == "image-classification" else None
    route = Route("canary", (Step(name, threshold=threshold),))
    return analyze(data, route, registry, Source(name=sample), artifacts=False).result.steps[0].predictions


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"


def _plain_picture() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(out, "PNG")
    return out.getvalue()
