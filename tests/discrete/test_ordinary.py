"""Ordinary gradients and Jacobians: of every mode of torch that a user may be in, and lightly."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import torch.autograd.forward_ad as forward
from torch import Tensor, nn

from ddg_explorer.discrete.ordinary import jacobian_of, ordinary_grad

F64 = torch.float64
COUPLING = torch.tensor([[2.0, 0.3, 0.0], [0.3, 1.0, -0.4], [0.0, -0.4, 3.0]], dtype=F64)


def _randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def _energy(u: Tensor) -> Tensor:
    return ((u @ COUPLING) * u).sum(-1) / 2 + (1 - u.cos()).sum(-1)


def _gradient(u: Tensor) -> Tensor:
    return u @ COUPLING + u.sin()


def _hessian(u: Tensor) -> Tensor:
    return COUPLING + torch.diag_embed(u.cos())


U, TANGENT = _randn(4, 3, seed=0), _randn(4, 3, seed=1)


def close(found: Tensor, exact: Tensor) -> None:
    torch.testing.assert_close(found, exact, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("needs", [False, True])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_a_gradient_has_a_graph_where_one_is_wanted(
    mode: Callable[[], torch.enable_grad], needs: bool
) -> None:
    u = U.clone().requires_grad_(needs)
    with mode():
        found = ordinary_grad(_energy, u)
    close(found.detach(), _gradient(U))
    assert found.requires_grad == (needs and mode is torch.enable_grad)
    assert u.requires_grad == needs
    assert u.grad is None


def test_weights_alone_get_a_graph() -> None:
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    weights = tuple(w.detach().requires_grad_() for w in net.parameters())
    names = [name for name, _ in net.named_parameters()]

    def through(*values: Tensor) -> Tensor:
        # moved by a computation, so that no weight is a leaf
        held = dict(zip(names, (2 * w for w in values), strict=True))
        return ordinary_grad(lambda x: torch.func.functional_call(net, held, (x,)).squeeze(-1), U)

    assert through(*weights).requires_grad
    with torch.no_grad():
        assert not through(*weights).requires_grad
    assert torch.autograd.gradcheck(through, weights)
    assert torch.autograd.gradgradcheck(through, weights)
    assert not ordinary_grad(lambda x: net.requires_grad_(False)(x).squeeze(-1), U).requires_grad


def test_it_is_differentiated_in_reverse_any_number_of_times() -> None:
    u = U.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ordinary_grad(_energy, x), u)
    assert torch.autograd.gradgradcheck(lambda x: ordinary_grad(_energy, x), u)
    (pulled,) = torch.autograd.grad((ordinary_grad(_energy, u) * TANGENT).sum(), u)
    close(pulled, (_hessian(U) @ TANGENT.unsqueeze(-1)).squeeze(-1))


def test_what_the_energy_holds_is_constant_even_where_it_comes_from_the_state() -> None:
    u = U.clone().requires_grad_()
    stiffness = u.square()
    found = ordinary_grad(lambda x: (stiffness * x.square()).sum(-1) / 2, u)
    close(found, U**3)
    (pulled,) = torch.autograd.grad(found.sum(), u)
    close(pulled, 3 * U**2)


def test_transforms_of_torch_func() -> None:
    exact = (_hessian(U) @ TANGENT.unsqueeze(-1)).squeeze(-1)
    close(torch.func.vmap(lambda u: ordinary_grad(_energy, u))(U), _gradient(U))
    _, tangent = torch.func.jvp(lambda u: ordinary_grad(_energy, u), (U,), (TANGENT,))
    close(tangent, exact)
    _, pull_back = torch.func.vjp(lambda u: ordinary_grad(_energy, u), U)
    close(pull_back(TANGENT)[0], exact)
    for jacobian in (torch.func.jacrev, torch.func.jacfwd):
        each = torch.func.vmap(jacobian(lambda u: ordinary_grad(_energy, u)))(U)
        close(each, _hessian(U))

    def of_stiffness(k: Tensor) -> Tensor:
        return ordinary_grad(lambda x: k * _energy(x), U)

    close(torch.func.jacrev(of_stiffness)(torch.ones((), dtype=F64)), _gradient(U))
    close(torch.func.vmap(of_stiffness)(torch.arange(2.0, dtype=F64))[1], _gradient(U))


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_dual_numbers_of_forward_mode(mode: Callable[[], torch.enable_grad]) -> None:
    with forward.dual_level(), mode():
        found = forward.unpack_dual(ordinary_grad(_energy, forward.make_dual(U, TANGENT)))
    assert found.tangent is not None
    close(found.primal, _gradient(U))
    close(found.tangent, (_hessian(U) @ TANGENT.unsqueeze(-1)).squeeze(-1))


def test_tensors_made_in_inference_mode() -> None:
    with torch.inference_mode():
        u = U.clone()
    close(ordinary_grad(_energy, u), _gradient(U))


def test_it_compiles_whole() -> None:
    compiled = torch.compile(
        lambda u: ordinary_grad(_energy, u), fullgraph=True, backend="eager", dynamic=False
    )
    close(compiled(U), _gradient(U))


def test_an_energy_that_does_not_depend_on_the_state_has_gradient_zero() -> None:
    weight = torch.ones(4, dtype=F64, requires_grad=True)
    for energy in (lambda u: torch.ones(4, dtype=F64), lambda u: 2 * weight):
        assert torch.equal(ordinary_grad(energy, U), torch.zeros_like(U))


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_a_jacobian_with_all_rows_at_once(mode: Callable[[], torch.enable_grad]) -> None:
    matrix = _randn(3, 2, seed=2)
    for batch in (1, 4):
        with torch.enable_grad():
            x = U[:batch].clone().requires_grad_()
            y = x.sin() @ matrix
        with mode():
            found = jacobian_of(y, x)
        assert not found.requires_grad
        close(found, matrix.mT * U[:batch].cos()[:, None])


def test_jacobians_of_the_state_itself_and_of_constants() -> None:
    x = U.clone().requires_grad_()
    assert torch.equal(jacobian_of(x, x), torch.eye(3, dtype=F64).expand(4, 3, 3))
    other = _randn(4, 2, seed=3)
    assert torch.equal(jacobian_of(other, x), torch.zeros(4, 2, 3, dtype=F64))
    assert torch.equal(jacobian_of(other.requires_grad_() * 2, x), torch.zeros(4, 2, 3, dtype=F64))


USES = {
    "rk4": "ddg.simulate(own, u, dt=0.1, steps=3, integrator='rk4')",
    "newton": "[ddg.simulate(SYSTEMS[name](), dt=0.01, steps=3) for name in given]",
    "collocation": "ddg.simulate(SYSTEMS[given[1]](), dt=0.1, steps=3, integrator='collocation4')",
    "separable": "ddg.simulate(of('srnn', {'kind': 'symplectic'}), u, dt=0.1, steps=3)",
    "learned_matrix": "assert family(of('dgnet', {'kind': 'learned_matrix'})) is not None",
}


@pytest.mark.parametrize("use", USES)
def test_derivatives_import_no_compiler(use: str) -> None:
    """Neither torch's compiler nor sympy for what autograd gives itself."""
    lines = (
        "import sys, torch, ddg_explorer as ddg",
        "from ddg_explorer.models import ModelRecipe",
        "from ddg_explorer.models.freedom import family",
        "from ddg_explorer.structure import Symplectic",
        "from ddg_explorer.systems import SYSTEMS",
        "u = torch.tensor([0.3, 0.1], dtype=torch.float64)",
        "energy = lambda x: x[..., 1] ** 2 / 2 - x[..., 0].cos()",
        "own = ddg.System(energy, Symplectic(), initial=u)",
        "of = lambda key, g: ModelRecipe(key, (2,), structure=g, hidden=8).build().double()",
        "given = ('pendulum', 'two_body')",
        USES[use],
        "print(sorted({'torch._dynamo', 'sympy'} & set(sys.modules)))",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
