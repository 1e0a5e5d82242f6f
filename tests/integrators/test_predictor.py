"""What the predictor follows to rounding, and that it finds out by itself."""

import pytest
import torch

from ddg_explorer.integrators import INTEGRATORS, predictor
from ddg_explorer.integrators.predictor import MAX_ORDER, Predictor
from ddg_explorer.rollout import Rollout
from ddg_explorer.systems import SYSTEMS

F64 = torch.float64


def members(smooth: int, ringing: int, count: int) -> torch.Tensor:
    """xₙ = a(n) + (−1)ⁿ b(n), of 40 numbers each; a and b of so many coefficients."""
    generator = torch.Generator().manual_seed(1)
    t = torch.arange(count, dtype=F64)[:, None] / count
    parts = [torch.zeros(count, 40, dtype=F64)]
    for terms, sign in ((smooth, 1.0), (ringing, -1.0)):
        signs = sign ** torch.arange(count, dtype=F64)[:, None]
        for power in range(terms):
            parts.append(signs * t**power * torch.randn(40, dtype=F64, generator=generator))
    return torch.stack(parts).sum(0)


@pytest.mark.parametrize(("smooth", "ringing"), [(1, 0), (3, 0), (6, 0), (1, 1), (2, 1), (4, 2)])
def test_polynomials_and_ringing_go_on(smooth, ringing):
    x = members(smooth, ringing, 15)
    found = Predictor()
    for member in x[:-1]:
        found.push(member)
    p, r = found.rule
    assert p >= smooth
    assert r >= ringing
    assert p + r <= MAX_ORDER
    torch.testing.assert_close(found.predict(x[-1]), x[-1], rtol=0, atol=1e-10)


def test_complex_members_are_followed_like_real_ones():
    x = torch.view_as_complex(members(2, 1, 15).view(15, 20, 2))
    found = Predictor()
    for member in x[:-1]:
        found.push(member)
    torch.testing.assert_close(found.predict(x[-1]), x[-1], rtol=0, atol=1e-10)


def test_noise_is_not_extrapolated_far():
    generator = torch.Generator().manual_seed(2)
    found = Predictor()
    for _ in range(40):
        found.push(torch.randn(200, dtype=F64, generator=generator))
    assert sum(found.rule) <= 2


def test_ringing_modes_of_the_cahn_hilliard_equation_are_followed(monkeypatch):
    """Noise at every node excites modes that the scheme multiplies by almost −1 at every step."""
    system = SYSTEMS["cahn_hilliard_2d"]("spinodal", n=128)

    def iterations() -> float:
        scheme = INTEGRATORS["discrete_gradient"](tol=1e-8)
        rollout = Rollout(system, system.initial(0), system.dt, scheme)
        rollout.step(180)
        return sum(rollout.step().iterations for _ in range(30)) / 30

    followed = iterations()
    predictor._rules.cache_clear()
    monkeypatch.setattr(predictor, "SUMS", 0)
    smooth_only = iterations()
    predictor._rules.cache_clear()
    assert followed < 0.85 * smooth_only
