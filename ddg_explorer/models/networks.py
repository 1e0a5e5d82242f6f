"""Networks that give an energy or a vector field, on ODE states and on stencils of a field.

    x = Aᵀ(s − μ),   h₀ = x,   hₖ = σ(Wₖ hₖ₋₁ + bₖ),   out = c (w·h + b) [+ ½ xᵀQx]

s is the whole state of an ODE, or at every site of a periodic grid the stencil of values around it;
(μ, A) scale and whiten it, c scales the output: all three are fitted to the training data and kept
as buffers, so that a saved network carries them. An energy is the sum over sites times the cell
volume, as in the convolution of width w followed by pointwise layers of Matsubara, Ishikawa and
Yaguchi (2020, arXiv:1905.08604). Stencils are gathered by shifts and multiplied as matrices, which
is several times faster than a convolution of width 1.

States are `(..., d)` or `(..., C, *grid)`, everything nondimensional.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ddg_explorer.discrete import ACTIVATIONS
from ddg_explorer.grids import Grid


class Gather(nn.Module):
    """Features of every site: `(..., C, *grid) → (..., *grid, C·wᵈ)`; an ODE state stays itself.

    Parameters
    ----------
    state_shape
        `(d,)`, or `(C, *grid)`.
    grid
        The periodic grid, None for an ODE.
    width
        Odd width w of the stencil along every axis, at most the grid's points along any.
    """

    def __init__(self, state_shape: tuple[int, ...], grid: Grid | None, width: int = 3) -> None:
        super().__init__()
        if width < 1 or width % 2 == 0:
            raise ValueError(f"width={width}: a stencil's width must be odd and positive")
        self.grid, self.width = grid, width
        if grid is None:
            self.features = state_shape[0]
            return
        if width > min(grid.shape):
            raise ValueError(f"width={width}: at most {min(grid.shape)}, the points of the grid")
        reach = range(-(width // 2), width // 2 + 1)
        self.offsets = tuple(itertools.product(reach, repeat=grid.ndim))
        self.features = state_shape[0] * len(self.offsets)

    def forward(self, u: Tensor) -> Tensor:
        if self.grid is None:
            return u
        axes = self.grid.axes
        shifted = [torch.roll(u, tuple(-o for o in offset), axes) for offset in self.offsets]
        stencils = torch.stack(shifted, -1)
        return torch.movedim(stencils, -2 - self.grid.ndim, -2).flatten(-2)


class Perceptron(nn.Module):
    """Dense layers on whitened features, `(..., m) → (..., out)`; see the module's equation.

    The buffers `mean` (m), `whiten` (m, m) and `scale` () are μ, A and c; they start at 0, 1, 1.
    `scale` can have a number for each output, `(out,)`, where these are in units far apart.

    Parameters
    ----------
    features, out
        Sizes m and of the output.
    hidden, depth
        Width h and number of hidden layers.
    activation
        Key of `ACTIVATIONS`.
    skip
        Add the quadratic form ½ xᵀQx to the output (energies only, out = 1).
    generator
        Source of the orthogonal initial weights, drawn in float64 on the CPU; biases start at 0.
    """

    def __init__(
        self,
        features: int,
        out: int,
        *,
        hidden: int = 200,
        depth: int = 2,
        activation: str = "tanh",
        skip: bool = False,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation={activation!r}: use one of {', '.join(ACTIVATIONS)}")
        if hidden < 1 or depth < 1:
            raise ValueError(f"hidden={hidden}, depth={depth}: both must be at least 1")
        self.activation = activation
        sizes = [features, *[hidden] * depth, out]
        layers = [Dense(a, b, generator, dtype) for a, b in itertools.pairwise(sizes)]
        self.layers = nn.ModuleList(layers)
        self.quadratic = (
            nn.Parameter(torch.zeros(features, features, dtype=dtype)) if skip else None
        )
        self.mean: Tensor
        self.whiten: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(features, dtype=dtype))
        self.register_buffer("whiten", torch.eye(features, dtype=dtype))
        self.register_buffer("scale", torch.ones((), dtype=dtype))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest) -> None:
        found, out = state_dict.get(f"{prefix}scale"), self.dense[-1].out_features
        if found is not None and found.shape in ((), (out,)):
            self.scale = torch.empty_like(self.scale.reshape(-1)[0].expand(found.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    @property
    def sigma(self) -> Callable[[Tensor], Tensor]:
        """The activation."""
        return ACTIVATIONS[self.activation]

    @property
    def dense(self) -> list[nn.Linear]:
        """The layers, the output's last."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def forward(self, s: Tensor) -> Tensor:
        x = (s - self.mean) @ self.whiten
        h = x
        for layer in self.layers[:-1]:
            h = self.sigma(layer(h))
        out = self.layers[-1](h) * self.scale
        if self.quadratic is None:
            return out
        return out + ((x @ self.quadratic) * x).sum(-1, keepdim=True) / 2


