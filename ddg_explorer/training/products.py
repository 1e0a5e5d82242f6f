"""Matrix products of compiled training steps.

torch multiplies through Intel's MKL, which on other makers' processors runs kernels of half the
vector width. On AMD ones with AVX-512 the products of `products.cpp` are twice as fast: built once
a process, in a second, they equal `torch.mm` to rounding and do not depend on the number of
threads. Everywhere else `torch.mm` is used.
"""

from __future__ import annotations

import ctypes
import functools
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ddg_explorer.training.compiler import required_compiler

Product = Callable[[Tensor, Tensor], Tensor]
"""(m, k), (k, n) ↦ (m, n)."""

SOURCE = Path(__file__).with_suffix(".cpp")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")
NAMES = {torch.float64: "product_float64", torch.float32: "product_float32"}
ALONE = 500_000
"""Multiplications up to which a second thread costs more than it saves."""


def fast_product(device: torch.device) -> Product:
    """The faster of ours and `torch.mm` on this machine, as an operation that torch compiles."""
    if device.type != "cpu" or not slow_library():
        return torch.mm
    _functions()
    return torch.ops.ddg_explorer.product.default


@functools.cache
def slow_library() -> bool:
    """Whether this is an AMD processor with AVX-512."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    info = Path("/proc/cpuinfo")
    return info.is_file() and "AuthenticAMD" in info.read_text()


def product(a: Tensor, b: Tensor) -> Tensor:
    """a b by `products.cpp`, any strides, float64 or float32."""
    (m, k), n = a.shape, b.shape[1]
    out = a.new_empty(m, n)
    threads = torch.get_num_threads() if m * n * k > ALONE else 1
    left, right = (a.data_ptr(), *a.stride()), (b.data_ptr(), *b.stride())
    _functions()[a.dtype](m, n, k, *left, *right, out.data_ptr(), threads)
    return out


_operations = torch.library.Library("ddg_explorer", "FRAGMENT")
_operations.define("product(Tensor a, Tensor b) -> Tensor")
_operations.impl("product", product, "CPU")
_operations.impl("product", lambda a, b: a.new_empty(a.shape[0], b.shape[1]), "Meta")


@functools.cache
def _functions() -> dict[torch.dtype, Callable[..., None]]:
    """The entry points of `products.cpp`.

    Raises
    ------
    RuntimeError
        With the compiler's first line, where it cannot build it.
    """
    compiler = required_compiler()
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "products.so"
        command = [compiler, *FLAGS, "-o", str(built), str(SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = done.stderr.strip().partition("\n")[0]
            raise RuntimeError(f"{compiler} cannot build {SOURCE.name}: {reason}")
        library = ctypes.CDLL(str(built))
    size, pointer = ctypes.c_ssize_t, ctypes.c_void_p
    matrix = [pointer, size, size]
    found = {}
    for dtype, name in NAMES.items():
        found[dtype] = function = library[name]
        function.argtypes = [size, size, size, *matrix, *matrix, pointer, ctypes.c_int]
        function.restype = None
    return found
