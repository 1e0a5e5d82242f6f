"""Small pictures of every preset, `<system>.<preset>.webp`, rendered from real simulations.

`python -m ddg_explorer.app.thumbnails` makes them again. A grey level is the row of a colour table:
the browser colours them with those of the lanes, in either theme (`ddg_explorer.app.gallery`).
"""

from __future__ import annotations

import base64
from pathlib import Path

FOLDER = Path(__file__).parent
SUFFIX = ".webp"


def path_of(system: str, preset: str) -> Path:
    """Where the picture of a preset is, or is to be."""
    return FOLDER / f"{system}.{preset}{SUFFIX}"


def data_uri(system: str, preset: str) -> str:
    """The picture as a data URI, "" where there is none."""
    path = path_of(system, preset)
    if not path.is_file():
        return ""
    return "data:image/webp;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
