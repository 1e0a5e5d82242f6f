"""What `make clean` may remove; nothing is run here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
@pytest.mark.parametrize(
    ("options", "removed"),
    [
        ((), [".venv"]),
        (("PYTHON=/usr/bin/python3.12",), [".venv-python3.12"]),
        (("VENV=.venv-other",), [".venv-other"]),
        (("VENV=/precious/.venv",), []),
        (("VENV=.venv/../..",), []),
        (("VENV=mine",), []),
    ],
)
def test_clean_removes_environments_of_its_own_only(options, removed, tmp_path) -> None:
    shutil.copy(MAKEFILE, tmp_path)
    outer = ("PYTHON", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    environment = {k: v for k, v in os.environ.items() if k not in outer} | {"VENV": "/precious"}
    run = ["make", "--dry-run", "clean", *options]
    done = subprocess.run(
        run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    words = done.stdout.split()
    assert words[:2] == ["rm", "-rf"]
    assert [word for word in words[2:] if word not in ("build", "dist")] == [
        *removed,
        ".pytest_cache",
        ".ruff_cache",
    ]
