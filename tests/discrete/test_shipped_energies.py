"""discrete_grad on every shipped energy: law, batching, tangents, whole-graph capture."""

from __future__ import annotations

import pytest
import torch

from ddg_explorer.discrete import discrete_grad
from ddg_explorer.systems import SYSTEMS


@pytest.mark.parametrize("name", SYSTEMS)
def test_shipped_energy(name: str) -> None:
    system = SYSTEMS[name]()
    u = system.initial(seed=0, batch=3)
    step = torch.randn(u.shape, generator=torch.Generator().manual_seed(1), dtype=u.dtype)
    v = u + 0.01 * step
    gradient = discrete_grad(system.energy)
    found = gradient(v, u)
    high, low = system.energy(v), system.energy(u)
    along = (found * (v - u)).flatten(1)
    unit = 1e-15 * (high.abs() + low.abs() + along.abs().sum(1))
    assert ((along.sum(1) - (high - low)).abs() <= 10 * unit).all()

    torch.testing.assert_close(torch.func.vmap(gradient)(v, u), found, rtol=1e-13, atol=1e-15)
    # The tangent at v = u is half the Hessian's.
    _, tangent = torch.func.jvp(lambda x: gradient(x, u), (u,), (step,))
    _, hessian = torch.func.jvp(torch.func.grad(lambda x: system.energy(x).sum()), (u,), (step,))
    scale = hessian.abs().max().item()
    torch.testing.assert_close(tangent, 0.5 * hessian, rtol=0, atol=1e-12 * scale)

    torch.compiler.reset()
    captured = torch.compile(gradient, fullgraph=True, backend="eager")
    torch.testing.assert_close(captured(v, u), found, rtol=1e-14, atol=1e-16)
