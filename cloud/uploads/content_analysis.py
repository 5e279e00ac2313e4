"""What a worker does with the content of an upload that it has: read, analyse, publish."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import inference
from cloud.settings import Settings
from cloud.storage.containers import Reading, Storage
from cloud.storage.scratch import scratch
from cloud.uploads import publish
from cloud.uploads.claim_ends import ClaimEnds, source_of
from cloud.uploads.ledger import Claim, Stopping
from cloud.uploads.plans import UploadPlan
from cloud.uploads.publish import Published, Superseded
from inference.engine.pinned import PinnedModels
from inference.engine.registry import Registry
from inference.image.limits import Limits
from inference.image.sniff import sniff
from inference.results.result import Source
from inference.routes import Route
from inference.steps import Analysis, OnProgress


class ContentAnalysis:
    """The part of a worker that needs no receipts but for the question whose the upload is."""

    storage: Storage
    settings: Settings
    registry: Registry
    ends: ClaimEnds
    limits: Limits

    def published(self, claim: Claim[UploadPlan], reading: Reading, trace: str, progress: OnProgress) -> Published:
        """Writes the result. Raises Superseded, and as `analyze`."""
        receipt, plan = claim.receipt, claim.plan
        assert plan.route
        with self.media(reading) as media:
            source = source_of(receipt, reading.info.size)
            analysis = self.analyze(media, plan.route, source, trace, progress=progress, models=plan.models)
            if claim.given_back:
                raise Stopping(receipt.name)
            try:
                check, blurred = partial(self.ends.check_ours, claim), bool(plan.route.draw.blur)
                return publish.publish(self.storage, receipt, analysis, check, blurred=blurred)
            finally:  # as long as their room on the disk is reserved, whoever still has the analysis
                for content in analysis.artifacts.values():
                    if isinstance(content, Path):
                        content.unlink(missing_ok=True)

    def analyze(
        self,
        media: bytes | Path,
        route: Route,
        source: Source,
        trace: str,
        *,
        artifacts: bool = True,
        progress: OnProgress | None = None,
        models: Registry | None = None,
    ) -> Analysis:
        """The engine, with this app's models and limits. models: those of a plan, in place of those that serve now."""
        models = models or PinnedModels(self.registry, [name for _, name in route.models()])
        return inference.analyze(
            media, route, models, source,
            limits=self.limits, artifacts=artifacts, trace=trace, progress=progress,
        )  # fmt: skip

    @contextmanager
    def media(self, reading: Reading) -> Iterator[bytes | Path]:
        """The content where it belongs: pictures in memory, videos in a temporary file, under their limits."""
        if sniff(reading.head).startswith("image/"):
            yield reading.read(self.settings.max_image_bytes)
            return
        size, limit = reading.info.size, self.settings.max_video_bytes
        with scratch(size if size <= limit else 0, name=f"{reading.info.name} {reading.info.etag}") as folder:
            yield reading.save(folder / "media", limit)


def noted(claim: Claim[UploadPlan], done: int, expected: int | None) -> None:
    """As Claim.note, between two frames. Raises Superseded where the upload is not ours any more."""
    if claim.lost:
        raise Superseded("lost")
    claim.note(done, expected)
