"""Which route an upload takes, and what its document names."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import inference.analysis as engine
from cloud.settings import ERRORS, RESULTS, UPLOADS, BadSettings, Settings
from cloud.storage.containers import BlobInfo
from cloud.uploads import plans, publish
from cloud.uploads.events import Outcome
from cloud.uploads.plans import Planner, UploadPlan
from cloud.uploads.upload_worker import UploadWorker
from inference.engine.registry import Registry
from inference.errors import BadRoute
from inference.results.summary import labels_of
from inference.routes_file import read_routes
from tests.cloud.helpers import document, drop, during_analysis, jpeg, names, receipt

pytestmark = pytest.mark.slow


def test_metadata_chooses_another_route(worker: UploadWorker) -> None:
    worker.handle(drop(worker, "a.jpg", jpeg(), dropsight_route="classify"))
    assert document(worker, RESULTS, "a.jpg/result.json")["route"] == "classify"
    worker.handle(drop(worker, "b.jpg", jpeg(), dropsight_route="clasify"))
    assert "classify" in document(worker, ERRORS, "b.jpg.json")["error"]["message"]


@pytest.mark.parametrize("text", ['route = "classify"', '[[route]]\nname="own"\nsteps=[{model="classify"}]'])
@pytest.mark.parametrize("first", ["sidecar", "photo"])
def test_a_sidecar_chooses_another_route_whichever_comes_first(
    make_worker: Callable[..., UploadWorker], text: str, first: str
) -> None:
    worker = make_worker(inline_routes=True)
    files = {"sidecar": ("a.jpg.route.toml", text.encode()), "photo": ("a.jpg", jpeg())}
    for kind in sorted(files, reverse=first == "sidecar"):
        assert worker.handle(drop(worker, *files[kind])).status == "done"
    found = document(worker, RESULTS, "a.jpg/result.json")
    assert [step["name"] for step in found["steps"]] == ["classify"]
    assert not any("route.toml" in name for name in names(worker, RESULTS))
    # An empty one takes it back.
    worker.handle(drop(worker, "a.jpg.route.toml", b""))
    assert document(worker, RESULTS, "a.jpg/result.json")["route"] == "default"


@pytest.mark.parametrize("content", [b"route = 'x", b"\xff\xfa", b"#" * 9_000])
def test_a_wrong_sidecar_is_the_error_of_its_photo(worker: UploadWorker, content: bytes) -> None:
    assert worker.handle(drop(worker, "a.jpg.route.toml", content)).status == "done"
    worker.handle(drop(worker, "a.jpg", jpeg()))
    assert "a.jpg.route.toml: not valid TOML" in document(worker, ERRORS, "a.jpg.json")["error"]["message"]


def test_a_sidecar_brings_no_route_of_its_own_unless_the_operator_says_so(worker: UploadWorker) -> None:
    worker.handle(drop(worker, "a.jpg.route.toml", b'[[route]]\nname = "own"\nsteps = [{ model = "classify" }]'))
    assert worker.handle(drop(worker, "a.jpg", jpeg())).status == "failed"
    said = document(worker, ERRORS, "a.jpg.json")["error"]["message"]
    assert 'expected route = "NAME"' in said and "INLINE_ROUTES is true" in said


def test_limits_of_a_sidecar_only_ever_lower_those_of_the_route_of_the_name(registry: Registry) -> None:
    """And where the app's limit changes, so does the key of the result."""
    step = 'name = "{}"\nsteps = [{{ model = "classify" }}]\n[route.video]\n{}'
    info = BlobInfo("a.mp4", "0x1", 1, datetime.now(UTC), datetime.now(UTC))

    def plan_of(theirs: str, own: str, inline: bool = True) -> UploadPlan:
        routes = read_routes("[[route]]\n" + step.format("all", theirs), "routes.toml")
        planner = Planner(routes, registry, inline_routes=inline)
        return planner.plan(info, "[[route]]\n" + step.format("own", own))

    plan = plan_of("max_frames = 100\nmax_duration_s = 60", "max_frames = 1000\nmax_duration_s = 5\nfps = 2")
    assert plan.route and plan.route.video
    assert (plan.route.video.max_frames, plan.route.video.max_duration_s, plan.route.video.fps) == (100, 5, 2)
    assert plan_of("", "max_pixels = 999999999").route.video.max_pixels == 8192 * 4320  # type: ignore[union-attr]
    keys = {plan_of(f"max_frames = {most}", "max_frames = 1000").key for most in (10, 20, 1000, 2000)}
    assert len(keys) == 3  # 1,000 is the sidecar's own in the last two
    refused = plan_of("max_duration_s = 5", "start_s = 10")
    assert isinstance(refused.problem, BadRoute) and "only ever lower the app's" in str(refused.problem)


