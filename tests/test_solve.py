"""The solvers against systems whose solutions are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ddg_explorer.grids import Grid
from ddg_explorer.solve import (
    Chord,
    Mixer,
    NoSolutionError,
    Progress,
    anderson,
    attach_gradient,
    chord_krylov,
    gmres,
    jacobian,
    linearize,
    max_norm,
    measured_symbol,
    mixing,
    newton,
    newton_krylov,
    pcg,
    symbols,
)

F64 = torch.float64


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=rng(seed), dtype=F64)


def cubic(b: torch.Tensor):
    """F(v) = A v + v³ − b with a tridiagonal A; one well-conditioned solution."""

    def residual(v: torch.Tensor) -> torch.Tensor:
        return 3 * v - v.roll(1, -1) - 0.5 * v.roll(-1, -1) + v**3 - b

    return residual


def books(x: torch.Tensor, tol: float = 1e-12, polish: int = 1) -> Progress:
    return Progress(torch.ones_like(x[:, 0]), tol, polish)


# -- the books of an iteration ------------------------------------------------------------------


def record(updates: list[list[float]], **options: float) -> Progress:
    """The books after these updates of one or more trajectories, until all have ended."""
    progress = Progress(torch.ones(len(updates[0]), dtype=F64), 1e-6, **options)
    for update in updates:
        progress.record(torch.tensor(update, dtype=F64))
    return progress


@pytest.mark.parametrize("end", [1e9, math.inf, math.nan])
def test_a_trajectory_that_blows_up_after_it_met_the_tolerance_has_not_converged(end: float):
    """What is returned is the last iterate; alone, and beside one that goes on."""
    script = [1e-3, 1e-7, end]
    met = record([[x] for x in script[:2]], polish=3)
    assert (met.running, met.converged.tolist()) == (True, [True])
    alone = record([[x] for x in script], polish=3)
    assert (alone.running, alone.converged.tolist()) == (False, [False])
    both = record([[x, 1e-3] for x in script], polish=3)
    assert (both.active.tolist(), both.converged.tolist()) == ([False, True], [False, False])


def test_a_reopened_trajectory_is_polished_from_the_start():
    """Two met the tolerance, the third did too and then blew up: another method starts it anew."""
    first = [[1e-7] * 3, [1e-8, 1e-8, math.inf], [1e-9, 1e-9, 1.0]]
    progress = record(first, polish=2)
    assert progress.converged.tolist() == [True, True, False]
    progress.reopen()
    assert progress.active.tolist() == [False, False, True]
    for size, goes_on in ((1e-7, True), (1e-8, True), (1e-9, False)):
        progress.record(torch.tensor([1.0, 1.0, size], dtype=F64))
        assert progress.running is goes_on
    assert progress.converged.all()
    assert progress.iterations.tolist() == [3, 3, 5]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_trajectory_that_leaves_everything_behind_is_given_up_unconverged(batch: int):
    """Beyond 1e8 of its scale, not before; one that is lost in the step it might have met in is."""
    large = record([[1.0] * batch, [0.9e8] * batch])
    assert large.running
    lost = record([[1.0] * batch, [1.1e8] * batch])
    assert not lost.running
    assert not lost.converged.any()


@pytest.mark.parametrize(("pace", "leaps"), [(0.1, True), (0.17, True), (0.3, False), (0.9, False)])
def test_only_a_fast_pace_lets_iterations_go_unobserved(pace: float, leaps: bool):
    progress = record([[1.0], [pace]], polish=1, pace=pace)
    assert (progress.leap() > 0) == leaps


# -- Newton with a dense Jacobian ---------------------------------------------------------------


def test_jacobian_is_exact():
    v = randn(3, 6)
    residual = cubic(torch.zeros(6, dtype=F64))
    basis = torch.eye(6, dtype=F64)
    expected = 3 * basis - basis.roll(1, 0) - 0.5 * basis.roll(-1, 0) + torch.diag_embed(3 * v**2)
    torch.testing.assert_close(jacobian(residual, v), expected, rtol=1e-14, atol=1e-14)


def test_newton_reports_the_residual_of_what_it_returns():
    b = 4 * randn(20, 8)
    residual = cubic(b)
    start = torch.zeros_like(b)
    found = newton(residual, start, Chord(), scale=torch.ones(20, dtype=F64), tol=1e-12)
    assert found.converged.all()
    assert found.reason == ""
    torch.testing.assert_close(found.residual, max_norm(residual(found.value)), rtol=0, atol=0)
    assert found.residual.max() < 1e-13
    assert found.iterations.max() <= 15


def test_a_step_that_was_cut_short_does_not_count_as_small():
    """F(v) = v with a Jacobian of the wrong sign: ten halvings move v by a thousandth of itself."""
    chord, ones = Chord(), torch.ones(1, 1, dtype=F64)
    chord.transposed = -ones[None]
    found = newton(lambda v: v, ones, chord, scale=ones[0], tol=2e-3, polish=0)
    assert found.converged.all()
    assert found.residual.max() < 1e-12
    assert found.iterations.tolist() == [3]


def test_newton_chord_carries_over():
    """The second of two neighbouring problems needs no new Jacobian and few iterations."""
    b = randn(5, 8)
    scale = torch.ones(5, dtype=F64)
    chord = Chord()
    first = newton(cubic(b), torch.zeros_like(b), chord, scale=scale, tol=1e-12)
    kept = chord.transposed
    assert kept is not None
    second = newton(cubic(b + 1e-3), first.value, chord, scale=scale, tol=1e-12)
    assert second.converged.all()
    assert second.iterations.max() <= 5


def test_a_failing_trajectory_leaves_the_others_alone():
    """F = v² + 1 has no root; F = v² − 4 has; NaN has nothing."""
    offset = torch.tensor([[-4.0], [1.0], [math.nan], [-9.0]], dtype=F64)
    found = newton(
        lambda v: v * v + offset,
        torch.full((4, 1), 1.5, dtype=F64),
        Chord(),
        scale=torch.ones(4, dtype=F64),
        tol=1e-12,
    )
    assert found.converged.tolist() == [True, False, False, True]
    torch.testing.assert_close(found.value[[0, 3], 0], torch.tensor([2.0, 3.0], dtype=F64))
    assert torch.isfinite(found.value).all()
    assert "2 of 4" in found.reason


def test_newton_batch_equals_single():
    b = 3 * randn(6, 5)
    scale = torch.ones(6, dtype=F64)
    together = newton(cubic(b), torch.zeros_like(b), Chord(), scale=scale, tol=1e-12).value
    for i in range(6):
        one = newton(cubic(b[i : i + 1]), torch.zeros(1, 5, dtype=F64), Chord(), scale=scale[:1],
                     tol=1e-12)  # fmt: skip
        torch.testing.assert_close(one.value[0], together[i], rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("function", "jacobian"),
    [
        (lambda x: x**3, lambda x: 3 * x**2),
        (lambda x: 2 * x, lambda x: 2.0),
        (torch.zeros_like, lambda x: 0.0),
        (torch.sign, lambda x: 0.0),
        (lambda x: torch.ones_like(x).requires_grad_() * 2, lambda x: 0.0),
    ],
    ids=["cubic", "linear", "constant", "steps", "constant with weights"],
)
def test_linearize_is_the_jacobian(function, jacobian):
    x, d = randn(2, 3), randn(2, 3, seed=1)
    product = linearize(function, x)
    torch.testing.assert_close(product(d), jacobian(x) * d, rtol=1e-15, atol=0)
    torch.testing.assert_close(product(2 * d), 2 * product(d), rtol=1e-15, atol=0)
    assert not product(d).requires_grad


# -- fixed points -------------------------------------------------------------------------------


def test_anderson_beats_the_plain_iteration_and_solves_the_same():
    b = randn(4, 30)
    target = b / 4

    def g(x: torch.Tensor) -> torch.Tensor:
        return (b + 1.6 * x + 1.6 * torch.sin(x.roll(1, -1))) / 4

    progress = books(b)
    x, f = anderson(g, target, progress, mixer=Mixer(8), max_iterations=80)
    assert progress.converged.all()
    assert max_norm(g(x) - x).max() <= 1e-12
    torch.testing.assert_close(f, g(x) - x, rtol=0, atol=1e-15)
    plain, count = target, 0
    while max_norm(g(plain) - plain).max() > 1e-12:
        plain, count = g(plain), count + 1
    torch.testing.assert_close(x, plain, rtol=0, atol=1e-11)
    assert progress.iterations.max() < 0.7 * count


def test_differences_of_large_states_in_float32_cost_no_iteration_and_no_accuracy(monkeypatch):
    b = randn(1, mixing.LARGE)

    def g(x: torch.Tensor) -> torch.Tensor:
        return (b + 1.6 * x + 1.6 * torch.sin(x.roll(1, -1))) / 4

    def solve() -> tuple[torch.Tensor, int, torch.dtype]:
        progress, mixer = books(b), Mixer(8)
        x, _ = anderson(g, b / 4, progress, mixer=mixer, max_iterations=80)
        assert progress.converged.all()
        return x, int(progress.iterations[0]), mixer.df.dtype

    rounded, count, kept = solve()
    assert kept == torch.float32
    monkeypatch.setattr(mixing, "LARGE", mixing.LARGE + 1)
    exact, least, kept = solve()
    assert kept == F64
    assert count <= least + 1
    assert max_norm(g(rounded) - rounded).max() <= 1e-12
    torch.testing.assert_close(rounded, exact, rtol=0, atol=1e-11)


def test_anderson_freezes_and_isolates_trajectories():
    """Fast, slow, diverging and NaN trajectories in one batch behave as if alone."""
    rate = torch.tensor([[0.05], [0.97], [3.0], [math.nan]], dtype=F64)

    def make(rows: slice):
        return lambda x: torch.cos(x) * rate[rows] + 1.0 + (rate[rows] > 2) * x**3

    start = torch.zeros(4, 1, dtype=F64)
    together = books(start)
    x, _ = anderson(make(slice(None)), start, together, max_iterations=60)
    assert together.converged.tolist() == [True, True, False, False]
    for i in range(2):
        alone = books(start[:1])
        one, _ = anderson(make(slice(i, i + 1)), start[:1], alone, max_iterations=60)
        torch.testing.assert_close(one[0], x[i], rtol=0, atol=1e-13)
        assert together.iterations[i] <= alone.iterations[0] + 1


def test_stagnation_at_the_rounding_floor_counts():
    """With tol below what rounding allows, the solve ends by itself and says converged."""
    b = 1e3 * randn(1, 10)
    progress = Progress(max_norm(b), 1e-18, 0)
    anderson(lambda x: b + 0.3 * torch.sin(x), b, progress, max_iterations=100)
    assert progress.converged.all()
    assert progress.iterations.max() < 60


def test_patience_stops_a_slow_iteration_early():
    progress = books(torch.zeros(1, 1))
    anderson(
        lambda x: x - 1e-3 * torch.sign(x) * x.abs() ** 3 - 1e-4,
        torch.ones(1, 1, dtype=F64),
        progress,
        mixer=Mixer(1),
        max_iterations=500,
        patience=30,
    )
    assert progress.iterations.max() < 30
    assert not progress.converged.any()


def test_a_steady_iteration_is_observed_rarely_and_ends_no_later():
    """The pace of an earlier solve lets iterations pass unobserved; the solution is the same."""
    b = randn(1, 12)

    class Watched(Progress):
        looks = 0

        def record(self, update: torch.Tensor, unobserved: int = 0) -> bool:
            self.looks += 1
            return super().record(update, unobserved)

    def solve(pace: float | None) -> tuple[torch.Tensor, int, int]:
        progress = Watched(torch.ones(1, dtype=F64), 1e-12, 2, pace)
        x, f = anderson(lambda x: b + 0.1 * torch.sin(x), b, progress)
        assert progress.converged.all()
        assert max_norm(f).max() <= 1e-13
        torch.testing.assert_close(f, b + 0.1 * torch.sin(x) - x, rtol=0, atol=1e-15)
        return x, int(progress.iterations[0]), progress.looks

    plain, count, looks = solve(None)
    assert looks == count
    for pace in (0.02, 0.1, 0.15):
        x, leaping, looks = solve(pace)
        torch.testing.assert_close(x, plain, rtol=0, atol=1e-14)
        assert looks <= 5 < count
        assert leaping <= count + 3


def test_a_leap_that_does_not_contract_is_taken_back():
    """x ← x³/4 + 1/2 runs away from x = 2; the pace of a better start must not lose the solve."""
    progress = Progress(torch.ones(1, dtype=F64), 1e-12, 1, 0.1)
    start = torch.full((1, 1), 2.0, dtype=F64)
    x, _ = anderson(lambda x: 0.25 * x**3 + 0.5, start, progress, max_iterations=60)
    assert progress.converged.all()
    torch.testing.assert_close(x, 0.25 * x**3 + 0.5, rtol=0, atol=1e-12)


# -- Krylov -------------------------------------------------------------------------------------


def test_gmres_meets_each_trajectory_s_own_accuracy():
    a = torch.eye(40, dtype=F64) + 0.3 * randn(3, 40, 40) / 40**0.5
    b = randn(3, 40, seed=1)
    b[1] = 0
    rtol = torch.tensor([1e-3, 1e-3, 1e-12], dtype=F64)
    x, used = gmres(lambda d: (a @ d.unsqueeze(-1)).squeeze(-1), b, rtol=rtol)
    r = b - (a @ x.unsqueeze(-1)).squeeze(-1)
    relative = r.norm(dim=-1) / b.norm(dim=-1).clamp_min(1e-300)
    assert (relative[[0, 2]] <= 2 * rtol[[0, 2]]).all()
    assert (x[1] == 0).all()
    assert used[0] < used[2] <= 40


def test_pcg_with_an_exact_preconditioner_part():
    n = 64
    b_diagonal = 1 + 5 * torch.rand(2, n, generator=rng(), dtype=F64)
    e = randn(2, n, n, seed=2)
    e = (e + e.mT) / (8 * n**0.5)
    rhs = randn(2, n, seed=3)
    x, _, curved = pcg(
        lambda r: r / b_diagonal,
        lambda d: (e @ d.unsqueeze(-1)).squeeze(-1),
        rhs,
        rtol=torch.full((2,), 1e-12, dtype=F64),
        max_iterations=60,
    )
    exact = torch.linalg.solve(torch.diag_embed(b_diagonal) + e, rhs.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(x, exact, rtol=1e-10, atol=1e-11)
    assert not curved.any()


def test_pcg_reports_negative_curvature():
    rhs = randn(1, 8)
    _, _, curved = pcg(
        lambda r: r, lambda d: -3 * d, rhs, rtol=torch.full((1,), 1e-10, dtype=F64),
        max_iterations=20,
    )  # fmt: skip
    assert curved.all()


def test_pcg_gives_the_direction_itself_where_the_first_one_bends():
    rhs, accuracy = randn(2, 8), torch.full((2,), 1e-10, dtype=F64)
    x, used, curved = pcg(lambda r: r, lambda d: -2 * d, rhs, rtol=accuracy, max_iterations=20)
    assert curved.all()
    assert used.tolist() == [0, 0]
    assert torch.equal(x, rhs)


def test_newton_krylov_is_quadratic():
    b = 4 * randn(3, 50)
    residual = cubic(b)

    def g(x: torch.Tensor) -> torch.Tensor:
        return x - residual(x) / 4

    def direction(v: torch.Tensor, f: torch.Tensor, eta: torch.Tensor) -> torch.Tensor:
        def apply(d: torch.Tensor) -> torch.Tensor:
            return torch.func.jvp(residual, (v,), (d,))[1] / 4

        return gmres(apply, f, rtol=eta)[0]

    progress = books(b)
    x, _ = newton_krylov(g, torch.zeros_like(b), progress, direction)
    assert progress.converged.all()
    assert max_norm(residual(x)).max() < 1e-13
    assert progress.iterations.max() <= 10


# -- symbols ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "ndim"), [(64, 1), (50, 1), (24, 2), (27, 2)])
def test_measured_symbol_of_a_stencil_is_exact(n: int, ndim: int):
    grid = Grid.of(n, 1.0, ndim)
    like = torch.zeros(2, 1, *grid.shape, dtype=F64)
    measured = measured_symbol(lambda d: grid.laplacian(d) - 3 * d, like, ndim)
    exact = grid.laplacian_symbol("finite_difference", F64, "cpu") - 3
    assert (measured - exact).abs().max() < 1e-12 * exact.abs().max()


def test_measured_symbol_of_channel_mixing_and_of_a_long_stencil():
    grid = Grid.of(48, 1.0, 1)
    like = torch.zeros(1, 2, 48, dtype=F64)

    def linear(d: torch.Tensor) -> torch.Tensor:
        u, v = d.unbind(1)
        return torch.stack([v, sum(u.roll(j, -1) / (1 + abs(j)) for j in range(-6, 7))], 1)

    measured = measured_symbol(linear, like, 1)
    k = 2 * math.pi * torch.arange(25, dtype=F64) / 48
    assert (measured[0, 1] - 1).abs().max() < 1e-13
    exact = 1 + sum(2 * torch.cos(j * k) / (1 + j) for j in range(1, 7))
    assert (measured[1, 0] - exact).abs().max() < 1e-13
    assert measured[0, 0].abs().max() == 0
    assert grid.half_shape == tuple(measured.shape[2:])


def test_measured_symbol_averages_variable_coefficients():
    p = 1 + 0.5 * torch.rand(1, 1, 64, generator=rng(), dtype=F64)
    measured = measured_symbol(lambda d: p * d, torch.zeros(1, 1, 64, dtype=F64), 1)
    assert (measured - p.mean()).abs().max() < 0.1


def test_symbol_algebra():
    a = torch.complex(randn(2, 2, 9), randn(2, 2, 9, seed=1))
    one = symbols.product(a, symbols.inverse(a, 1), 1)
    torch.testing.assert_close(one, symbols.identity(a, 1).expand_as(one), rtol=0, atol=1e-12)
    small = symbols.safe_inverse(a * 1e-9, 1, 0.3).movedim(-1, 0)
    assert torch.linalg.matrix_norm(small, 2).max() <= 1 / 0.3 + 1e-9


def test_only_singular_modes_have_no_inverse():
    a = torch.eye(2, dtype=F64)[..., None].repeat(1, 1, 3)
    a[1, 1, 1] = 0.0
    found = symbols.inverse(a, 1)
    assert torch.isfinite(found).all((0, 1)).tolist() == [True, False, True]
    torch.testing.assert_close(found[..., ::2], a[..., ::2], rtol=0, atol=0)


def test_modes_that_are_not_finite_have_no_safe_inverse():
    a = torch.eye(2, dtype=F64)[..., None].repeat(1, 1, 3)
    a[0, 1, 1] = torch.nan
    found = symbols.safe_inverse(a, 1, 0.3)
    assert torch.isfinite(found).all((0, 1)).tolist() == [True, False, True]
    torch.testing.assert_close(found[..., ::2], a[..., ::2], rtol=0, atol=1e-15)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_iterates_that_overflow_are_given_up_without_a_warning():
    x = 1e170 * torch.linspace(1, 2, 8, dtype=F64)[None]
    progress = Progress(max_norm(x), 1e-12)
    anderson(lambda y: 1e170 - 0.9 * y, x, progress, max_iterations=20)
    assert not progress.converged.any()


# -- implicit differentiation -------------------------------------------------------------------


@pytest.mark.parametrize("krylov", [False, True])
def test_implicit_gradient(krylov: bool):
    def solve(b: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        def residual(v: torch.Tensor) -> torch.Tensor:
            return 3 * v - v.roll(1, -1) + k * v**3 - b

        start = torch.zeros_like(b)
        with torch.no_grad():
            found = newton(residual, start, Chord(), scale=torch.ones_like(b[:, 0]), tol=1e-13)
        precondition = (lambda w: w / 3) if krylov else None
        return attach_gradient(residual, found.value, precondition=precondition)

    b = randn(2, 5).requires_grad_()
    k = torch.tensor(0.7, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(solve, (b, k))
    with pytest.raises(RuntimeError, match="only once"):
        torch.autograd.grad(solve(b, k).sum(), b, create_graph=True)


def test_chord_krylov_gains_digits_with_an_aged_linearisation() -> None:
    """f = A(b − x) − x³/100 with a J that is off by some per cent, and one that is useless."""
    generator = torch.Generator().manual_seed(0)
    a = torch.eye(20).double() + 0.1 * torch.randn(20, 20, generator=generator).double()
    b = torch.randn(3, 20, generator=generator).double()

    def update(x: Tensor) -> Tensor:
        return (b - x) @ a - x**3 / 100

    taken: list[str] = []

    for off, renewals in ((0.03, 0), (30.0, 2)):
        kept = [a * (1 + off)]
        progress = Progress(torch.ones(3).double(), 1e-12, polish=1)

        def renew(x: Tensor, kept: list[Tensor] = kept) -> None:
            kept[0] = a + 0.03 * torch.diag(x.square().mean(0))
            taken.append("J")

        x, f = chord_krylov(
            update,
            torch.zeros_like(b),
            progress,
            lambda r, eta, kept=kept: torch.linalg.solve(kept[0], r, left=False),
            renew,
            renewals=renewals,
        )
        assert progress.converged.all()
        assert update(x).abs().max() < 1e-12
        assert torch.equal(f, update(x))
    assert taken


def test_chord_krylov_gives_up_where_nothing_contracts() -> None:
    progress = Progress(torch.ones(2).double(), 1e-12)
    start = torch.ones(2, 4).double()
    x, _ = chord_krylov(lambda x: x, start, progress, lambda r, eta: r, lambda x: None)
    assert not progress.converged.any()
    assert torch.isfinite(x).all()
    assert progress.iterations.max() < 12


@pytest.mark.parametrize(("first", "kept", "lost"), [(1e-5, 2e-3, 4e-3), (1e-2, 2e-2, 4e-2)])
def test_a_jacobian_is_forgotten_where_it_serves_much_worse_than_new(first, kept, lost) -> None:
    chord = Chord()
    chord.renew(lambda v: torch.eye(3).double()[None], torch.zeros(1, 3).double())
    for rate in (first, kept):
        chord.age(rate)
        assert chord.transposed is not None
    chord.age(lost)
    assert chord.transposed is None


def test_a_singular_adjoint_system_is_said():
    """F = v² at its double root 0: no derivative of the solution."""
    theta = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    v = attach_gradient(lambda x: x.square() + theta, torch.zeros(1, 1, dtype=torch.float64))
    with pytest.raises(NoSolutionError, match="the adjoint system is singular"):
        v.sum().backward()


def test_an_adjoint_system_that_gmres_does_not_solve_is_said():
    """A cyclic shift of 300 unknowns takes 300 Krylov vectors, 200 are allowed."""
    theta = torch.zeros(1, 300, dtype=F64, requires_grad=True)
    v = attach_gradient(lambda x: x.roll(1, -1) - theta, torch.zeros(1, 300, dtype=F64))
    with pytest.raises(NoSolutionError, match="the adjoint system did not converge"):
        v[0, 0].backward()
