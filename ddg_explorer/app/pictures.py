"""How a system's state becomes a picture: kind, axes, limits and the payload of a frame.

    field    2-D field, one byte per cell, coloured in the browser
    profile  1-D field: curve(s) over x, and a space–time picture of the first channel
    phase    ODE: curves in a plane over contours of H, and the plotted components over time

`Picture` is what the browser is told once (`spec`); `payload` is what it gets every frame
(`ddg_explorer.app.wire`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import contourpy
import numpy as np
import torch
from torch import Tensor

from ddg_explorer.app.limits import snapped
from ddg_explorer.frames import Frame
from ddg_explorer.systems.base import System
from ddg_explorer.systems.wave import Wave

SEQUENTIAL = ("kdv",)
"""Fields whose values have no meaningful centre; all others are signed."""

COORDINATES: Mapping[str, tuple[str, ...]] = {
    "two_body": ("x₁", "y₁", "x₂", "y₂"),
}
WRAPPED: Mapping[str, tuple[int, ...]] = {"pendulum": (0,)}
"""Coordinates shown modulo 2π."""

ORBIT_ROOM = 1.15
"""Half of a plane of orbits, relative to the largest distance from its centre at the start."""
CONTOURS = 11
CONTOUR_GRID = 121


@dataclass(frozen=True)
class Picture:
    """One lane's picture; `limits` are those it starts with.

    `spec["conserves"]` says whether the true G conserves H.
    """

    kind: str
    scale: str
    limits: tuple[float, float]
    spec: dict[str, Any]
    wrapped: tuple[int, ...] = ()

    @property
    def signed(self) -> bool:
        return self.scale == "diverging"

    def values(self, u: Tensor) -> np.ndarray:
        """What is drawn of one state: (ny, nx), (C, n) or (d,), float64."""
        a = u.detach().to("cpu", torch.float64).numpy()
        if self.kind == "field":
            return a[0, :, ::-1].T
        if self.kind == "profile":
            return a
        a = a[: len(self.spec["names"])].copy()
        for i in self.wrapped:
            a[i] = math.remainder(a[i], 2 * math.pi)
        return a

    def payload(
        self, frames: Sequence[Frame], limits: tuple[float, float], exact: Tensor | None = None
    ) -> tuple[int, bytes]:
        """Number of states in the payload, and its bytes; `exact` is for profiles only."""
        last = self.values(frames[-1].u)
        if self.kind == "field":
            low, high = limits
            x = (last - low) * (255 / (high - low))
            return 1, np.clip(np.rint(x), 0, 255).astype(np.uint8).tobytes()
        if self.kind == "profile":
            curves = [last] if exact is None else [last, self.values(exact)[:1]]
            time = np.array(frames[-1].t, "<f8").tobytes()
            return 1, time + np.concatenate(curves).astype("<f4").tobytes()
        times = np.array([f.t for f in frames])
        states = np.stack([self.values(f.u) for f in frames])
        return len(frames), np.column_stack([times, states]).astype("<f8").tobytes()

    def span(self, u: Tensor) -> tuple[float, float]:
        """Range of the values that the colours must hold: those of a field's first channel."""
        a = self.values(u)[:1] if self.kind == "profile" else self.values(u)
        return float(a.min()), float(a.max())


def picture(system: System, u0: Tensor) -> Picture:
    """The picture that suits the system, with limits from its initial state."""
    if system.grid is None:
        return _phase(system, u0)
    kind = "field" if system.grid.ndim == 2 else "profile"
    scale = "sequential" if system.name in SEQUENTIAL else "diverging"
    span = (float(u0[0].min()), float(u0[0].max()))
    if system.name.startswith("cahn_hilliard"):
        span = (min(span[0], -1.0), max(span[1], 1.0))
    spec: dict[str, Any] = {
        "kind": kind,
        "shape": list(system.grid.shape),
        "length": list(system.grid.length),
        "names": list(channels(system)),
        "conserves": system.structure.is_skew,
    }
    return Picture(kind, scale, snapped(span, scale == "diverging"), spec)


def channels(system: System) -> tuple[str, ...]:
    """Letters of a field's channels, as its equation has them."""
    if isinstance(system, Wave):
        return ("e", "v") if system.strain else ("u", "v")
    return ("u",)


