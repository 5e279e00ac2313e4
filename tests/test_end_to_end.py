"""Photos dropped into a real Azurite, the real app on the local host: each gets its result, none twice."""

from __future__ import annotations

import io
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from azure.core.exceptions import ResourceNotFoundError
from PIL import Image

from localhost.host_process import HostProcess
from tests.conftest import SHARED
from tests.localhost.support import StartHost, Store, request

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
PHOTOS = 12
PATIENCE_S = 90
FAST = ("--scan-interval", "0.5", "--max-polling-interval", "0.3")
NEVER = "0 0 0 1 1 *"


@pytest.fixture
def store(storage_account: str) -> Iterator[Store]:
    made = Store(storage_account)
    made.blobs.create_container("uploads")
    yield made
    made.blobs.close()
    made.queues.close()


@pytest.fixture
def start_app(tmp_path: Path, storage_account: str) -> Iterator[StartHost]:
    """Starts the app on the local host; all are ended with the test."""
    started: list[HostProcess] = []

    def start(*arguments: str, **environ: str) -> HostProcess:
        settings = {"AzureWebJobsStorage": storage_account, "SWEEP_SCHEDULE": NEVER, "LEASE_SECONDS": "3"}
        log = tmp_path / f"host-{len(started)}.log"
        started.append(HostProcess(ROOT, {**settings, **environ}, [*FAST, *arguments], log))
        return started[-1].start()

    yield start
    for host in started:
        host.kill()


@pytest.fixture(scope="module")
def photos() -> dict[str, bytes]:
    """Some photos by name; pictures made here where ../shared is absent."""
    files = sorted((SHARED / "media" / "coco" / "val2017").glob("*.jpg"))[:PHOTOS]
    if len(files) == PHOTOS:
        return {f"street {i % 3}/{file.name}": file.read_bytes() for i, file in enumerate(files)}
    return {f"street {i % 3}/{i}.jpg": _made(i) for i in range(PHOTOS)}


