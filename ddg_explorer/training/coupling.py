"""How the discrete gradients of energy sites enter the slope at a site: G and the stencil, folded.

    φ_c(x) = Σₒ K_co · s(x + o),    K_co = Σₑ gₑ A_eco

s(y) is the discrete gradient of the energy density at site y with respect to its whitened stencil.
Whitening, folding of the stencils and G are linear, so K is linear in the entries g of G; A is
constant, and a learned G enters through its entries alone. For an ODE there is one offset and
g is the matrix, for a field g holds the weights of a convolution. In weak form (`weak`) G is
followed by the average with ψ, which is linear too: the entry for offset j stands at all j + m with
weight ψₘ.

A `LocalEnergy` has as features the values at a point, then −Δu of every channel: its site y gives
∇̄H at y itself.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from ddg_explorer.models.base import EnergyModel
from ddg_explorer.models.local_energy import LocalEnergy
from ddg_explorer.models.networks import EnergyNetwork
from ddg_explorer.structure import KernelStructure
from ddg_explorer.training.weak import RADIUS, gaussian

Offset = tuple[int, ...]
Entry = tuple[int, int, Offset]
"""Channel of the slope, channel of the gradient, offset from the one to the other."""
ROUNDING = 1e-12


def couples(model: EnergyModel) -> bool:
    """Whether `Coupling` covers the model's G: constant in u, on a field learned as a kernel."""
    structure = model.structure
    known = structure.module is None or model.grid is None or isinstance(structure, KernelStructure)
    return known and not structure.state_dependent


def network_of(model: EnergyModel) -> EnergyNetwork:
    """The network of stencils: the model's own, or the local part of one with a prior."""
    network = model.network.local if isinstance(model.network, LocalEnergy) else model.network
    assert isinstance(network, EnergyNetwork)
    return network


