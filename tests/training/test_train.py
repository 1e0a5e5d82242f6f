"""`train()`: what it reaches, that a seed determines it, and how it reports and refuses."""

from __future__ import annotations

import math

import pytest
import torch
from training_cases import dgnet, kdv, pendulum, shaken, trajectories

from ddg_explorer.models.dgnet import DGNet
from ddg_explorer.models.recipe import ModelRecipe
from ddg_explorer.structure import Symplectic
from ddg_explorer.training import train
from ddg_explorer.training.first_order import FirstOrder
from ddg_explorer.training.levenberg_marquardt import LevenbergMarquardt
from ddg_explorer.training.prepare import mean_change, prepare, relative_loss
from ddg_explorer.training.scaling import fit_linear, whitening

SHORT = {"steps": 6, "rows": (60, 200)}


def run(model, data, **options):
    events = list(train(model, data, **options))
    return events, model.state_dict()


def same(a, b):
    assert set(a) == set(b)
    return all(torch.equal(a[name], b[name]) for name in a)


def test_levenberg_marquardt_lowers_the_loss_of_a_field_ten_thousandfold():
    data = kdv()
    held_out = kdv(count=2, seed=5)
    model = dgnet(data, hidden=12)
    options = {"steps": 80, "rows": (500, 3000), "report_every": 1}
    events, _ = run(model, data, validation=held_out, **options)
    assert events[-1].loss < 1e-4 * events[0].loss
    validation = [event.validation_loss for event in events]
    assert (validation[-1] or 1) < 1e-4
    assert [event.step for event in events] == list(range(1, 81))
    assert [event.done for event in events] == [False] * 79 + [True]
    assert (events[-1].eta, events[-1].reason) == (0, "")


def test_levenberg_marquardt_learns_an_ode():
    data = pendulum()
    events, _ = run(dgnet(data), data, steps=80, rows=(200, 400))
    assert events[-1].loss < 1e-6


@pytest.mark.parametrize("model", ["hnnpp", "node"])
def test_levenberg_marquardt_trains_the_baselines_too(model):
    data = pendulum()
    net = ModelRecipe.fitting(model, data, hidden=8).build()
    events, _ = run(net, data, steps=40, rows=(100, 200), report_every=1)
    assert events[-1].loss < 1e-3 * events[0].loss


@pytest.mark.parametrize("seed", range(6))
def test_levenberg_marquardt_trains_the_symplectic_form(seed):
    """From any seed: its form is held near the canonical one until H has found its shape."""
    data = pendulum()
    net = ModelRecipe.fitting("symplectic_form", data, hidden=6, seed=seed).build()
    start = {n: w.clone() for n, w in net.named_parameters() if n.startswith("one_form")}
    options = {"steps": 30, "rows": (100, 100), "report_every": 15, "seed": seed}
    for event in train(net, data, validation=data, **options):
        held = all(torch.equal(net.get_parameter(n), w) for n, w in start.items())
        assert held == (event.step == 15)
    assert (event.validation_loss or 1) < 2e-3


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("optimizer", ["adam", "soap"])
def test_first_order_training_lowers_the_loss(optimizer, dtype):
    data = pendulum()
    model = dgnet(data, hidden=30, dtype=dtype)
    options = {"steps": 200, "batch": 40, "lr": 1e-2, "schedule": "cosine", "report_every": 1}
    events, weights = run(model, data, optimizer=optimizer, scale=True, **options)
    assert events[-1].loss < 1e-2 * events[0].loss
    assert {str(w.dtype) for w in weights.values()} == {f"torch.{dtype}"}


def test_the_cosine_schedule_ends_at_nothing_and_the_constant_one_stays():
    data = pendulum()
    for schedule, wanted in (("cosine", [1e-2, 5e-3, 0.0]), ("constant", [1e-2] * 3)):
        fit = FirstOrder(
            *(dgnet(data, hidden=3), data, torch.Generator().manual_seed(0)),
            **{"steps": 8, "batch": 4, "lr": 1e-2, "schedule": schedule},
        )
        taken = []
        for step in (0, 4, 8):
            fit.advance(step)
            taken.append(fit.optimizer.param_groups[0]["lr"])
        assert taken == pytest.approx(wanted, abs=1e-15)


