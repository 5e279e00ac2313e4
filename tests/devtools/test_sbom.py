"""The lock with hashes has what the other locks have, and the bill of materials all that is deployed."""

from __future__ import annotations

import re

from devtools.environment import LOCKS
from devtools.sbom import HASHED, bill, hashes, pins
from tests.conftest import ROOT


def test_the_lock_with_hashes_has_what_the_others_have_and_a_hash_for_each() -> None:
    known = hashes(HASHED.read_text("utf-8"))
    assert set(known) == set().union(*(pins(lock.read_text("utf-8")) for lock in LOCKS)), "see docs/development.md"
    assert all(known.values())


def test_the_bill_has_every_package_that_is_deployed_and_the_models_with_their_hashes() -> None:
    document = bill()
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    packages = [part for part in document["components"] if part["type"] == "library"]
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    assert len(packages) == len([line for line in lines if "==" in line])
    numpy = next(part for part in packages if part["name"] == "numpy")
    assert numpy["purl"] == f"pkg:pypi/numpy@{numpy['version']}"
    found = [hash["content"] for hash in numpy["externalReferences"][0]["hashes"]]
    assert found and all(re.fullmatch("[0-9a-f]{64}", each) for each in found)
    assert any(part["type"] == "machine-learning-model" and part["hashes"] for part in document["components"])
    assert len({part["bom-ref"] for part in document["components"]}) == len(document["components"])


def test_the_bill_is_the_same_for_the_same_locks() -> None:
    assert bill() == bill() and bill()["serialNumber"].startswith("urn:uuid:")


def test_a_package_of_two_versions_is_named_twice() -> None:
    lock = f"a==1 ; python_full_version < '3.13' \\\n    --hash=sha256:{'0' * 64}\n"
    lock += f"a==2 ; python_full_version >= '3.13' \\\n    --hash=sha256:{'1' * 64}\n"
    assert hashes(lock) == {("a", "1"): ["0" * 64], ("a", "2"): ["1" * 64]}
