"""Nothing lost, doubled, stale or left over: Azurite behind a faulty proxy, worker processes that are killed and frozen
at random, and people who overwrite and delete meanwhile. `python -m benchmarks.proof --seconds 300 --seed 7`."""

from __future__ import annotations

import argparse
import io
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from azure.storage.blob import BlobServiceClient
from PIL import Image

from benchmarks import ROOT, Row
from benchmarks._faulty_proxy import FaultyProxy
from benchmarks._proof_worker import LEASE_S, worker
from cloud.settings import CONTAINERS, ERRORS, RESULTS, STATE, UPLOADS
from cloud.storage.containers import Storage
from cloud.uploads.sweep import sweep
from devtools import azurite
from inference.routes_file import SIDECAR

SECONDS, SEED = 60, 24
WORKERS = 3
NAMES = [f"{folder}{number:02}.jpg" for folder in ("", "a/") for number in range(30)]
KEYS = ("in", "right", "lost", "doubled", "stale", "orphaned")


@dataclass
class Chaos:
    """What people and the machines do, all of it drawn from one seed."""

    storage: Storage  # past the proxy: a person's
    connection: str  # through the proxy: the workers'
    seed: int
    kinds: dict[str, str] = field(default_factory=dict)  # of the newest content, by name
    routes: dict[str, str] = field(default_factory=dict)  # that a sidecar asks for
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.frozen: dict[int, float] = {}  # until when

    def start(self) -> subprocess.Popen[bytes]:
        """One more instance."""
        arguments = [self.connection, str(self.chance.randrange(2**30))]
        command = [sys.executable, "-m", "benchmarks._proof_worker", *arguments]
        return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)

    def go_on(self, seconds: float) -> None:
        """Trouble for so long, with always as many instances."""
        self.processes = [self.start() for _ in range(WORKERS)]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.person()
            self.machine()
            time.sleep(self.chance.random() * 0.3)

    def person(self) -> None:
        """Uploads, overwrites, deletes, asks for a route."""
        name, drawn = self.chance.choice(NAMES), self.chance.random()
        if drawn < 0.6 or name not in self.kinds:
            self.counts["overwritten" if name in self.kinds else "uploaded"] += 1
            kind = "broken" if self.chance.random() < 0.15 else "good"
            self.storage.write(UPLOADS, name, b"broken" if kind == "broken" else picture(self.chance))
            self.kinds[name] = kind
        elif drawn < 0.7:
            self.counts["deleted"] += 1
            self.storage.delete(UPLOADS, name)
            del self.kinds[name]
        elif drawn < 0.8:
            self.counts["sidecars"] += 1
            self.routes[name] = self.chance.choice(["other", "default"])
            self.storage.write(UPLOADS, name + SIDECAR, f'route = "{self.routes[name]}"'.encode())

    def machine(self) -> None:
        """Kills or freezes an instance now and then, and wakes those that were frozen."""
        number, drawn = self.chance.randrange(WORKERS), self.chance.random()
        process = self.processes[number]
        for other, until in list(self.frozen.items()):
            if time.monotonic() > until:
                self.processes[other].send_signal(signal.SIGCONT)
                del self.frozen[other]
        if drawn < 0.01:
            self.counts["killed"] += 1
            process.kill()
            process.wait()
            self.frozen.pop(number, None)
            self.processes[number] = self.start()
        elif drawn < 0.04 and number not in self.frozen:
            self.counts["frozen"] += 1
            process.send_signal(signal.SIGSTOP)
            self.frozen[number] = time.monotonic() + self.chance.random() * 3 * LEASE_S

    def stop(self) -> None:
        """The trouble is over: whoever was frozen goes on for a while, then all are killed."""
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
        time.sleep(LEASE_S)
        for process in self.processes:
            process.kill()
            process.wait()


def picture(chance: random.Random) -> bytes:
    """A small one, another every time."""
    buffer = io.BytesIO()
    Image.frombytes("RGB", (4, 4), chance.randbytes(48)).resize((64, 64)).save(buffer, "JPEG")
    return buffer.getvalue()


def quiesce(connection: str, storage: Storage) -> None:
    """Sweeps until nobody has anything left to do."""
    mine = worker(connection)
    for _ in range(12):
        time.sleep(LEASE_S + 2)
        sweep(mine, 120, wanted=lambda *_: True)
        listed = {blob.name for page in storage.pages(UPLOADS) for blob in page.blobs}
        receipts = [blob for page in storage.pages(STATE, "receipts/") for blob in page.blobs]
        left = [blob for blob in receipts if blob.metadata["state"] in ("working", "retry", "waiting")]
        if not any(blob.name.removeprefix("receipts/") in listed for blob in left):
            return


