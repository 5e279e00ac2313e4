"""The folder of a release: another release of its number, a kill at any moment, two deliveries at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.models import releases
from cloud.models.pointer import Pointer, Release, read_pointer
from cloud.models.releases import release, rollback
from cloud.models.serving_models import ServingModels
from cloud.models.snapshots import contents, last_good
from cloud.storage.containers import Page, Storage
from inference.engine.registry import Registry
from inference.errors import BadModel, ServiceBusy
from tests.cloud.models.delivery_world import Delivery, served, sizes

pytestmark = pytest.mark.slow
OLD, NEW = Release("3", "fruit", "a"), Release("3", "fruit-yolo", "b")


class Killed(BaseException):
    """The process ended here."""


class Watched(Storage):
    """Calls `before` with the number of every write or deletion in the container `models`, before it is done."""

    def __init__(self, service: BlobServiceClient, before: Callable[[int], None]) -> None:
        super().__init__(service)
        self.count, self._before = 0, before

    def _step(self, container: str) -> None:
        if container == "models":
            self.count += 1
            self._before(self.count)

    def write(self, container: str, *args: Any, **options: Any) -> str:
        self._step(container)
        return super().write(container, *args, **options)

    def delete(self, container: str, *args: Any, **options: Any) -> bool:
        self._step(container)
        return super().delete(container, *args, **options)


@pytest.fixture
def storage(delivery: Delivery) -> Storage:
    return delivery.storage


def in_versions(storage: Storage, name: str, version: str) -> dict[str, int]:
    prefix = f"{name}/versions/{version}/"
    return {
        blob.name.removeprefix(prefix): blob.size for page in storage.pages("models", prefix) for blob in page.blobs
    }


def test_another_release_of_the_number_replaces_the_one_that_serves_and_a_kill_at_any_step_does_no_harm(
    storage: Storage, delivery: Delivery
) -> None:
    delivery.patch.setattr(releases, "verify", lambda *_: {})  # which files serve is what counts here
    for killed_at in range(1, 100):
        name = f"m{killed_at}"
        old, new = delivery.make("old", name, labels="old", only_old="x"), delivery.make("newer", name, labels="newer")
        release(storage, name, OLD, old)
        either = (sizes(old), sizes(new))

        def before(step: int, name: str = name, killed_at: int = killed_at, either: Any = either) -> None:
            if step == killed_at:
                assert served(storage, name) in either
                raise Killed

        watched = Watched(storage.service, before)
        with suppress(Killed):
            release(watched, name, NEW, new)
        finished = watched.count < killed_at
        assert served(storage, name) == either[finished]
        release(storage, name, NEW, new)  # the next delivery
        assert served(storage, name) == sizes(new) == in_versions(storage, name, "3")
        back = rollback(storage, name)
        assert served(storage, name) == sizes(old)
        assert (back.release.model, back.release.registered_number, back.rejected[0]) == ("fruit", "3", NEW)
        if finished:
            assert killed_at > 8  # there were as many steps at which it was killed
            return
    pytest.fail("it never ended")


@pytest.mark.parametrize("more", [{}, {"only_one": "x"}], ids=["the same names", "a file more"])
def test_two_deliveries_at_once_end_with_a_whole_release(
    more: dict[str, str], storage: Storage, delivery: Delivery
) -> None:
    third = Release("3", "fruit", "c")
    for met_at in range(1, 100):
        name = f"m{met_at}"
        folders = [delivery.make(word, name, labels=word) for word in ("old", "second")]
        folders.append(delivery.make("one", name, labels="one--", **more))
        release(storage, name, OLD, folders[0])
        whole = [sizes(folder) for folder in folders]

        def before(
            step: int, name: str = name, met_at: int = met_at, whole: Any = whole, new: Path = folders[1]
        ) -> None:
            if step == met_at:
                with suppress(ServiceBusy):
                    release(storage, name, third, new)
            # A name that only one of them has may be seen for a moment, until whoever wrote it too late takes it back.
            assert more or step < met_at or served(storage, name) in whole

        watched = Watched(storage.service, before)
        with suppress(ServiceBusy):
            release(watched, name, NEW, folders[2])
        assert served(storage, name) in whole[1:]
        if watched.count < met_at:
            return
    pytest.fail("it never ended")


def test_what_a_killed_delivery_left_in_the_folder_does_not_get_into_the_release(
    storage: Storage, delivery: Delivery
) -> None:
    for left in ("versions/3/old-labels.txt", "versions/3/notes"):
        storage.write("models", f"sketch/{left}", b"left")
    release(storage, "sketch", NEW, folder := delivery.make("new"))
    assert in_versions(storage, "sketch", "3") == sizes(folder)


def test_a_delivery_does_not_point_to_a_folder_that_another_one_began_to_clear(
    storage: Storage, delivery: Delivery
) -> None:
    release(storage, "sketch", Release("2"), old := delivery.make("old"))
    new = delivery.make("newer")

    def die(step: int) -> None:
        if step == 4:  # the pointer, and two files that are deleted
            raise Killed

    def before(step: int) -> None:
        if step == 3:  # two files are written, and the pointer is to move
            with pytest.raises(Killed):
                release(Watched(storage.service, die), "sketch", NEW, new)

    with pytest.raises(ServiceBusy):
        release(Watched(storage.service, before), "sketch", NEW, new)
    assert served(storage) == sizes(old) and in_versions(storage, "sketch", "3") == {}


def test_a_folder_dropped_by_hand_serves_on_while_a_release_of_the_same_number_comes_and_can_be_gone_back_to(
    storage: Storage, delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, hand, new = (delivery.make(word, notes=word) for word in ("old", "byhand", "newest"))
    release(storage, "sketch", OLD, old)
    monkeypatch.setattr("cloud.models.snapshots._dropped_since", lambda pointer, hand: bool(hand) and not done)
    done: list[int] = []
    for path in hand.iterdir():
        storage.write("models", f"sketch/{path.name}", path)

    def before(step: int) -> None:
        assert served(storage) == sizes(hand)

    release(Watched(storage.service, before), "sketch", NEW, new)
    done.append(1)
    assert served(storage) == sizes(new)
    rollback(storage, "sketch")
    assert served(storage) == sizes(hand)


def test_the_same_files_are_not_written_again(storage: Storage, delivery: Delivery) -> None:
    release(storage, "sketch", OLD, folder := delivery.make("old"))
    steps: list[int] = []
    pointer = release(Watched(storage.service, steps.append), "sketch", NEW, folder)
    assert steps == [1] and pointer.release == NEW and pointer.previous == (Release("by hand"),)


def test_a_listing_from_before_the_pointer_moved_is_not_taken(storage: Storage, delivery: Delivery) -> None:
    """It shows half of the files that the pointer, read later, points to."""
    name, folder = "sketch", delivery.make("new", labels="new")
    release(storage, name, Release("2"), delivery.make("old"))
    real = storage.pages
    moved: list[Pointer] = []

    class Late(Storage):
        def pages(self, *args: Any, **options: Any) -> Iterator[Page]:
            if moved:
                return real(*args, **options)
            storage.write("models", f"{name}/versions/3/model.toml", folder / "model.toml")
            listed = list(real(*args, **options))
            moved.append(release(storage, name, NEW, folder))
            return iter(listed)

    (snapshot,), _ = contents(Late(storage.service))
    assert moved and snapshot.version == "3"
    assert {relative: size for relative, _, size in snapshot.files} == sizes(folder)


def test_what_was_verified_last_is_never_files_of_another_release(storage: Storage, delivery: Delivery) -> None:
    """A process that begins while the pointer cannot be read falls back to it."""
    old = delivery.make("old", notes="old")
    release(storage, "sketch", OLD, old)
    models = ServingModels(storage, Registry([]), 0)
    models.refresh()
    assert models.versions == {"sketch": "3"}
    release(storage, "sketch", NEW, delivery.make("new", notes="new"))
    good = last_good(storage, "sketch")
    assert good and good.version.startswith("3-")
    storage.write("models", good.prefix + "notes.txt", b"another")
    assert last_good(storage, "sketch") is None


def test_a_process_that_begins_right_after_a_release_serves_it(storage: Storage, delivery: Delivery) -> None:
    release(storage, "sketch", OLD, delivery.make("old"))
    models = ServingModels(storage, Registry([]), 0)
    models.refresh()
    assert models.versions == {"sketch": "3"}


def test_a_pointer_that_cannot_be_read_is_written_anew_only_when_asked(storage: Storage, delivery: Delivery) -> None:
    release(storage, "sketch", Release("2"), delivery.make("old"))
    ServingModels(storage, Registry([]), 0).refresh()
    storage.write("models", "sketch/serving.json", b'{"vers')
    with pytest.raises(BadModel, match="--again` writes it anew"):
        release(storage, "sketch", NEW, folder := delivery.make("new"))
    release(storage, "sketch", NEW, folder, again=True)
    stored = read_pointer(storage, "sketch")
    assert stored and stored[0].release == NEW and stored[0].previous == (Release("2"),)
