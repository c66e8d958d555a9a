"""The report's figures as Vega-Lite specifications: the page and the static pictures are drawn from the same ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from meds_rl.report.binning import bin_means
from meds_rl.report.figure_theme import MUTED

SHORT = {"labelExpr": "abs(datum.value) >= 10000 ? format(datum.value, '~s') : format(datum.value, '~g')"}
MAX_POINTS = 300
MAX_KINDS = 8
MAX_STRETCHES = 20
OTHER = "other"
MUTED_KINDS = ("in no cluster", "no answer", OTHER)
"""What is no error of its own has no colour of its own."""
SHAPES = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "cross",
    "triangle-down",
    "triangle-right",
    "triangle-left",
)
COLOURINGS = ("cluster", "answer", "step")
STRIPS = 24


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: its name in the page and as a file.
        title: what it shows.
        help: one sentence on how to read it.
        spec: a Vega-Lite specification whose data set is called "values"; no colours, the theme has them.
        values: the rows of that data set.
        group: of figures that are shown by turns (a group of problems, a prompt), which of them; else empty.
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
        title = {"text": self.title, "subtitle": self.group} if self.group else {"text": self.title}
        size = {"width": 520} if self.spec.get("width") == "container" else {}
        return {
            **self.spec,
            **size,
            "data": {"name": "values", "values": self.values},
            "title": title,
            "config": dict(config),
        }


def course_figures(data: Mapping[str, Any]) -> list[Figure]:
    """One figure for each panel of the course of training."""
    return [
        _course(data, panel, f"course-{panel['id']}", data["course"]["values"])
        for panel in data["course"]["panels"]
    ]


def evaluation_figures(data: Mapping[str, Any]) -> list[Figure]:
    """One figure for each measure of the evaluations and group of problems."""
    evaluations = data.get("evaluations")
    if not evaluations:
        return []
    figures = []
    for panel in evaluations["panels"]:
        for line in panel["lines"]:
            only = {**panel, "lines": [line]}
            name = f"evaluation-{panel['id']}-{line['id']}"
            figure = _course(data, only, name, evaluations["values"], points=True, group=line["label"])
            if figure.values:
                figures.append(figure)
    return figures


def _course(
    data: Mapping[str, Any],
    panel: Mapping[str, Any],
    name: str,
    values: Mapping[str, Sequence[Any]],
    *,
    points: bool = False,
    group: str = "",
) -> Figure:
    runs = {run["id"]: run for run in data["runs"]}
    labels = {line["id"]: line["label"] for line in panel["lines"]}
    rows = [
        {
            "run": runs[run]["name"],
            "variant": runs[run]["variant"],
            "line": labels[line],
            "step": x,
            "value": y,
        }
        for run, of, line, x, y in zip(
            *(values[column] for column in ("run", "panel", "line", "step", "value")), strict=True
        )
        if of == panel["id"] and line in labels and y is not None
    ]
    rows = bin_means(rows, ("run", "variant", "line"), MAX_POINTS)
    spec = _lines(data["runs"], panel, points=points)
    return Figure(name, str(panel["title"]), str(panel["help"]), spec, rows, group, bool(panel["percent"]))


def _lines(
    runs: Sequence[Mapping[str, Any]],
    panel: Mapping[str, Any],
    *,
    points: bool,
) -> dict[str, Any]:
    """Lines over training: a colour a variant, a dash a line; of several seeds each faintly, their mean in full."""
    lines = [line["label"] for line in panel["lines"]]
    variants = _variants(runs)
    several_seeds = len(runs) > len(variants)
    colour = "variant" if len(runs) > 1 else "line"
    domain = variants if colour == "variant" else lines
    number = ".0%" if panel["percent"] else ".3~g"
    x = {
        "field": "step",
        "type": "quantitative",
        "title": "step",
        "axis": {"grid": False, "tickCount": 5, **SHORT},
    }
    y: dict[str, Any] = {
        "field": "value",
        "type": "quantitative",
        "title": panel["unit"] or None,
        "axis": {
            "tickCount": 4,
            "domain": False,
            "ticks": False,
            **({"format": ".0%"} if panel["percent"] else SHORT),
        },
        "scale": {"zero": bool(panel["percent"]) and points},
    }
    encoding: dict[str, Any] = {
        "x": x,
        "y": y,
        "color": {
            "field": colour,
            "type": "nominal",
            "scale": {"domain": domain},
            "legend": {**_legend(domain), "symbolOpacity": 1} if len(domain) > 1 else None,
        },
    }
    if len(lines) > 1 and colour == "variant":
        encoding["strokeDash"] = {
            "field": "line",
            "type": "nominal",
            "scale": {"domain": lines, "range": [[1, 0], [5, 4], [1, 4], [8, 3, 1, 3]]},
            "legend": {**_legend(lines), "symbolOpacity": 1, "symbolType": "stroke"},
        }
    tooltip = [
        {"field": "run", "type": "nominal", "title": "run"},
        {"field": "line", "type": "nominal", "title": "line"},
        {"field": "step", "type": "quantitative", "title": "step", "format": ",.0f"},
        {"field": "value", "type": "quantitative", "title": panel["title"], "format": number},
    ]
    each: dict[str, Any] = {
        "mark": {
            "type": "line",
            "opacity": 0.28 if several_seeds else 1,
            "strokeWidth": 1 if several_seeds else 2,
        },
        "encoding": {"detail": {"field": "run", "type": "nominal"}},
    }
    mean = {"mark": {"type": "line"}, "encoding": {"y": {**y, "aggregate": "mean"}}}
    hover = {
        "mark": {"type": "point", "filled": True, "size": 46},
        "params": [
            {
                "name": "near",
                "select": {"type": "point", "nearest": True, "on": "pointermove", "clear": "pointerout"},
            }
        ],
        "encoding": {
            "opacity": {
                "condition": {"param": "near", "empty": False, "value": 1},
                "value": 1 if points else 0,
            },
            "tooltip": tooltip,
            "detail": {"field": "run", "type": "nominal"},
        },
    }
    return {
        "width": "container",
        "height": 170,
        "data": {"name": "values"},
        "encoding": encoding,
        "layer": [each, *([mean] if several_seeds else []), hover],
    }


def ways_figures(data: Mapping[str, Any]) -> list[Figure]:
    """For each run, what share of its wrong completions each way of going wrong had over training."""
    figures = []
    for run in data["runs"]:
        ways = [way for way in data["ways"] if way["run"] == run["id"]]
        ways, steps = _merged(ways, run["stretches"])
        named = ways[: MAX_KINDS - 1]
        if not named or len(steps) < 2:
            continue
        totals = [sum(way["course"][place] for way in ways) for place in range(len(steps))]
        rows = [
            {
                "way": way["name"],
                "step": step,
                "share": way["course"][place] / totals[place],
                "count": way["course"][place],
            }
            for way in named
            for place, step in enumerate(steps)
            if totals[place]
        ]
        spec = {
            "width": "container",
            "height": 220,
            "data": {"name": "values"},
            "mark": {"type": "line", "point": {"size": 22}},
            "encoding": {
                "x": {
                    "field": "step",
                    "type": "quantitative",
                    "title": "step",
                    "axis": {"grid": False, **SHORT},
                },
                "y": {
                    "field": "share",
                    "type": "quantitative",
                    "title": "of the wrong completions",
                    "axis": {"format": ".0%", "tickCount": 5, "domain": False, "ticks": False},
                },
                "color": {
                    "field": "way",
                    "type": "nominal",
                    "scale": {"domain": [way["name"] for way in named]},
                    "legend": _legend([way["name"] for way in named]),
                },
                "shape": {
                    "field": "way",
                    "type": "nominal",
                    "scale": {"domain": [way["name"] for way in named], "range": list(SHAPES)},
                    "legend": _legend([way["name"] for way in named]),
                },
                "tooltip": [
                    {"field": "way", "type": "nominal", "title": "way"},
                    {"field": "step", "type": "quantitative", "title": "from step", "format": ",.0f"},
                    {"field": "share", "type": "quantitative", "title": "share", "format": ".1%"},
                    {"field": "count", "type": "quantitative", "title": "completions", "format": ","},
                ],
            },
        }
        figures.append(
            Figure(
                f"ways-{run['id']}",
                "Ways of going wrong over training",
                "Share of the wrong completions of each stretch of training that went wrong in this way.",
                spec,
                rows,
                run["name"],
            )
        )
    return figures


def error_figures(data: Mapping[str, Any]) -> list[Figure]:
    """For each run and kind of error, a strip for each of the largest: when it was made, and how often."""
    figures = []
    for run in data["runs"]:
        for kind in ("cluster", "answer"):
            errors = [
                e for e in data["errors"] if e["run"] == run["id"] and e["by"] == kind and e["kind"] == kind
            ][:STRIPS]
            if errors and len(errors[0]["course"]) > 1:
                figures.append(_strips(data, run, kind, errors))
    return figures


def _strips(
    data: Mapping[str, Any], run: Mapping[str, Any], kind: str, errors: Sequence[Mapping[str, Any]]
) -> Figure:
    steps = run["stretches"]
    end = max(run["num_steps"], steps[-1] + 1)
    names = [_error_name(data, error, rank) for rank, error in enumerate(errors, 1)]
    rows = [
        {"error": name, "step": step, "next": following, "count": error["course"][place]}
        for name, error in zip(names, errors, strict=True)
        for place, (step, following) in enumerate(zip(steps, [*steps[1:], end], strict=True))
        if error["course"][place]
    ]
    spec = {
        "width": "container",
        "height": 19 * len(errors),
        "data": {"name": "values"},
        "mark": {"type": "rect", "cornerRadius": 1},
        "encoding": {
            "x": {
                "field": "step",
                "type": "quantitative",
                "title": "step",
                "axis": {"grid": False, **SHORT},
                "scale": {"domain": [steps[0], end], "nice": False},
            },
            "x2": {"field": "next"},
            "y": {
                "field": "error",
                "type": "nominal",
                "title": None,
                "scale": {"domain": names, "paddingInner": 0.18},
                "axis": {"labelLimit": 250, "domain": False, "ticks": False, "grid": True},
            },
            "color": {
                "field": "count",
                "type": "quantitative",
                "title": "times made",
                "legend": {"orient": "top", "gradientLength": 140, "format": "d", "tickMinStep": 1},
            },
            "tooltip": [
                {"field": "error", "type": "nominal", "title": "error"},
                {"field": "step", "type": "quantitative", "title": "from step", "format": ",.0f"},
                {"field": "count", "type": "quantitative", "title": "times made", "format": ","},
            ],
        },
    }
    what = {"cluster": "error clusters", "answer": "repeated wrong answers"}[kind]
    return Figure(
        f"errors-{kind}-{run['id']}",
        f"The largest {what} over training",
        "A row is one error of one prompt, the most frequent at the top; the darker, the more often it was made then.",
        spec,
        rows,
        run["name"],
    )


def _error_name(data: Mapping[str, Any], error: Mapping[str, Any], rank: int) -> str:
    prompt = _one_line(data["prompts"][error["prompt"]]["text"], 34)
    answer = f" = {_one_line(error['answers'][0][0], 12)}" if error["answers"] else ""
    return f"{rank}. {prompt}{answer}"


def map_figures(data: Mapping[str, Any]) -> list[Figure]:
    """For each map one figure for each colouring, in the order of the maps and of ``COLOURINGS``."""
    return [_map(data, number, of, by) for number, of in enumerate(data["maps"]) for by in COLOURINGS]


def map_values(of: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of a map; clusters and answers beyond the commonest few are "other"."""
    clusters = _commonest([str(cluster) for cluster in of["cluster"]])
    answers = _commonest(["no answer" if answer is None else str(answer) for answer in of["answer"]])
    return [
        {"x": x, "y": y, "cluster": cluster, "answer": answer, "step": step, "completion": completion}
        for x, y, cluster, answer, step, completion in zip(
            of["x"], of["y"], clusters, answers, of["step"], of["completion"], strict=True
        )
    ]


