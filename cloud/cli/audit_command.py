"""`python -m cloud audit`: whether every upload has its answer, and nothing else lies there."""

from __future__ import annotations

import argparse
import json
import sys

_DESCRIPTION = """\
Compare what storage lists of uploads, receipts, results, artifacts and error records, and say whether every upload has
its complete result or its error record, once. Reads no content; a call for 5,000 names of each list, and some for each
difference, which is looked at again before it is called a fault. What may be work of this moment (younger than a lease)
is looked at when it is older."""
_EPILOG = """\
Prints one line of figures, then the first names of each kind of fault. Ends with 0 where nothing is lost, doubled,
stale or orphaned, 1 where anything is (also where --repair has just mended it: audit again), 2 for wrong usage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `audit`; the options carry the function to call as `run`."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("--json", action="store_true", help="the figures as a JSON document")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="give uploads that are lost or stale back to the next sweep; delete what is orphaned, and error records "
        "beside results: only what the app wrote, and what nobody has changed meanwhile",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """0: nothing is lost, doubled, stale or orphaned; 1: something is."""
    from cloud.settings import current
    from cloud.storage.containers import default_storage
    from cloud.uploads.audit import Audit
    from cloud.uploads.audit_repair import Repairer
    from cloud.uploads.intake import is_paused
    from cloud.uploads.receipt_blobs import BlobReceipts
    from cloud.uploads.sweep_mark import pauses_noted

    settings, storage = current(), default_storage()
    paused = is_paused(settings) or any(True for _ in pauses_noted(storage))
    lease_s = settings.lease_seconds
    repairer = Repairer(storage, BlobReceipts(storage), lease_s) if options.repair else None
    audit = Audit(storage, lease_s, paused=paused, repairer=repairer)
    audit.run()
    if (wait_s := audit.seconds_for_the_young) > 0:
        _say(f"some blobs are younger than a lease; what is theirs is looked at again in {wait_s:.0f} s")
    audit.wait_for_the_young()
    report = audit.report
    print(json.dumps(report.to_json(), indent=2) if options.json else report)
    if not options.json:
        for kind, sentences in report.named.items():
            for sentence in sentences:
                print(f"{kind}: {sentence}")
            of = report.unconfirmed if kind == "unconfirmed" else report.counts[kind]
            if (more := of - len(sentences)) > 0:
                print(f"{kind}: and {more} more")
    if report.repaired:
        _say(_repaired(report.repaired))
    return 0 if report.is_clean else 1


def _repaired(counts: dict[str, int]) -> str:
    words = {"marked": "left to the next sweep", "deleted": "deleted"}
    # Somebody is at work on it, a lease, a hold or snapshots keep it, or nothing shows that the app wrote it.
    words["left"] = "left as they are (in use, kept by storage, or not shown to be the app's)"
    return "repaired: " + ", ".join(f"{counts[how]} {what}" for how, what in words.items() if counts.get(how))


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