class Coupling:
    """K of one model; follows the entries of a learned G.

    Parameters
    ----------
    weak
        Whether residuals are averaged with ψ.

    Attributes
    ----------
    offsets
        The o of the module's equation.
    radius, spread
        How far the values lie that an energy site depends on, and largest |component| of `offsets`.
    basis
        A, `(entries, components, offsets, features)`.
    """

    def __init__(self, model: EnergyModel, *, weak: bool = False) -> None:
        network = network_of(model)
        self.model, self.weak = model, weak
        self.local = isinstance(model.network, LocalEnergy)
        self.whiten = network.density.whiten
        self.radius = 0 if model.grid is None else network.gather.width // 2
        if self.local:
            self.radius = 1
        if model.grid is None:
            self.offsets: list[Offset] = [()]
            self.basis = self._matrix_basis()
        else:
            self.offsets, self.basis = self._stencil_basis(self._entries_on_field())
        self.spread = max((abs(c) for o in self.offsets for c in o), default=0)
        learned = model.structure.module
        self._fixed = None if learned is not None else self._fold(self.entries())

    def __call__(self) -> Tensor:
        """Today's K, `(components, offsets, features)`."""
        return self._fold(self.entries().detach()) if self._fixed is None else self._fixed

    def entries(self) -> Tensor:
        """g, differentiable in what G learns."""
        structure, dtype = self.model.structure, self.whiten.dtype
        if self.model.grid is None:
            # rows are images of unit vectors: the transpose of the matrix
            return structure.apply(torch.eye(self.model.state_shape[0], dtype=dtype)).mT.flatten()
        if structure.module is not None:
            return structure.module().flatten()
        return torch.tensor([weight for _, weight in self._impulse()], dtype=dtype)

    def derivatives(self) -> dict[str, Tensor]:
        """∂g/∂θ of every parameter θ of G by its name in the model, `(entries, *shape of θ)`."""
        named = [(n, p) for n, p in self.model.named_parameters() if n.startswith("operator.")]
        if not named:
            return {}
        parameters = [p for _, p in named]
        with torch.enable_grad():
            g = self.entries()
            rows = [torch.autograd.grad(x, parameters, retain_graph=True) for x in g]
        columns = zip(*rows, strict=True)
        return {n: torch.stack(c) for (n, _), c in zip(named, columns, strict=True)}

    def _fold(self, g: Tensor) -> Tensor:
        return torch.tensordot(g, self.basis, 1)

    def _matrix_basis(self) -> Tensor:
        d = self.model.state_shape[0]
        basis = torch.zeros(d, d, d, 1, d, dtype=self.whiten.dtype)
        for c in range(d):
            basis[c, :, c, 0] = self.whiten
        return basis.flatten(0, 1)

    def _entries_on_field(self) -> list[list[Entry]]:
        """Where every entry of G stands; an entry of a kernel stands once in every channel."""
        structure = self.model.structure
        if structure.module is None:
            return [[entry] for entry, _ in self._impulse()]
        assert isinstance(structure, KernelStructure)
        widths = structure.kernel.shape
        offsets = itertools.product(*(range(-(w // 2), w // 2 + 1) for w in widths))
        channels = range(self.model.state_shape[0])
        return [[(c, c, offset) for c in channels] for offset in offsets]

    def _impulse(self) -> list[tuple[Entry, float]]:
        """Entries and weights of a fixed G, from its response to an impulse in every channel."""
        assert self.model.grid is not None
        shape = self.model.grid.shape
        centre = tuple(n // 2 for n in shape)
        out = []
        for source in range(self.model.state_shape[0]):
            impulse = torch.zeros(self.model.state_shape, dtype=self.whiten.dtype)
            impulse[(source, *centre)] = 1.0
            response = self.model.structure.apply(impulse)
            strong = response.abs() > ROUNDING * response.abs().max()
            for channel, *place in strong.nonzero().tolist():
                # the response at x − j of an impulse at x is the weight for offset j
                offset = tuple(c - p for c, p in zip(centre, place, strict=True))
                weight = float(response[(channel, *place)])
                out.append(((channel, source, offset), weight))
        return out

    def _stencil_basis(self, entries: list[list[Entry]]) -> tuple[list[Offset], Tensor]:
        folded, channels = self._folded(), self.model.state_shape[0]
        terms = []
        for e, places in enumerate(entries):
            for channel, source, j in places:
                for index, r in enumerate(self._stencil()):
                    row = folded[source * len(self._stencil()) + index]
                    for m, weight in self._tests():
                        o = tuple(a - b + c for a, b, c in zip(j, r, m, strict=True))
                        terms.append((e, channel, o, weight * row))
        offsets = sorted({o for _, _, o, _ in terms})
        number = {o: i for i, o in enumerate(offsets)}
        shape = (len(entries), channels, len(offsets), folded.shape[1])
        basis = torch.zeros(shape, dtype=self.whiten.dtype)
        for e, channel, o, row in terms:
            basis[e, channel, number[o]] += row
        return offsets, basis

    def _stencil(self) -> list[Offset]:
        """Offsets of the values of one energy site that ∇̄H is folded back from."""
        assert self.model.grid is not None
        radius = 0 if self.local else self.radius
        return list(itertools.product(range(-radius, radius + 1), repeat=self.model.grid.ndim))

    def _folded(self) -> Tensor:
        """From features to ∇̄H at the values of a site, `(channels · stencil, features)`."""
        if not self.local:
            return self.whiten
        return torch.cat([self.whiten, torch.eye(len(self.whiten), dtype=self.whiten.dtype)], 1)

    def _tests(self) -> list[tuple[Offset, float]]:
        """Offsets and weights of ψ; the site alone in strong form."""
        assert self.model.grid is not None
        dimensions = self.model.grid.ndim
        if not self.weak:
            return [((0,) * dimensions, 1.0)]
        span = range(-RADIUS, RADIUS + 1)
        psi = gaussian(dimensions).flatten().tolist()
        return list(zip(itertools.product(span, repeat=dimensions), psi, strict=True))