def outgrown(old: Picture, system: System, u: Tensor) -> Picture | None:
    """The picture with a larger window where the state has left a phase plane, otherwise None."""
    if old.kind != "phase":
        return None
    a, window = old.values(u), list(old.spec["window"])
    if not np.isfinite(a).all():
        return None
    changed = False
    for axis in (0, 1):
        reach = float(np.abs(a[axis::2]).max(initial=0))
        if reach > window[2 * axis + 1] and axis not in old.wrapped:
            changed = True
            window[2 * axis], window[2 * axis + 1] = -1.5 * reach, 1.5 * reach
    if not changed:
        return None
    if old.spec.get("equal"):
        window = [-max(window), max(window)] * 2
    lines = contours(system, window, u) if old.spec["contours"] else []
    return replace(old, spec={**old.spec, "window": window, "contours": lines})


def refreshed(old: Picture, system: System, u: Tensor) -> Picture:
    """The picture after a live change of H or G: same window, contours of the new H."""
    spec = {**old.spec, "conserves": system.structure.is_skew}
    if spec.get("contours"):
        spec["contours"] = contours(system, spec["window"], u)
    return replace(old, spec=spec)


def _phase(system: System, u0: Tensor) -> Picture:
    d = system.state_shape[-1]
    names = COORDINATES.get(system.name) or ("q", "p")
    if d > 2 and system.name not in COORDINATES:
        names = tuple(f"q{i + 1}" for i in range(d // 2)) + tuple(
            f"p{i + 1}" for i in range(d - d // 2)
        )
    names = names[:d]
    orbit = len(names) > 2
    spec: dict[str, Any] = {
        "kind": "phase",
        "names": list(names),
        "axes": list(names[:2]) if not orbit else ["x", "y"],
        "curves": [[i, i + 1] for i in range(0, len(names) - 1, 2)],
        "conserves": system.structure.is_skew,
    }
    wrapped = WRAPPED.get(system.name, ())
    if orbit:
        radius = max(float(u0[list(curve)].norm()) for curve in spec["curves"])
        half = ORBIT_ROOM * max(radius, float(u0[: len(names)].abs().max()), 1e-3)
        spec |= {"window": [-half, half, -half, half], "equal": True, "contours": []}
        limits = (-half, half)
    else:
        window = _window(system, u0, wrapped)
        spec |= {"window": list(window), "contours": contours(system, window, u0)}
        limits = (min(window[0], window[2]), max(window[1], window[3]))
    return Picture("phase", "diverging", limits, spec, wrapped)


def _mesh(system: System, window: Sequence[float], n: int) -> tuple[np.ndarray, ...]:
    q = np.linspace(window[0], window[1], n)
    p = np.linspace(window[2], window[3], n)
    u = torch.as_tensor(np.stack(np.meshgrid(q, p), -1), dtype=torch.float64)
    with torch.no_grad():
        h = system.energy(u.to(system.dtype).to(system.device))
    return q, p, h.to("cpu", torch.float64).numpy()


def _window(system: System, u0: Tensor, wrapped: tuple[int, ...]) -> tuple[float, ...]:
    """(q, p) window around the level set of the initial energy, searched outwards."""
    size = float(u0.abs().max().clamp(min=1e-3))
    level = float(system.energy(u0))
    q_half = math.pi if 0 in wrapped else 4 * size
    q, p, h = _mesh(system, (-q_half, q_half, -4 * size, 4 * size), CONTOUR_GRID)
    inside = h <= level + 0.05 * abs(level)
    rows, columns = np.nonzero(inside)
    if not len(rows):
        return (-2 * size, 2 * size, -2 * size, 2 * size)
    half_p = 1.35 * max(np.abs(p[rows]).max(), 0.1 * size)
    half_q = math.pi if 0 in wrapped else 1.35 * max(np.abs(q[columns]).max(), 0.1 * size)
    return (-half_q, half_q, -half_p, half_p)


def contours(system: System, window: Sequence[float], u0: Tensor) -> list[list[list[float]]]:
    """Level sets of H in the window as lists of flat x, y pairs; the first set is H(u₀)."""
    q, p, h = _mesh(system, window, CONTOUR_GRID)
    generator = contourpy.contour_generator(q, p, h)
    low, high = float(h.min()), float(h.max())
    levels = low + (high - low) * (np.arange(1, CONTOURS + 1) / (CONTOURS + 1)) ** 2
    out = []
    for level in (float(system.energy(u0)), *levels):
        lines = generator.lines(level)
        out.append([np.round(np.asarray(line), 4).ravel().tolist() for line in lines])
    return out
