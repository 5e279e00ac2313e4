"""Whatever happens to workers, storage and events, and in whatever order: in the end every upload has its one right
answer, and nothing else is left. Hypothesis chooses what happens, call by call, and tells the shortest story that ends
badly; `python -m benchmarks stories` tries many more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from inference.engine.registry import Registry
from inference.routes_file import SIDECAR
from tests.cloud.uploads.stepped import Fate, Stepped
from tests.cloud.uploads.world import LEASE_S, ROOT, Stub, World

NAMES = st.sampled_from(["a.jpg", "a.jpg", "a.jpg", "a.jpg", "b.jpg"])
KINDS = st.sampled_from(["good", "good", "good", "corrupt", "flaky", "fickle", "poison", "video"])
EVENTS = st.sampled_from(["upload", "upload", "sidecar", "timer", "replay", "message"])
WORKERS = st.sampled_from([0, 0, 0, 1, 1, 2])
# As many as may be lost in a row before a healthy file could be taken for the cause.
MOST_LOSSES = 5
# Where a worker stands still: around what it shares with others.
STOPS = st.sampled_from(
    [
        ("write", "results", "result.json"),
        ("write", "results", "annotated"),
        ("write", "state", "receipts/"),
        ("write", "errors", ""),
        ("delete", "errors", ""),
        ("delete", "results", ""),
        ("list", "results", ""),
        ("head", "uploads", ""),
        ("open", "state", "receipts/"),
        ("head", "results", ""),
        ("never", "", ""),
        ("never", "", ""),
        ("never", "", ""),
    ]
)
FATES: st.SearchStrategy[Fate] = st.sampled_from(["dies before", "dies after", "refused", "unanswered", "cut"])


class Machine(RuleBasedStateMachine):
    """Three instances of the app over two uploads and their sidecars."""

    registry: Registry

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.registry, {"max_attempts": MOST_LOSSES + 2})
        self.workers: list[Stub | None] = [None] * 3
        self.losses = 0

    def at_work(self, number: int) -> Stepped | None:
        worker = self.workers[number]
        stepped = worker.stepped if worker else None
        return stepped if isinstance(stepped, Stepped) and not stepped.over else None

    def idle(self, number: int) -> Stub:
        """The instance; the next one in the place of one that died."""
        worker = self.workers[number]
        if worker is None or (worker.stepped and worker.stepped.dead):
            worker = self.workers[number] = self.world.worker()
        return worker

    @initialize(kind=KINDS)
    def first_upload(self, kind: str) -> None:
        self.world.upload("a.jpg", kind)

    @rule(name=NAMES, kind=KINDS)
    def upload(self, name: str, kind: str) -> None:
        self.world.upload(name, kind)

    @rule(name=NAMES, route=st.sampled_from(["other", "default"]), told=st.booleans())
    def sidecar(self, name: str, route: str, told: bool) -> None:
        self.world.sidecar(name, route)
        if told:
            self.world.deliver(f"{name}{SIDECAR}").to_end()

    @rule(name=NAMES, back=st.booleans())
    def delete(self, name: str, back: bool) -> None:
        if not (back and self.world.account.undelete("uploads", name)):
            self.world.delete(name)

    def go_on(self, worker: int, event: str, name: str, stop: tuple[str, str, str], after: bool) -> None:
        """A worker goes on until it stands before such a call, or behind it; to its end where it makes none. One that
        has nothing to do gets an event: they come twice, late, out of order, and for what is not there any more."""
        if not self.at_work(worker):
            self.begin(worker, event, name)
        while (stepped := self.at_work(worker)) and not stepped.stands_at(*stop):
            stepped.step()
        if stepped and after:
            stepped.step()

    # Hypothesis leaves whole rules out of a story: twice, so that workers work in nearly all of them.
    work = rule(worker=WORKERS, event=EVENTS, name=NAMES, stop=STOPS, after=st.booleans())(go_on)
    more_work = rule(worker=WORKERS, event=EVENTS, name=NAMES, stop=STOPS, after=st.booleans())(go_on)

    def begin(self, worker: int, event: str, name: str) -> None:
        messages = self.world.queues.messages
        if event == "message" and messages:  # it stays: any comes twice
            self.world.message(messages[len(self.world.analysed) % len(messages)], self.idle(worker))
        elif event == "timer":
            self.world.sweep(self.idle(worker))
        elif event == "sidecar":
            self.world.deliver(f"{name}{SIDECAR}", self.idle(worker))
        else:
            self.world.deliver(name, self.idle(worker), "replay" if event == "replay" else "trigger")

    @precondition(lambda self: self.losses < MOST_LOSSES)
    @rule(worker=WORKERS, fate=FATES)
    def fate(self, worker: int, fate: Fate) -> None:
        """A worker dies around its next call, or storage has trouble with it."""
        if stepped := self.at_work(worker):
            self.losses += 1
            stepped.step(fate)

    @precondition(lambda self: self.losses < MOST_LOSSES)
    @rule(other=WORKERS)
    def freeze(self, other: int) -> None:
        """Leases run out while their workers stand still, which to everybody else are dead; another one sweeps."""
        self.losses += 1
        self.world.account.pass_s(LEASE_S + 2)
        if not self.at_work(other):
            self.world.sweep(self.idle(other)).to_end()

    @rule(worker=WORKERS, share=st.sampled_from([0.01, 0.4]))
    def renewal(self, worker: int, share: float) -> None:
        """Time passes, and the thread that renews a worker's leases comes by."""
        self.world.account.pass_s(share * LEASE_S)
        instance = self.workers[worker]
        if self.at_work(worker) and instance:
            self.world.renew(instance)

    def teardown(self) -> None:
        try:
            for number in range(len(self.workers)):
                if stepped := self.at_work(number):
                    stepped.to_end()
            self.world.quiesce(40 if "poison" in self.world.kinds.values() else 12)
            # What somebody wrote who was frozen, and then died, nobody knows of: the audit finds it.
            report = self.world.audit(repair=True)
            assert report.to_json()["in"] == report.counts["right"], report.named
            assert not (found := self.world.problems()), "\n".join(found)
            assert (again := self.world.audit()).is_clean, again.named
        finally:
            for number in range(len(self.workers)):
                if stepped := self.at_work(number):
                    stepped.kill()


def try_out(examples: int, steps: int = 25, **more: Any) -> None:
    """Raises what the shortest story that ends badly raises, and prints the story."""
    Machine.registry = Registry([ROOT / "models"])
    chosen: dict[str, Any] = {"derandomize": True, "database": None, "deadline": None, **more}
    run_state_machine_as_test(Machine, settings=settings(max_examples=examples, stateful_step_count=steps, **chosen))


@pytest.mark.slow
def test_whatever_happens_every_upload_has_its_one_right_answer() -> None:
    try_out(40)
