"""Whatever state document is broken, and however: everything else on the tick goes on, and the broken one is named."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import azure.functions as func
import pytest

from cloud import tick
from cloud.drift.drift_check import BASELINE
from cloud.drift.drift_entry import VERDICT
from cloud.drift.drift_profile import profile
from cloud.drift.lake import MARK
from cloud.models import deliveries
from cloud.models.model_entry import ModelEntry
from cloud.models.pointer import Pointer, Release
from cloud.models.snapshots import contents
from cloud.settings import MODELS, RESULTS, STATE, Settings
from cloud.storage.containers import Storage
from cloud.web import model_events, router
from tests.cloud.broken_state import READABLE, WAYS, broken
from tests.cloud.drift.drift_world import row
from tests.cloud.storage.result_documents import whole
from tests.cloud.tick_world import FILE, NOON, World, key

pytestmark = pytest.mark.slow

ENTRY = '[[pipeline]]\nname = "{}"\nkind = "published"\nid = "pipe-1"\nschedule = "0 */10 * * * *"\n{}\n'
TASKS = '[drift]\nschedule = "0 */10 * * * *"\n[lake]\nschedule = "0 */10 * * * *"\n'
EVERYTHING = FILE + ENTRY.format("waits", "") + ENTRY.format("asks", "condition = 'drift == \"ok\"'") + TASKS
# What is broken -> the member that gets a wrong type, and that value.
FILES: dict[str, tuple[str, Any]] = {
    "pipelines/first/plan.json": ("open", 5),
    "pipelines/waits/slots/2026/11/20261123T120000Z.json": ("state", 5),
    VERDICT: ("status", 5),
    BASELINE: ("rows", 5),
    MARK: ("through", 5),
}


@pytest.mark.slow
def test_with_everything_broken_at_once_the_rest_goes_on_and_each_file_is_named(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.found = world.read(EVERYTHING)
    world.storage.write_json(RESULTS, "a.jpg/result.json", whole())
    world.tick()
    world.storage.write_json(STATE, BASELINE, profile([row(number) for number in range(40)], NOON).to_json())
    world.storage.write_json(STATE, VERDICT, {"status": "ok", "why": "", "count": 40, "at": NOON.isoformat()})
    world.storage.write_json(STATE, MARK, {"through": NOON.isoformat()})
    originals = {path: read(world.storage, path) for path in FILES}
    for number, way in enumerate(WAYS, 1):
        named = []
        for path, wrong in FILES.items():
            world.storage.write(STATE, path, broken(originals[path], way, *wrong))
            named += [path] if way not in READABLE else []
        caplog.clear()
        at = timedelta(minutes=10 * number)
        said = world.tick(at) + caplog.text
        assert key("second", NOON + at) in world.ran()
        assert [path for path in named if f"{STATE}/{path}" not in said] == [], way
        in_health = "\n".join(tick.health(world.found, lambda: world.now))
        assert [path for path in named if path != MARK and f"{STATE}/{path}" not in in_health] == [], way
        assert "state/pipelines/second" not in in_health
        for path, original in originals.items():
            world.storage.write_json(STATE, path, original)
    assert world.tick(timedelta(minutes=10 * len(WAYS) + 10)) == ""
    assert world.ran()[-1] == key("waits", NOON + timedelta(minutes=10 * len(WAYS) + 10))


def read(storage: Storage, path: str, container: str = STATE) -> dict[str, Any]:
    stored = storage.read_json(container, path)
    assert stored, path
    found: dict[str, Any] = stored[0]
    return found


@pytest.mark.parametrize("way", WAYS)
def test_a_broken_pointer_of_a_model_is_its_own_problem(
    way: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("broken", "fine"):
        world.storage.write(MODELS, f"{name}/versions/1/model.onnx", b"onnx")
        pointer = Pointer(Release("1"), at=NOON.isoformat()).to_json()
        world.storage.write_json(MODELS, f"{name}/serving.json", pointer)
    world.storage.write(MODELS, "broken/serving.json", broken(pointer, way, "previous", 5))
    found = {snapshot.name: snapshot for snapshot in contents(world.storage)[0]}
    assert (found["fine"].version, found["fine"].problem) == ("1", "")
    assert ("models/broken/serving.json cannot be read" in found["broken"].problem) == (way not in READABLE)
    entries = [ModelEntry(name, name) for name in ("broken", "fine")]
    refused = deliveries.refused(entries)
    assert len(refused) == (way not in READABLE) and all("models/broken/serving.json" in line for line in refused)


@pytest.mark.parametrize("way", WAYS)
def test_broken_events_are_answered(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(deliveries, "deliver_all", lambda only: asked.append(only))
    monkeypatch.setattr(model_events, "current", lambda: Settings(model_events_key="k"))
    event = {"eventType": "Microsoft.MachineLearningServices.ModelRegistered", "data": {"ModelName": "shapes"}}
    body = broken(event, way, "data", 5)
    request = func.HttpRequest("POST", "http://app/api/models/events", headers={"x-model-events-key": "k"}, body=body)
    answer = router.answer("model_registered", request)
    assert answer.status_code == (202 if json_like(body) else 400)
    assert asked == {"a further key": ["shapes"], "wrong type": [""]}.get(way, [])


def json_like(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True