def _map(data: Mapping[str, Any], number: int, of: Mapping[str, Any], by: str) -> Figure:
    values = map_values(of)
    run = next(run for run in data["runs"] if run["id"] == of["run"])
    prompt = _one_line(data["prompts"][of["prompt"]]["text"], 90)
    title = f"Wrong completions by what the model computed, coloured by {by}"
    return Figure(
        f"map-{number}-{by}",
        title,
        str(of["help"]),
        map_spec(values, by),
        values,
        f"{prompt} ({run['name']})",
    )


def map_spec(values: Sequence[Mapping[str, Any]], by: str) -> dict[str, Any]:
    """A scatter plot coloured (and shaped) by ``by``."""
    hidden = {"axis": None, "type": "quantitative", "scale": {"zero": False, "nice": False, "padding": 14}}
    encoding: dict[str, Any] = {"x": {"field": "x", **hidden}, "y": {"field": "y", **hidden}}
    if by == "step":
        encoding["color"] = {
            "field": "step",
            "type": "quantitative",
            "legend": {"orient": "top", "title": "step", "gradientLength": 160},
        }
    else:
        counts = Counter(row[by] for row in values)
        kinds = [kind for kind, _ in counts.most_common() if kind not in MUTED_KINDS]
        muted = [kind for kind in MUTED_KINDS if kind in counts]
        legend = {"orient": "top", "title": None, "columns": 6, "symbolSize": 90}
        encoding["color"] = {
            "condition": {
                "test": {"field": by, "oneOf": kinds},
                "field": by,
                "type": "nominal",
                "scale": {"domain": kinds},
                "legend": legend,
            },
            "value": MUTED,
        }
        encoding["shape"] = {
            "field": by,
            "type": "nominal",
            "scale": {"domain": [*kinds, *muted], "range": [*SHAPES[: len(kinds)], *["cross"] * len(muted)]},
            "legend": None,
        }
    return {
        "width": "container",
        "height": 440,
        "data": {"name": "values"},
        "mark": {
            "type": "point",
            "filled": True,
            "size": 70,
            "opacity": 0.85,
            "tooltip": {"content": "data"},
            "cursor": "pointer",
        },
        "encoding": encoding,
    }


