"""docs/operations.md lists exactly the operations that have a rule, and its example runs."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch

from ddg_explorer.discrete import discrete_grad
from ddg_explorer.discrete.record import RULES

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
# What the functional form is called where its `__name__` is another.
NAMES = {"logsigmoid": "log_sigmoid"}


def test_the_list_of_operations_is_complete_and_true() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ")][1:]
    listed = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert len(listed) == len(set(listed)), "listed twice"
    prefixed = [re.sub(r"^(special|linalg)\.", r"\1_", name) for name in listed]
    prefixed = [re.sub(r"^fft\.", "fft_", name) for name in prefixed]
    known = {name for name in RULES if not name.startswith("__")}
    assert {NAMES.get(name, name) for name in prefixed} == known


def test_the_example_registers_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "deg2rad", None)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})
    v, u = torch.rand(2, 3, 2, dtype=torch.float64)
    found = discrete_grad(lambda x: torch.deg2rad(x).square().sum(-1))(v, u)
    torch.testing.assert_close(found, (math.pi / 180) ** 2 * (v + u))
