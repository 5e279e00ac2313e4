"""Whatever happens to workers, storage and events, and in whatever order: in the end every upload has its one right
answer, and nothing else is left. Hypothesis chooses what happens, call by call, and tells the shortest story that ends
badly; `python -m benchmarks machine` tries many more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from inference.engine.registry import Registry
from tests.cloud.uploads.stepped import Fate, Stepped
from tests.cloud.uploads.world import LEASE_S, ROOT, Stub, World

NAMES = st.sampled_from(["a.jpg", "b.jpg"])
WORKERS = st.integers(0, 3)
# As many as may be lost in a row before a healthy file could be taken for the cause.
MOST_LOSSES = 5
DEATHS: st.SearchStrategy[Fate] = st.sampled_from(["dies before", "dies after"])
TROUBLES: st.SearchStrategy[Fate] = st.sampled_from(["refused", "unanswered"])


class Machine(RuleBasedStateMachine):
    """Four instances of the app over two uploads and their sidecars."""

    registry: Registry

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.registry, {"max_attempts": MOST_LOSSES + 2})
        self.workers: list[Stub | None] = [None] * 4
        self.losses = 0

    def at_work(self, number: int) -> Stepped | None:
        worker = self.workers[number]
        return worker.stepped if worker and worker.stepped and not worker.stepped.over else None

    def idle(self, number: int) -> Stub:
        """The instance; the next one in the place of one that died."""
        worker = self.workers[number]
        if worker is None or (worker.stepped and worker.stepped.dead):
            worker = self.workers[number] = self.world.worker()
        return worker

    @rule(name=NAMES, kind=st.sampled_from(["good", "good", "good", "corrupt", "flaky"]))
    def upload(self, name: str, kind: str) -> None:
        self.world.upload(name, kind)

    @rule(name=NAMES, route=st.sampled_from(["other", "default"]))
    def sidecar(self, name: str, route: str) -> None:
        self.world.sidecar(name, route)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        self.world.delete(name)

    @rule(name=NAMES)
    def undelete(self, name: str) -> None:
        self.world.account.undelete("uploads", name)

    @rule(name=NAMES, ending=st.sampled_from(["", ".route.toml"]), worker=WORKERS, replayed=st.booleans())
    def event(self, name: str, ending: str, worker: int, replayed: bool) -> None:
        """Events come twice, late, out of order, and for what is not there any more."""
        if not self.at_work(worker):
            cause = "replay" if replayed and not ending else "trigger"
            self.world.deliver(name + ending, self.idle(worker), cause)  # type: ignore[arg-type]

    @rule(worker=WORKERS)
    def timer(self, worker: int) -> None:
        if not self.at_work(worker):
            self.world.sweep(self.idle(worker))

    @rule(worker=WORKERS, calls=st.integers(1, 12))
    def go_on(self, worker: int, calls: int) -> None:
        """The worker's next calls arrive; the others stand still."""
        for _ in range(calls):
            if stepped := self.at_work(worker):
                stepped.step()

    @precondition(lambda self: self.losses < MOST_LOSSES)
    @rule(worker=WORKERS, fate=DEATHS)
    def death(self, worker: int, fate: Fate) -> None:
        if stepped := self.at_work(worker):
            self.losses += 1
            stepped.step(fate)

    @precondition(lambda self: self.losses < MOST_LOSSES)
    @rule(worker=WORKERS, fate=TROUBLES)
    def trouble(self, worker: int, fate: Fate) -> None:
        if stepped := self.at_work(worker):
            self.losses += 1
            stepped.step(fate)

    @rule(worker=WORKERS)
    def renewal(self, worker: int) -> None:
        """The thread that renews leases comes by."""
        instance = self.workers[worker]
        if self.at_work(worker) and instance:
            stepped, instance.client.gate = instance.client.gate, self.world.storage.gate
            instance.ledger.renew()
            instance.client.gate = stepped

    @rule(share=st.sampled_from([0.01, 0.4]))
    def time(self, share: float) -> None:
        self.world.account.pass_s(share * LEASE_S)

    @precondition(lambda self: self.losses < MOST_LOSSES)
    @rule()
    def freeze(self) -> None:
        """Leases run out while their workers stand still: to everybody else they are dead."""
        self.losses += 1
        self.world.account.pass_s(LEASE_S + 1)

    def teardown(self) -> None:
        try:
            for number in range(len(self.workers)):
                if stepped := self.at_work(number):
                    stepped.to_end()
            self.world.quiesce()
            assert self.world.problems() == []
        finally:
            for number in range(len(self.workers)):
                if stepped := self.at_work(number):
                    stepped.kill()


def try_out(examples: int, steps: int = 40, **more: Any) -> None:
    """Raises what the shortest story that ends badly raises, and prints the story."""
    Machine.registry = Registry([ROOT / "models"])
    chosen: dict[str, Any] = {"derandomize": True, "database": None, "deadline": None, **more}
    run_state_machine_as_test(Machine, settings=settings(max_examples=examples, stateful_step_count=steps, **chosen))


@pytest.mark.slow
def test_whatever_happens_every_upload_has_its_one_right_answer() -> None:
    try_out(60)
