"""Stories of workers that stand still between two calls, told call by call: how each of them ends is known."""

from __future__ import annotations

import threading

import pytest

from cloud.settings import ERRORS, RESULTS, STATE, UPLOADS
from cloud.uploads.events import Outcome
from inference.engine.registry import Registry
from inference.routes_file import SIDECAR
from tests.cloud.uploads.stepped import Fate
from tests.cloud.uploads.world import LEASE_S, ROOT, World

pytestmark = pytest.mark.slow

A = "a.jpg"
RESULT = f"{A}/result.json"


@pytest.fixture(scope="module")
def models() -> Registry:
    return Registry([ROOT / "models"])


@pytest.fixture
def world(models: Registry) -> World:
    return World(models)


def lease_ends(world: World) -> None:
    world.account.pass_s(LEASE_S + 2)


def asks_for(world: World, route: str) -> None:
    """A sidecar says so, and has been read."""
    world.sidecar(A, route)
    world.deliver(A + SIDECAR).to_end()


def ends_well(world: World) -> None:
    world.quiesce()
    assert world.problems() == []


def test_a_loser_that_fails_late_takes_no_record_away(world: World) -> None:
    world.upload(A, "corrupt")
    first = world.deliver(A)
    first.to("write", ERRORS)
    lease_ends(world)
    world.sweep().to_end()
    first.to_end()
    ends_well(world)


def test_a_loser_that_fails_between_the_holders_record_and_receipt_takes_no_record_away(world: World) -> None:
    world.upload(A, "corrupt")
    first = world.deliver(A)
    first.to("write", ERRORS)
    lease_ends(world)
    second = world.deliver(A)
    second.to("write", ERRORS)
    second.step()
    first.to_end()
    second.to_end()
    ends_well(world)


@pytest.mark.parametrize("key", ["another key", "the same key"])
@pytest.mark.parametrize("earlier", [False, True], ids=["first result", "an earlier result"])
@pytest.mark.parametrize("name", ["a.jpg/result.json", "annotated", ""])
def test_a_loser_does_not_change_the_end(world: World, name: str, earlier: bool, key: str) -> None:
    if earlier:
        world.upload(A)
        world.deliver(A).to_end()
    world.upload(A)
    first = world.deliver(A)
    first.to(*(("write", RESULTS, name) if name else ("head", UPLOADS)))
    if key == "another key":
        asks_for(world, "other")
    lease_ends(world)
    second = world.deliver(A)
    if key == "the same key":  # the loser writes between the holder's artifacts and its result
        second.to("write", RESULTS, "result.json")
        first.to_end()
    second.to_end()
    first.to_end()
    ends_well(world)


def test_a_loser_deletes_no_artifacts_that_the_holder_has_made_anew(world: World) -> None:
    """The keys of two routes take turns: what the loser has to clean up is the holder's result by now."""
    world.upload(A)
    world.deliver(A).to_end()
    asks_for(world, "default")  # by name: the same route, the same key
    world.sidecar(A, "other")
    first = world.deliver(A + SIDECAR)
    first.to("delete", RESULTS)
    asks_for(world, "default")
    lease_ends(world)
    world.sweep().to_end()
    first.to_end()
    ends_well(world)


def test_a_loser_that_saw_the_upload_gone_deletes_nothing_of_who_found_it_again(world: World) -> None:
    world.upload(A)
    first = world.deliver(A)
    first.to("head", UPLOADS)
    world.delete(A)
    first.to("delete", RESULTS)
    world.account.undelete(UPLOADS, A)
    lease_ends(world)
    world.sweep().to_end()
    first.to_end()
    ends_well(world)


@pytest.mark.parametrize("deaths", ["none", "loser", "loser and holder"])
def test_a_result_whose_files_are_gone_is_nobodys_answer(world: World, deaths: str) -> None:
    """Whoever finds the upload gone deletes the files of a dead worker, which was frozen and writes the result."""
    world.upload(A)
    frozen = world.deliver(A)
    frozen.to("write", RESULTS, "result.json")
    world.delete(A)
    lease_ends(world)
    world.sweep().to_end()
    world.account.undelete(UPLOADS, A)
    frozen.step()
    if deaths == "none":
        frozen.to_end()
    frozen.kill()
    if deaths == "loser and holder":
        holder = world.deliver(A)
        holder.to("write", RESULTS, "annotated")
        holder.kill()
    ends_well(world)


