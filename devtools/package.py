"""`dev.py package`: the folder or zip that is deployed, and what it weighs, dependency by dependency.

The files that git tracks and .funcignore leaves in. Azure's remote build installs requirements.txt beside them; with
--packages they are brought along in .python_packages, as a deployment without a build needs (`--no-build`, and on
Linux with the target's Python only: wheels are of one system and version). Standard library only.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

from devtools import environment
from devtools.environment import ROOT, SetupError

PACKAGES = Path(".python_packages/lib/site-packages")
# Of Azure Functions on Linux; newer tags mean older ones too.
_TARGET = ("--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_17_x86_64", "--only-binary", ":all:")


def main(python: Path, out: Path, packages: bool, version: str) -> int:
    """Build `out` (a folder, or a zip where it is called so) and print what it weighs."""
    with tempfile.TemporaryDirectory(prefix="dropsight-package-") as made:
        folder = Path(made)
        for file in deployed_files():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, folder / file)
        own = sum(size_of(file) for file in folder.rglob("*") if file.is_file())
        target = folder / PACKAGES
        if packages:
            options = [*_TARGET, "--python-version", version, "--target", str(target)]
            environment.call(
                [*environment.pip(python), "install", "-q", "--no-compile", *options, "-r", "requirements.txt"],
                "install the target's packages",
            )
        sizes = weights(target) if packages else weights(*environment.site_packages(), only=locked())
        _move(folder, out)
    report(sizes, own)
    where = "in it" if packages else "that Azure's build installs beside it (measured here)"
    environment.say(f"{out}: {own / 1e6:.1f} MB of files and {sum(sizes.values()) / 1e6:.1f} MB of packages {where}")
    return 0


def deployed_files() -> list[Path]:
    """The files that git tracks and .funcignore does not leave out. Raises SetupError outside a checkout."""
    # git itself reads the file: it is in its syntax, as Core Tools reads it.
    tracked = _git("ls-files", "-z")
    ignored = set(_git("ls-files", "-z", "--cached", "--ignored", "--exclude-from=.funcignore"))
    return [Path(name) for name in tracked if name not in ignored]


def _git(*words: str) -> list[str]:
    try:
        listed = subprocess.check_output(["git", *words], cwd=ROOT, text=True, encoding="utf-8")
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"What is deployed is what git tracks, but git says: {error}.") from error
    return [name for name in listed.split("\0") if name]


def locked(lock: Path = ROOT / "requirements.txt") -> set[str]:
    """The distributions that a lock names."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return {_plain(line.split("==")[0].split("[")[0]) for line in lines if "==" in line}


def weights(*folders: Path, only: set[str] | None = None) -> dict[str, int]:
    """Bytes of each installed distribution, without caches; `only` these, where they are installed."""
    sizes = {}
    for folder in folders:
        for record in folder.glob("*.dist-info/RECORD"):
            headers = HeaderParser().parsestr((record.parent / "METADATA").read_text("utf-8", "replace"))
            name = _plain(str(headers["Name"]))
            if only is None or name in only:
                sizes[name] = sum(size_of(folder / file) for file in _recorded(record))
    return sizes


def _recorded(record: Path) -> Iterator[str]:
    for line in record.read_text(encoding="utf-8").splitlines():
        name = line.rsplit(",", 2)[0].strip('"')
        # Scripts lie outside the packages, and are not deployed.
        if "__pycache__" not in name and not name.startswith(".."):
            yield name


def size_of(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def report(sizes: dict[str, int], own: int) -> None:
    """A line for each that counts, the heaviest first."""
    heavy = sorted(sizes.items(), key=lambda item: -item[1])
    for name, size in [*heavy[:15], (f"{len(heavy[15:])} others", sum(size for _, size in heavy[15:]))]:
        environment.say(f"{size / 1e6:8.1f} MB  {name}")
    environment.say(f"{own / 1e6:8.1f} MB  the app's own files, models included")


def _move(folder: Path, out: Path) -> None:
    if out.suffix == ".zip":
        out.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    archive.write(file, file.relative_to(folder).as_posix())
    elif out.exists() and any(out.iterdir()):
        raise SetupError(f"{out} is there and not empty: name another folder, or delete it first.")
    else:
        shutil.copytree(folder, out, dirs_exist_ok=True)


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(".", "-")
