"""A long video through the real app on the local host, killed in the middle: the result of one piece."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.routes_file import parse_routes
from localhost.host_process import HostProcess
from tests.cloud.videos.long_videos import NAME, ROUTES, long_clip, make_models
from tests.localhost.support import Store, request

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
ARGUMENTS = ("--scan-interval", "0.5", "--max-polling-interval", "0.2", "--message-lease", "5")
PATIENCE_S = 90


def test_a_host_that_is_killed_in_the_middle_loses_nothing(storage_account: str, tmp_path: Path) -> None:
    store, routes, models = Store(storage_account), tmp_path / "routes.toml", tmp_path / "models"
    models.mkdir()
    routes.write_text(ROUTES)
    clip = long_clip(tmp_path)
    environ = {
        "AzureWebJobsStorage": storage_account, "LEASE_SECONDS": "2", "SWEEP_SCHEDULE": "*/3 * * * * *",
        "ROUTES_FILE": str(routes), "DROPSIGHT_MODELS": str(make_models(models)),
        "VIDEO_SPLIT_ABOVE_SECONDS": "0.5", "VIDEO_SEGMENT_SECONDS": "0.000001",
    }  # fmt: skip
    store.put("uploads/keep", b"")
    store.put(f"uploads/{NAME}", clip.read_bytes())

    def stored(what: str) -> list[str]:
        return [name for name in store.names("state") if name.startswith("jobs/") and what in name]

    killed = HostProcess(ROOT, environ, ARGUMENTS, tmp_path / "killed.log").start()
    try:
        killed.wait_for(lambda: stored("/segments/"), "a segment", PATIENCE_S)
    finally:
        killed.kill()
    with HostProcess(ROOT, environ, ARGUMENTS, tmp_path / "host.log") as host:
        host.wait_for(lambda: f"{NAME}/result.json" in store.names("results"), "the result", PATIENCE_S)
        job_id = stored("job.json")[0].split("/")[1]
        host.wait_for(lambda: job(host, job_id)["state"] == "done", "the end of the job", PATIENCE_S)
        assert request("GET", f"{host.url}/api/v1/jobs/{'0' * 24}").status == 404
        assert request("GET", f"{host.url}/api/v1/jobs/..%2F..").status == 404
    found = json.loads(store.read(f"results/{NAME}/result.json") or b"")
    route = parse_routes(ROUTES, "r").match(NAME)
    assert route
    said = analyze(clip, route, Registry([models])).result.to_json()
    for key in ("tracks", "timeline", "zones", "summary", "analysed_frames", "status"):
        assert found[key] == said[key], key
    assert found["artifacts"].keys() == said["artifacts"].keys()
    store.blobs.close()
    store.queues.close()


def job(host: HostProcess, job_id: str) -> Any:
    answer = request("GET", f"{host.url}/api/v1/jobs/{job_id}")
    assert answer.status == 200, answer.body
    return json.loads(answer.body)
