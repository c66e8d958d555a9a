"""Colours, fonts and axes of the figures, for light and dark pages. Safe for the common colour blindnesses."""

from typing import Any, Literal, TypeAlias

Scheme: TypeAlias = Literal["light", "dark"]

FONT = 'Inter, "Segoe UI", system-ui, -apple-system, "Helvetica Neue", Arial, sans-serif'

# After Okabe and Ito (2008), darkened or lightened until each stands out from its page by 3:1 or more. Where there are
# more than two, a shape or a dash says the same a second time.
CATEGORIES: dict[Scheme, list[str]] = {
    "light": ["#0072b2", "#d55e00", "#00835f", "#b5478a", "#9a6a00", "#3d8fc9", "#5f3f9e", "#7a4b2a"],
    "dark": ["#56b4e9", "#f0883e", "#2fc79b", "#e79ac6", "#f2c14e", "#9fd3f5", "#b9a2f0", "#d0a98a"],
}
INK: dict[Scheme, str] = {"light": "#23211e", "dark": "#ece9e4"}
FAINT: dict[Scheme, str] = {"light": "#6a655d", "dark": "#a8a29a"}
LINE: dict[Scheme, str] = {"light": "#dedad3", "dark": "#3a3d42"}
PAPER: dict[Scheme, str] = {"light": "#ffffff", "dark": "#1d2024"}
MUTED = "#8a857d"  # of what is no kind of its own; on both pages
RAMP: dict[Scheme, list[str]] = {  # viridis, its end that would vanish into the page cut off
    "light": ["#46a6c9", "#2b83ba", "#2c5f9e", "#3a3a7c", "#3b0f55"],
    "dark": ["#3b528b", "#21918c", "#5ec962", "#b8de29", "#fde725"],
}


def config(scheme: Scheme, *, background: bool = False) -> dict[str, Any]:
    """Vega-Lite's ``config`` for one scheme; with a background of its own for pictures that leave the page."""
    ink, faint, line = INK[scheme], FAINT[scheme], LINE[scheme]
    return {
        "background": PAPER[scheme] if background else None,
        "font": FONT,
        "view": {"stroke": None},
        "range": {
            "category": CATEGORIES[scheme],
            "ramp": RAMP[scheme],
            "heatmap": RAMP[scheme],
            "ordinal": RAMP[scheme],
        },
        "axis": {
            "labelColor": faint,
            "titleColor": faint,
            "titleFontWeight": "normal",
            "labelFontSize": 11,
            "titleFontSize": 11,
            "gridColor": line,
            "domainColor": line,
            "tickColor": line,
            "labelPadding": 4,
            "titlePadding": 6,
            "tickSize": 4,
        },
        "legend": {
            "labelColor": ink,
            "titleColor": faint,
            "titleFontWeight": "normal",
            "labelFontSize": 12,
            "titleFontSize": 11,
            "symbolStrokeWidth": 2,
            "labelLimit": 260,
            "layout": {"top": {"direction": "vertical", "anchor": "start", "margin": 3}},
            "columnPadding": 12,
        },
        "header": {"labelColor": ink, "labelFontSize": 12, "labelPadding": 6},
        "title": {"color": ink, "fontSize": 14, "fontWeight": 600, "anchor": "start", "subtitleColor": faint},
        "text": {"color": ink},
        "rule": {"color": faint},
        "line": {"strokeWidth": 2, "strokeCap": "round"},
    }
