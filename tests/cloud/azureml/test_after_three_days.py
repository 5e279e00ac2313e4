"""Two hosts that start again after three days without any: what was missed is decided once, whoever wakes first."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime, timedelta

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.azureml.azureml_client import AzureML
from cloud.azureml.pipeline_entry import PipelineEntry, parse
from cloud.azureml.workspace import SLOT_TAG
from cloud.storage.containers import Storage
from tests.cloud.azureml.server import Service
from tests.cloud.azureml.simulated_hosts import MONDAY, Clock, Host

pytestmark = pytest.mark.slow
HOURS = [MONDAY + timedelta(hours=number) for number in range(1, 73)]


@pytest.fixture
def hosts(service: Service, aml: AzureML, storage_account: str) -> list[Host]:
    """Two, whose clocks are 40 seconds apart; both begin at 00:30 on Monday, and are gone until 00:30 on Thursday."""
    storage, clock = Storage(BlobServiceClient.from_connection_string(storage_account)), Clock()
    service.clock = clock
    hosts = [Host(storage, aml, clock), Host(storage, aml, lambda: clock.now - timedelta(seconds=40))]
    for catch_up in ("latest", "all", "none"):
        for host in hosts:
            host.wake(hourly(catch_up))
    clock.now += timedelta(days=3)
    return hosts


def hourly(catch_up: str) -> PipelineEntry:
    table = {"name": catch_up, "kind": "published", "id": "pipe-1", "schedule": "0 0 * * * *", "catch_up": catch_up}
    return parse(table)


def wake(hosts: list[Host], order: str, entry: PipelineEntry) -> None:
    if order != "together":
        for host in hosts if order == "first" else hosts[::-1]:
            host.wake(entry)
        return
    together = threading.Barrier(len(hosts))

    def at_once(host: Host) -> None:
        together.wait()
        host.wake(entry)

    threads = [threading.Thread(target=at_once, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def runs(service: Service) -> Counter[str]:
    return Counter(run["tags"][SLOT_TAG] for run in service.runs.values())


def keys(name: str, slots: list[datetime]) -> dict[str, int]:
    return {f"{name}-{slot:%Y%m%dT%H%M%SZ}": 1 for slot in slots}


@pytest.mark.parametrize("order", ["first", "second", "together"])
def test_the_newest_slot_runs_once_or_none_and_every_other_is_skipped_with_a_reason(
    order: str, hosts: list[Host], service: Service
) -> None:
    for catch_up, started in (("latest", HOURS[-1:]), ("none", [])):
        wake(hosts, order, hourly(catch_up))
        kept = {slot.at: slot for slot in hosts[0].receipts.history(catch_up, 999)}
        assert sorted(kept) == HOURS
        assert [at for at in HOURS if kept[at].state == "submitted"] == started
        assert all(kept[at].state == "skipped" and kept[at].reason for at in HOURS if at not in started)
    assert runs(service) == keys("latest", HOURS[-1:])


def test_all_run_and_each_once(hosts: list[Host], service: Service) -> None:
    wake(hosts, "together", hourly("all"))
    assert runs(service) == keys("all", HOURS)
    assert Counter(slot.state for slot in hosts[0].receipts.history("all", 999)) == {"submitted": 72}
