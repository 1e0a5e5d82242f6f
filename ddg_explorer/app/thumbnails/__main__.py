"""Render the pictures of the gallery: `python -m ddg_explorer.app.thumbnails [SYSTEM …]`.

Every preset runs from its own initial state with its own Δt. A two-dimensional field is shown as it
is at the end, a one-dimensional one over space and time (time runs down), an ODE as its orbit.
Positive and negative values are two colours, their size is the opacity.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from ddg_explorer.app.thumbnails import FOLDER, SUFFIX, path_of
from ddg_explorer.io import atomic
from ddg_explorer.rollout import Rollout
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.systems.builtin import PresetSystem

SIZE = (208, 117)
LIMIT_BYTES = 150 * 1024
QUALITY = 50
POSITIVE, NEGATIVE = (38, 132, 199), (226, 122, 38)
ROWS = 117
FINER = 4
"""Lines are drawn this many times larger, then reduced."""
STEPS = {
    ("mass_spring", "friction"): 700,
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


def coloured(field: np.ndarray) -> Image.Image:
    """(rows, columns) as a picture: two colours, |value| as opacity."""
    top = float(np.abs(field).max())
    share = np.clip(np.abs(field) / top, 0, 1)
    rgb = np.where((field >= 0)[..., None], POSITIVE, NEGATIVE)
    pixels = np.concatenate([rgb, np.rint(255 * share[..., None] ** 0.8)], -1).astype(np.uint8)
    return Image.fromarray(pixels, "RGBA")


def cropped(picture: Image.Image) -> Image.Image:
    """The middle of a picture in the shape of a thumbnail."""
    height = round(picture.width * SIZE[1] / SIZE[0])
    top = (picture.height - height) // 2
    return picture.crop((0, top, picture.width, top + height)).resize(
        SIZE, Image.Resampling.BICUBIC
    )


def orbit(curves: Sequence[np.ndarray]) -> Image.Image:
    """Curves (time, 2) in one plane, fading towards the past, with a dot at the end."""
    width, height = (FINER * s for s in SIZE)
    reach = np.abs(np.concatenate(curves)).max(0)
    together = len(curves) > 1
    unit = 0.43 * height / (np.full(2, reach.max()) if together else reach)
    if not together:
        unit[0] = min(0.45 * width / reach[0], 1.7 * unit[1])
    picture = Image.new("RGBA", (width, height), (*POSITIVE, 0))
    for curve, colour in zip(curves, (POSITIVE, NEGATIVE), strict=False):
        layer = Image.new("RGBA", picture.size, (*colour, 0))
        pen = ImageDraw.Draw(layer)
        points = np.stack(
            [width / 2 + unit[0] * curve[:, 0], height / 2 - unit[1] * curve[:, 1]], -1
        )
        for k in range(1, len(points)):
            opacity = round(60 + 195 * k / len(points))
            ends = [tuple(points[k - 1]), tuple(points[k])]
            if abs(points[k] - points[k - 1]).max() < height / 2:
                pen.line(ends, fill=(*colour, opacity), width=2 * FINER, joint="curve")
        x, y = points[-1]
        size = 4.5 * FINER
        pen.ellipse((x - size, y - size, x + size, y + size), fill=(*colour, 255))
        picture.alpha_composite(layer)
    return picture.resize(SIZE, Image.Resampling.LANCZOS)


def render(name: str, preset: str) -> Image.Image:
    """The picture of a preset."""
    system = SYSTEMS[name](preset)
    found = states(system, STEPS.get((name, preset), USUAL))
    if system.grid is None:
        if name == "two_body":
            return orbit([found[:, :2], found[:, 2:4]])
        if name == "pendulum":
            found[:, 0] = np.remainder(found[:, 0] + np.pi, 2 * np.pi) - np.pi
        return orbit([found])
    if system.grid.ndim == 2:
        return cropped(coloured(found[-1, 0].T[::-1]))
    return coloured(found[:, 0]).resize(SIZE, Image.Resampling.BICUBIC)


def main(arguments: Sequence[str] | None = None) -> int:
    """Render; exit code 1 where all of them take more than `LIMIT_BYTES`."""
    parser = argparse.ArgumentParser(prog="python -m ddg_explorer.app.thumbnails")
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help="which (all)")
    for name in parser.parse_args(arguments).systems or list(SYSTEMS):
        if name not in SYSTEMS:
            parser.exit(2, f"system={name!r}: use some of {', '.join(SYSTEMS)}\n")
        for preset in SYSTEMS[name].presets:
            with atomic(path_of(name, preset)) as temporary:
                render(name, preset).save(
                    temporary, "WEBP", quality=QUALITY, alpha_quality=QUALITY, method=6
                )
            path_of(name, preset).chmod(0o644)
    total = sum(path.stat().st_size for path in FOLDER.glob(f"*{SUFFIX}"))
    sys.stdout.write(f"pictures take {total / 1024:.1f} KiB\n")
    return int(total > LIMIT_BYTES)


if __name__ == "__main__":
    sys.exit(main())
