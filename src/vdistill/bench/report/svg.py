"""A plot as one SVG element that takes its colours and its font from the page around it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Drawn in these, and then replaced by variables of the page's style sheet.
INK = "#010203"
COLOURS = {"backbone": "#a10001", "student": "#a10002", "teacher": "#a10003"}
_PAGE = {INK: "currentColor", **{colour: f"var(--{model})" for model, colour in COLOURS.items()}}

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


def drawn(name: str, label: str, size: tuple[float, float], draw: Callable[[Axes], None]) -> str:
    """The element, drawn on fresh axes of `size` inches; `name` makes its ids unique on the page."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        axes.set_facecolor("none")
        draw(axes)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _for_page(buffer.getvalue(), name, label)


def _for_page(svg: str, name: str, label: str) -> str:
    """The element alone: no prologue, no metadata, no fixed size; unique ids, and the page's colours and font."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\1{name}-", svg)
    svg = svg.replace("'DejaVu Sans'", "system-ui, sans-serif")
    for colour, shown in _PAGE.items():
        svg = svg.replace(colour, shown)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
