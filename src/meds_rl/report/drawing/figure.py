"""A figure: a Vega-Lite specification that page and pictures share; and colours, fonts, shapes and axes of all.

The colours are safe for the common colour blindnesses.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

Scheme: TypeAlias = Literal["light", "dark"]
"""The page's colours; pictures are light."""

SHORT = {"labelExpr": "abs(datum.value) >= 10000 ? format(datum.value, '~s') : format(datum.value, '~g')"}
"""Format of the numbers of an axis."""

PERCENT = {"labelExpr": "format(100 * datum.value, '~g') + ' %'"}
"""Format of the shares of an axis, as the texts write them."""

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
"""Shapes of the kinds, in addition to their colours."""

MAX_KINDS = 8

_LETTERS_A_LINE = 60

OWN_COLOURS = tuple(f"@{place}" for place in range(MAX_KINDS))
"""Placeholders of the theme's colours in a scale that also has other colours; `coloured` replaces them."""

OF_EVERY_OBJECT = (
    *("constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString"),
    *("valueOf", "__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"),
)
"""Properties of every JavaScript object; see `category`."""

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


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: its name in the page and as a file.
        title: what it shows.
        help: one sentence on how to read it.
        spec: a Vega-Lite specification whose data set is called "values"; no colours, the theme has them.
        values: the rows of that data set.
        group: its name among figures of which one is shown at a time (a group of problems, a prompt); else empty.
        percent: whether values are shares, to be shown as percentages.
    """

    name: str
    title: str
    help: str
    spec: dict[str, Any]
    values: list[dict[str, Any]] = field(default_factory=list)
    group: str = ""
    percent: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The figure for the page."""
        return asdict(self)

    def whole(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The specification with data, title and theme: a picture of its own."""
        below = {"subtitle": textwrap.wrap(self.group, _LETTERS_A_LINE)} if self.group else {}
        size = {"width": 520} if self.spec.get("width") == "container" else {}
        return {
            **coloured(self.spec, config["range"]["category"]),
            **size,
            "data": {"name": "values", "values": self.values},
            "title": {"text": self.title, **below},
            # A viewer without the theme's fonts uses wider ones.
            "padding": {"left": 28, "top": 8, "right": 24, "bottom": 8},
            "config": dict(config),
        }


def names(field: str, **more: Any) -> dict[str, Any]:
    """A channel or a line of the tooltip with names."""
    return {"field": field, "type": "nominal", **more}


def numbers(field: str, **more: Any) -> dict[str, Any]:
    """A channel or a line of the tooltip with numbers."""
    return {"field": field, "type": "quantitative", **more}


def step_axis(**axis: Any) -> dict[str, Any]:
    """The horizontal axis of optimiser steps."""
    return numbers("step", title="step", axis={"grid": False, **axis, **SHORT})


def specification(height: int, **parts: Any) -> dict[str, Any]:
    """A Vega-Lite specification as wide as its place."""
    return {"width": "container", "height": height, "data": {"name": "values"}, **parts}


def coloured(spec: Mapping[str, Any], colours: Sequence[str]) -> dict[str, Any]:
    """A specification with a theme's colours for `OWN_COLOURS`."""
    scale = spec.get("encoding", {}).get("color", {}).get("scale", {})
    if OWN_COLOURS[0] not in scale.get("range", []):
        return dict(spec)
    named = dict(zip(OWN_COLOURS, colours, strict=True))
    color = {**spec["encoding"]["color"], "scale": {**scale, "range": [named.get(c, c) for c in scale["range"]]}}
    return {**spec, "encoding": {**spec["encoding"], "color": color}}


def variants_of(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The variants, in the order of their first run."""
    return list(dict.fromkeys(category(run["variant"]) for run in runs))


def legend(labels: Sequence[str], width: int = 38) -> dict[str, Any]:
    """A legend above the figure, in as many columns as ``width`` letters hold."""
    longest = max((min(len(label), 40) for label in labels), default=1)
    return {"orient": "top", "title": None, "columns": max(1, width // (longest + 4))}


def category(name: Any) -> str:
    """A name as a category of a figure.

    Vega looks categories up as properties of a JavaScript object, which has some properties from the start. A model's
    answer may have the name of one of them.
    """
    text = str(name)
    return f"{text} " if text in OF_EVERY_OBJECT else text


def words_of(prompt: Mapping[str, Any]) -> str:
    """The question of a prompt, without roles and system prompt."""
    return str(prompt.get("words") or prompt["text"])


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
