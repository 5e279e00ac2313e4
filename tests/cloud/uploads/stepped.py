"""Work that goes on by one call to storage at a time, when a test says so: every order of several workers' calls can be
tried, and every crash between them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from inference.errors import StorageUnavailable
from tests.cloud.storage.memory_storage import Call

# What becomes of a call: it arrives; its worker dies before it, or after it arrived; storage refuses it (503, 403); it
# arrives and its answer does not; half of the body that it reads comes.
Fate = Literal["arrives", "dies before", "dies after", "refused", "unanswered", "cut"]
_PATIENCE_S = 60.0  # only a bug of the tests, or a deadlock, takes so long


class Died(BaseException):
    """No code of ours catches this, as none runs when a process is killed."""


class Stepped:
    """An act in a thread of its own, which stands still before every call until `step` lets it go on.

    Several threads may work for it, as for a sweep; their calls come one after the other.
    """

    def __init__(self) -> None:
        self.pending: Call | None = None
        self.dead = self.over = False
        self.answer: object = None
        self.error: BaseException | None = None
        self._fate: Fate = "arrives"
        self._turn = threading.Condition()
        self._running = True  # whether it is its turn, and not the test's

    def begin(self, act: Callable[[], object]) -> Stepped:
        """Go to the first call; `gate` is where the act's calls go through by then."""
        threading.Thread(target=self._run, args=(act,), daemon=True).start()
        self._wait()
        return self

    def step(self, fate: Fate = "arrives") -> Call:
        """Let the pending call meet its fate and go on to the next one, or to the end. Returns that call."""
        with self._turn:
            assert self.pending and not self.over
            call, self._fate, self._running = self.pending, fate, True
            self._turn.notify_all()
        self._wait()
        return call

    def to_end(self) -> Stepped:
        """Let all calls that are left arrive."""
        while not self.over:
            self.step()
        return self

    def to(self, verb: str, container: str, name: str = "", skip: int = 0) -> Call:
        """Go on until the next such call is pending: a part of the name is enough."""
        while True:
            assert self.pending, f"no {verb} {container}/{name} any more; it ended with {self.answer or self.error!r}"
            found = self.stands_at(verb, container, name)
            if found and not skip:
                return self.pending
            skip -= found
            self.step()

    def stands_at(self, verb: str, container: str, name: str = "") -> bool:
        """Whether such a call is pending."""
        call = self.pending
        return call is not None and (call.verb, call.container) == (verb, container) and name in call.name

    def kill(self) -> None:
        """End it where it stands; nothing more arrives."""
        if not self.over:
            self.dead = True
            self.step("dies before")

    def die(self) -> None:
        """From within the act: its process ends here."""
        self.dead = True
        raise Died

    @contextmanager
    def gate(self, call: Call) -> Iterator[bool]:
        """Through which the act's storage sends its calls."""
        fate = self._stand(call)
        if fate == "dies before":
            self.die()
        if fate == "refused":
            raise StorageUnavailable(f"{call.verb} {call.container}/{call.name}: storage answered 503 ServerBusy")
        yield fate == "cut"
        if fate == "dies after":
            self.die()
        if fate == "unanswered":
            raise StorageUnavailable(f"{call.verb} {call.container}/{call.name}: storage did not answer")

    def _stand(self, call: Call) -> Fate:
        with self._turn:
            if self.dead:
                raise Died
            self.pending, self._running = call, False
            self._turn.notify_all()
            assert self._turn.wait_for(lambda: self._running, _PATIENCE_S), "the test has forgotten this thread"
            self.pending = None
            return self._fate

    def _run(self, act: Callable[[], object]) -> None:
        try:
            self.answer = act()
        except BaseException as error:  # noqa: BLE001 - its test asks for it
            self.error = error
        with self._turn:
            self.over, self._running, self.pending = True, False, None
            self._turn.notify_all()

    def _wait(self) -> None:
        with self._turn:
            assert self._turn.wait_for(lambda: not self._running, _PATIENCE_S), "it neither calls storage nor ends"


class Free:
    """A process whose threads nobody steps: when it dies of one of them, no call of the others arrives either."""

    def __init__(self) -> None:
        self.dead = False

    def die(self) -> None:
        """From within: the process ends here."""
        self.dead = True
        raise Died

    @contextmanager
    def gate(self, call: Call) -> Iterator[bool]:
        """Through which its storage sends its calls."""
        if self.dead:
            raise Died
        yield False
