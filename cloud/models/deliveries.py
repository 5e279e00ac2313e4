"""What is behind deliveries of models: the tick's, those that events ask for, and `python -m cloud models`."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from cloud.azureml.pipeline_runs import azureml
from cloud.azureml.slot_steps import in_words
from cloud.models.model_entry import ModelEntry
from cloud.models.refusals import AlreadyRefused, refusals
from cloud.models.registered_models import Registered, deliver
from cloud.pipelines_file import pipelines
from cloud.storage.containers import default_storage
from inference.errors import BadModel, DropsightError

log = logging.getLogger(__name__)


def registered() -> Registered:
    """The registered models of the app's workspace."""
    return Registered(azureml())


def deliver_all(only: str = "") -> None:
    """Bring the newest version of every [[model]] entry, or of those of the registered model `only`.

    Raises BadModel with all that failed now; what was refused before is in the health.
    """
    failures = []
    for entry in pipelines().models:
        if only not in ("", entry.name):
            continue
        try:
            log.info("%s", deliver(default_storage(), registered(), entry))
        except AlreadyRefused as known:
            log.info("%s", known)
        except Exception as error:  # the other entries go on
            unforeseen = error if not isinstance(error, DropsightError) else error.__cause__
            if unforeseen and not isinstance(unforeseen, DropsightError):
                log.warning("%s", entry.name, exc_info=unforeseen)
            failures.append(str(error) if isinstance(error, DropsightError) else f"{entry.name}: {in_words(error)}")
    if failures:
        raise BadModel("; ".join(failures))


def refused(entries: Iterable[ModelEntry]) -> list[str]:
    """What is wrong with the entries, as `refusals` says it."""
    return [line for entry in entries for line in refusals(default_storage(), entry)]


def find(name: str) -> ModelEntry:
    """The [[model]] entry that serves under `name`. Raises BadModel."""
    entries = pipelines().models
    # What it serves as is its own; registered names may be those of several entries.
    for entry in sorted(entries, key=lambda entry: entry.serves != name):
        if name in (entry.serves, entry.name):
            return entry
    raise BadModel(f"pipelines.toml has no [[model]] {name!r}; it has {[entry.serves for entry in entries]}")
