"""python -m inference.trial FOLDER BYTES: loads the model of a folder and runs it once, in so much memory.

What `inference.engine.trial` starts, and nobody by hand. Ends with 0 where the model ran, 1 where it cannot be used, 3
where the surroundings are to blame; the last line on standard error says why.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

RAN, UNUSABLE, SURROUNDINGS = 0, 1, 3


def main(arguments: Sequence[str]) -> int:
    """The exit status, as above."""
    folder, memory = Path(arguments[0]), int(arguments[1])
    _limit(memory)
    from inference.errors import DropsightError, Transient  # lazily, as below: under the limit

    try:
        run_once(folder)
    except (Transient, MemoryError, OSError) as error:
        return _said(error, SURROUNDINGS)
    except DropsightError as error:
        return _said(error, UNUSABLE)
    except Exception as error:  # noqa: BLE001 - whatever it is, the model did it
        return _said(error, UNUSABLE, f"{type(error).__name__}: ")
    return RAN


def run_once(folder: Path) -> None:
    """Load the model of a folder and run it on a plain picture; one of clips is loaded only. Raises DropsightError."""
    import numpy as np

    from inference.engine.model import Model
    from inference.engine.registry import Registry, folders_from_environment
    from inference.errors import BadModel
    from inference.image.media import Picture

    registry = Registry([folder, *folders_from_environment()])
    names = [entry.name for entry in registry.list() if entry.path.is_relative_to(folder)]
    if not names:
        raise BadModel(f"{folder}: no model lies there")
    ramp = np.linspace(0, 255, 256).astype(np.uint8)
    picture = Picture.of(np.stack([np.tile(ramp, (256, 1))] * 3, axis=2))
    for name in names:
        model = registry.load(name)
        if isinstance(model, Model):
            model.run(picture)


def _limit(memory: int) -> None:
    if sys.platform != "win32":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        soft = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would fill the disk


def _said(error: BaseException, status: int, what: str = "") -> int:
    print(f"{what}{error}".replace("\n", " ")[:2000], file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
