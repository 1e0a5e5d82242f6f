"""The transform as a whole: laws, derivatives through it, torch's transforms, threads."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ddg_explorer.discrete import (
    ACTIVATIONS,
    UnsupportedOperation,
    discrete_grad,
    elementwise,
    rule,
)
from ddg_explorer.discrete.record import RULES

F64 = torch.float64


def _randn(*shape: int, seed: int, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class Net(nn.Module):
    """Energy (B, n) → (B,) of a random two-layer network over 3-point stencils."""

    def __init__(self, activation: str, width: int = 8, seed: int = 0, dtype: torch.dtype = F64):
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        shapes = ((width, 3), (width,), (width, width), (width,), (1, width))
        self.weights = nn.ParameterList(
            nn.Parameter(_randn(*s, seed=seed + i, dtype=dtype) / math.sqrt(s[-1]))
            for i, s in enumerate(shapes)
        )

    def forward(self, u: Tensor) -> Tensor:
        w1, b1, w2, b2, w3 = self.weights
        x = torch.stack([u.roll(1, -1), u, u.roll(-1, -1)], -1)
        h = self.activation(F.linear(x, w1, b1))
        h = self.activation(F.linear(h, w2, b2))
        return F.linear(h, w3).sum((-2, -1))


def _gradient(energy: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
    x = u.detach().clone().requires_grad_()
    return torch.autograd.grad(energy(x).sum(), x)[0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_chain_rule_of_random_networks_at_every_distance(
    activation: str, dtype: torch.dtype
) -> None:
    tolerance = {torch.float64: 1e-15, torch.float32: 6e-7}[dtype]
    net = Net(activation, dtype=dtype)
    for k in range(15):
        u = 2 * _randn(4, 6, seed=20 + k, dtype=dtype)
        v = u + 10.0**-k * _randn(4, 6, seed=40 + k, dtype=dtype)
        along = (discrete_grad(net)(v, u) * (v - u)).sum(-1)
        high, low = net(v), net(u)
        unit = 1 + high.abs() + low.abs() + (discrete_grad(net)(v, u) * (v - u)).abs().sum(-1)
        assert ((along - (high - low)).abs() <= 4 * tolerance * unit).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_consistent_symmetric_and_second_order(activation: str) -> None:
    """∇̄H(u, u) = ∇H(u), ∇̄H(v, u) = ∇̄H(u, v), and ∇̄H = ∇H((u + v)/2) + O(|v − u|²)."""
    net = Net(activation)
    u, step = _randn(4, 6, seed=1), _randn(4, 6, seed=2)
    gradient = discrete_grad(net)
    torch.testing.assert_close(gradient(u, u), _gradient(net, u), rtol=1e-13, atol=1e-14)
    v = u + 0.3 * step
    torch.testing.assert_close(gradient(v, u), gradient(u, v), rtol=1e-14, atol=1e-15)
    errors = [
        (gradient(u + d * step, u) - _gradient(net, u + 0.5 * d * step)).abs().max().item()
        for d in (2e-2, 1e-2)
    ]
    if activation not in ("relu", "leaky_relu"):
        assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize("activation", [a for a in ACTIVATIONS if a not in ("relu", "leaky_relu")])
@pytest.mark.parametrize("distance", [1.0, 1e-9, 0.0])
def test_differentiable_twice_in_weights_and_both_ends(activation: str, distance: float) -> None:
    net = Net(activation, width=2)
    u, step = _randn(1, 3, seed=3), _randn(1, 3, seed=4)
    weights = tuple(net.weights)

    def through(v: Tensor, u: Tensor, *w: Tensor) -> Tensor:
        named = {f"weights.{i}": x for i, x in enumerate(w)}
        return discrete_grad(lambda x: torch.func.functional_call(net, named, (x,)))(v, u)

    inputs = (u + distance * step, u, *(w.detach() for w in weights))
    inputs = tuple(x.clone().requires_grad_() for x in inputs)
    assert torch.autograd.gradcheck(through, inputs)
    assert torch.autograd.gradgradcheck(through, inputs)


def test_one_plain_backward_trains_a_module() -> None:
    net = Net("tanh")
    u, v = _randn(5, 6, seed=5), _randn(5, 6, seed=6)
    loss = discrete_grad(net)(v, u).square().mean()
    loss.backward()
    weight = net.weights[2]
    with torch.no_grad():
        direction = _randn(*weight.shape, seed=7)
        sides = []
        for sign in (1, -1):
            weight += sign * 1e-6 * direction
            sides.append(discrete_grad(net)(v, u).square().mean())
            weight -= sign * 1e-6 * direction
    slope = (sides[0] - sides[1]) / 2e-6
    assert weight.grad is not None
    torch.testing.assert_close((weight.grad * direction).sum(), slope, rtol=1e-8, atol=1e-10)


def _spectral(u: Tensor) -> Tensor:
    """½|∂x u|² + ¼u⁴ on 8 points, the first term in Fourier space, the second through irfft."""
    k = torch.arange(5, dtype=u.dtype, device=u.device)
    u_hat = torch.fft.rfft(u)
    slope = torch.fft.irfft(1j * k * u_hat, n=8)
    return 0.5 * slope.square().sum(-1) + 0.25 * (u**4).sum(-1) + (k * u_hat.abs() ** 2).sum(-1)


ENERGIES: dict[str, Callable[[Tensor], Tensor]] = {"net": Net("gelu"), "spectral": _spectral}


@pytest.mark.parametrize("name", ENERGIES)
def test_jvp_in_either_end_and_vmap(name: str) -> None:
    gradient = discrete_grad(ENERGIES[name])
    u, v, t = (_randn(4, 8, seed=s) for s in (8, 9, 10))
    for end in (0, 1):
        _, tangent = torch.func.jvp(
            lambda x, end=end: gradient(x, u) if end == 0 else gradient(v, x),
            ((v, u)[end],),
            (t,),
        )
        h = 1e-5
        shifted = [gradient(v + s * t, u) if end == 0 else gradient(v, u + s * t) for s in (h, -h)]
        torch.testing.assert_close(
            tangent, (shifted[0] - shifted[1]) / (2 * h), rtol=1e-7, atol=1e-8
        )
    # d/dv ∇̄H at v = u is half the Hessian.
    _, tangent = torch.func.jvp(lambda x: gradient(x, u), (u,), (t,))
    _, hessian = torch.func.jvp(torch.func.grad(lambda x: ENERGIES[name](x).sum()), (u,), (t,))
    torch.testing.assert_close(tangent, 0.5 * hessian, rtol=1e-11, atol=1e-12)
    each = torch.func.vmap(gradient)(v, u)
    torch.testing.assert_close(each, gradient(v, u), rtol=1e-13, atol=1e-14)
    columns = torch.func.vmap(torch.func.jacfwd(gradient))(v, u)
    assert columns.shape == (4, 8, 8)


@pytest.mark.skipif(
    shutil.which("cc") is None and shutil.which("g++") is None, reason="no C++ compiler"
)
def test_compiles_whole_with_gradients() -> None:
    net = Net("tanh")
    u, v = _randn(5, 8, seed=11), _randn(5, 8, seed=12)

    def loss(v: Tensor, u: Tensor) -> Tensor:
        return discrete_grad(net)(v, u).square().sum()

    expected = loss(v, u)
    expected.backward()
    reference = [w.grad for w in net.weights]
    net.zero_grad()
    torch.compiler.reset()
    found = torch.compile(loss, fullgraph=True, dynamic=False)(v, u)
    found.backward()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    for w, g in zip(net.weights, reference, strict=True):
        torch.testing.assert_close(w.grad, g, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["spectral", *ACTIVATIONS])
def test_captured_whole_by_dynamo(name: str) -> None:
    """Every activation and the Fourier rules make one graph (no code is generated here)."""
    gradient = discrete_grad(_spectral if name == "spectral" else Net(name))
    u, v = _randn(5, 8, seed=11), _randn(5, 8, seed=12)
    torch.compiler.reset()
    captured = torch.compile(gradient, fullgraph=True, backend="eager")
    torch.testing.assert_close(captured(v, u), gradient(v, u), rtol=1e-14, atol=1e-15)


def test_two_threads_with_two_models_equal_the_serial_run_bitwise() -> None:
    nets = [Net("tanh", seed=0), Net("softplus", seed=50)]
    u, v = _randn(6, 8, seed=13), _randn(6, 8, seed=14)

    def work(net: Net) -> Tensor:
        out = []
        for k in range(60):
            gradient = discrete_grad(net)(v + 0.01 * k, u)
            out.append(gradient)
            out.extend(torch.autograd.grad(gradient.square().sum(), list(net.weights)))
        return torch.cat([x.reshape(-1) for x in out])

    serial = [work(net) for net in nets]
    with ThreadPoolExecutor(2) as pool:
        threaded = list(pool.map(work, nets))
    for a, b in zip(serial, threaded, strict=True):
        assert torch.equal(a, b)


def test_fan_out_and_unused_results() -> None:
    def energy(x: Tensor) -> Tensor:
        y = x.sin()
        _unused = y.exp()
        return (y * y + y + x * y).sum(-1)

    u, v = _randn(3, 4, seed=15), _randn(3, 4, seed=16)
    along = (discrete_grad(energy)(v, u) * (v - u)).sum(-1)
    torch.testing.assert_close(along, energy(v) - energy(u), rtol=1e-14, atol=1e-14)


def test_softplus_is_the_smooth_one_beyond_torchs_threshold() -> None:
    u = torch.tensor([19.99, 20.01, 15.0, 30.0], dtype=F64)
    v = torch.tensor([20.01, 19.99, 25.0, 31.0], dtype=F64)
    exact = (torch.log1p(torch.exp(v)) - torch.log1p(torch.exp(u))) / (v - u)
    gradient = discrete_grad(lambda x: F.softplus(x).sum(-1))
    torch.testing.assert_close(gradient(v, u), exact, rtol=1e-12, atol=0)


def test_values_of_two_recordings_do_not_mix() -> None:
    kept = []

    def energy(x: Tensor) -> Tensor:
        kept.append(x)
        return (x * kept[0]).sum(-1)

    u = torch.ones(2, 3)
    discrete_grad(energy)(u, u)
    with pytest.raises(UnsupportedOperation, match="another discrete gradient"):
        discrete_grad(energy)(u, u)


def test_a_registered_rule_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "atan", None)

    @rule(torch.atan)
    def atan(x):
        return elementwise(x, torch.atan, lambda v, u: torch.atan2(v - u, 1 + v * u) / (v - u))

    u, v = _randn(3, 4, seed=18), _randn(3, 4, seed=19)
    along = (discrete_grad(lambda x: x.atan().sum(-1))(v, u) * (v - u)).sum(-1)
    torch.testing.assert_close(along, v.atan().sum(-1) - u.atan().sum(-1), rtol=1e-13, atol=1e-14)
