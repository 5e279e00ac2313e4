"""What is deployed, by .funcignore and requirements.txt, is all that the app needs, and not more."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pathspec
import pytest

from devtools import environment, package
from devtools.environment import SetupError
from devtools.package import deployed_files

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
needs_git = pytest.mark.skipif(
    not shutil.which("git"), reason="git is not installed: what is deployed is what it tracks"
)
PARTS = {
    "cloud",
    "function_app.py",
    "host.json",
    "inference",
    "models",
    "pipelines.toml",
    "requirements.txt",
    "routes.toml",
}
INDEX = """
import json, sys
import function_app
names = [each.get_function_name() for each in function_app.app.get_functions()]
heavy = [name for name in ("numpy", "onnxruntime", "av", "PIL", "azure.ai.ml") if name in sys.modules]
from cloud.health import report
print(json.dumps({"names": names, "heavy": heavy, "status": report()["status"]}))
"""


@needs_git
def test_only_what_the_app_is_made_of_is_deployed() -> None:
    deployed = {file.parts[0] for file in deployed_files()}
    assert deployed >= PARTS
    assert deployed - PARTS <= {"LICENSE", "README.md", "requirements-flow.txt", "requirements-lake.txt"}


@needs_git
def test_the_deployed_files_alone_are_the_app(tmp_path: Path, storage_account: str) -> None:
    for file in deployed_files():
        target = tmp_path / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, target)
    settings = json.loads((ROOT / "local.settings.example.json").read_text(encoding="utf-8"))["Values"]
    settings["AzureWebJobsStorage"] = storage_account  # what the deep health looks into
    env = {**os.environ, **settings, "PYTHONPATH": str(tmp_path)}
    answer = subprocess.run(
        [sys.executable, "-c", INDEX], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout.splitlines()[-1])
    assert {"on_upload", "sweep", "read", "contribute", "operate", "gallery", "health"} <= set(found["names"])
    assert found["heavy"] == [] and found["status"] == "ok"


def imported(file: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


def requirement(name: str) -> str:
    """The name as an index spells it."""
    return re.sub(r"[-_.]+", "-", name.lower())


def distributions(module: str) -> set[str]:
    """Who may bring a module. Azure's packages share one namespace, and are called like their modules."""
    parts = module.split(".")
    if parts[0].startswith("azure"):
        return {requirement("-".join(parts[:count])) for count in range(2, len(parts) + 1)}
    return {requirement(name) for name in _brought_by().get(parts[0], parts[:1])}


_brought_by = cache(packages_distributions)  # reads the list of files of everything that is installed


@needs_git
def test_every_library_the_app_imports_is_in_the_requirements() -> None:
    locked = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = {requirement(line.split("==")[0]) for line in locked if "==" in line}
    known = {*sys.stdlib_module_names, "cloud", "inference", "function_app"}
    # models/*/build.py made the starter models; the app does not import them.
    sources = [file for file in deployed_files() if file.suffix == ".py" and file.parts[0] != "models"]
    foreign = {module: file for file in sources for module in imported(file) if module.split(".")[0] not in known}
    assert {module: file for module, file in foreign.items() if not distributions(module) & pinned} == {}


def test_the_packages_of_the_core_stay_small() -> None:
    locked = package.locked()
    sizes = package.weights(*environment.site_packages(Path(sys.prefix)), only=locked)
    assert {"onnxruntime", "numpy", "av", "azure-ai-ml"} <= set(sizes) <= locked
    assert sum(sizes.values()) <= 350_000_000, sorted(sizes.items(), key=lambda item: -item[1])[:10]
    assert not locked & {"scipy", "pyarrow", "duckdb", "opencv-python-headless", "pillow-heif"}
    core = set((ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines())
    for extra, name in (("flow", "opencv-python-headless"), ("lake", "duckdb")):
        lock = ROOT / f"requirements-{extra}.txt"
        assert name in package.locked(lock)
        # pip refuses two versions of one package: what stands in both is the same line.
        pins = [line for line in lock.read_text(encoding="utf-8").splitlines() if "==" in line]
        assert {line for line in pins if requirement(line.split("==")[0]) in locked} <= core


def test_packages_are_those_of_the_targets_python(tmp_path: Path) -> None:
    """Whatever Python packs them: pip reads markers for the one that it runs in."""
    for version, pin in (("3.11", "azure-functions==1.26.0"), ("3.14", "azure-functions==2.3.0")):
        lines = package.requirements_for(Path(sys.executable), version)
        assert [line for line in lines if line.startswith("azure-functions")] == [pin]
    (tmp_path / "a.txt").write_text("-r b.txt\none==1 ; sys_platform == 'win32'\ntwo>=2\n")
    (tmp_path / "b.txt").write_text("# why\nthree==3 ; sys_platform == 'linux'\n")
    assert package.requirements_for(Path(sys.executable), "3.12", tmp_path / "a.txt") == ["two>=2", "three==3"]


def test_a_folder_that_is_not_empty_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(SetupError, match="is there and not empty"):
        package.main(tmp_path / "no python", tmp_path, packages=True, version="3.11")


@needs_git
def test_what_is_packed_is_what_funcignore_leaves_in(tmp_path: Path) -> None:
    lines = (ROOT / ".funcignore").read_text(encoding="utf-8").splitlines()
    ignored = pathspec.PathSpec.from_lines("gitignore", lines)
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    assert {file.as_posix() for file in deployed_files()} == {n for n in tracked if n and not ignored.match_file(n)}
    assert package.main(Path(sys.executable), tmp_path / "app.zip", packages=False, version="3.11") == 0
    with zipfile.ZipFile(tmp_path / "app.zip") as archive:
        assert set(archive.namelist()) == {file.as_posix() for file in deployed_files()}
