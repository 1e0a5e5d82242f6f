"""What a free matrix turns out to be: S, or S with the true friction, and when it cannot.

A coupled energy fixes G up to one factor. A separable one leaves two open for one degree of
freedom, as `inspect` finds from the learned H: of the whole family it takes the G by which energy
rises least, and the family itself is compared with the true one's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.machine import Options
from benchmarks.report import Row
from benchmarks.trainings import trained
from ddg_explorer.data import Dataset
from ddg_explorer.learned_structure import inspect_structure
from ddg_explorer.simulation import simulate
from ddg_explorer.structure import DampedSymplectic, Symplectic
from ddg_explorer.systems import System

NETWORK: dict[str, Any] = {
    "hidden": 12,
    "skip": True,
    "structure": {"kind": "learned_matrix"},
}
TRAINING = {"steps": 400, "rows": (500, 1000)}
TRAJECTORIES, STEPS, DT, FRICTION = 20, 60, 0.1, 0.2


def coupled(u: Tensor) -> Tensor:
    """½(1 + ½q²)p² + 1 − cos q: the mass depends on the angle."""
    q, p = u[..., 0], u[..., 1]
    return 0.5 * (1 + 0.5 * q * q) * p * p + 1 - torch.cos(q)


def separable(u: Tensor) -> Tensor:
    """½p² + 1 − cos q."""
    return 0.5 * u[..., 1].square() + 1 - torch.cos(u[..., 0])


def two_coupled(u: Tensor) -> Tensor:
    """Two such pendulums with a spring between them; (q₁, q₂, p₁, p₂)."""
    q, p = u[..., :2], u[..., 2:]
    stretch = q[..., 0] - q[..., 1]
    single = 0.5 * (1 + 0.5 * q * q) * p * p + 1 - torch.cos(q)
    return single.sum(-1) + 0.3 * stretch * stretch * (1 + 0.3 * p.sum(-1))


CASES = {
    "coupled, 2×2": (coupled, 2, 0.0),
    "coupled with friction 0.2, 2×2": (coupled, 2, FRICTION),
    "coupled, 4×4": (two_coupled, 4, 0.0),
    "separable, 2×2": (separable, 2, 0.0),
    "separable with friction 0.2, 2×2": (separable, 2, FRICTION),
}


def measure(options: Options) -> Row:
    recipe = {
        "network": NETWORK,
        "training": TRAINING,
        "trajectories": TRAJECTORIES,
        "steps": STEPS,
        "dt": DT,
        "seed": 0,
    }
    row = Row("learned_matrix", "free matrices of ODEs, trained together with H", recipe)
    training = {**TRAINING, "steps": 20} if options.quick else TRAINING
    for name, (energy, size, friction) in CASES.items():
        true = DampedSymplectic(friction=friction, size=size) if friction else Symplectic(size=size)
        run = trained("dgnet", _data(energy, true, size), NETWORK, training, 0)
        found = inspect_structure(run.model)
        assert found.matrix is not None
        row.add(f"{name}: factors left open", found.freedom)
        row.add(f"{name}: training", run.cpu_s, "s CPU")
        row.add(f"{name}: loss", run.loss)
        exact = true.matrix((size,))
        scaled = found.matrix * (found.matrix * exact).sum() / found.matrix.square().sum()
        row.add(f"{name}: largest error of G", (scaled - exact).abs().max(), least=1e-2)
        if found.freedom != 1:
            row.add(f"{name}: distance to the family", _family_distance(run, exact), least=1e-2)
        entries = [[round(x, 4) for x in line] for line in found.matrix.tolist()]
        row.notes.append(f"{name}: G = {entries}, energy {found.energy_law}")
    return row


def _family_distance(run: Any, exact: Tensor) -> float:
    from ddg_explorer.models.freedom import family, family_distance

    basis = family(run.model)
    assert basis is not None
    found = run.model.structure.matrix(tuple(exact.shape[:1])).detach()
    return family_distance(found, exact, basis)


def _data(energy: Any, structure: Any, size: int) -> Dataset:
    def initial(generator: torch.Generator) -> Tensor:
        return 3 * torch.rand(size, generator=generator, dtype=torch.float64) - 1.5

    system = System(energy, structure, initial=initial, state_shape=(size,))
    run = simulate(system, system.initial(0, TRAJECTORIES), dt=DT, steps=STEPS)
    if run.reason:
        raise RuntimeError(run.reason)
    return Dataset(run.u.transpose(0, 1).contiguous(), DT)
