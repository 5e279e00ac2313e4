"""What `import function_app` costs over importing azure.functions and its blob extension."""

from __future__ import annotations

from statistics import median

from benchmarks import Row, in_new_process, spread

BAR_S = 0.05
RUNS = 15
BASE = "import azure.functions, azurefunctions.extensions.bindings.blob"
CODE = "import time; a = time.perf_counter(); {0}; b = time.perf_counter(); {1}; print(b - a, time.perf_counter() - b)"


def seconds(first: str, second: str) -> tuple[float, float]:
    a, b = in_new_process(CODE.format(first, second)).split()
    return float(a), float(b)


def run() -> list[Row]:
    base, ours = zip(*(seconds(BASE, "import function_app") for _ in range(RUNS)), strict=True)
    cost = median(ours)
    return [
        Row(
            "`import function_app` over azure.functions and its blob extension, s",
            spread(ours),
            f"< {BAR_S}",
            cost < BAR_S,
            f"the base costs {spread(base)}; {RUNS} new processes",
        )
    ]