def _made(seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((640, 480)).save(buffer, "JPEG")
    return buffer.getvalue()


def drop(store: Store, photos: dict[str, bytes]) -> None:
    for name, content in photos.items():
        store.put(f"uploads/{name}", content)


def finished(store: Store) -> set[str]:
    ends = ("results", "/result.json"), ("errors", ".json")
    return {name.removesuffix(end) for container, end in ends for name in store.names(container) if name.endswith(end)}


def wait_for_all(host: HostProcess, store: Store, names: set[str]) -> None:
    host.wait_for(lambda: finished(store) >= names, f"{len(names)} results", PATIENCE_S)


def document(store: Store, name: str) -> Any:
    return json.loads(store.read(f"results/{name}/result.json") or b"{}")


def check_results(store: Store, photos: dict[str, bytes]) -> None:
    """Every photo has its document, and every file that a document names is there and is what it says."""
    for name, content in photos.items():
        found = document(store, name)
        assert (found["status"], found["source"]["name"], found["source"]["bytes"]) == ("ok", name, len(content))
        assert [step["name"] for step in found["steps"]] == ["classify", "faces"]
        assert set(found["artifacts"]) >= {"annotated"}
        for file in found["artifacts"].values():
            with Image.open(io.BytesIO(store.read(f"results/{name}/{file}") or b"")) as picture:
                assert picture.size == (found["source"]["width"], found["source"]["height"])


def analysed(host: HostProcess) -> Counter[str]:
    """How often the app says that it analysed each upload."""
    lines = [line for line in host.printed().splitlines() if ": analysed (" in line]
    return Counter(line.split(": analysed (")[0].rsplit("street ", 1)[-1] for line in lines)


def check_once(host: HostProcess, photos: dict[str, bytes]) -> None:
    assert analysed(host) == Counter(name.removeprefix("street ") for name in photos)


def test_polling_brings_every_photo_to_its_result_once(
    start_app: StartHost, store: Store, photos: dict[str, bytes]
) -> None:
    host = start_app(BLOB_TRIGGER_SOURCE="LogsAndContainerScan")
    drop(store, photos)
    store.put("uploads/corrupt.jpg", next(iter(photos.values()))[:2000])
    wait_for_all(host, store, {*photos, "corrupt.jpg"})
    check_results(store, photos)
    check_once(host, photos)
    assert store.names("errors") == ["corrupt.jpg.json"]
    assert json.loads(store.read("errors/corrupt.jpg.json") or b"")["error"]["class"] == "CorruptMedia"
    # A permanent error is no failed function: nothing is tried again, nothing is poison.
    assert store.peek("webjobs-blobtrigger-poison") == []


def test_event_grid_brings_every_photo_to_its_result_once_though_all_come_twice(
    start_app: StartHost, store: Store, photos: dict[str, bytes]
) -> None:
    host = start_app(BLOB_TRIGGER_SOURCE="EventGrid")
    drop(store, photos)
    webhook = f"{host.url}/runtime/webhooks/blobs?functionName=Host.Functions.on_upload"
    for name in photos:
        event = {
            "id": name, "subject": f"/blobServices/default/containers/uploads/blobs/{name}", "dataVersion": "",
            "eventType": "Microsoft.Storage.BlobCreated", "eventTime": "2026-01-01T00:00:00Z",
            "data": {"api": "PutBlob", "blobType": "BlockBlob",
                     "url": f"https://account.blob.core.windows.net/uploads/{name.replace(' ', '%20')}"},
        }  # fmt: skip
        headers = {"aeg-event-type": "Notification", "Content-Type": "application/json"}
        assert request("POST", webhook, json.dumps([event]).encode(), headers).status == 202
    wait_for_all(host, store, set(photos))
    # The sweep, fired by hand, finds nothing that the events left.
    assert (
        request("POST", f"{host.url}/admin/functions/sweep", b"{}", {"Content-Type": "application/json"}).status == 202
    )
    host.wait_for(lambda: f"found 0 of {PHOTOS} uploads" in host.printed(), "the sweep's line")
    check_results(store, photos)
    check_once(host, photos)


def test_the_sweep_alone_brings_them_in_when_the_trigger_is_off(
    start_app: StartHost, store: Store, photos: dict[str, bytes]
) -> None:
    drop(store, photos)
    host = start_app(**{"AzureWebJobs.on_upload.Disabled": "true", "SWEEP_SCHEDULE": "* * * * * *"})
    wait_for_all(host, store, set(photos))
    check_results(store, photos)
    check_once(host, photos)


def working(store: Store) -> list[str]:
    receipts = store.blobs.get_container_client("state").list_blobs("receipts/", include=["metadata"])
    try:
        return [each.name for each in receipts if (each.metadata or {}).get("state") == "working"]
    except ResourceNotFoundError:
        return []


def sweep_by_hand(host: HostProcess) -> None:
    """As the timer would, without waiting for the lock that a killed host leaves behind."""
    answer = request("POST", f"{host.url}/admin/functions/sweep", b"{}", {"Content-Type": "application/json"})
    assert answer.status == 202


def test_a_host_that_is_killed_in_the_middle_loses_nothing(
    start_app: StartHost, store: Store, photos: dict[str, bytes]
) -> None:
    photos = dict(list(photos.items())[:8])
    drop(store, photos)
    first = start_app()
    first.wait_for(lambda: working(store), "an upload in work", PATIENCE_S)
    first.kill()
    assert working(store), "the host was killed too late to prove anything"
    before = set(analysed(first))
    second = start_app(**{"AzureWebJobs.on_upload.Disabled": "true"})

    def swept() -> bool:
        sweep_by_hand(second)
        time.sleep(0.5)
        return finished(store) >= set(photos)

    second.wait_for(swept, "all results", PATIENCE_S)
    check_results(store, photos)
    # What the first had finished was not done again, and what it had begun was.
    assert not before & set(analysed(second))
    assert sum(map(int, re.findall(r"recovered (\d+)", second.printed()))) >= 1


@pytest.mark.skipif(os.name != "posix", reason="the host replaces itself by another process")
def test_an_instance_that_is_taken_away_under_an_upload_loses_nothing(
    start_app: StartHost, store: Store, photos: dict[str, bytes]
) -> None:
    photos = dict(list(photos.items())[:8])
    host = start_app("--stop-in-flight", LEASE_SECONDS="600")  # for whose end, or for a sweep, nobody waits
    drop(store, photos)
    host.wait_for(lambda: host.printed().count("is ready on") == 2, "the process that takes over", PATIENCE_S)
    wait_for_all(host, store, set(photos))
    check_results(store, photos)
    assert max(analysed(host).values()) == 1  # what was finished in the grace is not done again


def test_http_answers_behind_keys_and_health_without(
    start_app: StartHost, store: Store, photos: dict[str, bytes]
) -> None:
    host = start_app("--enable-auth")
    [secrets] = [name for name in store.names("azure-webjobs-secrets") if name.endswith("/host.json")]
    key = json.loads(store.read(f"azure-webjobs-secrets/{secrets}") or b"")["functionKeys"][0]["value"]
    photo = next(iter(photos.values()))

    health = request("GET", f"{host.url}/api/health")
    assert (health.status, json.loads(health.body)) == (200, {"status": "ok"})
    assert request("GET", f"{host.url}/api/health?deep=1").status == 401
    for asked in (f"?deep=1&code={key}", "?deep=1"):
        headers = {} if "code" in asked else {"x-functions-key": key}
        deep = request("GET", f"{host.url}/api/health{asked}", headers=headers)
        assert (deep.status, json.loads(deep.body)["errors"]) == (200, {})

    assert request("POST", f"{host.url}/api/v1/analyze", photo).status == 401
    answer = request("POST", f"{host.url}/api/v1/analyze", photo, {"x-functions-key": key})
    assert (answer.status, json.loads(answer.body)["status"]) == (200, "ok")
    refused = request("POST", f"{host.url}/api/v1/analyze", photo[:2000], {"x-functions-key": key})
    assert (refused.status, json.loads(refused.body)["error"]["class"]) == (422, "CorruptMedia")

    store.put("results/a b.jpg/result.json", b'{"status":"ok"}')
    store.put("state/secret.json", b"{}")
    assert request("GET", f"{host.url}/api/v1/results/a%20b.jpg/result.json").status == 401
    for path, status in (("a%20b.jpg/result.json", 200), ("a%20b.jpg", 200), ("no.jpg", 404)):
        assert request("GET", f"{host.url}/api/v1/results/{path}", headers={"x-functions-key": key}).status == status
    for path in ("..%2Fstate/secret.json", "x/..%2F..%2Fstate/secret.json", "%2e%2e/state/secret.json"):
        assert request("GET", f"{host.url}/api/v1/results/{path}", headers={"x-functions-key": key}).status in (
            400,
            404,
        )


def test_a_replay_over_http_is_done_by_the_host_and_uploads_are_forgotten(start_app: StartHost, store: Store) -> None:
    for number in range(3):
        store.put(f"uploads/x/{number}.jpg", _made(number))
    host = start_app()
    host.wait_for(lambda: len(finished(store)) == 3, "three results", PATIENCE_S)
    body, typed = b'{"all": true, "names": ["x/"]}', {"Content-Type": "application/json"}
    begun = request("POST", f"{host.url}/api/operate/replays", body, typed)
    assert begun.status == 202
    address = f"{host.url}/api/v1/replays/{json.loads(begun.body)['id']}"
    host.wait_for(lambda: json.loads(request("GET", address).body)["state"] == "done", "the replay's end", PATIENCE_S)
    found = json.loads(request("GET", address).body)
    assert {name: found[name] for name in ("marked", "done", "left")} == {"marked": 3, "done": 3, "left": 0}
    report = request("DELETE", f"{host.url}/api/v1/uploads/x/0.jpg")
    assert (report.status, json.loads(report.body)["count"]) == (200, 1)
    assert finished(store) == {"x/1.jpg", "x/2.jpg"}
