"""A week of slots on real storage against the local workspace: faults, restarts, two hosts. Each slot once."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.azureml.azureml_client import AzureML
from cloud.azureml.due_slots import Plan, Progress, due
from cloud.azureml.pipeline_entry import PipelineEntry, parse
from cloud.azureml.slot_runner import PipelineFailed
from cloud.azureml.slot_steps import DEAD
from cloud.azureml.slot_store import SlotStore
from cloud.azureml.workspace import SLOT_TAG
from cloud.storage.containers import Storage
from tests.cloud.azureml.server import Fault, Service
from tests.cloud.azureml.simulated_hosts import MONDAY, Clock, Host
from tests.cloud.azureml.test_contract import TARGETS

pytestmark = pytest.mark.slow
WEEK = [MONDAY + timedelta(hours=6 * number) for number in range(1, 29)]


@pytest.fixture
def clock(service: Service) -> Clock:
    made = Clock()
    service.clock = made
    return made


@pytest.fixture
def storage(storage_account: str) -> Storage:
    return Storage(BlobServiceClient.from_connection_string(storage_account))


@pytest.fixture
def hosts(storage: Storage, aml: AzureML, clock: Clock) -> list[Host]:
    return [Host(storage, aml, clock), Host(storage, aml, lambda: clock.now - timedelta(seconds=40))]


def entry_of(kind: str, **changes: object) -> PipelineEntry:
    table = {"name": "week", "kind": kind, "schedule": "0 0 */6 * * *", "catch_up": "all", **TARGETS[kind]}
    return parse({**table, **changes})


def finish_runs(service: Service) -> None:
    for run in service.runs.values():
        run["Status"]["StatusCode"] = "Finished"
    for job in service.jobs.values():
        job["properties"]["status"] = "Completed"


def slots_run(service: Service) -> Counter[str]:
    v1 = [run["tags"].get(SLOT_TAG, "untagged") for run in service.runs.values()]
    return Counter(v1 + [job["properties"]["tags"].get(SLOT_TAG, "") for job in service.jobs.values()])


def receipts_of(host: Host) -> dict[str, str]:
    return {slot.slot: slot.state for slot in host.receipts.history("week", 999)}


FAULTS = [
    *(Fault("POST", "Submit|/batch/", status) for status in (500, 503, 429, 0)),
    *(Fault("POST", "Submit|/batch/", status, after=True) for status in (500, 503, 0)),
    Fault("GET", "PipelineRuns|/jobs", 503, times=4),
    Fault("PUT", "/jobs/", 500, times=4, after=True),
    Fault("PUT", "/jobs/", 429, times=4, headers={"Retry-After": "0"}),
]


@pytest.mark.parametrize(
    ("kind", "days"), [("published", 7), ("job", 3), ("pipeline-endpoint", 2), ("batch-endpoint", 2)]
)
def test_a_week_with_faults_and_restarts_runs_each_slot_once(
    kind: str, days: int, service: Service, hosts: list[Host], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = WEEK[: 4 * days]
    monkeypatch.setattr("azure.core.pipeline.policies.RetryPolicy.sleep", lambda *_, **__: None)
    chance, entry = random.Random(kind), entry_of(kind)
    hosts[0].wake(entry)
    until = slots[-1] + timedelta(hours=6)
    while clock.now < until:
        # Ticks late or early, whole nights without a host, a clock that is set back once.
        clock.now += chance.choice([timedelta(minutes=7), timedelta(hours=2), timedelta(hours=6), timedelta(hours=9)])
        if chance.random() < 0.1:
            clock.now -= timedelta(minutes=30)
        if chance.random() < 0.6:
            fault = chance.choice(FAULTS)
            service.faults[:] = [replace(fault)]
        for host in chance.sample(hosts, 2):
            host.die = chance.choice(["", "", "before", "after"])
            host.wake(entry)
        if chance.random() < 0.8:
            finish_runs(service)
    service.faults.clear()
    for _ in range(4):
        clock.now += DEAD + timedelta(seconds=1)
        hosts[1].wake(entry)
        finish_runs(service)
    expected = {f"week-{slot:%Y%m%dT%H%M%SZ}" for slot in slots}
    ran = slots_run(service)
    assert set(ran.values()) == {1}
    assert expected <= set(ran)
    kept = receipts_of(hosts[0])
    assert Counter(kept[slot.isoformat()] for slot in slots) == {"done": len(slots)}
    assert hosts[0].receipts.plan("week").open == ()


def test_many_hosts_at_the_very_same_moment_send_once(
    service: Service, storage: Storage, aml: AzureML, clock: Clock
) -> None:
    entry, together = entry_of("published"), threading.Barrier(6)
    Host(storage, aml, clock).wake(entry)
    clock.now = WEEK[2]

    def wake() -> None:
        host = Host(storage, aml, clock)
        together.wait()
        host.wake(entry)

    threads = [threading.Thread(target=wake) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert slots_run(service) == {f"week-{slot:%Y%m%dT%H%M%SZ}": 1 for slot in WEEK[:3]}


def test_a_schedule_that_cannot_be_looked_up_stays_unknown_until_somebody_says(
    service: Service, hosts: list[Host], clock: Clock
) -> None:
    entry = entry_of("schedule")
    hosts[0].wake(entry)
    clock.now = WEEK[0]
    service.faults.append(Fault("POST", "trigger", 0, after=True))
    hosts[0].wake(entry)
    for _ in range(5):
        clock.now += timedelta(minutes=20)
        hosts[1].wake(entry)
    assert len(service.jobs) == 1
    assert receipts_of(hosts[0])[WEEK[0].isoformat()] == "unknown"
    assert WEEK[0] in hosts[0].receipts.plan("week").open


def test_a_run_whose_tag_was_lost_is_never_started_again(service: Service, hosts: list[Host], clock: Clock) -> None:
    entry = entry_of("published")
    hosts[0].wake(entry)
    service.drop_tags = True
    service.faults.append(Fault("POST", "Submit", 0, after=True))
    clock.now = WEEK[0]
    hosts[0].wake(entry)
    clock.now += timedelta(hours=1)
    hosts[0].wake(entry)
    assert len(service.runs) == 1
    assert receipts_of(hosts[0])[WEEK[0].isoformat()] == "unknown"


@pytest.mark.parametrize(
    ("catch_up", "ran", "skipped"), [("latest", [WEEK[3]], WEEK[:3]), ("none", [], WEEK[:4]), ("all", WEEK[:4], [])]
)
def test_missed_slots_are_caught_up_as_the_entry_says(
    catch_up: str, ran: list[datetime], skipped: list[datetime], service: Service, hosts: list[Host], clock: Clock
) -> None:
    entry = entry_of("published", catch_up=catch_up)
    hosts[0].wake(entry)
    clock.now = WEEK[3] + timedelta(hours=2)
    hosts[0].wake(entry)
    assert set(slots_run(service)) == {f"week-{slot:%Y%m%dT%H%M%SZ}" for slot in ran}
    states = receipts_of(hosts[0])
    assert [slot for slot in WEEK if states.get(slot.isoformat()) == "skipped"] == skipped


@pytest.mark.parametrize(("late", "runs"), [(timedelta(minutes=5), True), (timedelta(minutes=5, seconds=1), False)])
def test_without_catching_up_a_slot_runs_up_to_five_minutes_late(late: timedelta, runs: bool) -> None:
    entry = entry_of("published", catch_up="none")
    plan = due(entry, Plan({"": Progress(WEEK[0] - timedelta(hours=1))}), WEEK[0] + late)
    assert (plan.open, [slot for slot, _ in plan.skipped]) == (((WEEK[0],), []) if runs else ((), [WEEK[0]]))


@pytest.mark.parametrize(("catch_up", "older"), [("latest", "skipped"), ("none", "skipped"), ("all", "submitted")])
def test_a_slot_that_still_waits_when_a_newer_slot_is_due_is_started_only_with_catch_up_all(
    catch_up: str, older: str, service: Service, hosts: list[Host], clock: Clock
) -> None:
    entry = entry_of("published", catch_up=catch_up)
    hosts[0].wake(entry)
    clock.now = WEEK[0]
    service.faults.append(Fault("POST", "Submit", 429))
    hosts[0].wake(entry)
    assert receipts_of(hosts[0]) == {WEEK[0].isoformat(): "pending"}
    clock.now = WEEK[1]
    hosts[0].wake(entry)
    assert receipts_of(hosts[0]) == {WEEK[0].isoformat(): older, WEEK[1].isoformat(): "submitted"}
    assert (f"week-{WEEK[0]:%Y%m%dT%H%M%SZ}" in slots_run(service)) == (older == "submitted")


def test_a_slot_that_waited_until_a_newer_slot_was_over_is_not_started(
    service: Service, hosts: list[Host], clock: Clock
) -> None:
    entry = entry_of("published", catch_up="latest")
    hosts[0].wake(entry)
    clock.now = WEEK[0]
    service.faults.append(Fault("POST", "Submit", 429, headers={"Retry-After": str(10 * 3600)}))
    hosts[0].wake(entry)
    for hours in (6, 7):
        clock.now = WEEK[0] + timedelta(hours=hours)
        hosts[0].wake(entry)
        finish_runs(service)
    assert receipts_of(hosts[0]) == {WEEK[0].isoformat(): "pending", WEEK[1].isoformat(): "done"}
    clock.now = WEEK[0] + timedelta(hours=11)
    hosts[0].wake(entry)
    assert receipts_of(hosts[0])[WEEK[0].isoformat()] == "skipped"
    assert slots_run(service) == {f"week-{WEEK[1]:%Y%m%dT%H%M%SZ}": 1}


def test_looking_without_a_due_slot_writes_nothing(hosts: list[Host], clock: Clock, storage: Storage) -> None:
    entry = entry_of("published")
    hosts[0].wake(entry)
    before = storage.head("state", "pipelines/week/plan.json")
    for _ in range(3):
        clock.now += timedelta(hours=1)
        hosts[0].wake(entry)
    assert before is not None
    after = storage.head("state", "pipelines/week/plan.json")
    assert after is not None
    assert before.etag == after.etag


def test_a_failed_run_is_raised_once_and_remembered(service: Service, hosts: list[Host], clock: Clock) -> None:
    entry = entry_of("published")
    clock.now = WEEK[0]
    hosts[0].wake(entry)
    service.runs["run-1"]["Status"] |= {"StatusCode": "Failed", "StatusDetail": "out of memory"}
    with pytest.raises(PipelineFailed, match="out of memory"):
        hosts[0].wake(entry)
    hosts[0].wake(entry)
    assert hosts[0].receipts.plan("week").last["state"] == "failed"


def test_a_refused_submission_fails_visibly_and_is_not_repeated(
    service: Service, hosts: list[Host], clock: Clock
) -> None:
    entry = entry_of("published", id="gone")
    clock.now = WEEK[0]
    with pytest.raises(PipelineFailed, match="Remedy"):
        hosts[0].wake(entry)
    hosts[0].wake(entry)
    assert len(service.posts()) == 1


def test_a_condition_counts_results_since_the_last_run(
    service: Service, hosts: list[Host], clock: Clock, storage: Storage
) -> None:
    entry = entry_of("published", condition="new_results >= 2", parameters={"n": "{results_since_last_run}"})
    clock.now = WEEK[0]
    hosts[0].wake(entry)
    for name in ("a.jpg", "b.jpg"):
        storage.write_json("results", f"{name}/result.json", {})
        storage.write_json("results", f"{name}/key/other.json", {})
    clock.now = WEEK[1]
    hosts[0].wake(entry)
    assert service.posts()[0][2]["ParameterAssignments"] == {"n": "2"}
    states = receipts_of(hosts[0])
    assert states[WEEK[0].isoformat()] == "skipped"
    assert states[WEEK[1].isoformat()] == "submitted"


def test_a_clock_that_leaps_forward_takes_no_living_worker_for_dead(
    service: Service, hosts: list[Host], clock: Clock, storage: Storage
) -> None:
    entry = entry_of("published")
    hosts[0].wake(entry)
    clock.now = WEEK[0]
    hosts[0].die = "before"  # it has said that it is submitting, and nobody knows yet whether it lives
    hosts[0].wake(entry)
    other = Host(storage, hosts[0].aml, lambda: clock.now + timedelta(hours=5))
    other.runner.store = SlotStore(storage)  # ages as they really are: seconds
    for _ in range(3):
        other.wake(entry)
    assert receipts_of(hosts[0])[WEEK[0].isoformat()] == "submitting"
    assert service.runs == {}


def test_a_schedule_that_was_just_changed_has_missed_nothing(service: Service, hosts: list[Host], clock: Clock) -> None:
    hosts[0].wake(entry_of("published"))
    clock.now = WEEK[0] - timedelta(minutes=7)
    often = entry_of("published", schedule="0 */5 * * * *")
    hosts[0].wake(often)
    assert service.runs == {}
    clock.now += timedelta(minutes=3)
    hosts[0].wake(often)
    assert set(slots_run(service)) == {f"week-{WEEK[0] - timedelta(minutes=5):%Y%m%dT%H%M%SZ}"}


def test_a_run_that_somebody_asks_for_heeds_neither_the_condition_nor_a_newer_slot(
    service: Service, hosts: list[Host], clock: Clock
) -> None:
    entry = entry_of("published", condition='drift == "warning"', catch_up="latest")
    clock.now = WEEK[0]
    hosts[0].wake(entry)
    assert receipts_of(hosts[0]) == {WEEK[0].isoformat(): "skipped"}
    slot = hosts[1].runner.run_now(entry)  # its clock is behind: the slot that was skipped looks newer
    assert receipts_of(hosts[0])[slot.isoformat()] == "submitted"


def test_a_receipt_of_an_earlier_version_is_read_and_settled(
    service: Service, hosts: list[Host], clock: Clock, storage: Storage
) -> None:
    entry = entry_of("published")
    hosts[0].wake(entry)
    clock.now = WEEK[0]
    hosts[0].runner.store.change_plan("week", lambda plan: Plan({"": Progress(WEEK[0])}, (WEEK[0],)))
    earlier = {
        "schema": "dropsight-slot/1", "pipeline": "week", "kind": "published", "slot": WEEK[0].isoformat(),
        "state": "unknown", "attempts": 1, "owner": "x", "sent_at": WEEK[0].isoformat(), "error": "broken off",
        "updated": WEEK[0].isoformat(),
        "submission": {
            "key": "week-20261123T060000Z", "pipeline": "week", "kind": "published", "target": {"id": "pipe-1"},
            "experiment": "dropsight", "description": "", "tags": {},
        },
    }  # fmt: skip
    storage.write_json("state", "pipelines/week/slots/2026/11/20261123T060000Z.json", earlier)
    clock.now += timedelta(minutes=5)
    hosts[0].wake(entry)
    assert slots_run(service) == {"week-20261123T060000Z": 1}
    stored = storage.read_json("state", "pipelines/week/slots/2026/11/20261123T060000Z.json")
    assert stored is not None
    # The target is that of today's entry; what it is sent under stays.
    assert stored[0]["submission"]["key"] == "week-20261123T060000Z"
    assert (stored[0]["state"], stored[0]["run"]["id"], stored[0]["attempts"]) == ("submitted", "run-1", 2)
