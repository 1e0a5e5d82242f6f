"""The clock of both sides: smallest wall time of several runs, and whether others disturbed it.

Imports nothing but the standard library: the peers' interpreter uses it too.
"""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
QUIET = 1.05
"""Wall over CPU time up to which a run counts as undisturbed."""
PATIENCE = 3
"""A disturbed best run is repeated up to this many times as often as asked."""


def best_time(
    work: Callable[[], Result], repeats: int, *, check: bool = True
) -> tuple[float, float, Result]:
    """Seconds of the fastest of `repeats` runs, its wall over CPU time, and what it returned.

    A thread that owns its core has a ratio of 1; several threads have less. More says that the
    process waited for the core: then more runs follow, in the hope of a quiet moment. `check=False`
    takes the first runs as they come (a GPU is waited for at no CPU time).
    """
    runs: list[tuple[float, float]] = []
    while True:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        cpu = time.process_time() - cpu
        runs.append((time.perf_counter() - wall, max(cpu, 1e-9)))
        if len(runs) < repeats:
            continue
        seconds, busy = min(runs)
        ratio = seconds / busy
        if not check or ratio <= QUIET or len(runs) >= PATIENCE * repeats:
            return seconds, ratio if check else 1.0, result
