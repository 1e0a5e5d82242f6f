"""The C++ part of training, built by this machine's compiler once a process, in a second or two.

`products.cpp` multiplies matrices, `layers.cpp` goes through hidden layers. Neither changes a bit
with the number of threads.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

USUAL = "clang++" if sys.platform == "darwin" else "g++"
SOURCES = tuple(Path(__file__).with_name(f"{name}.cpp") for name in ("products", "layers"))
FLAGS = ("-O3", "-shared", "-fPIC")
FASTER = (("-march=native", "-fopenmp"), ("-march=native", "-fopenmp-simd"), ("-fopenmp-simd",))
"""Added to these and tried in turn, as not every compiler knows all."""
TYPES = (torch.float64, torch.float32)

SIZE, POINTER = ctypes.c_ssize_t, ctypes.c_void_p
MATRIX = (POINTER, SIZE, SIZE)
SIGNATURES = {
    "product": (SIZE, SIZE, SIZE, *MATRIX, *MATRIX, POINTER, ctypes.c_int),
    "layer": (SIZE, SIZE, *[POINTER] * 4, ctypes.c_int),
    "second_pull": (SIZE, SIZE, *[POINTER] * 6, ctypes.c_int),
    "first_pull": (SIZE, SIZE, *[POINTER] * 6, ctypes.c_int),
}

ALONE = 500_000
"""Operations up to which a second thread costs more than it saves."""


def threads_for(operations: int) -> int:
    """As many threads as torch has, or one where they cost more than they save."""
    return torch.get_num_threads() if operations > ALONE else 1


def wanted() -> str:
    """Name or path of the C++ compiler: what CXX says, else the platform's."""
    return os.environ.get("CXX", USUAL)


def compiler() -> str | None:
    """Path of the C++ compiler of this machine, if there is one."""
    return shutil.which(wanted())


def compile_problem() -> str:
    """Why nothing can be compiled on this machine, one line; "" where it can. Tried once."""
    if compiler() is None:
        return f"needs the C++ compiler {wanted()}, or what CXX names"
    return _trial()


@cache
def _trial() -> str:
    try:
        library()
    except (RuntimeError, OSError) as error:
        line = str(error).strip().partition("\n")[0]
        return f"the C++ compiler is there, but fails: {line}"
    return ""


@cache
def library() -> dict[tuple[str, torch.dtype], Callable[..., None]]:
    """The entry points of the C++ sources, by name and type: functions of sizes, of addresses of
    data in memory, and of a number of threads.

    Raises
    ------
    RuntimeError
        Where there is no compiler, or with its first line where it cannot build them.
    OSError
        Where what it built cannot be loaded.
    """
    with tempfile.TemporaryDirectory() as folder:
        loaded = ctypes.CDLL(str(_build(Path(folder) / "native.so")))
    functions = {}
    for name, signature in SIGNATURES.items():
        for dtype in TYPES:
            function = loaded[f"{name}_{str(dtype).removeprefix('torch.')}"]
            function.argtypes, function.restype = signature, None
            functions[name, dtype] = function
    return functions


def _build(target: Path) -> Path:
    found = compiler()
    if found is None:
        raise RuntimeError(f"needs the C++ compiler {wanted()}, or what CXX names")
    reason = ""
    for faster in FASTER:
        command = [found, *FLAGS, *faster, "-o", str(target), *map(str, SOURCES)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not done.returncode:
            return target
        reason = done.stderr.strip().partition("\n")[0]
    names = " and ".join(source.name for source in SOURCES)
    raise RuntimeError(f"{found} cannot build {names}: {reason}")