class EnergyNetwork(nn.Module):
    """H(u) = Δxᵈ Σ_sites e(stencil), or e(u) for an ODE; `(..., *state_shape) → (...)`."""

    def __init__(
        self, state_shape: tuple[int, ...], grid: Grid | None, *, width: int = 3, **options
    ) -> None:
        super().__init__()
        self.gather = Gather(state_shape, grid, width)
        self.density = Perceptron(self.gather.features, 1, **options)

    def forward(self, u: Tensor) -> Tensor:
        e = self.density(self.gather(u)).squeeze(-1)
        grid = self.gather.grid
        return e if grid is None else e.sum(grid.axes) * grid.cell_volume


class SeparableEnergy(nn.Module):
    """H(q, p) = T(p) + V(q) for an ODE state (q, p), each part a network of its own."""

    def __init__(self, state_shape: tuple[int, ...], **options) -> None:
        super().__init__()
        if len(state_shape) != 1 or state_shape[0] % 2:
            raise ValueError(
                f"state_shape={state_shape}: a separable energy needs an ODE whose states are "
                "(q, p), of even size"
            )
        half = (state_shape[0] // 2,)
        self.kinetic = EnergyNetwork(half, None, **options)
        self.potential = EnergyNetwork(half, None, **options)

    def forward(self, u: Tensor) -> Tensor:
        q, p = u.chunk(2, -1)
        return self.kinetic(p) + self.potential(q)


class VectorField(nn.Module):
    """u̇ = f(stencil) at every site, or f(u) for an ODE; keeps the state's shape."""

    def __init__(
        self, state_shape: tuple[int, ...], grid: Grid | None, *, width: int = 5, **options
    ) -> None:
        super().__init__()
        self.gather = Gather(state_shape, grid, width)
        self.field = Perceptron(self.gather.features, state_shape[0], **options)

    def forward(self, u: Tensor) -> Tensor:
        f = self.field(self.gather(u))
        return f if self.gather.grid is None else torch.movedim(f, -1, -1 - self.gather.grid.ndim)


class MatrixField(nn.Module):
    """A(u), `(..., d) → (..., d, d)`: the matrix that a learned state-dependent G is made of."""

    def __init__(self, size: int, **options) -> None:
        super().__init__()
        self.entries = Perceptron(size, size * size, **options)

    def forward(self, u: Tensor) -> Tensor:
        return self.entries(u).unflatten(-1, (u.shape[-1], u.shape[-1]))


class Mobility(nn.Module):
    """M(u) > 0 at every point, the softplus of a network of one hidden layer."""

    def __init__(self, **options) -> None:
        super().__init__()
        self.raw = Perceptron(1, 1, depth=1, **options)
        self.strength: Tensor
        self.register_buffer("strength", torch.ones_like(self.raw.scale))

    def forward(self, u: Tensor) -> Tensor:
        raw = self.raw(u.unsqueeze(-1)).squeeze(-1)
        return self.strength * nn.functional.softplus(raw)


class Dense(nn.Linear):
    """A dense layer with orthogonal weights and zero biases, drawn from `generator`."""

    def __init__(
        self, features: int, out: int, generator: torch.Generator, dtype: torch.dtype
    ) -> None:
        super().__init__(features, out, dtype=dtype)
        with torch.no_grad():
            self.weight.copy_(orthogonal(out, features, generator))
            self.bias.zero_()

    def reset_parameters(self) -> None:
        """Nothing: torch's own initialisation would draw from the global generator."""


def orthogonal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A (rows, columns) matrix with orthonormal rows or columns, Haar-distributed, float64.

    QR of a Gaussian matrix with the signs of R's diagonal moved into Q (Mezzadri 2007, Notices AMS
    54, 592).
    """
    tall = rows >= columns
    shape = (rows, columns) if tall else (columns, rows)
    q, r = torch.linalg.qr(torch.randn(shape, generator=generator, dtype=torch.float64))
    q = q * r.diagonal().sign()
    return q if tall else q.mT
