"""Work of the app itself that has a schedule, in the place of a pipeline of Azure Machine Learning."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from cloud.azureml.pipeline_kind import Connection, Kind, Submission
from cloud.azureml.slot_steps import in_words
from cloud.azureml.workspace import NotAccepted, Run, Search, ServiceRefused
from inference.errors import DropsightError, Transient

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task(Kind):
    """Work of the app itself, done while it is submitted. Doing it twice does no harm."""

    kind = "task"
    # At work in this process, by name.
    running: ClassVar[set[str]] = set()

    work: Callable[[], object]

    def as_table(self) -> dict[str, Any]:
        """No keys: it is no entry of the file."""
        return {}

    def submit(self, service: Connection, submission: Submission) -> Run:
        """Do it. Raises NotAccepted where trying again may help, ServiceRefused where it does not."""
        self.running.add(submission.pipeline)
        try:
            self.work()
        except Transient as error:
            raise NotAccepted(str(error)) from error
        except DropsightError:
            raise
        except Exception as error:
            log.exception("%s", submission.pipeline)
            raise ServiceRefused(in_words(error)) from error
        finally:
            self.running.discard(submission.pipeline)
        return Run(submission.key, "Completed")

    def search(self, service: Connection, submission: Submission, since: datetime, names_kept: bool) -> Search:
        """Where its worker ended, it has to be done again."""
        return Search()

    def is_at_work(self, name: str) -> bool:
        """However long it takes."""
        return name in self.running

    @staticmethod
    def status(service: Connection, run: str) -> Run | None:
        return Run(run, "Completed")

    def preview(self, service: Connection, submission: Submission) -> dict[str, Any]:
        return {}


class Here:
    """The service that does tasks: this process."""

    def submit(self, submission: Submission) -> Run:
        return submission.target.submit(self, submission)  # type: ignore[arg-type]

    def search(self, submission: Submission, since: datetime, *, names_kept: bool = False) -> Search:
        return submission.target.search(self, submission, since, names_kept)  # type: ignore[arg-type]

    def status(self, kind: str, run: str) -> Run | None:
        return Task.status(self, run)  # type: ignore[arg-type]
