"""The C++ compiler of this machine, if there is one."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

USUAL = "clang++" if sys.platform == "darwin" else "g++"


def wanted() -> str:
    """Name or path of the compiler that torch calls: what CXX says, else the platform's."""
    return os.environ.get("CXX", USUAL)


def compiler() -> str | None:
    """Path of the C++ compiler that torch calls; None without it, or without Python's headers."""
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return shutil.which(wanted()) if header.is_file() else None
