"""`dev.py package`: the folder or zip that is deployed, and what it weighs, dependency by dependency.

The files that git tracks and .funcignore leaves in. Azure's remote build installs requirements.txt beside them; with
--packages they are brought along in .python_packages, as a deployment without a build needs (`--no-build`): wheels for
Linux and one version of Python, from any system. Standard library only.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

from devtools import environment, sbom
from devtools.environment import ROOT, SetupError

PACKAGES = Path(".python_packages/lib/site-packages")
# Of Azure Functions on Linux; newer tags mean older ones too.
_TARGET = ("--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_17_x86_64", "--only-binary", ":all:")
# pip reads markers (`; python_full_version < "3.13"`) for the Python that it runs in, not for the one of its
# --python-version: an app packed by 3.11 for 3.13 would get, or fail to get, the azure-functions of 3.11.
_MARKERS = """
import re, sys
from packaging.markers import Marker
target = {"python_version": sys.argv[1], "python_full_version": sys.argv[1] + ".0", "implementation_name": "cpython",
          "platform_python_implementation": "CPython", "os_name": "posix", "sys_platform": "linux",
          "platform_system": "Linux", "platform_machine": "x86_64"}
for line in sys.stdin.read().splitlines():
    requirement, _, marker = line.partition(" ;")
    if not marker or Marker(marker).evaluate(target):
        print(requirement)
"""


def main(python: Path, out: Path, packages: bool, version: str) -> int:
    """Build `out` (a folder, or a zip where it is called so) and print what it weighs."""
    if out.suffix != ".zip" and out.exists() and any(out.iterdir()):
        raise SetupError(f"{out} is there and not empty: name another folder, or delete it first.")
    with tempfile.TemporaryDirectory(prefix="dropsight-package-") as made:
        folder = Path(made)
        for file in deployed_files():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, folder / file)
        own = sum(size_of(file) for file in folder.rglob("*") if file.is_file())
        target = folder / PACKAGES
        if packages:
            _install(python, version, target)
        sizes = weights(target) if packages else weights(*environment.site_packages(), only=locked())
        _move(folder, out)
    report(sizes, own)
    environment.say(f"{sbom.write(out.with_suffix('.cdx.json'))}: the bill of materials (CycloneDX)")
    where = "in it" if packages else "that Azure's build installs beside it (measured here)"
    environment.say(f"{out}: {own / 1e6:.1f} MB of files and {sum(sizes.values()) / 1e6:.1f} MB of packages {where}")
    return 0


def _install(python: Path, version: str, target: Path) -> None:
    """The packages of requirements.txt for this Python on Linux, without their scripts, which call this machine's.

    Downloaded first: `pip install` holds what a package requires against the Python that it runs in, `pip download`
    against --python-version.
    """
    options = ["-q", *_TARGET, "--python-version", version]
    purpose = f"install the packages for Python {version} on Linux"
    with tempfile.TemporaryDirectory(prefix="dropsight-wheels-") as made:
        lines, wheels = Path(made, "requirements.txt"), Path(made, "wheels")
        lines.write_text("\n".join(requirements_for(python, version)), encoding="utf-8")
        environment.call([*environment.pip(python), "download", *options, "-d", str(wheels), "-r", str(lines)], purpose)
        options += ["--no-deps", "--no-index", "--no-compile", "--ignore-requires-python", "--target", str(target)]
        environment.call([*environment.pip(python), "install", *options, *map(str, wheels.glob("*.whl"))], purpose)
    shutil.rmtree(target / "bin", ignore_errors=True)


def requirements_for(python: Path, version: str, file: Path = ROOT / "requirements.txt") -> list[str]:
    """The lines of a requirements file, and of those that it includes, that hold for a Python version on Linux."""
    text = file.read_text(encoding="utf-8")
    lines = subprocess.check_output([str(python), "-c", _MARKERS, version], input=text, text=True).splitlines()
    included = [line.split(maxsplit=1)[1] for line in lines if line.startswith(("-r ", "--requirement "))]
    own = [line for line in lines if not line.startswith(("-r ", "--requirement ", "#"))]
    return own + [line for name in included for line in requirements_for(python, version, file.parent / name)]


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
        raise SetupError(
            f"What is deployed is what git tracks, but git says: {error}. Install git, and run this in a clone."
        ) from error
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
    else:
        shutil.copytree(folder, out, dirs_exist_ok=True)


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(".", "-")
