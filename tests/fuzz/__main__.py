"""python -m tests.fuzz [--seconds S] [TARGET...]: coverage-guided fuzzing of what reads untrusted data.

Each target has its share of the seconds, in a process of its own, and begins with what is kept in `corpus/`. What it
finds lies in `build/fuzz/` and is named; the exit status is 1 then. Where atheris has no wheel for this Python and
machine it says so, and all is left to tests/fuzz/test_corpus.py.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(__file__).parents[2] / "build" / "fuzz"
MOST_CPU_S = 1.0
_MOST_MIB = 2048
_HANGS_S = 30  # on a machine that is busy with other things, too


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="of tests/fuzz/targets.py; all of them")
    parser.add_argument("--seconds", type=float, default=30.0, help="for all targets together (30)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed begins with the same inputs (1)")
    chosen = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("fuzz: atheris has no wheel for this Python and machine; tests/fuzz/test_corpus.py is what is left")
        return 0
    names = chosen.targets or sorted(folder.name for folder in CORPUS.iterdir() if folder.is_dir())
    share = max(1, round(chosen.seconds / len(names)))
    FOUND.mkdir(parents=True, exist_ok=True)
    failed = [name for name in names if not _run(name, share, chosen.seed)]
    print(f"fuzz: {len(names)} targets, {share} s each; {', '.join(failed) or 'none'} failed (build/fuzz/)")
    return 1 if failed else 0


def _run(name: str, seconds: int, seed: int) -> bool:
    """Whether the target came through its seconds."""
    with tempfile.TemporaryDirectory() as grown:
        options = [f"-max_total_time={seconds}", f"-seed={seed}", f"-timeout={_HANGS_S}", f"-rss_limit_mb={_MOST_MIB}",
                   "-max_len=4096", "-print_final_stats=1", f"-artifact_prefix={FOUND}/{name}-"]  # fmt: skip
        command = [sys.executable, __file__, "--one", name, *options, grown, str(CORPUS / name)]
        done = subprocess.run(command, cwd=FOUND.parents[1], capture_output=True, text=True, check=False)
    words = (done.stdout + done.stderr).splitlines()
    runs = next((line.split()[-1] for line in words if line.startswith("stat::number_of_executed_units")), "?")
    print(f"fuzz: {name}: {runs} inputs, {'ok' if not done.returncode else 'FAILED'}", flush=True)
    if done.returncode:
        print("\n".join(words[-60:]))
    return not done.returncode


def _one(name: str, options: list[str]) -> None:
    """Fuzz a target in this process; does not come back."""
    import atheris

    sys.path.insert(0, os.getcwd())
    with atheris.instrument_imports(include=["cloud", "inference", "tomllib", "yaml", "json"]):
        from tests.fuzz.targets import TARGETS

        target = TARGETS[name]
        logging.disable()  # lines about what was refused are no finding, and take longer than the refusal
        for kept in (CORPUS / name).iterdir():  # brings what is imported late
            target(kept.read_bytes())

    def timed(data: bytes) -> None:
        started = time.process_time()
        target(data)
        if (seconds := time.process_time() - started) > MOST_CPU_S:
            raise TimeoutError(f"{seconds:.1f} s for {len(data)} bytes")

    atheris.Setup([sys.argv[0], *options], timed)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        _one(sys.argv[2], sys.argv[3:])
    sys.exit(main())
