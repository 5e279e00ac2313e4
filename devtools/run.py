"""`dev.py run`: Azurite, the app on the local host, the bridge from inbox/ to outbox/. Standard library only."""

from __future__ import annotations

import http.client
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloud.comments import only_comments
from cloud.edited import masks_of
from cloud.settings import BadSettings, Settings, slips
from devtools import azurite, checks, environment, first_run, pack
from devtools.environment import ROOT, SetupError, say
from devtools.saved_files import SavedFiles
from devtools.supervisor import Supervisor
from inference.file_lock import lock
from localhost.errors import SettingsError
from localhost.settings_file import read_local_settings

DATA = ROOT / ".azurite"
SETTINGS = ROOT / "local.settings.json"
EMULATOR = "UseDevelopmentStorage=true"
PATIENCE_S = 90.0
# On a machine of one's own, work that a stop interrupted goes on within a minute, and the receipts say how far it is.
QUICK = {"LEASE_SECONDS": "20", "SWEEP_SCHEDULE": "*/30 * * * * *"}


def main(
    python: Path,
    *,
    port: int,
    samples: bool,
    verbose: bool,
    host: bool = True,
    models_from: str | None = None,
    offline: bool = False,
    root: Path = ROOT,
) -> int:
    """Run until Ctrl-C (0) or until a part ends by itself (1). Raises SetupError, AzuriteError.

    Without `host` the app is left to Core Tools: `func start` beside it. models_from: where the pack of public models
    is fetched, in place of the catalog's addresses; offline: nowhere.
    """
    values = settings(root)
    if samples:
        drop_samples(root / "samples", root / "inbox")
    for folder in (".azurite", "inbox", "outbox"):  # announced before the bridge comes to make it
        if not (root / folder).is_symlink():  # of a drive that is not there now, which the bridge waits for
            (root / folder).mkdir(exist_ok=True)
    with only_one(root / ".azurite"), Supervisor() as supervisor:
        try:
            into = pack.public_folder(root, values)
            rest = pack.bring(supervisor, python, root, into, models_from, offline)  # the app reads its routes once
            saved = SavedFiles(read_once(values, root), lambda: next_start(python, root))
            changed = start_storage(supervisor, values, root)
            if host:
                port = start_host(supervisor, python, port, {**quick(values), **changed}, root, verbose)
            elif changed:
                raise SetupError(
                    "`func start` looks for storage on ports 10000-10002, which another program has: stop that one, or "
                    "name another account as AzureWebJobsStorage in local.settings.json."
                )
            if supervisor.ended() is None:
                start_bridge(supervisor, python, {**values, **changed}, root)
                if rest:
                    pack.go_on(supervisor, python, root, into, models_from)
                announce(root, port if host else None)
                checks.say_what_is_wrong(this_start(python, root, values))
                checks.say_whether_paused({**values, **os.environ})
                checks.say_what_waits(python, root, {**values, **changed})
            ended = supervisor.wait(saved.step)
            return explain(ended, supervisor.children[ended].process.returncode, root, verbose)
        except KeyboardInterrupt:
            say("\nStopping.")
            return 0


def settings(root: Path) -> dict[str, str]:
    """The Values of local.settings.json, which is made from the example if there is none.

    What the environment has already wins, as it does in the host: the app and the bridge must mean one account.
    """
    file = root / SETTINGS.name
    if not file.exists():
        shutil.copyfile(root / "local.settings.example.json", file)
        say("Made local.settings.json from local.settings.example.json")
    return read_settings(file)


def read_settings(file: Path) -> dict[str, str]:
    """The Values of a settings file, under what the environment has. Raises SetupError."""
    try:
        content = read_local_settings(file)
    except SettingsError as error:
        raise SetupError(f"{error} Or delete it to get the example's again.") from error
    if "Values" not in content:
        expected = 'expected {"IsEncrypted": false, "Values": {...}} as the Functions host does'
        raise SetupError(f"{file}: has no Values, {expected}: mend it, or delete it to get the example's again.")
    return {name: os.environ.get(name, value) for name, value in content["Values"].items()}


def read_once(values: dict[str, str], root: Path) -> list[Path]:
    """The files that the app reads when it starts, and then no more."""
    written = {name: value.strip() for name, value in {**values, **os.environ}.items()}
    routes = root / (written.get("ROUTES_FILE") or "routes.toml")
    named = (written.get("PIPELINES_FILE") or "pipelines.toml", SETTINGS.name)
    return [routes, *masks_of(routes), *(root / name for name in named)]


def next_start(python: Path, root: Path) -> checks.Finding:
    """What a start would make of the settings, routes and pipelines as they are now."""
    file = root / SETTINGS.name
    try:
        values = read_settings(file) if file.exists() else {}
    except SetupError as error:
        return checks.Finding("Configuration", False, str(error))
    return checks.ask("Configuration", python, checks.CONFIGURATION, root, values)


def this_start(python: Path, root: Path, values: dict[str, str]) -> checks.Finding:
    """The same of an app that has just started: asked only where somebody wrote something, as it takes a second."""
    written = {**values, **os.environ}
    if wrong := slips(written):
        return checks.Finding("Settings", False, "; ".join(wrong.values()))
    try:
        Settings.read(written)
    except BadSettings:
        return next_start(python, root)
    files = [file for file in read_once(values, root) if file.suffix == ".toml"]
    return next_start(python, root) if not all(map(only_comments, files)) else checks.Finding("Configuration", True, "")


