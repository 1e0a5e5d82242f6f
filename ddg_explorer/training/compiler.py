"""The C++ compiler of this machine, if there is one."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

COMPILERS = ("c++", "g++", "clang++")


def compiler() -> str | None:
    """Path of the C++ compiler that torch would use with Python's headers; None without either."""
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    found = [path for path in map(shutil.which, COMPILERS) if path]
    return found[0] if found and header.is_file() else None
