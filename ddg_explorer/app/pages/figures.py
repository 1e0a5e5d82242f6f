"""Pictures that are drawn on demand: HoloViews elements as Bokeh figures in the page's colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn

from ddg_explorer.app.theme import FONT, PALETTES, mode

if TYPE_CHECKING:
    from bokeh.plotting import figure


def holoviews() -> Any:
    """The library with its Bokeh backend, imported when the first picture is drawn."""
    import holoviews as hv
    import holoviews.plotting.bokeh

    assert holoviews.plotting.bokeh
    return hv


def render(element: Any, dark: bool) -> figure:
    """The Bokeh figure of a HoloViews element, styled.

    Only tools that show something stay: with the usual ones, scrolling the page over a picture
    zooms it, for good where there is no toolbar. HoloViews puts its theme on the document that it
    draws for: one of its own here, neither the session's nor what Bokeh takes for the current one.
    """
    from bokeh.document import Document
    from bokeh.models import HoverTool

    renderer = holoviews().renderer("bokeh").instance(mode="server")
    fig = renderer.get_plot(element, Document()).state
    fig.tools = [tool for tool in fig.tools if isinstance(tool, HoverTool)]
    restyle(fig, dark)
    return fig


def restyle(fig: figure, dark: bool) -> None:
    """Quiet axes and grid in the theme's colours, no toolbar and no frame."""
    p = PALETTES[mode(dark)]
    fig.toolbar_location = None
    fig.background_fill_alpha = fig.border_fill_alpha = 0
    fig.outline_line_color = None
    fig.title = None
    for axis in fig.axis:
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = p["muted"]
        axis.major_label_text_font = axis.axis_label_text_font = FONT
        axis.major_label_text_font_size = axis.axis_label_text_font_size = "12px"
        axis.axis_label_text_font_style = "normal"
    fig.grid.grid_line_color = p["grid"]


def plain(height: int, x: tuple[float, float], y: tuple[float, float], **options: Any) -> figure:
    """An empty figure with fixed axes for curves that move."""
    from bokeh.models import Range1d
    from bokeh.plotting import figure

    return figure(
        height=height,
        sizing_mode="stretch_width",
        tools="",
        x_range=Range1d(start=x[0], end=x[1]),
        y_range=Range1d(start=y[0], end=y[1]),
        output_backend="canvas",
        **options,
    )


def pane(fig: figure | None = None) -> pn.pane.Bokeh:
    """A pane as wide as its card."""
    return pn.pane.Bokeh(fig, margin=0, sizing_mode="stretch_width")


def square_pane(fig: figure) -> pn.pane.Bokeh:
    """A pane as wide as its card, and as tall; the figure's own sizing does it, not the pane's."""
    fig.update(sizing_mode="scale_width", aspect_ratio=1)
    return pn.pane.Bokeh(fig, margin=0)
