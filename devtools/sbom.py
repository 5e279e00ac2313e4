"""The bill of materials (SBOM) of what is deployed, as CycloneDX 1.6, which `dev.py package` writes.

The packages of requirements.txt with the hashes of .ci/requirements.txt, and the models that come with the app.
Standard library only.
"""

from __future__ import annotations

import json
import re
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devtools.environment import ROOT

HASHED = ROOT / ".ci" / "requirements.txt"
_LINE = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.M)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def pins(lock: str) -> set[tuple[str, str]]:
    """(name, version) of every package of a lock's text."""
    return set(_LINE.findall(lock))


def hashes(lock: str) -> dict[tuple[str, str], list[str]]:
    """The sha256 of the files of each package of a lock with hashes, by name and version."""
    starts = list(_LINE.finditer(lock))
    ends = [match.start() for match in starts[1:]] + [len(lock)]
    return {
        (match[1], match[2]): _HASH.findall(lock, match.start(), end) for match, end in zip(starts, ends, strict=True)
    }


def bill(root: Path = ROOT) -> dict[str, Any]:
    """The document: the same for the same locks and models."""
    known = hashes((root / HASHED.relative_to(ROOT)).read_text("utf-8"))
    deployed = sorted(pins((root / "requirements.txt").read_text("utf-8")))
    components = [*(_package(*pin, known.get(pin, [])) for pin in deployed), *_models(root / "models")]
    app = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    name = {"type": "application", "name": app["name"], "version": app["version"]}
    content = json.dumps([name, components])
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {"component": {**name, "licenses": [{"license": {"id": app["license"]}}]}},
        "components": components,
    }


def _package(name: str, version: str, files: list[str]) -> dict[str, Any]:
    address = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
    page = {"type": "distribution", "url": f"https://pypi.org/project/{name}/{version}/#files"}
    found = [{"alg": "SHA-256", "content": sha256} for sha256 in files]
    return {
        "type": "library", "bom-ref": address, "name": name, "version": version, "purl": address,
        "externalReferences": [{**page, **({"hashes": found} if found else {})}],
    }  # fmt: skip


def _models(folder: Path) -> Iterator[dict[str, Any]]:
    """The models in folders of their own whose manifest states what their weights are."""
    for path in sorted(folder.glob("[!_.]*/model.toml")):
        manifest = tomllib.loads(path.read_text("utf-8"))
        if sha256 := manifest.get("sha256"):
            name = manifest.get("name", path.parent.name)
            known = {"hashes": [{"alg": "SHA-256", "content": sha256}]}
            if licence := manifest.get("licence"):
                known |= {"licenses": [{"license": {"name": licence}}]}
            yield {"type": "machine-learning-model", "bom-ref": f"model:{name}", "name": name, **known}


def write(path: Path) -> Path:
    """Writes the bill and returns where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(bill(), indent=2) + "\n", encoding="utf-8")
    return path
