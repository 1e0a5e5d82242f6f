"""The conditions of a measurement: cores, threads, versions, date; pinned and recorded."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parent.parent
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


@dataclass(frozen=True)
class Options:
    """How the rows are to be measured."""

    device: str = "cpu"
    threads: int = 1
    quick: bool = False

    def repeats(self, full: int) -> int:
        """Timing repeats: `full`, or 1 for a quick check."""
        return 1 if self.quick else full

    @property
    def on_cpu(self) -> bool:
        return torch.device(self.device).type == "cpu"


def pin(threads: int) -> None:
    """Give this process, and the peers it starts, `threads` cores and as many threads.

    The affinity mask binds every library alike, whatever it thinks of thread counts.
    """
    torch.set_num_threads(threads)
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))[-threads:]
        os.sched_setaffinity(0, cores)


@contextmanager
def all_cores() -> Iterator[None]:
    """Lift the affinity mask of `pin` for a while: a server and a browser are not one thread."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    mask = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, mask)


def peer_environment(threads: int) -> dict[str, str]:
    """Environment variables that hold a peer's libraries to `threads` threads."""
    flags = "--xla_cpu_multi_thread_eigen=" + ("false" if threads == 1 else "true")
    return {
        **os.environ,
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
        "XLA_FLAGS": f"{flags} intra_op_parallelism_threads={threads}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def describe(options: Options, command: str) -> dict[str, Any]:
    """Machine, versions, date and command, as kept with every result."""
    names = ("torch", "numpy", "scipy", "torchdiffeq")
    return {
        "device": options.device,
        "device_name": _device_name(options.device),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in names},
        "ddg_explorer": _commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
    }


def synchronise(device: str) -> None:
    """Wait for the device's queue, so that a clock read afterwards counts all work."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else _cpu_model()


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or sys.platform


def _commit() -> str:
    """Git commit of the checkout, with "+" where files differ from it."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run.stdout.strip()
