"""Weights of an operator as an annotated heat map, and its Fourier symbol.

    Ĝ(k) = Σⱼ κⱼ exp(i j·kΔx)

Re Ĝ ≤ 0 at every k dissipates energy, Re Ĝ = 0 conserves it; Im Ĝ moves waves. A symbol over one
axis is a curve, over two an image; where channels mix, one curve per entry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.app.numerals import number
from ddg_explorer.app.pages import figures
from ddg_explorer.app.theme import LANE_COLOURS, PALETTES, colour_table, mode
from ddg_explorer.grids import Grid

ANNOTATED = 64
"""Cells up to which every weight is printed."""
BORDERS = {"left": 48, "right": 16, "top": 38, "bottom": 26}
"""Pixels around the square picture of a symbol: as many across as down."""
ANGLES = ("−π", "−π/2", "0", "π/2", "π")
NEGLIGIBLE = 1e-12
"""A part of a symbol below this fraction of the whole is rounding and not drawn."""


def heat_map(
    weights: Tensor, limit: float, dark: bool, *, kernel: bool, names: Sequence[str] = ()
) -> Any:
    """A Bokeh figure of weights, colours from −limit to limit; a 1-D kernel is one row.

    `names` are those of the rows and columns of a matrix; without them they are counted from 0.
    """
    hv = figures.holoviews()
    values = weights.double().numpy()
    values = values[None] if values.ndim == 1 else values
    rows, columns = values.shape
    table = np.frombuffer(colour_table("diverging", dark), np.uint8).reshape(256, 4)
    shades = table[np.clip((values / (limit or 1) + 1) * 127.5, 0, 255).round().astype(int)]
    fill = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b, _ in shades.reshape(-1, 4)]
    y, x = (index.ravel() for index in np.mgrid[:rows, :columns])
    if kernel:
        y, x = y - rows // 2, x - columns // 2
    text = [number(v, 4, keep=True) for v in values.ravel()]
    boxes = hv.Rectangles(
        (x - 0.5, y - 0.5, x + 0.5, y + 0.5, fill, text),
        ["x0", "y0", "x1", "y1"],
        ["fill", "weight"],
    ).opts(
        color="fill",
        line_color=PALETTES[mode(dark)]["surface"],
        line_width=2 if values.size <= ANNOTATED else 0.5,
        tools=["hover"],
        hover_tooltips=[("weight", "@weight")],
        backend="bokeh",
    )
    parts = [boxes]
    if values.size <= ANNOTATED:
        ink = [_ink(shade) for shade in shades.reshape(-1, 4)]
        size = "13px" if columns <= 4 else "11px"
        words = hv.Labels((x, y, text, ink), ["x", "y"], ["text", "ink"])
        parts.append(words.opts(text_color="ink", text_font_size=size, backend="bokeh"))
    labels = ("", "") if names else ("row", "column")
    if kernel:
        labels = ("offset along x", "offset along y") if rows > 1 else ("", "offset along x")
    cell = 92 if rows <= 3 else 360 // rows
    fig = figures.render(
        hv.Overlay(parts).opts(
            responsive=True,
            height=rows * cell + 56,
            xlim=(x.min() - 0.5, x.max() + 0.5),
            ylim=(y.min() - 0.5, y.max() + 0.5),
            invert_yaxis=True,
            xlabel=labels[1],
            ylabel=labels[0],
            backend="bokeh",
        ),
        dark,
    )
    _whole_ticks(fig, x, y, rows)
    fig.axis.major_label_overrides = dict(enumerate(names))
    return fig


def _whole_ticks(fig: Any, x: np.ndarray, y: np.ndarray, rows: int) -> None:
    few = max(1, len(set(x)) // 8)
    fig.xaxis.ticker = [int(i) for i in sorted(set(x))[::few]]
    fig.yaxis.ticker = [int(i) for i in sorted(set(y))[::few]]
    fig.yaxis.visible = rows > 1
    fig.grid.grid_line_color = None


def _ink(shade: np.ndarray) -> str:
    """Black or white, whichever reads better on a colour."""
    parts = shade[:3] / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return "#10151b" if linear @ (0.2126, 0.7152, 0.0722) > 0.18 else "#ffffff"


def parts_of(symbols: Sequence[Tensor]) -> list[str]:
    """Which of "real" and "imag" are more than rounding in some of the symbols."""
    scale = max((float(s.abs().max()) for s in symbols), default=0.0)
    there = [part for part in ("real", "imag") if largest(symbols, part) > NEGLIGIBLE * scale]
    return there or ["real"]


def largest(symbols: Sequence[Tensor], part: str) -> float:
    """Largest magnitude of one part over all of the symbols."""
    return max((float(_part(s, part).abs().max()) for s in symbols), default=0.0)


def _part(symbol: Tensor, part: str) -> Tensor:
    if part == "real":
        return symbol.real if symbol.is_complex() else symbol
    return symbol.imag if symbol.is_complex() else torch.zeros_like(symbol)


def curves(symbols: Sequence[tuple[str, Tensor]], grid: Grid, part: str, dark: bool) -> Any:
    """A Bokeh figure of one part of 1-D symbols over kΔx; the second and further ones dashed."""
    hv, drawn = figures.holoviews(), []
    theta = grid.wavenumbers()[0].flatten().numpy() * grid.spacing[0]
    colours = LANE_COLOURS[mode(dark)]
    for place, (name, symbol) in enumerate(symbols):
        values = _part(symbol, part).double().numpy()
        curve = hv.Curve((theta, values), "θ", f"{part} {name}", label=name)
        drawn.append(
            curve.opts(
                color=colours[1] if place == 0 else colours[(0, 2, 3)[(place - 1) % 3]],
                line_dash="solid" if place == 0 else [7, 4],
                line_width=2.5 if place == 0 else 2,
                backend="bokeh",
            )
        )
    zero = hv.HLine(0).opts(color=PALETTES[mode(dark)]["faint"], line_width=1, backend="bokeh")
    fig = figures.render(
        hv.Overlay([zero, *drawn]).opts(
            responsive=True,
            height=240,
            xlim=(0, math.pi),
            xlabel="kΔx",
            ylabel=f"{'Re' if part == 'real' else 'Im'} Ĝ",
            xticks=[(0, "0"), (math.pi / 2, "π/2"), (math.pi, "π")],
            show_grid=True,
            show_legend=False,
            backend="bokeh",
        ),
        dark,
    )
    return fig


def entries(symbol: Tensor) -> list[tuple[str, Tensor]]:
    """Name and curve of every entry that is not zero where channels mix, (C, C, half) → (half,)."""
    if symbol.ndim == 1:
        return [("Ĝ", symbol)]
    count = symbol.shape[0]
    found = [
        (f"Ĝ{'₁₂₃₄₅₆₇₈₉'[i]}{'₁₂₃₄₅₆₇₈₉'[j]}", symbol[i, j])
        for i in range(count)
        for j in range(count)
    ]
    return [(name, part) for name, part in found if bool(part.abs().max() > 0)] or found[:1]


def whole_plane(symbol: Tensor, grid: Grid) -> Tensor:
    """A 2-D symbol on all wavenumbers, k = 0 in the middle, from its half: Ĝ(−k) = Ĝ(k)*."""
    full = torch.fft.fft2(torch.fft.irfft2(symbol, s=grid.shape))
    return torch.fft.fftshift(full)


def image(symbol: Tensor, grid: Grid, part: str, limit: float, dark: bool) -> Any:
    """A square Bokeh figure of one part of a 2-D symbol, colours −limit to limit.

    k_xΔx runs downwards and k_yΔy across, from −π to π, as the axes of a kernel's heat map do.
    """
    hv = figures.holoviews()
    values = _part(whole_plane(symbol, grid), part).double().numpy()
    values = np.pad(values, [(0, 1 - n % 2) for n in grid.shape], mode="wrap")
    top, right = (math.pi * (1 + (1 - n % 2) / n) for n in grid.shape)
    table = np.frombuffer(colour_table("diverging", dark), np.uint8).reshape(256, 4)
    ticks = list(zip(np.linspace(-math.pi, math.pi, 5), ANGLES, strict=True))
    picture = hv.Image(values[::-1], bounds=(-right, -top, right, top), kdims=["ky", "kx"])
    fig = figures.render(
        picture.opts(
            cmap=[f"#{r:02x}{g:02x}{b:02x}" for r, g, b, _ in table],
            clim=(-limit, limit),
            colorbar=True,
            colorbar_position="top",
            responsive=True,
            xlim=(-math.pi, math.pi),
            ylim=(-math.pi, math.pi),
            invert_yaxis=True,
            xlabel="",
            ylabel="",
            xticks=ticks,
            yticks=ticks,
            backend="bokeh",
        ),
        dark,
    )
    fig.update(**{f"min_border_{side}": width for side, width in BORDERS.items()})
    _quiet_bar(fig, dark)
    return fig


def _quiet_bar(fig: Any, dark: bool) -> None:
    from bokeh.models import BasicTicker

    p = PALETTES[mode(dark)]
    for bar in fig.above:
        bar.ticker = BasicTicker(desired_num_ticks=3)
        bar.background_fill_alpha = 0
        bar.bar_line_color = bar.major_tick_line_color = None
        bar.major_label_text_color = p["muted"]
        bar.major_label_text_font_size = "11px"
        bar.title, bar.height, bar.padding = None, 10, 4
