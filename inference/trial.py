"""python -m inference.trial PATH BYTES SECONDS: loads the model of a folder, or of a file, and runs it once.

What `inference.engine.trial` starts, and nobody by hand. Ends with 0 where the model ran, 1 where it cannot be used, 3
where the surroundings are to blame, 4 where the memory that it may take did not do; the last line on standard error
says why.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

RAN, UNUSABLE, SURROUNDINGS, TOO_LARGE = 0, 1, 3, 4
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: Sequence[str]) -> int:
    """The exit status, as above."""
    path, memory, seconds = Path(arguments[0]), int(arguments[1]), float(arguments[2])
    _limit(memory, seconds)
    from inference.errors import DropsightError, OutOfMemory, Transient  # lazily, as below: under the limit

    try:
        run_once(path)
    except (OutOfMemory, MemoryError) as error:
        return _said(error, TOO_LARGE)
    except (Transient, OSError) as error:
        return _said(error, SURROUNDINGS)
    except DropsightError as error:
        return _said(error, UNUSABLE)
    except Exception as error:  # noqa: BLE001 - whatever it is, the model did it
        return _said(error, UNUSABLE, f"{type(error).__name__}: ")
    return RAN


def run_once(path: Path) -> None:
    """Load the models of a folder, or of a loose .onnx file, and run them on a plain picture; one of clips is loaded
    only. Raises DropsightError."""
    import numpy as np

    from inference.engine.model import Model
    from inference.engine.registry import Registry
    from inference.errors import BadModel
    from inference.image.media import Picture

    registry = Registry([path])  # no other folder: a model in it may hang this process
    names = [entry.name for entry in registry.list()]
    if not names:
        raise BadModel(f"{path}: no model lies there")
    ramp = np.linspace(0, 255, 256).astype(np.uint8)
    picture = Picture.of(np.stack([np.tile(ramp, (256, 1))] * 3, axis=2))
    for name in names:
        model = registry.load(name)
        if isinstance(model, Model):
            model.run(picture)


def _limit(memory: int, seconds: float) -> None:
    if sys.platform == "win32":
        return
    import resource
    import signal

    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    soft = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    with suppress(OSError, ValueError):  # not on macOS
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would fill the disk
    # Whoever started it may be gone by then: the signal ends it wherever it is.
    signal.alarm(int(seconds) + 10)
    if sys.platform == "linux":
        _go_first()


def _go_first() -> None:
    """Where memory ends, this process is ended and no other; where its parent dies, so does it."""
    import ctypes
    import signal

    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    parent = os.getppid()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(SURROUNDINGS)


def _said(error: BaseException, status: int, what: str = "") -> int:
    print(f"{what}{error}".replace("\n", " ")[:2000], file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
