"""`python -m devtools.tethered MODULE ARGS...`: run a module that ends when whoever started it is gone.

The starter holds the other end of our stdin. When that closes, on purpose or because the starter was killed,
the module is asked to end as Ctrl-C or SIGTERM would ask it, and has a few seconds to tidy up.
"""

from __future__ import annotations

import _thread
import os
import runpy
import signal
import sys
import threading
import time

PATIENCE_S = 15.0


def _watch() -> None:
    # The file descriptor and not sys.stdin: a thread inside its lock would hang the interpreter's exit.
    while os.read(0, 1024):
        pass
    if os.name == "posix":
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        _thread.interrupt_main()
    time.sleep(PATIENCE_S)
    os._exit(1)


def main() -> None:
    """Run the module named by the first argument as __main__, tethered."""
    threading.Thread(target=_watch, daemon=True, name="tether").start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