@pytest.mark.parametrize("writes", [1, 2])
def test_a_result_that_was_there_already_is_not_overwritten_by_a_loser(world: World, writes: int) -> None:
    """The holder finds its own key published and writes nothing: the condition of the loser's second try, which it has
    asked for when the upload was still its own, holds."""
    world.upload(A)
    dead = world.deliver(A)
    dead.to("write", STATE, A, skip=1)
    dead.kill()
    asks_for(world, "other")
    lease_ends(world)
    frozen = world.deliver(A)
    frozen.to("write", RESULTS, "result.json", skip=writes - 1)
    asks_for(world, "default")
    lease_ends(world)
    world.deliver(A).to_end()
    frozen.to_end()
    ends_well(world)


def test_an_older_text_of_a_sidecar_does_not_come_back(world: World) -> None:
    world.upload(A)
    world.deliver(A).to_end()
    world.sidecar(A, "default")
    first = world.deliver(A + SIDECAR)
    first.to("write", STATE, A)  # its claim of the sidecar
    first.step()
    asks_for(world, "other")
    first.to_end()
    ends_well(world)


def test_an_upload_that_is_gone_and_back_is_done(world: World) -> None:
    world.upload(A)
    first = world.deliver(A)
    first.to("head", UPLOADS)
    world.delete(A)
    first.to_end()
    world.account.undelete(UPLOADS, A)
    ends_well(world)


@pytest.mark.parametrize("calls", range(2, 7))
def test_a_worker_dies_and_its_upload_is_deleted(world: World, calls: int) -> None:
    world.upload(A)
    first = world.deliver(A)
    for _ in range(calls):
        first.step()
    first.kill()
    world.delete(A)
    ends_well(world)


def test_a_record_of_a_dead_worker_is_not_left_beside_a_good_result(world: World) -> None:
    world.upload(A, "fickle")
    first = world.deliver(A)
    first.to("write", ERRORS)
    first.step()
    first.kill()
    ends_well(world)


@pytest.mark.parametrize("fate", ["refused", "unanswered"])
@pytest.mark.parametrize("container", [ERRORS, STATE])
def test_a_record_of_a_claim_that_was_given_back_is_not_left_beside_a_good_result(
    world: World, container: str, fate: Fate
) -> None:
    world.upload(A, "fickle")
    first = world.deliver(A)
    first.to("write", ERRORS)
    if container == STATE:
        first.to("write", STATE, A)
    first.step(fate)
    first.to_end()
    ends_well(world)


def test_a_body_that_ends_in_the_middle_is_no_fault_of_the_file(world: World) -> None:
    world.upload(A)
    world.deliver(A).step("cut")
    ends_well(world)


@pytest.mark.parametrize("fate", ["refused", "unanswered"])
@pytest.mark.parametrize("verb", ["open", "head", "write"])
def test_trouble_of_storage_spends_no_attempt(world: World, fate: Fate, verb: str) -> None:
    world.upload(A)
    for _ in range(9):
        world.account.pass_s(24 * 3600)
        sweeps = world.sweep()
        while not sweeps.over:
            call = sweeps.pending
            assert call
            sweeps.step(fate if call.verb == verb and call.container in (UPLOADS, RESULTS) else "arrives")
    ends_well(world)


def test_one_poison_among_healthy_files_is_the_only_error(models: Registry) -> None:
    """Three healthy files are in work beside it when the process dies of it, as often as it is tried with them."""
    world, struck = World(models, {"max_concurrent": 4, "max_attempts": 2}), threading.Event()
    world.before_work = lambda kind: struck.set() if kind == "poison" else struck.wait(0.05)
    for number in range(8):
        world.upload(f"{number}.jpg", "poison" if number == 3 else "good")
    for _ in range(12):
        world.sweep_at_once()
        struck.clear()
        lease_ends(world)
    ends_well(world)


def test_a_record_that_came_after_the_end_is_not_tidied_away(world: World) -> None:
    world.upload(A, "corrupt")
    world.deliver(A).to_end()
    world.upload(A)
    first = world.deliver(A)
    first.to("delete", ERRORS)
    world.upload(A, "corrupt")
    world.deliver(A).to_end()
    first.to_end()
    ends_well(world)