def test_a_sidecar_during_the_analysis_is_not_overlooked(worker: UploadWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    event = drop(worker, "a.jpg", jpeg())
    sidecar = drop(worker, "a.jpg.route.toml", b'route = "classify"')
    during_analysis(monkeypatch, lambda: worker.handle(sidecar))
    assert worker.handle(event).status == "done"
    assert document(worker, RESULTS, "a.jpg/result.json")["route"] == "classify"


def test_a_route_with_a_schedule_waits_for_its_slot(worker: UploadWorker, analyses: list[str]) -> None:
    event = drop(worker, "night/a.jpg", jpeg())
    assert worker.handle(event) == Outcome("waiting")
    waiting = receipt(worker, "night/a.jpg")
    assert waiting.state == "waiting"
    assert (waiting.until or "")[10:] == "T02:00:00+00:00"
    assert analyses == []
    # Its slot has passed: a delivery that comes after it runs.
    info = worker.storage.head(UPLOADS, "night/a.jpg")
    assert info
    object.__setattr__(info, "served_at", info.served_at + timedelta(days=1))
    assert worker.planner.plan(info, None).until is None


def test_every_file_that_a_document_names_is_named_as_it_lies_there(worker: UploadWorker) -> None:
    analysis = engine.analyze(jpeg(), worker.planner.route("a.jpg"), worker.registry)
    files = {"thumbs/0.jpg": b"", "sketch.jpg": b"", "crops/track-1.jpg": b""}
    labels = {"timeline": [{"label": "sketch.jpg", "start_s": 0.5}], "summary": {"objects": {"sketch.jpg": 1}}}
    track = {"id": 1, "label": "sketch.jpg"}  # as a model may call a thing
    tracks = [{**track, "crop": "crops/track-1.jpg"}, track]
    extra = {"thumbnails": ["thumbs/0.jpg"], "tracks": tracks, **labels}
    crops = {"classify/0": "crops/classify-0.jpg"}
    result = replace(analysis.result, extra=extra, crops=crops)
    found = publish.placed(replace(analysis, artifacts=files, result=result), "k")
    assert found.crops == {"classify/0": "k/crops/classify-0.jpg"}
    assert found.to_json()["artifacts"]["sketch"] == "k/sketch.jpg"
    tracks = [{**track, "crop": "k/crops/track-1.jpg"}, track]
    assert found.extra == {"thumbnails": ["k/thumbs/0.jpg"], "tracks": tracks, **labels}


def test_a_video_too_large_for_memory_goes_through_a_file(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch, shared: Path
) -> None:
    seen: list[Any] = []
    real = engine.analyze

    def analyze(media: Any, *args: Any, **options: Any) -> Any:
        seen.append(media)
        return real(media, *args, **options)

    monkeypatch.setattr(engine, "analyze", analyze)
    video = (shared / "media" / "video" / "street-people-5frames.mp4").read_bytes()
    assert worker.handle(drop(worker, "street.mp4", video, dropsight_route="classify")) == Outcome("done", 1)
    found = document(worker, RESULTS, "street.mp4/result.json")
    assert found["source"]["frames"] == 5
    for file in [*found["artifacts"].values(), *found.get("thumbnails", [])]:
        assert worker.storage.head(RESULTS, f"street.mp4/{file}"), file
    [media] = seen
    assert not media.exists(), "the temporary file is left"


def test_a_document_holds_what_the_index_tags_say(worker: UploadWorker) -> None:
    worker.handle(drop(worker, "a.jpg", jpeg(), dropsight_route="classify"))
    found = document(worker, RESULTS, "a.jpg/result.json")
    tags = publish.tags(found)
    assert tags["task"] == "image-classification"
    labels = labels_of(found)
    assert labels.guesses and not {*labels.guesses} & {*tags.values()}
    assert tags.get("top", "") == labels.top
    [blob] = worker.storage.service.find_blobs_by_tags("model='classify' and status='ok'")
    assert blob.name == "a.jpg/result.json"
    assert json.dumps(found)


def test_the_routes_file_as_it_comes_leaves_the_default_route_to_the_engine(registry: Registry) -> None:
    route = plans.app_routes(Settings(), registry).match("any/name.jpg")
    assert route
    assert [step.model for step in route.steps] == ["classify", "faces"]


@pytest.mark.parametrize(
    ("text", "said"), [("[[route]\n", "not valid TOML"), ("[[rout]]\n", "unknown key 'rout'; did you mean 'route'")]
)
def test_a_misspelt_routes_file_fails_no_upload_for_good(
    registry: Registry, tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(text)
    with pytest.raises(BadSettings, match=said):
        plans.app_routes(Settings(routes_file=str(file)), registry)