def test_a_network_of_ones_own_trains_with_adam():
    class Energy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            generator = torch.Generator().manual_seed(0)
            self.w = torch.nn.Parameter(torch.randn(2, 8, generator=generator).double())

        def forward(self, u):
            return (u @ self.w).tanh().square().sum(-1)

    data = pendulum()
    own = DGNet(Energy(), Symplectic(size=2), (2,), None)
    events = list(train(own, data, steps=200, batch=None, lr=1e-2))
    assert events[-1].loss < 0.6 * events[0].loss
    with pytest.raises(ValueError, match="optimizer='lm': needs a model made by ModelRecipe"):
        next(train(own, data, optimizer="lm"))


def test_a_network_whose_slope_is_zero_keeps_a_finite_scale():
    """Relus that are all off: no factor gives the slope a size, and the linear terms none."""
    data = pendulum()
    model = dgnet(data, hidden=2, activation="relu")
    with torch.no_grad():
        for part in model.network.density.dense:
            part.bias.fill_(-1e3)
    events, weights = run(model, data, optimizer="adam", scale=True, steps=2, batch=None)
    assert events[-1].reason == ""
    assert all(w.isfinite().all() for w in weights.values())
    assert events[-1].loss == pytest.approx(1, rel=1e-12)


def test_linear_terms_that_change_no_slope_stay_zero():
    data = pendulum()
    model = dgnet(data, hidden=2, skip=True, structure={"kind": "learned_matrix"})
    with torch.no_grad():
        model.get_parameter("operator.raw").zero_()
    v, u = data.u[:, 1], data.u[:, 0]
    with torch.no_grad():
        fit_linear(model, v, u, data.dt)
    assert not model.network.density.quadratic.any()
    assert model.network.density.scale.isfinite()


def test_weights_that_are_not_finite_end_a_run_with_a_reason(monkeypatch, tmp_path):
    def spoil(self, step):
        self.model.network.density.scale.fill_(torch.inf)
        return 0.5

    monkeypatch.setattr(FirstOrder, "advance", spoil)
    data = pendulum()
    file = tmp_path / "run.safetensors"
    events, _ = run(dgnet(data, hidden=4), data, optimizer="adam", checkpoint=file)
    found = "diverged at step 1: weights are not finite: network.density.scale; reduce lr"
    assert [event.reason for event in events] == [found]
    assert not file.exists()


@pytest.mark.parametrize("optimizer", ["lm", "adam"])
def test_a_seed_determines_the_weights_whatever_is_reported(optimizer):
    data = kdv(count=2, steps=20)
    start = dgnet(data, hidden=4).state_dict()
    results = []
    for seed, every in ((0, 1), (0, 4), (1, 1)):
        model = dgnet(data, hidden=4)
        model.load_state_dict(start)
        options = {**SHORT, "optimizer": optimizer, "seed": seed, "report_every": every}
        results.append(run(model, data, validation=data, **options)[1])
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_training_leaves_the_global_generator_alone():
    data = pendulum()
    before = torch.random.get_rng_state()
    run(dgnet(data, hidden=4), data, **SHORT)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_loss_of_a_model_that_predicts_no_change_is_one():
    data = pendulum()
    model = dgnet(data, hidden=4)
    with torch.no_grad():
        model.network.density.scale.zero_()
    events, _ = run(model, data, optimizer="adam", batch=None, steps=1, validation=data)
    assert math.isclose(events[0].loss, 1, rel_tol=1e-12)
    # the weights did not move: the output has no scale, so neither has the gradient
    assert math.isclose(events[0].validation_loss or 0, 1, rel_tol=1e-12)


@pytest.mark.parametrize("optimizer", ["adam", "soap"])
def test_divergence_is_reported_with_its_step(optimizer):
    data = pendulum()
    model = dgnet(data, hidden=4, activation="relu")
    options = {"optimizer": optimizer, "lr": 1e200, "steps": 50, "report_every": 10}
    events, _ = run(model, data, **options)
    assert events[-1].done
    assert events[-1].step < 50
    assert events[-1].reason.startswith(f"diverged at step {events[-1].step}")
    assert events[-1].reason.endswith("reduce lr")


def test_divergence_of_levenberg_marquardt_names_no_step_size(monkeypatch):
    monkeypatch.setattr(LevenbergMarquardt, "advance", lambda self, step: math.nan)
    data = pendulum()
    events, _ = run(dgnet(data, hidden=4), data, optimizer="lm")
    found = "diverged at step 1: the loss is nan; try another seed or fewer hidden units"
    assert [event.reason for event in events] == [found]


