"""Our matrix products: right for every shape and stride, the same for any number of threads."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ddg_explorer.training import products
from ddg_explorer.training.native import compiler
from ddg_explorer.training.products import fast_product, product, slow_library

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")

ROWS, COLUMNS, DEPTHS = (1, 2, 5, 7, 46), (1, 8, 41, 97, 200), (0, 1, 3, 255, 257, 600)

GRADIENT = """
import hashlib, sys
import torch
sys.path.insert(0, sys.argv[1])
from training_cases import dgnet, kdv
from ddg_explorer.training.fused import FusedLoss
data = kdv(count=2, steps=40)
model = dgnet(data, hidden=32)
with torch.no_grad():
    for weight in model.parameters():
        weight.copy_(torch.linspace(-1, 1, weight.numel()).view_as(weight))
u, v = data.pairs()
FusedLoss(model, data.dt, compiled=True).backward(v, u)
bits = b"".join(weight.grad.numpy().tobytes() for weight in model.parameters())
print(hashlib.sha256(bits).hexdigest())
"""


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_product_is_exact_to_rounding(dtype):
    generator = torch.Generator().manual_seed(0)
    eps = torch.finfo(dtype).eps
    for m, n, k in itertools.product(ROWS, COLUMNS, DEPTHS):
        a = torch.randn(m, k, generator=generator, dtype=dtype)
        b = torch.randn(k, n, generator=generator, dtype=dtype)
        exact = a.double() @ b.double()
        bound = 2 * eps * (k + 1) * (a.double().abs() @ b.double().abs()) + eps
        for left, right in (
            (a, b),
            (a.mT.contiguous().mT, b.mT.contiguous().mT),
            (a.repeat_interleave(2, 1)[:, ::2], b.repeat_interleave(3, 0)[::3]),
        ):
            found = product(left, right)
            assert found.shape == (m, n)
            assert found.dtype == dtype
            assert bool(((found.double() - exact).abs() <= bound).all()), (m, n, k)


def test_threads_change_no_bit(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(203, 300, generator=generator, dtype=torch.float64)
    b = torch.randn(300, 77, generator=generator, dtype=torch.float64)
    found = []
    for threads in (1, 2, 3, 7):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=threads: count)
        found.append(product(a, b))
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_matrices_that_do_not_fit_are_refused():
    a, b = torch.ones(5, 4), torch.ones(4, 3)
    for left, right, line in (
        (a, b[:2], r"product of \(5, 4\) and \(2, 3\)"),
        (a[0], b, "no matrices that fit"),
        (a, b.double(), "both must be float64 or float32"),
        (a.half(), b.half(), "both must be float64 or float32"),
    ):
        with pytest.raises(ValueError, match=line):
            product(left, right)


def test_not_a_number_stays_where_it_is():
    a, b = torch.ones(7, 3), torch.ones(3, 9)
    a[6, 1] = torch.nan
    found = product(a, b)
    assert found[6].isnan().all()
    assert bool((found[:6] == 3).all())


def test_products_of_other_devices_are_refused():
    a = torch.ones(3, 4, device="meta")
    with pytest.raises(ValueError, match="product of tensors on meta and cpu: both must be on cpu"):
        product(a, torch.ones(4, 3))
    with pytest.raises(ValueError, match="both must be on cpu"):
        product(a, a.mT)


def test_a_sign_that_is_only_noted_counts():
    """The imaginary part of a conjugate is the one in memory with a bit that says "negative"."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(3, 4, generator=generator, dtype=torch.complex128).conj().imag
    b = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    assert z.is_neg()
    torch.testing.assert_close(product(z, b), z.clone() @ b)
    torch.testing.assert_close(product(b.mT, z.mT), b.mT @ z.clone().mT)


def test_a_product_goes_where_it_is_told():
    a, b = torch.arange(12.0).view(3, 4), torch.ones(4, 5)
    memory = torch.full((5, 5), torch.nan)
    assert product(a, b, out=memory[1:4]).data_ptr() == memory[1:].data_ptr()
    assert torch.equal(memory[1:4], a @ b)
    assert memory[[0, 4]].isnan().all()
    for wrong in (memory, memory[:3, :4], memory.double()[:3], memory.mT[:3]):
        with pytest.raises(
            ValueError, match=r"out: must be contiguous, \(3, 5\) and torch.float32"
        ):
            product(a, b, out=wrong)


def test_torch_multiplies_where_its_library_is_as_fast(monkeypatch):
    monkeypatch.setattr(products, "slow_library", lambda: False)
    assert fast_product() is torch.mm
    monkeypatch.setattr(products, "slow_library", lambda: True)
    assert fast_product() is product


@pytest.mark.skipif(not slow_library(), reason="torch multiplies here")
def test_threads_change_no_bit_of_a_compiled_gradient():
    """So a compiled run of Adam, whose own steps are elementwise, resumes bit by bit with any
    number of them where our products are used; one of SOAP, whose bases are torch's, does not."""
    found = [
        subprocess.run(
            [sys.executable, "-c", GRADIENT, str(Path(__file__).parent)],
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in (1, 2)
    ]
    assert found[0] == found[1] != ""
