"""Fixed point with a measured preconditioner, for energies of which only the action is known.

    g(v) = v − M⁻¹F(v),      M = 1 − Δt Ĝ Ĵ

Ĵ is the symbol of the translation-averaged Jacobian ∂ḡ/∂v, measured by its response to a comb of
impulses (learned stencil networks, energies of a user). Where G itself is no convolution, the
Jacobian of Ḡ ḡ is measured instead; without a grid M = 1. Newton's method uses exact
Jacobian–vector products and GMRES.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.preconditioned import FixedPoint
from ddg_explorer.integrators.predictor import guess_state
from ddg_explorer.integrators.scheme import Scheme
from ddg_explorer.integrators.semi_implicit import KRYLOV_LIMIT, MIN_PIVOT
from ddg_explorer.solve import gmres, linearize, symbols
from ddg_explorer.solve.inexact import Direction, Slope

RENEW = 1.5
"""The symbol is measured anew when a step takes this many times the best step's iterations."""


def equation(
    scheme: Scheme, dynamics: Dynamics, u: Tensor, dt: float | Tensor
) -> Callable[[Tensor], Tensor]:
    """F of the step from u, (B, *state), as the scheme defines it.

    It takes v as states or flattened, and gives F(v) in the same shape. A tensor `dt` is
    differentiated too.
    """
    length = float(dt.detach()) if isinstance(dt, Tensor) else dt

    def residual(x: Tensor) -> Tensor:
        v = x.reshape(u.shape)
        return (v - u - dt * scheme.slope(dynamics, v, u, length)).reshape(x.shape)

    return residual


class Measured(FixedPoint):
    """The residual form of one scheme on one dynamics; keeps Ĵ until the solves get slower."""

    patience = 100

    def __init__(self, dynamics: Dynamics, scheme: Scheme) -> None:
        super().__init__(dynamics, scheme)
        self.grid = dynamics.grid
        self.g = None
        if self.grid is not None and not dynamics.structure.state_dependent:
            self.g = dynamics.structure.symbol()
        self.rate: Tensor | None = None
        self.inverse: Tensor | None = None
        self.m: Tensor | None = None
        self.dt: float | None = None
        self.fewest: int | None = None

    def reset(self) -> None:
        super().reset()
        self.rate = None

    def observe(self, v: Tensor, iterations: int) -> None:
        self.predictor.push(v)
        if self.fewest is None or iterations < self.fewest:
            self.fewest = iterations
        elif iterations > RENEW * self.fewest + 2:
            self.rate = self.fewest = None

    def _measure(self, u: Tensor, guess: Tensor) -> Tensor:
        """Symbol of ∂(Ḡ ḡ)/∂v at the guess."""
        assert self.grid is not None
        nd = self.grid.ndim

        def term(x: Tensor) -> Tensor:
            if self.g is None:
                return self.scheme.slope(self.dynamics, x, u, 0.0)
            return self.scheme.gradient(self.dynamics, x, u)

        symbol = symbols.measured_symbol(linearize(term, guess), u, nd)
        return symbol if self.g is None else symbols.product(self.g.to(symbol), symbol, nd)

    def _prepare(self, u: Tensor, guess: Tensor, dt: float) -> None:
        if self.grid is None or (self.rate is not None and self.dt == dt):
            return
        if self.rate is None:
            self.rate = self._measure(u, guess)
        nd = self.grid.ndim
        m = symbols.one_minus(dt * self.rate, nd)
        self.inverse = symbols.safe_inverse(m, nd, MIN_PIVOT)
        self.m = symbols.inverse(self.inverse, nd)

    def _filter(self, symbol: Tensor | None, x: Tensor, shape: torch.Size) -> Tensor:
        if symbol is None or self.grid is None:
            return x
        x_hat = self.grid.rfft(x.view(shape))
        return self.grid.irfft(symbols.apply(symbol, x_hat, self.grid.ndim)).reshape(x.shape)

    def start(self, u: Tensor, dt: float) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        guess = guess_state(self.predictor, u, self.dt == dt)
        self._prepare(u, guess, dt)
        self.dt = dt
        residual = equation(self.scheme, self.dynamics, u, dt)

        def g(x: Tensor) -> Tensor:
            return x - self._filter(self.inverse, residual(x), u.shape)

        return g, guess

    def defect(self, f: Tensor, u: Tensor) -> Tensor:
        return -self._filter(self.m, f, u.shape)

    def precondition_adjoint(self, x: Tensor, shape: torch.Size) -> Tensor:
        if self.inverse is None or self.grid is None:
            return x
        return self._filter(symbols.adjoint(self.inverse, self.grid.ndim), x, shape)

    def newton(self, u: Tensor, dt: float) -> tuple[Direction, Slope | None]:
        residual = equation(self.scheme, self.dynamics, u, dt)

        def direction(v: Tensor, f: Tensor, eta: Tensor) -> Tensor:
            product = linearize(residual, v)

            def apply(d: Tensor) -> Tensor:
                return self._filter(self.inverse, product(d), u.shape)

            return gmres(apply, f, rtol=eta, max_iterations=KRYLOV_LIMIT)[0]

        return direction, None
