"""Charts by matplotlib as SVG inside a page, in the page's colours and so light or dark with it."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable
from typing import Any

INK, MUTED, GRID, SURFACE, LINE = "#010101", "#020202", "#030303", "#040404", "#050505"
SERIES = ("#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04")
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    LINE: "var(--line)",
    SURFACE: "var(--surface)",
    **{color: f"var(--series-{number})" for number, color in enumerate(SERIES, 1)},
}
"""Colours that no chart has, and what the page puts in their place."""


def _settings() -> Any:
    from cycler import cycler

    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "spikeunet",
        # A layer may be called anything, $x$ included.
        "text.parse_math": False,
        "font.size": 10.5,
        "text.color": INK,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": LINE,
        "axes.facecolor": "none",
        "axes.linewidth": 1.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=SERIES),
        "xtick.color": LINE,
        "xtick.labelcolor": MUTED,
        "ytick.color": LINE,
        "ytick.labelcolor": INK,
        "grid.color": GRID,
        "legend.facecolor": SURFACE,
        "legend.edgecolor": LINE,
        "legend.framealpha": 0.9,
        "figure.facecolor": "none",
        "savefig.facecolor": "none",
        "lines.linewidth": 2,
    }


def svg(name: str, title: str, draw: Callable[[], Any]) -> str:
    """What `draw` draws, whose axes it returns, as an SVG element called `title`; `name` keeps its ids apart."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(_settings()):
        draw().figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, variable)
    view = re.search(r'viewBox="[^"]*"', text)
    assert view is not None
    return f'<svg {view.group()} role="img" aria-label="{html.escape(title)}">{text[text.index(">") + 1 :]}'
