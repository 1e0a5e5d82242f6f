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

from ddg_explorer.training.compiler import compiler

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
    """a b by `products.cpp`, `(m, k)` and `(k, n)` of any strides, both float64 or both float32.

    Raises
    ------
    ValueError
        For tensors that do not fit, or are not in this machine's memory.
    """
    out = _empty(a, b)
    if {a.device.type, b.device.type} != {"cpu"}:
        raise ValueError(f"product of tensors on {a.device} and {b.device}: both must be on cpu")
    a, b = a.resolve_neg(), b.resolve_neg()
    (m, k), n = a.shape, b.shape[1]
    threads = torch.get_num_threads() if m * n * k > ALONE else 1
    left, right = (a.data_ptr(), *a.stride()), (b.data_ptr(), *b.stride())
    _functions()[a.dtype](m, n, k, *left, *right, out.data_ptr(), threads)
    return out


def _empty(a: Tensor, b: Tensor) -> Tensor:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"product of {tuple(a.shape)} and {tuple(b.shape)}: no matrices that fit")
    if a.dtype != b.dtype or a.dtype not in NAMES:
        raise ValueError(f"product of {a.dtype} and {b.dtype}: both must be float64 or float32")
    return a.new_empty(a.shape[0], b.shape[1])


def _no_gradient(*_: object) -> None:
    raise RuntimeError("ddg_explorer::product has no gradient: use torch.mm")


_operations = torch.library.Library("ddg_explorer", "FRAGMENT")
_operations.define("product(Tensor a, Tensor b) -> Tensor")
_operations.impl("product", product, "CPU")
_operations.impl("product", _empty, "Meta")
torch.library.register_autograd("ddg_explorer::product", _no_gradient, lib=_operations)


@functools.cache
def _functions() -> dict[torch.dtype, Callable[..., None]]:
    """The entry points of `products.cpp`.

    Raises
    ------
    RuntimeError
        Where there is no compiler, or with its first line where it cannot build it.
    """
    found = compiler()
    if found is None:
        raise RuntimeError(f"{SOURCE.name} needs a C++ compiler")
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "products.so"
        command = [found, *FLAGS, "-o", str(built), str(SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = done.stderr.strip().partition("\n")[0]
            raise RuntimeError(f"{found} cannot build {SOURCE.name}: {reason}")
        library = ctypes.CDLL(str(built))
    size, pointer = ctypes.c_ssize_t, ctypes.c_void_p
    matrix = [pointer, size, size]
    functions = {}
    for dtype, name in NAMES.items():
        functions[dtype] = function = library[name]
        function.argtypes = [size, size, size, *matrix, *matrix, pointer, ctypes.c_int]
        function.restype = None
    return functions
