"""Cahn–Hilliard equation in two dimensions: spinodal decomposition, droplets, ripening.

    u_t = Δ(−u + u³ − γ Δu),    H = ∫ ¼u⁴ − ½u² + γ/2 |∇u|² dx dy

u ∈ (−1, 1) is the concentration; states are `(..., 1, nx, ny)`, periodic, nondimensional. Energy,
operators and forces are those of `ddg_explorer.systems.cahn_hilliard`. γ = 5·10⁻⁴ on the unit
square has interfaces √(2γ) ≈ 0.03 wide: two grid points at 64², four at 128². Cahn and Hilliard
(1958, doi:10.1063/1.1744102); learned from data by Matsubara, Aoshima, Ishikawa and Yaguchi (2025,
doi:10.1109/TNNLS.2025.3529516).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ddg_explorer.systems.base import Preset
from ddg_explorer.systems.cahn_hilliard import CahnHilliardBase
from ddg_explorer.systems.draw import Draw
from ddg_explorer.systems.fields import column


class CahnHilliard2D(CahnHilliardBase):
    """u_t = Δ(−u + u³ − γ Δu) on a periodic rectangle."""

    name = "cahn_hilliard_2d"
    title = "Cahn–Hilliard (2-D)"
    ndim = 2
    presets: Mapping[str, Preset] = {
        "spinodal": Preset(
            title="Spinodal decomposition",
            about=(
                "An even mixture with a little noise. First nothing seems to happen while the "
                "noise smooths out; then a labyrinth of the fastest-growing wavelength appears at "
                "once, saturates, and coarsens ever more slowly. The energy only ever falls, the "
                "mass stays to the last digit."
            ),
            dt=2e-4,
            initial="noise",
            n=128,
            length=1.0,
            parameters={"gamma": 2e-4},
            options={"mean": 0.0, "size": 0.05},
        ),
        "droplets": Preset(
            title="Droplets",
            about=(
                "A lean mixture (mean 0.35) separates into droplets instead of a labyrinth. Small "
                "ones dissolve, large ones grow: Ostwald ripening."
            ),
            dt=4e-4,
            initial="noise",
            n=128,
            length=1.0,
            parameters={"gamma": 2e-4},
            options={"mean": 0.35, "size": 0.05},
        ),
        "published": Preset(
            title="Race: a labyrinth on 64²",
            about=(
                "Out of noise of ±0.05 a coarse labyrinth grows and thickens. γ = 5·10⁻⁴ on the "
                "unit square, as in the published one-dimensional experiment; the grid is "
                "small, so it runs fastest. Δt is already some 40 times beyond the mark of the "
                "explicit schemes; pull it further: with the discrete gradient the energy still "
                "only falls, and the mass stays."
            ),
            dt=2e-4,
            initial="noise",
            n=64,
            length=1.0,
            options={"mean": 0.0, "size": 0.05},
        ),
        "checkerboard": Preset(
            title="A checkerboard melts",
            about=(
                "Squares of the two phases with a little noise: corners round off, diagonal "
                "neighbours join one way or the other, and the symmetry breaks at random."
            ),
            dt=4e-4,
            initial="checkerboard",
            n=128,
            length=1.0,
            parameters={"gamma": 2e-4},
            options={"squares": 6, "noise": 0.1},
        ),
        "discs": Preset(
            title="Ripening discs",
            about=(
                "Discs of many sizes. Each one shrinks or grows by its curvature through the "
                "field between them; touching ones merge and round off."
            ),
            dt=5e-4,
            initial="discs",
            n=128,
            length=1.0,
            parameters={"gamma": 2e-4},
            options={"count": 24, "smallest": 0.025, "largest": 0.11},
        ),
    }

    def initial_checkerboard(self, draw: Draw, *, squares: int, noise: float) -> Tensor:
        """sign-like board of squares × squares fields with noise U(−noise, noise) on top."""
        x, y = self.coordinates()
        length_x, length_y = self.grid.length
        width = math.sqrt(2 * self.values["gamma"])
        waves = torch.sin(math.pi * squares * x / length_x) * torch.sin(
            math.pi * squares * y / length_y
        )
        board = torch.tanh(waves * length_x / (math.pi * squares * width))
        return (1 - noise) * board + self.noise(draw, -noise, noise)

    def initial_discs(self, draw: Draw, *, count: int, smallest: float, largest: float) -> Tensor:
        """`count` discs of u = 1 in u = −1, radii U(smallest, largest) in units of the side."""
        sides = self.grid.length
        width = math.sqrt(2 * self.values["gamma"])
        radius = draw.uniform(smallest, largest, count) * min(sides)
        places = draw.uniform(0, 1, count, 2)
        u = torch.full((1, 1, *self.grid.shape), -1.0, dtype=torch.float64)
        for i in range(count):
            squared = torch.zeros_like(u)
            for axis, (x, side) in enumerate(zip(self.coordinates(), sides, strict=True)):
                offset = x - column(places[:, i, axis] * side, 2)
                offset = torch.remainder(offset + side / 2, side) - side / 2
                squared = squared + offset**2
            disc = torch.tanh((column(radius[:, i], 2) - squared.sqrt()) / width)
            u = torch.maximum(u, disc)
        return u