def test_scaling_whitens_the_stencils():
    data = kdv()
    model = dgnet(data, hidden=6)
    run(model, data, steps=1, rows=(50, 50))
    part = model.network.density
    x = (model.network.gather(data.u.flatten(0, 1)).flatten(0, -2) - part.mean) @ part.whiten
    x = x - x.mean(0)
    covariance = x.mT @ x / len(x)
    size = covariance.diagonal().sqrt()
    assert (covariance / size / size[:, None] - torch.eye(3)).abs().max() < 0.05
    assert torch.quantile(x[:, :].abs(), 0.999, dim=0).sub(2).abs().max() < 0.2


def test_directions_that_hold_rounding_only_are_not_blown_up():
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(500, 2, generator=generator, dtype=torch.float64)
    rounding = 1e-16 * torch.randn(500, 1, generator=generator, dtype=torch.float64)
    # two bodies about a centre at rest: q₁ + q₂ is zero to rounding
    x = torch.cat([q, rounding - q], 1)
    mean, whiten = whitening(x)
    assert whiten.abs().max() < 2
    assert torch.linalg.matrix_rank(whiten) == 4
    assert torch.quantile(((x - mean) @ whiten).abs(), 0.999, dim=0).max() < 2.01


def test_the_quadratic_part_is_fitted_before_the_first_step():
    data = kdv()
    model = dgnet(data, hidden=6, skip=True)
    with torch.no_grad():
        prepare(model, data, torch.Generator().manual_seed(0), small=True)
        part = model.network.density
        part.scale.zero_()
        best = relative_loss(model, data, mean_change(data))
        assert best < 0.95
        for i in range(3):
            for factor in (0.8, 1.2):
                kept = part.quadratic.clone()
                part.quadratic[i, i] *= factor
                assert relative_loss(model, data, mean_change(data)) > best
                part.quadratic.copy_(kept)


def test_training_does_not_depend_on_what_the_weights_were():
    """Levenberg–Marquardt draws its own start, so a used model trains like a fresh one."""
    data = pendulum()
    fresh, used = dgnet(data, hidden=4), shaken(dgnet(data, hidden=4))
    assert same(run(fresh, data, **SHORT)[1], run(used, data, **SHORT)[1])


def test_a_free_kernel_of_kdv_is_found_skew():
    data = kdv(count=6)
    model = dgnet(data, hidden=8, structure={"kind": "learned_kernel"})
    run(model, data, steps=90, rows=(400, 1200))
    kernel = model.structure.kernel.detach()
    even = (kernel + kernel.flip(0)) / 2
    assert even.norm() < 1e-3 * kernel.norm()
    # normalised: as large as the central difference, and of its sign
    assert math.isclose(float(kernel.norm()), float(2**0.5 / (2 * data.grid.spacing[0])))
    assert kernel[2] > 0


def test_a_free_kernel_in_two_dimensions_becomes_dissipative_and_isotropic():
    """The shape in between, corners against edges, takes a minute of training, not a second."""
    data = trajectories("cahn_hilliard_2d", count=3, steps=30, dt=2e-4, n=32, length=0.5)
    free = {"kind": "learned_kernel"}
    model = dgnet(data, hidden=8, skip=True, structure=free)
    events, _ = run(model, data, steps=45, rows=(300, 600))
    kernel = model.structure.kernel.detach()
    images = [torch.rot90(k, r, (0, 1)) for k in (kernel, kernel.T) for r in range(4)]
    size = kernel[1, 1].abs()
    assert events[-1].loss < 1e-2
    assert kernel[1, 1] < 0
    assert max((image - kernel).abs().max() for image in images) < 0.05 * size
    assert model.structure.symbol().real.max() < 1e-10 * size


def test_the_sum_of_a_free_kernel_is_held_while_it_finds_its_shape():
    data = kdv(count=3, steps=30)
    model = dgnet(data, hidden=5, structure={"kind": "learned_kernel"})
    for event in train(model, data, steps=70, rows=(300, 300), report_every=10):
        total = float(model.structure.kernel.detach().sum())
        size = float(model.structure.kernel.detach().norm())
        assert (abs(total) < 1e-12 * size) == (event.step <= 60)