def quick(values: dict[str, str]) -> dict[str, str]:
    """QUICK, but for what the settings or the environment say themselves."""
    return {name: value for name, value in QUICK.items() if name not in {**values, **os.environ}}


def drop_samples(samples: Path, inbox: Path) -> None:
    """Copy the sample photos into the inbox."""
    photos = [file for file in sorted(samples.iterdir()) if file.suffix == ".jpg"]
    (inbox / "samples").mkdir(parents=True, exist_ok=True)
    for photo in photos:
        shutil.copy2(photo, inbox / "samples" / photo.name)
    say(f"Dropped {len(photos)} photos into {inbox.name}/samples/")


def start_storage(supervisor: Supervisor, values: dict[str, str], root: Path) -> dict[str, str]:
    """Start Azurite where the settings ask for the emulator; return the settings that differ from the file.

    UseDevelopmentStorage=true means the default ports. Where they are taken, free ones are named in full.
    """
    emulated = [name for name, value in values.items() if value.strip().rstrip(";") == EMULATOR]
    if not emulated:
        say("Storage: the account that AzureWebJobsStorage names in local.settings.json or in the environment")
        return {}
    data, ports = root / ".azurite", azurite.DEFAULT_PORTS
    first_run.check_data(data)
    first_run.check_data(data / "data")  # Azurite would wait without a word
    node = azurite.find_node(environment.site_packages())
    server = azurite.start(root, log=data / "azurite.log", location=data / "data", ports=ports, node=node)
    supervisor.children["Azurite"] = server
    if server.ports == ports:
        return {}
    say(f"Ports 10000-10002 are taken by another program; this storage uses {', '.join(map(str, server.ports))}")
    say(f"`python -m cloud` finds it with AzureWebJobsStorage='{server.connection_string()}'")
    return dict.fromkeys(emulated, server.connection_string())


def start_host(
    supervisor: Supervisor, python: Path, port: int, changed: dict[str, str], root: Path, verbose: bool
) -> int:
    """Start function_app.py on the local host, wait until it answers, and return its port."""
    if azurite.is_listening(port):
        taken, port = port, azurite.free_ports(1)[0]
        say(f"Port {taken} is taken by another program; the app uses {port}")
    log = None if verbose else root / ".azurite" / "host.log"
    # Azure looks every 10 s; a person who watches the console should not have to wait that long.
    module = ["localhost", str(root), "--port", str(port), "--scan-interval", "1", "--max-polling-interval", "1"]
    supervisor.start("The app", module, python=python, cwd=root, env=changed, log=log)
    deadline = time.monotonic() + PATIENCE_S
    while supervisor.ended() is None and not answers(port):
        if time.monotonic() > deadline:
            raise SetupError(f"The app did not answer within {PATIENCE_S:.0f} s: see .azurite/host.log.")
        time.sleep(0.1)
    return port


def start_bridge(supervisor: Supervisor, python: Path, values: dict[str, str], root: Path) -> None:
    """Start what carries files from inbox/ to storage and results from storage to outbox/."""
    env = {"AzureWebJobsStorage": values.get("AzureWebJobsStorage", EMULATOR)}
    if "INTAKE" in values:
        env["INTAKE"] = values["INTAKE"]
    module = ["devtools.bridge", str(root / "inbox"), str(root / "outbox")]
    supervisor.start("The bridge", module, python=python, cwd=root, env=env, log=None)


def announce(root: Path, port: int | None) -> None:
    """Say where everything is; without a port the app is still to be started."""
    if port is None:
        first, last = "Storage and the bridge run.", "the app            func start, in another terminal"
    else:
        first, last = "Dropsight runs.", f"over HTTP          POST http://localhost:{port}/api/v1/analyze"
    say(
        f"\n{first} Ctrl-C stops {'it' if port else 'them'}.\n"
        f"  drop photos into   {root / 'inbox'}\n"
        f"  results appear in  {root / 'outbox'}\n"
        f"  {last}\n"
    )
    if port and shutil.which("func"):
        say("Core Tools are installed here: `dev.py run --no-host` leaves the app to `func start`.\n")


def explain(ended: str, status: int, root: Path, verbose: bool) -> int:
    """Say why it is over when a part ended that should not have. `status`: its exit status, as Popen has it."""
    logs = {"Azurite": "azurite.log"} if verbose else {"Azurite": "azurite.log", "The app": "host.log"}
    if log := logs.get(ended):
        lines = (root / ".azurite" / log).read_text(encoding="utf-8", errors="replace").splitlines()
        sys.stderr.write("".join(f"  {line}\n" for line in lines[-25:]))
    if status in (-9, -15):  # nothing is misconfigured, and nothing lost
        memory = ", as the system does when memory runs out" if status == -9 else ""
        how, then = f"was killed by signal {-status}{memory}", "`dev.py run` goes on with what was not done"
    else:
        how, then = "ended", "`dev.py doctor` says what is misconfigured"
    print(f"{ended} {how}, so everything stops; {then}.", file=sys.stderr)
    return 1


def answers(port: int) -> bool:
    """Whether the host answers on this port of the machine, past any proxy: whether the app is well is the doctor's
    question."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api/health")
        connection.getresponse()
        return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the lock on `folder`: two storages on the same files would ruin them."""
    with (folder / "lock").open("a+b") as file:
        try:
            lock(file)
        except OSError as error:
            raise SetupError(f"`dev.py run` already runs in {folder.parent}: use that one, or stop it.") from error
        yield