def test_a_result_that_came_after_the_failure_is_not_tidied_away(world: World) -> None:
    world.upload(A)
    world.deliver(A).to_end()
    world.upload(A, "corrupt")
    first = world.deliver(A)
    first.to("head", RESULTS)
    world.upload(A)
    world.deliver(A).to_end()
    first.to_end()
    ends_well(world)


def test_an_artifact_of_a_dead_loser_is_found_and_deleted_by_the_audit(world: World) -> None:
    world.upload(A)
    first = world.deliver(A)
    first.to("write", RESULTS)
    world.upload(A)
    world.deliver(A).to_end()
    first.step("dies after")
    world.quiesce()
    assert str(world.audit(repair=True)) == "1 in, 1 right, 0 lost, 0 doubled, 0 stale, 1 orphaned"
    assert str(world.audit()) == "1 in, 1 right, 0 lost, 0 doubled, 0 stale, 0 orphaned"
    assert world.problems() == []


def test_a_result_that_a_dead_loser_wrote_beside_a_newer_record_is_found_and_deleted_by_the_audit(world: World) -> None:
    world.upload(A)
    first = world.deliver(A)
    first.to("write", RESULTS, "result.json")
    world.upload(A, "corrupt")
    world.deliver(A).to_end()
    first.step("dies after")
    world.quiesce()
    assert str(world.audit(repair=True)) == "1 in, 0 right, 0 lost, 0 doubled, 1 stale, 0 orphaned"
    assert str(world.audit()) == "1 in, 1 right, 0 lost, 0 doubled, 0 stale, 0 orphaned"
    assert not world.account.find(RESULTS, RESULT)


def test_a_loser_that_meets_trouble_of_storage_clears_away_what_it_wrote(world: World) -> None:
    world.upload(A)
    first = world.deliver(A)
    first.to("write", RESULTS, ".csv")
    world.upload(A)
    world.deliver(A).to_end()
    first.step("unanswered")
    first.to_end()
    ends_well(world)


@pytest.mark.parametrize("deleted", [False, True])
def test_a_replay_that_finds_the_upload_gone_leaves_the_result_whole(world: World, deleted: bool) -> None:
    world.upload(A)
    world.deliver(A).to_end()
    again = world.deliver(A, cause="replay")
    again.to("head", UPLOADS)
    if deleted:
        world.delete(A)
    else:
        world.upload(A)
    again.to_end()
    ends_well(world)


def test_the_lease_of_a_living_worker_is_renewed_as_long_as_it_works(world: World) -> None:
    world.upload(A)
    instance = world.worker()
    first = world.deliver(A, instance)
    first.to("head", UPLOADS)
    for _ in range(5):
        world.account.pass_s(LEASE_S * 0.6)
        world.renew(instance)
        assert world.deliver(A).to_end().answer == Outcome("busy")
    first.to_end()
    ends_well(world)


def test_files_of_a_result_whose_upload_was_away_for_a_while_go_with_the_next_one(world: World) -> None:
    """The older result stays while its upload is gone; who comes then has to know its files."""
    world.upload(A)
    world.deliver(A).to_end()
    world.upload(A, "flaky")
    world.deliver(A).to_end()
    world.delete(A)
    world.deliver(A).to_end()
    world.upload(A)
    world.deliver(A).to_end()
    ends_well(world)


def test_an_older_result_of_a_deleted_upload_is_kept_whoever_had_begun_the_newer_version(world: World) -> None:
    world.upload(A)
    world.deliver(A).to_end()
    world.upload(A)
    first = world.deliver(A)
    first.to("head", UPLOADS)
    world.delete(A)
    first.to_end()
    world.quiesce(1)
    report = world.audit(repair=True)
    assert (report.is_clean, report.counts["kept"], report.repaired) == (True, 1, {}), report.named
    assert world.account.find(RESULTS, RESULT)


def test_a_worker_that_finds_its_upload_gone_clears_away_what_others_before_it_left(world: World) -> None:
    world.upload(A)
    dead = world.deliver(A)
    dead.to("write", RESULTS, "result.json")
    dead.kill()
    lease_ends(world)
    next_one = world.deliver(A)
    next_one.to("head", UPLOADS)
    world.delete(A)
    next_one.to_end()
    ends_well(world)
