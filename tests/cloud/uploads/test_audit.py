"""The audit finds each kind of fault, mends it, and calls nothing a fault that is none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cloud.settings import ERRORS, RESULTS, STATE, UPLOADS
from cloud.uploads import audit_facts
from cloud.uploads.audit import Audit
from cloud.uploads.audit_repair import Repairer
from cloud.uploads.audit_report import AuditReport
from cloud.uploads.receipts import Receipt, make_key
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from inference.errors import StorageUnavailable
from tests.cloud.helpers import Calls, during_analysis, jpeg, names, receipt

pytestmark = pytest.mark.slow

# Of the audits here: blobs are written by the test, and are to count as old at once.
NO_LEASE = 0.0


def upload(worker: UploadWorker, *named: str) -> None:
    for number, name in enumerate(named):
        worker.storage.write(UPLOADS, name, jpeg(number))


def audited(worker: UploadWorker, repair: bool = False, lease_s: float = NO_LEASE) -> AuditReport:
    repairer = Repairer(worker.storage, worker.ledger.store, lease_s) if repair else None
    audit = Audit(worker.storage, lease_s, repairer=repairer)
    assert audit.run() is None
    audit.wait_for_the_young()
    return audit.report


def says(report: AuditReport) -> str:
    return str(report)


@pytest.fixture
def answered(worker: UploadWorker) -> UploadWorker:
    """A worker whose account has two pictures with results, and what is no picture with its error record."""
    upload(worker, "a.jpg", "b.jpg")
    worker.storage.write(UPLOADS, "bad.jpg", b"no picture")
    assert sweep(worker, 60).processed == 2
    assert says(audited(worker)) == "3 in, 3 right, 0 lost, 0 doubled, 0 stale, 0 orphaned"
    return worker


def make_retry(worker: UploadWorker, name: str) -> None:
    stored = worker.ledger.read(name)
    assert stored
    worker.ledger.store.replace(replace(stored.receipt, state="retry", attempt=0), stored.version)


def delete_result(worker: UploadWorker) -> None:
    worker.storage.delete(RESULTS, "a.jpg/result.json")


def delete_artifact(worker: UploadWorker) -> None:
    folder = receipt(worker, "a.jpg").folder
    path = next(name for name in names(worker, RESULTS) if name.startswith(f"a.jpg/{folder}/"))
    worker.storage.delete(RESULTS, path)


def delete_record(worker: UploadWorker) -> None:
    worker.storage.delete(ERRORS, "bad.jpg.json")


def add_record(worker: UploadWorker) -> None:
    worker.storage.write(ERRORS, "a.jpg.json", b"{}", metadata={"key": receipt(worker, "a.jpg").key})


def fail_beside_result(worker: UploadWorker) -> None:
    add_record(worker)
    stored = worker.ledger.read("a.jpg")
    assert stored
    worker.ledger.store.replace(replace(stored.receipt, state="failed"), stored.version)


def overwrite(worker: UploadWorker) -> None:
    worker.storage.write(UPLOADS, "a.jpg", jpeg(9))


def put_result_of_another_version(worker: UploadWorker) -> None:
    key = make_key(UPLOADS, "a.jpg", "0xOLD", receipt(worker, "a.jpg").digest)
    worker.storage.write(RESULTS, "a.jpg/result.json", b"{}", metadata={"key": key})


def put_record_of_another_version(worker: UploadWorker) -> None:
    worker.storage.write(ERRORS, "bad.jpg.json", b"{}", metadata={"key": "0" * 64})


@pytest.mark.parametrize(
    ("tamper", "kind", "repaired"),
    [
        (delete_result, "lost", "marked"),
        (delete_artifact, "lost", "marked"),
        (delete_record, "lost", "marked"),
        (add_record, "doubled", "deleted"),
        (fail_beside_result, "doubled", "marked"),
        (overwrite, "stale", "marked"),
        (put_result_of_another_version, "stale", "marked"),
        (put_record_of_another_version, "stale", "marked"),
    ],
)
def test_an_upload_whose_answer_is_wrong_is_found_and_mended(
    answered: UploadWorker, tamper: Callable[[UploadWorker], None], kind: str, repaired: str
) -> None:
    tamper(answered)
    report = audited(answered)
    assert report.to_json()["in"] == 3
    assert {fault: report.counts[fault] for fault in ("right", "lost", "doubled", "stale", "orphaned", kind)} == {
        "right": 2, "lost": 0, "doubled": 0, "stale": 0, "orphaned": 0, kind: 1,
    }  # fmt: skip
    assert report.named[kind][0].startswith(("a.jpg: ", "bad.jpg: "))
    assert not report.is_clean
    assert audited(answered, repair=True).repaired == {repaired: 1}
    sweep(answered, 60)
    assert says(audited(answered)) == "3 in, 3 right, 0 lost, 0 doubled, 0 stale, 0 orphaned"


def add_artifacts(worker: UploadWorker) -> None:
    worker.storage.write(RESULTS, "a.jpg/0123456789ab/annotated.jpg", b"x", metadata={"key": "0123456789ab" * 5})
    worker.storage.write(RESULTS, "a.jpg/0123456789ab/crops/1.jpg", b"x", metadata={"key": "0123456789ab" * 5})


def add_result_of_nothing(worker: UploadWorker) -> None:
    worker.storage.write(RESULTS, "gone.jpg/result.json", b"{}", metadata={"key": "c" * 64})
    worker.storage.write(RESULTS, f"gone.jpg/{'c' * 12}/a.jpg", b"x", metadata={"key": "c" * 64})


def delete_failed_upload(worker: UploadWorker) -> None:
    worker.storage.delete(UPLOADS, "bad.jpg")


def delete_upload_that_was_begun(worker: UploadWorker) -> None:
    # Its worker was killed, and it is gone: nobody will ever end the receipt.
    worker.ledger.store.create(Receipt("killed.jpg", "0x1", "d" * 64, "working", lease_s=0.0))


def leave_receipt_of_done(worker: UploadWorker) -> None:
    worker.ledger.store.create(Receipt("c.jpg", "0x1", "d" * 64, "done"))


@pytest.mark.parametrize(
    "tamper",
    [
        add_artifacts,
        add_result_of_nothing,
        delete_failed_upload,
        delete_upload_that_was_begun,
        leave_receipt_of_done,
    ],
)
def test_what_belongs_to_nothing_is_found_and_deleted(
    answered: UploadWorker, tamper: Callable[[UploadWorker], None]
) -> None:
    before = {container: names(answered, container) for container in (RESULTS, ERRORS, STATE)}
    tamper(answered)
    report = audited(answered)
    assert (report.counts["orphaned"], report.is_clean) == (1, False)
    assert (report.counts["lost"], report.counts["stale"], report.counts["doubled"]) == (0, 0, 0)
    # WHEN whatever is younger than a lease might be somebody's
    assert audited_at_once(answered).repaired == {}
    # THEN it is not deleted before.
    assert audited(answered, repair=True).repaired == {"deleted": 1}
    assert audited(answered).is_clean
    left = {container: names(answered, container) for container in (RESULTS, ERRORS, STATE)}
    if tamper is delete_failed_upload:
        before[ERRORS].remove("bad.jpg.json")
        before[STATE].remove("receipts/bad.jpg")
    assert left == before


def test_what_does_not_show_that_the_app_wrote_it_is_never_deleted(answered: UploadWorker) -> None:
    # GIVEN files of somebody, and what looks like artifacts, without the metadata of ours
    answered.storage.write(ERRORS, "notes.json", b"{}")
    answered.storage.write(ERRORS, "a.jpg.json", b"{}")
    answered.storage.write(RESULTS, "report/result.json", b"{}")
    assert audited(answered).is_clean
    answered.storage.write(RESULTS, "gone/x.jpg/0123456789ab/annotated.jpg", b"x")
    before = {container: names(answered, container) for container in (RESULTS, ERRORS)}
    report = audited(answered, repair=True)
    assert (report.counts["orphaned"], report.repaired) == (1, {"left": 1})
    assert {container: names(answered, container) for container in (RESULTS, ERRORS)} == before


def audited_at_once(worker: UploadWorker) -> AuditReport:
    """An audit with repair that does not wait for what is younger than an hour."""
    audit = Audit(worker.storage, 3600, repairer=Repairer(worker.storage, worker.ledger.store, 3600))
    audit.run()
    return audit.report


def test_a_deleted_upload_keeps_its_result_and_is_no_fault(answered: UploadWorker) -> None:
    answered.storage.delete(UPLOADS, "a.jpg")
    report = audited(answered, repair=True)
    assert says(report) == "2 in, 2 right, 0 lost, 0 doubled, 0 stale, 0 orphaned"
    assert report.counts["kept"] == 1
    assert answered.storage.head(RESULTS, "a.jpg/result.json")


def test_a_sidecar_that_came_before_its_photo_is_kept(worker: UploadWorker) -> None:
    worker.storage.write(UPLOADS, "later.jpg.route.toml", b'route = "classify"')
    sweep(worker, 60)
    assert says(audited(worker, repair=True)) == "0 in, 0 right, 0 lost, 0 doubled, 0 stale, 0 orphaned"
    assert receipt(worker, "later.jpg").override == 'route = "classify"'
    worker.storage.delete(UPLOADS, "later.jpg.route.toml")
    assert audited(worker, repair=True).repaired == {"deleted": 1}
    assert worker.ledger.read("later.jpg") is None


def test_work_that_is_under_way_and_clutter_are_no_faults(worker: UploadWorker) -> None:
    upload(worker, "night/a.jpg", "new.jpg", "@eaDir/thumb.jpg", "old.jpg", "job.mp4", "stopped.mp4")
    worker.storage.write(UPLOADS, "folder", b"", metadata={"hdi_isfolder": "true"})
    etags = {blob.name: blob.etag for page in worker.storage.pages(UPLOADS) for blob in page.blobs}
    for name, state, more in (
        ("night/a.jpg", "waiting", {"cause": "model:yunet"}),
        ("old.jpg", "working", {"lease_s": 100.0}),
        ("job.mp4", "job", {"job": "1" * 32}),
        ("stopped.mp4", "cancelled", {}),
    ):
        worker.ledger.store.create(Receipt(name, etags[name], "e" * 64, state, **more))  # type: ignore[arg-type]
    worker.storage.write(RESULTS, f"old.jpg/{'e' * 12}/annotated.jpg", b"x", metadata={"key": "e" * 64})
    report = audited(worker, repair=True)
    assert says(report) == ("5 in, 0 right, 0 lost, 0 doubled, 0 stale, 0 orphaned (2 in work, 2 waiting, 1 cancelled)")
    assert report.is_clean
    assert report.repaired == {}


def test_what_no_sweep_has_taken_for_a_day_is_lost_unless_intake_is_paused(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(worker, "new.jpg", "given-back.jpg", "job.mp4")
    etags = {blob.name: blob.etag for page in worker.storage.pages(UPLOADS) for blob in page.blobs}
    worker.ledger.store.create(Receipt("given-back.jpg", etags["given-back.jpg"], "e" * 64, "retry"))
    worker.ledger.store.create(Receipt("job.mp4", etags["job.mp4"], "e" * 64, "job", job="1" * 32))
    monkeypatch.setattr(audit_facts, "OVERDUE_S", -1.0)
    report = audited(worker)
    assert (report.counts["lost"], report.counts["waiting"]) == (3, 0)
    assert report.named["lost"][-1] == "new.jpg: nobody has begun it for 0 hours"
    paused = Audit(worker.storage, NO_LEASE, paused=True)
    paused.run()
    assert (paused.report.counts["lost"], paused.report.counts["waiting"]) == (1, 2)  # its job is gone all the same


def test_results_of_another_deployment_and_of_older_versions_are_right(answered: UploadWorker) -> None:
    stored = answered.ledger.read("a.jpg")
    assert stored
    # GIVEN a receipt of another deployment, by routes of which this one knows nothing
    digest, etag = "another digest", stored.receipt.etag
    key = make_key(UPLOADS, "a.jpg", etag, digest)
    answered.storage.write(RESULTS, "a.jpg/result.json", b"{}", metadata={"key": key})
    answered.ledger.store.replace(replace(stored.receipt, digest=digest, key=key, deployment="b"), stored.version)
    # and one without a digest
    old = answered.ledger.read("b.jpg")
    assert old
    answered.ledger.store.replace(replace(old.receipt, digest=""), old.version)
    report = audited(answered)
    assert (report.counts["right"], report.counts["orphaned"]) == (3, 1)
    assert report.named["orphaned"] == [
        f"a.jpg: artifacts {stored.receipt.folder}/, which no result names",
    ]


ODD = ["a", "a b.jpg", "a-b.jpg", "a.", "a/b.jpg", "a/b.jpg/c.jpg", "a.jpg/result.json", "ab", "x%20y.jpg", "ü/é.jpg"]


def test_names_that_begin_alike_are_escaped_or_cut_meet_their_answers(worker: UploadWorker, calls: Calls) -> None:
    long = "l" * 950
    upload(worker, *ODD, long)
    sweep(worker, 120)
    calls.seen.clear()
    report = audited(worker)
    assert says(report) == "11 in, 11 right, 0 lost, 0 doubled, 0 stale, 0 orphaned"
    assert (report.looks, len(calls)) == (0, 4)
    # WHEN all that may be found of each is deleted
    for name in [*ODD, long]:
        worker.storage.delete(UPLOADS, name)
    report = audited(worker, repair=True)
    # THEN results are kept, and the error record of the long name is not.
    assert says(report) == "0 in, 0 right, 0 lost, 0 doubled, 0 stale, 1 orphaned"
    assert (report.counts["kept"], names(worker, ERRORS)) == (10, [])


def test_a_fault_of_this_moment_is_looked_at_again_when_it_is_old_enough(answered: UploadWorker) -> None:
    # GIVEN an upload that was overwritten a moment ago, and artifacts that somebody has just written
    overwrite(answered)
    answered.storage.write(RESULTS, "b.jpg/0123456789ab/annotated.jpg", b"x", metadata={"key": "0123456789ab" * 5})
    audit = Audit(answered.storage, 3600)
    audit.run()
    assert says(audit.report) == "3 in, 2 right, 0 lost, 0 doubled, 0 stale, 0 orphaned (1 in work)"
    assert 3500 < audit.seconds_for_the_young < 3700
    # WHEN the first is analysed while the audit waits

    def sleep(seconds: float) -> None:
        sweep(answered, 60)

    audit.wait_for_the_young(sleep)
    # THEN nothing was wrong, and what is not old enough even then is nobody's fault.
    assert says(audit.report) == "3 in, 3 right, 0 lost, 0 doubled, 0 stale, 0 orphaned"


def test_an_audit_beside_working_workers_raises_no_false_alarm(make_worker: Callable[..., UploadWorker]) -> None:
    workers = [make_worker(lease_seconds=30.0), make_worker(lease_seconds=30.0)]
    over = threading.Event()

    def work(worker: UploadWorker, first: int) -> None:
        for number in range(6):
            upload(worker, f"{number % 4}.jpg")
            worker.storage.write(UPLOADS, f"{number % 4}.jpg", jpeg(100 * first + number))
            worker.storage.write(UPLOADS, f"bad-{first}-{number}.jpg", b"no picture")
            sweep(worker, 60)
            if number % 3 == 2:
                worker.storage.delete(UPLOADS, f"{number % 4}.jpg")
        over.set()

    threads = [threading.Thread(target=work, args=(worker, number)) for number, worker in enumerate(workers)]
    for thread in threads:
        thread.start()
    audits = 0
    while not over.is_set():
        audit = Audit(workers[0].storage, 30.0)
        audit.run()
        assert audit.report.is_clean, audit.report.named
        audits += 1
    for thread in threads:
        thread.join()
    sweep(workers[0], 60)
    assert audits
    assert audited(workers[0]).is_clean


def test_a_worker_that_finishes_between_the_lists_is_no_fault(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN lists of results and errors that were read before, those of receipts after an upload was analysed
    upload(worker, "a.jpg")
    real = worker.storage.pages

    def pages(container: str, *args: Any, **options: Any) -> Any:
        if container == RESULTS:
            before = list(real(container, *args, **options))
            sweep(worker, 60)
            return iter(before)
        return real(container, *args, **options)

    monkeypatch.setattr(worker.storage, "pages", pages)
    monkeypatch.setattr("cloud.uploads.audit_listing._LISTS", dict(_IN_THE_WORST_ORDER))
    report = audited(worker)
    assert says(report) == "1 in, 1 right, 0 lost, 0 doubled, 0 stale, 0 orphaned"
    assert report.looks == 1


_IN_THE_WORST_ORDER = [
    ("results", (RESULTS, "")),
    ("errors", (ERRORS, "")),
    ("uploads", (UPLOADS, "")),
    ("receipts", (STATE, "receipts/")),
]


def test_repair_leaves_an_upload_to_who_claims_it_meanwhile(
    answered: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete_result(answered)
    real = Repairer.repair

    def repair(self: Repairer, *args: Any) -> Any:
        stored = answered.ledger.read("a.jpg")
        assert stored
        answered.ledger.store.replace(replace(stored.receipt, state="working", lease_s=60.0), stored.version)
        return real(self, *args)

    monkeypatch.setattr(Repairer, "repair", repair)
    assert audited(answered, repair=True).repaired == {"left": 1}
    assert receipt(answered, "a.jpg").state == "working"


def test_a_version_that_is_overwritten_in_the_middle_of_its_analysis_leaves_nothing_behind(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(worker, "a.jpg")
    during_analysis(monkeypatch, lambda: worker.storage.write(UPLOADS, "a.jpg", jpeg(7)))
    sweep(worker, 60)
    assert says(audited(worker)) == "1 in, 1 right, 0 lost, 0 doubled, 0 stale, 0 orphaned"


def test_a_blob_that_storage_does_not_show_or_delete_stops_neither_the_audit_nor_the_repair_of_others(
    answered: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete_result(answered)
    answered.storage.delete(RESULTS, "b.jpg/result.json")
    real, real_delete = answered.storage.head, answered.storage.delete

    def head(container: str, name: str) -> Any:
        if (container, name) == (UPLOADS, "a.jpg"):
            raise StorageUnavailable("storage answered 409 BlobUsesCustomerSpecifiedEncryption")
        return real(container, name)

    with monkeypatch.context() as patch:
        patch.setattr(answered.storage, "head", head)
        report = audited(answered, repair=True)
    assert says(report) == "3 in, 1 right, 1 lost, 0 doubled, 0 stale, 0 orphaned (1 in work)"
    assert (report.unconfirmed, report.is_clean, report.repaired) == (1, False, {"marked": 1})
    # WHEN what is to be deleted is under a lease
    assert audited(answered, repair=True).repaired == {"marked": 1}
    sweep(answered, 60)
    add_artifacts(answered)
    add_result_of_nothing(answered)

    def delete(container: str, name: str, if_match: str | None = None) -> bool:
        if name.startswith("a.jpg/0123456789ab/"):
            raise StorageUnavailable("storage answered 412 LeaseIdMissing")
        return real_delete(container, name, if_match)

    monkeypatch.setattr(answered.storage, "delete", delete)
    assert audited(answered, repair=True).repaired == {"left": 1, "deleted": 1}