def difference_figures(data: Mapping[str, Any]) -> list[Figure]:
    """For each measure the paired difference of every variant to the baseline, with its interval, by group."""
    differences = data.get("differences")
    if not differences:
        return []
    variants = _variants(data["runs"])
    figures = []
    for number, metric in enumerate(dict.fromkeys(row["metric"] for row in differences["rows"])):
        rows = [
            {
                "group": row["group"],
                "variant": row["variant"],
                "difference": row["difference"],
                "low": row["low"],
                "high": row["high"],
                "seeds": f"{row['num_positive']} of {row['num_seeds']} seeds positive",
            }
            for row in differences["rows"]
            if row["metric"] == metric and row["difference"] is not None
        ]
        if rows:
            name = next(row["title"] for row in differences["rows"] if row["metric"] == metric)
            title = f"{name}, difference to {differences['baseline']}"
            help_ = "Paired by seed and problem; the bar is the 95 % interval. Where it crosses 0, chance suffices."
            figures.append(Figure(f"difference-{number}", title, help_, _forest(rows, variants), rows))
    return figures


def _forest(rows: Sequence[Mapping[str, Any]], variants: Sequence[str]) -> dict[str, Any]:
    groups = list(dict.fromkeys(row["group"] for row in rows))
    shown = list(dict.fromkeys(row["variant"] for row in rows))
    encoding: dict[str, Any] = {
        "y": {
            "field": "group",
            "type": "nominal",
            "title": None,
            "scale": {"domain": groups},
            "axis": {"domain": False, "ticks": False, "grid": False, "labelLimit": 160},
        },
        "yOffset": {"field": "variant", "type": "nominal", "scale": {"domain": shown}},
        "color": {
            "field": "variant",
            "type": "nominal",
            "scale": {"domain": list(variants)},
            "legend": {**_legend(shown), "values": shown} if len(shown) > 1 else None,
        },
        "tooltip": [
            {"field": "variant", "type": "nominal", "title": "variant"},
            {"field": "group", "type": "nominal", "title": "problems"},
            {"field": "difference", "type": "quantitative", "title": "difference", "format": "+.3f"},
            {"field": "low", "type": "quantitative", "title": "95 % from", "format": "+.3f"},
            {"field": "high", "type": "quantitative", "title": "to", "format": "+.3f"},
            {"field": "seeds", "type": "nominal", "title": "seeds"},
        ],
    }
    x = {"type": "quantitative", "title": "difference", "axis": {"tickCount": 5, "format": "+~g"}}
    return {
        "width": "container",
        "height": len(groups) * max(26, 16 * len(shown)),
        "data": {"name": "values"},
        "layer": [
            {"mark": {"type": "rule", "strokeDash": [3, 3]}, "encoding": {"x": {"datum": 0}}},
            {
                "mark": {"type": "rule", "strokeWidth": 3},
                "encoding": {**encoding, "x": {"field": "low", **x}, "x2": {"field": "high"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
                "encoding": {**encoding, "x": {"field": "difference", **x}},
            },
        ],
    }


def all_figures(data: Mapping[str, Any]) -> list[Figure]:
    """Every figure of a report, in the order of the page."""
    return [
        *ways_figures(data),
        *error_figures(data),
        *map_figures(data),
        *course_figures(data),
        *evaluation_figures(data),
        *difference_figures(data),
    ]


def _merged(
    rows: Sequence[Mapping[str, Any]], steps: Sequence[int]
) -> tuple[list[dict[str, Any]], list[int]]:
    """Courses in at most ``MAX_STRETCHES`` stretches, neighbours added up, and the first step of each."""
    width = -(-len(steps) // MAX_STRETCHES)
    starts = range(0, len(steps), width)
    merged = [
        {**row, "course": [sum(row["course"][start : start + width]) for start in starts]} for row in rows
    ]
    return merged, [steps[start] for start in starts]


def _variants(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(run["variant"] for run in runs))


def _legend(labels: Sequence[str], width: int = 38) -> dict[str, Any]:
    """A legend above the figure, in as many columns as ``width`` letters hold."""
    longest = max((min(len(label), 40) for label in labels), default=1)
    return {"orient": "top", "title": None, "columns": max(1, width // (longest + 4))}


def _commonest(names: Sequence[str]) -> list[str]:
    kept = {
        name for name, _ in Counter(name for name in names if name not in MUTED_KINDS).most_common(MAX_KINDS)
    }
    kept.update(MUTED_KINDS)
    return [name if name in kept else OTHER for name in names]


def _one_line(text: str, width: int) -> str:
    clean = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 8 * width]).split())
    return clean if len(clean) <= width else clean[: width - 1] + "…"
