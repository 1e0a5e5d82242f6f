"""Render the pictures of the gallery: `python -m ddg_explorer.app.thumbnails [SYSTEM …]`.

Every preset runs from its own initial state with its own Δt. A two-dimensional field is shown as it
is at the end, a one-dimensional one over space and time (newest on top, as in the lanes), an ODE as
its orbit. Grey levels are rows of the lanes' colour tables, within the limits that a lane has by
then; those of an orbit are its opacity.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageChops, ImageDraw

from ddg_explorer.app.limits import Limits
from ddg_explorer.app.pictures import picture
from ddg_explorer.app.thumbnails import FOLDER, SUFFIX, path_of
from ddg_explorer.io import atomic
from ddg_explorer.rollout import Rollout
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.systems.builtin import PresetSystem

SIZE = (208, 117)
LIMIT_BYTES = 150 * 1024
QUALITY = 88
INK = (1.0, 0.5)
"""Opacity of the curves of one picture, relative to that of the first."""
ROWS = 117
FINER = 4
"""Lines are drawn this many times larger, then reduced."""
STEPS = {
    ("mass_spring", "friction"): 700,
    ("mass_spring", "stiff"): 48,
    ("pendulum", "friction"): 900,
    ("pendulum", "separatrix"): 700,
    ("two_body", "ellipse"): 800,
    ("two_body", "comet"): 3000,
    ("two_body", "published"): 250,
    ("kdv", "two_solitons"): 800,
    ("kdv", "soliton"): 500,
    ("kdv", "cosine"): 1900,
    ("kdv", "gas"): 1600,
    ("kdv", "three_solitons"): 1000,
    ("kdv", "published"): 1000,
    ("cahn_hilliard_2d", "spinodal"): 150,
    ("cahn_hilliard_2d", "droplets"): 150,
    ("cahn_hilliard_2d", "published"): 150,
    ("cahn_hilliard_2d", "checkerboard"): 25,
    ("cahn_hilliard_2d", "discs"): 15,
}
"""Time steps that show what a preset is about."""
USUAL = 500


def states(system: PresetSystem, steps: int) -> np.ndarray:
    """About `ROWS` states (time, …) of a field, every state of an ODE."""
    rollout = Rollout(system, system.initial(), system.dt)
    every = 1 if system.grid is None else max(1, steps // ROWS)
    found = [rollout.u, *(frame.u for frame in rollout.frames(steps, every))]
    if rollout.stopped:
        raise RuntimeError(f"{system.name}, {system.preset}: {rollout.stopped}")
    return np.stack([u.numpy() for u in found])


def levels(values: np.ndarray, limits: tuple[float, float]) -> Image.Image:
    """(rows, columns) of numbers as rows of a colour table, 0 … 255 from limit to limit."""
    low, high = limits
    shares = np.clip((values - low) / (high - low), 0, 1)
    return Image.fromarray(np.rint(255 * shares).astype(np.uint8), "L")


def cropped(whole: Image.Image) -> Image.Image:
    """The middle of a picture in the shape of a thumbnail."""
    height = round(whole.width * SIZE[1] / SIZE[0])
    top = (whole.height - height) // 2
    return whole.crop((0, top, whole.width, top + height)).resize(SIZE, Image.Resampling.BICUBIC)


def orbit(curves: Sequence[np.ndarray]) -> Image.Image:
    """Curves (time, 2) in one plane, fading towards the past, with a dot at the end."""
    width, height = (FINER * s for s in SIZE)
    reach = np.abs(np.concatenate(curves)).max(0)
    together = len(curves) > 1
    unit = 0.43 * height / (np.full(2, reach.max()) if together else reach)
    if not together:
        unit[0] = min(0.45 * width / reach[0], 1.7 * unit[1])
    drawn = Image.new("L", (width, height))
    for curve, ink in zip(curves, INK, strict=False):
        layer = Image.new("L", drawn.size)
        pen = ImageDraw.Draw(layer)
        points = np.stack(
            [width / 2 + unit[0] * curve[:, 0], height / 2 - unit[1] * curve[:, 1]], -1
        )
        for k in range(1, len(points)):
            opacity = round(ink * (60 + 195 * k / len(points)))
            ends = [tuple(points[k - 1]), tuple(points[k])]
            if abs(points[k] - points[k - 1]).max() < height / 2:
                pen.line(ends, fill=opacity, width=2 * FINER, joint="curve")
        x, y = points[-1]
        size = 4.5 * FINER
        pen.ellipse((x - size, y - size, x + size, y + size), fill=round(255 * ink))
        drawn = ImageChops.lighter(drawn, layer)
    return drawn.resize(SIZE, Image.Resampling.LANCZOS)


def render(name: str, preset: str) -> Image.Image:
    """The picture of a preset, in grey levels."""
    system = SYSTEMS[name](preset)
    found = states(system, STEPS.get((name, preset), USUAL))
    if system.grid is None:
        if name == "two_body":
            return orbit([found[:, :2], found[:, 2:4]])
        if name == "pendulum":
            found[:, 0] = np.remainder(found[:, 0] + np.pi, 2 * np.pi) - np.pi
        return orbit([found])
    seen = picture(system, system.initial())
    limits = Limits(seen.limits, seen.signed)
    shown = [torch.from_numpy(u) for u in found]
    for u in shown:
        limits.follow(seen.span(u))
    if system.grid.ndim == 2:
        return cropped(levels(seen.values(shown[-1]), limits.value))
    rows = np.stack([seen.values(u)[0] for u in reversed(shown)])
    return levels(rows, limits.value).resize(SIZE, Image.Resampling.BICUBIC)


def main(arguments: Sequence[str] | None = None) -> int:
    """Render; exit code 1 where all of them take more than `LIMIT_BYTES`."""
    parser = argparse.ArgumentParser(prog="python -m ddg_explorer.app.thumbnails")
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help="which (all)")
    for name in parser.parse_args(arguments).systems or list(SYSTEMS):
        if name not in SYSTEMS:
            parser.exit(2, f"system={name!r}: use some of {', '.join(SYSTEMS)}\n")
        for preset in SYSTEMS[name].presets:
            with atomic(path_of(name, preset)) as temporary:
                render(name, preset).save(temporary, "WEBP", quality=QUALITY, method=6)
    total = sum(path.stat().st_size for path in FOLDER.glob(f"*{SUFFIX}"))
    sys.stdout.write(f"pictures take {total / 1024:.1f} KiB\n")
    return int(total > LIMIT_BYTES)


if __name__ == "__main__":
    sys.exit(main())
