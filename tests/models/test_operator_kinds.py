"""Kinds of operators by name: the same in programs and in models, kernels as wide as asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from zoo import FIELD, FIELD_2D, ODE

from ddg_explorer.grids import Grid
from ddg_explorer.models.operator_kinds import OPERATORS
from ddg_explorer.structure import STRUCTURES

KERNELS = ["learned_kernel", "learned_skew_kernel", "learned_dissipative_kernel"]
SQUARE = [[1.0, 2.0], [0.0, 1.0]]
WEIGHTS = [0.0, 1.0, -1.0]
OPTIONS = {
    "damped_symplectic": {"friction": 0.1},
    "matrix": {"entries": SQUARE},
    "kernel": {"weights": WEIGHTS},
}


def test_programs_and_models_have_one_name_for_one_kind() -> None:
    """A maker in `STRUCTURES` makes, by the same name, what a model takes."""
    line = Grid((16,), (4.0,))
    made_of = {
        "damped_symplectic": (0.1,),
        "matrix": (SQUARE,),
        "learned_skew_matrix": (SQUARE,),
        "learned_dissipative_matrix": (SQUARE,),
        "kernel": (line, WEIGHTS),
        "learned_skew_kernel": (line, WEIGHTS),
        "learned_dissipative_kernel": (line, SQUARE),
    }
    for kind in set(STRUCTURES) & set(OPERATORS):
        base = ODE if OPERATORS[kind][0] == "any" else FIELD
        base = replace(FIELD, state_shape=(2, 16)) if kind == "strain_wave" else base
        own = replace(base, structure={"kind": kind, **OPTIONS.get(kind, {})}).build().structure
        found = STRUCTURES[kind](*made_of.get(kind, (line,)))
        assert type(found) is type(own), kind
        assert type(found.module) is type(own.module), kind
    others = {"mobility", "state_matrix", "state_dependent", "combination"}
    assert set(STRUCTURES) - set(OPERATORS) == others


@pytest.mark.parametrize("width", [1, 3, 5, 7])
@pytest.mark.parametrize("kind", KERNELS)
def test_a_kernel_has_the_width_that_was_asked_for(kind: str, width: int) -> None:
    for base in (FIELD, FIELD_2D):
        model = replace(base, structure={"kind": kind, "width": width}).build()
        assert tuple(model.structure.kernel.shape) == (width,) * (len(base.state_shape) - 1)


@pytest.mark.parametrize("width", [4, 0, -3, 3.0, "3", None, True])
@pytest.mark.parametrize("kind", KERNELS)
def test_a_width_that_is_not_odd_and_positive_is_refused(kind: str, width: object) -> None:
    with pytest.raises(ValueError, match=f"^width={width!r}: must be an odd integer ≥ 1$"):
        replace(FIELD, structure={"kind": kind, "width": width}).build()
