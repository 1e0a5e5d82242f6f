"""tanh at both ends of a step, its secant slope and the slope's derivatives, against 60 digits."""

from __future__ import annotations

import mpmath
import pytest
import torch

from ddg_explorer.training.compiled import LAYER, run
from ddg_explorer.training.native import compiler
from ddg_explorer.training.near_ends import tanh_ends

VALUES = [0.0, 1e-9, 0.3, -1.1, 2.5, -6.0, 9.9, 25.0, -400.0]
DISTANCES = [0.0, 1e-12, -1e-5, 0.03, 0.1, 0.19, -0.199, -0.21, 1.5, -30.0]


def exact(a, c):
    """t, τ, σ̄, ∂σ̄/∂a, ∂σ̄/∂c."""
    with mpmath.workdps(60):
        t, tau, d = mpmath.tanh(a), mpmath.tanh(c), mpmath.mpf(a) - mpmath.mpf(c)
        if d == 0:
            return [t, tau, 1 - t * t, -t * (1 - t * t), -t * (1 - t * t)]
        slope = (t - tau) / d
        return [t, tau, slope, (1 - t * t - slope) / d, (slope - (1 - tau * tau)) / d]


def in_torch(a, c):
    ends = tanh_ends(a, c)
    return ends.t, ends.tau, ends.slope, ends.slope_a, ends.slope_c


def in_cpp(a, c):
    ends = torch.cat([a, c])
    slope, bend = torch.empty_like(a), torch.empty_like(ends)
    run("layer", LAYER, slope, torch.zeros(a.shape[1], dtype=a.dtype), ends, slope, bend)
    return *ends.chunk(2), slope, *bend.chunk(2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "way",
    [
        in_torch,
        pytest.param(
            in_cpp, marks=pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
        ),
    ],
)
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside distant ends"])
def test_ends_are_exact_to_rounding(way, dtype, beside):
    """Absolutely, which is enough where they only ever multiply weights."""
    values, distances = (torch.tensor(x, dtype=torch.float64) for x in (VALUES, DISTANCES))
    a = values.to(dtype).double().repeat_interleave(len(distances))
    c = (a + distances.repeat(len(values))).to(dtype).double()
    near = (a - c).abs() < 0.2
    wanted = torch.tensor(
        [[float(x) for x in exact(*pair)] for pair in zip(a.tolist(), c.tolist(), strict=True)],
        dtype=torch.float64,
    ).T
    found = []
    for one, other in zip(a.split(1), c.split(1), strict=True):
        pair = torch.stack([torch.cat([x, y * torch.ones(1)]) for x, y in ((one, 1), (other, -1))])
        here = pair[:, None] if beside else pair[:, None, :1]
        found.append([float(x[0, 0]) for x in way(*here.to(dtype))])
    gaps = (torch.tensor(found, dtype=torch.float64).T - wanted).abs()
    eps = torch.finfo(dtype).eps
    # slopes of distant ends are quotients over at least 0.2, and their derivatives of those
    for gap, bound, far in zip(gaps, (4, 4, 4, 8, 8), (4, 4, 12, 60, 60), strict=True):
        assert float(gap[near].max()) < bound * eps
        assert float(gap[~near].max()) < far * eps
