"""What is kept for the user lies in one folder: data sets, results, and trainings under way."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from ddg_explorer.cli import main
from ddg_explorer.data_cache import user_cache, user_folder
from ddg_explorer.weights.__main__ import main as make_weights


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of this package, in a new place."""
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    return tmp_path / "ddg_explorer"


def test_data_sets_are_kept_below_it(kept: Path) -> None:
    assert user_cache() == kept
    assert user_folder() == kept / "data"


def test_trainings_of_shipped_models_go_on_below_it(kept: Path) -> None:
    assert make_weights(["kdv.dgnet", "--list"]) == 0
    assert [path.relative_to(kept).as_posix() for path in kept.rglob("*")] == [
        "training",
        "training/weights",
    ]


def test_reproduced_results_and_their_trainings_lie_below_it(kept: Path) -> None:
    """Two steps of one small model, with the published data of mass and spring."""
    line = "reproduce spring --models node --steps 2 --tests test"
    assert main(line.split()) == 0
    assert {path.name for path in kept.iterdir()} >= {"data", "results"}
    assert list((kept / "results").rglob("*.json"))