def figures(chaos: Chaos) -> tuple[Counter[str], list[str]]:
    """What the listings and the documents say, by KEYS; and a sentence for each that is not right."""
    storage, found, wrong = chaos.storage, Counter[str](), []
    uploads, results, errors = (
        {blob.name: blob for page in storage.pages(container) for blob in page.blobs}
        for container in (UPLOADS, RESULTS, ERRORS)
    )
    named: set[str] = set()
    documents = {name.removesuffix("/result.json"): name for name in results if name.endswith("/result.json")}
    for upload, path in documents.items():
        files = storage.read_json(RESULTS, path)[0]["artifacts"].values()  # type: ignore[index]
        named |= {path, *(f"{upload}/{file}" for file in files)}
    for name in (name for name in uploads if not name.endswith(SIDECAR)):
        found["in"] += 1
        how = _answer(chaos, name, uploads[name].etag, documents.get(name), results, errors)
        found[how] += 1
        if how != "right":
            wrong.append(f"{name} ({chaos.kinds[name]}): {how}")
    for name in sorted(results.keys() - named):
        found["orphaned"] += 1
        wrong.append(f"{name}: orphaned")
    found["working"] = sum(
        blob.metadata["state"] == "working" for page in storage.pages(STATE, "receipts/") for blob in page.blobs
    )
    return found, wrong


def _answer(
    chaos: Chaos, name: str, etag: str, document: str | None, results: Collection[str], errors: Collection[str]
) -> str:
    """How an upload stands: right, lost, doubled, or stale."""
    receipt = chaos.storage.read_json(STATE, f"receipts/{name}")
    if receipt is None or receipt[0]["etag"] != etag:
        return "lost"
    record = f"{name}.json" in errors
    if chaos.kinds[name] == "broken":
        said = chaos.storage.read_json(ERRORS, f"{name}.json") if record else None
        return "right" if said and said[0]["source"]["etag"] == etag else "lost"
    body = chaos.storage.read_json(RESULTS, document) if document else None
    if body is None or receipt[0]["state"] != "done":
        return "lost"
    if body[0]["source"]["etag"] != etag or body[1].metadata["key"] != receipt[0]["key"]:
        return "stale"
    if body[0]["route"] != chaos.routes.get(name, "default"):
        return "stale"
    if not all(f"{name}/{file}" in results for file in body[0]["artifacts"].values()):
        return "lost"
    return "doubled" if record else "right"


def proven(seconds: float, seed: int) -> tuple[Counter[str], list[str], str]:
    """The figures, what is wrong, and what happened meanwhile."""
    with tempfile.TemporaryDirectory() as folder, azurite.start(ROOT, log=Path(folder, "azurite.log")) as server:
        direct = server.connection_string()
        proxy = FaultyProxy(server.ports[0], seed)
        storage = Storage(BlobServiceClient.from_connection_string(direct, use_env_settings=False))
        storage.ensure_containers(*CONTAINERS)
        chaos = Chaos(storage, azurite.connection_string((proxy.port, *server.ports[1:])), seed)
        try:
            chaos.go_on(seconds)
            requests, proxy.faulty = proxy.counts.total(), False
        finally:
            chaos.stop()
        quiesce(direct, storage)
        found, wrong = figures(chaos)
        happened = ", ".join(f"{number} {what}" for what, number in (chaos.counts + proxy.counts).items() if what)
        proxy.shutdown()
        return found, wrong, f"seed {seed}, {seconds:g} s, {requests} requests; {happened}"


def run(seconds: float = SECONDS, seed: int = SEED) -> list[Row]:
    """One line: what came in, and how it ended."""
    found, wrong, happened = proven(seconds, seed)
    for sentence in wrong[:20]:
        print(sentence, file=sys.stderr)
    value = ", ".join(f"{found[key]} {key}" for key in KEYS) + f"; {found['working']} receipts say working"
    good = found["in"] == found["right"] and not any(found[key] for key in (*KEYS[2:], "working"))
    return [Row("uploads under faults, kills and freezes", value, "all right, 0 of the others", good, happened)]


if __name__ == "__main__":
    from benchmarks.__main__ import print_table

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, default=SEED)
    rows = run(**vars(parser.parse_args()))
    print_table(rows)
    sys.exit(not all(row.met for row in rows))
