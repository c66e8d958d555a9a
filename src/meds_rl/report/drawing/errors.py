"""Figures of errors: the largest over training, those of all prompts, the map of a prompt's wrong completions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from meds_rl.report.drawing.figure import (
    MAX_KINDS,
    MUTED,
    OWN_COLOURS,
    PERCENT,
    SHAPES,
    Figure,
    category,
    legend,
    names,
    numbers,
    specification,
    step_axis,
    words_of,
)
from meds_rl.report.text import common_beginning, one_line

STRIPS = 24
"""Strips of a figure: the largest errors."""

MAX_LABEL, LONGEST_PROMPT = 24, 2000
"""Characters of a prompt that a strip shows, and that are compared with those of others."""

MAX_STRETCHES = 20
"""Points of a way over training."""

KINDS = {
    "cluster": "error clusters",
    "outcome": "repeated outcomes",
    "answer": "repeated wrong answers",
    "working": "repeated wrong workings",
    "states": "errors by states",
}
"""Groupings of errors with a figure of the largest, and what these are."""

COLOURINGS = ("cluster", "answer", "step")
OTHER = "all others"
MUTED_SHAPES = {
    "in no cluster": "M-.9,-.6L-.6,-.9L0,-.3L.6,-.9L.9,-.6L.3,0L.9,.6L.6,.9L0,.3L-.6,.9L-.9,.6L-.3,0Z",  # an x
    "no answer": "M-.9,-.3L.9,-.3L.9,.3L-.9,.3Z",  # a bar
    OTHER: "M0,.5A.5,.5,0,1,1,0,-.5A.5,.5,0,1,1,0,.5Z",  # a dot
}
"""Completions of no error share one colour; their shape (an SVG path) is the shape of no error."""


def error_figures(data: Mapping[str, Any]) -> list[Figure]:
    """For each run and kind of error, the largest errors: when each was made, and how often."""
    figures = []
    for run in data["runs"]:
        for kind in KINDS:
            errors = [e for e in data["errors"] if e["run"] == run["id"] and e["by"] == kind and e["kind"] == kind][
                :STRIPS
            ]
            if errors and len(errors[0]["course"]) > 1:
                figures.append(_strips(data, run, kind, errors))
    return figures


def _strips(data: Mapping[str, Any], run: Mapping[str, Any], kind: str, errors: Sequence[Mapping[str, Any]]) -> Figure:
    steps = run["stretches"]
    end = max(run["num_steps"], steps[-1] + 1)
    prompts = short_names([words_of(data["prompts"][error["prompt"]]) for error in errors])
    pairs = zip(errors, prompts, strict=True)
    labels = [_error_name(error, prompt, rank) for rank, (error, prompt) in enumerate(pairs, 1)]
    rows = [
        {"error": name, "step": step, "next": following, "count": error["course"][place]}
        for name, error in zip(labels, errors, strict=True)
        for place, (step, following) in enumerate(zip(steps, [*steps[1:], end], strict=True))
        if error["course"][place]
    ]
    encoding = {
        "x": {**step_axis(), "scale": {"domain": [steps[0], end], "nice": False}},
        "x2": {"field": "next"},
        "y": names(
            "error",
            title=None,
            scale={"domain": labels, "paddingInner": 0.18},
            axis={"labelLimit": 250, "domain": False, "ticks": False, "grid": False},
        ),
        "color": numbers(
            "count",
            title="times made",
            legend={"orient": "top", "gradientLength": 140, "format": "d", "tickMinStep": 1},
        ),
        "tooltip": [
            names("error", title="error"),
            numbers("step", title="from step", format=",.0f"),
            numbers("count", title="times made", format=","),
        ],
    }
    mark = {"type": "rect", "cornerRadius": 1}
    return Figure(
        f"errors-{kind}-{run['id']}",
        f"The largest {KINDS[kind]} over training",
        "A row is one error of one prompt, the most frequent at the top; the colour shows how often it was made.",
        specification(19 * len(errors), mark=mark, encoding=encoding),
        rows,
        run["name"],
    )


def short_names(texts: Sequence[str]) -> list[str]:
    """The beginning of each text; of different texts that begin alike, what follows the words that they share.

    Example:
        >>> short_names(["what is 2 + 2?", "How many ways can 4 of 10 be", "How many ways can 4 of 12 be", "How many?"])
        ['what is 2 + 2?', '…10 be', '…12 be', 'How many?']
    """
    lines = [one_line(text, LONGEST_PROMPT) for text in texts]
    names = {line: one_line(line, MAX_LABEL) for line in lines}
    for name in set(names.values()):
        alike = [line for line in names if names[line] == name]
        if len(alike) > 1:
            shared = len(common_beginning(alike).rpartition(" ")[0])
            names |= {line: "…" + one_line(line[shared:], MAX_LABEL + 6) for line in alike}
    return [names[line] for line in lines]


def _error_name(error: Mapping[str, Any], prompt: str, rank: int) -> str:
    if error["kind"] == "outcome":
        return f"{rank}. {one_line(error['name'], 24)}: {prompt}"
    answer = f" = {one_line(error['answers'][0][0], 12)}" if error["answers"] else f": {one_line(error['name'], 16)}"
    return f"{rank}. {prompt}{answer}"


def ways_figures(data: Mapping[str, Any]) -> list[Figure]:
    """For each run and kind of way, the share of each way in the run's wrong completions, over training."""
    figures = []
    for run in data["runs"]:
        of_run = [way for way in data["ways"] if way["run"] == run["id"]]
        for by in dict.fromkeys(map(way_kind, of_run)):
            # The right strategy is not an error.
            ways = [
                way for way in of_run if way_kind(way) == by and not way.get("is_right") and way.get("is_error", True)
            ]
            (all_wrong, *ways), steps = _merged([{"course": run["wrong_course"]}, *ways], run["stretches"])
            if ways and len(steps) > 1:
                figures.append(_ways(run, by, ways[: MAX_KINDS - 1], all_wrong["course"], steps))
    return figures


def way_kind(way: Mapping[str, Any]) -> str:
    """How ways were grouped: by "strategy", "outcome" or "steps"."""
    return str(way.get("by", "strategy"))


def _ways(
    run: Mapping[str, Any], by: str, ways: Sequence[Mapping[str, Any]], totals: Sequence[int], steps: Sequence[int]
) -> Figure:
    labels = [category(way["name"]) for way in ways]
    rows = [
        {"way": name, "step": step, "share": way["course"][place] / totals[place], "count": way["course"][place]}
        for name, way in zip(labels, ways, strict=True)
        for place, step in enumerate(steps)
        if totals[place]
    ]
    encoding = {
        "x": step_axis(),
        "y": numbers(
            "share",
            title="of the wrong completions",
            axis={**PERCENT, "tickCount": 5, "domain": False, "ticks": False},
        ),
        "color": names("way", scale={"domain": labels}, legend=legend(labels)),
        "shape": names("way", scale={"domain": labels, "range": list(SHAPES)}, legend=legend(labels)),
        "tooltip": [
            names("way", title="error"),
            numbers("step", title="from step", format=",.0f"),
            numbers("share", title="share", format=".1%"),
            numbers("count", title="completions", format=","),
        ],
    }
    return Figure(
        f"ways-{by}-{run['id']}",
        "Errors of all prompts over training",
        "Share of the wrong completions in each stretch of training that made this error.",
        specification(220, mark={"type": "line", "point": {"size": 22}}, encoding=encoding),
        rows,
        run["name"],
    )


def _merged(rows: Sequence[Mapping[str, Any]], steps: Sequence[int]) -> tuple[list[dict[str, Any]], list[int]]:
    """Courses in at most ``MAX_STRETCHES`` stretches, as sums of neighbours, and the first step of each stretch."""
    width = -(-len(steps) // MAX_STRETCHES)
    starts = range(0, len(steps), width)
    merged = [{**row, "course": [sum(row["course"][start : start + width]) for start in starts]} for row in rows]
    return merged, [steps[start] for start in starts]


def map_figures(data: Mapping[str, Any]) -> list[Figure]:
    """For each map one figure for each colouring, in the order of the maps and of ``COLOURINGS``."""
    return [_map(data, number, of, by) for number, of in enumerate(data["maps"]) for by in COLOURINGS]


def map_values(of: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of a map; clusters and answers beyond the commonest few are `OTHER`."""
    clusters = _commonest([category(cluster) for cluster in of["cluster"]])
    answers = _commonest(["no answer" if answer is None else category(answer) for answer in of["answer"]])
    return [
        {"x": x, "y": y, "cluster": cluster, "answer": answer, "step": step, "completion": completion}
        for x, y, cluster, answer, step, completion in zip(
            of["x"], of["y"], clusters, answers, of["step"], of["completion"], strict=True
        )
    ]


def _map(data: Mapping[str, Any], number: int, of: Mapping[str, Any], by: str) -> Figure:
    values = map_values(of)
    run = next(run for run in data["runs"] if run["id"] == of["run"])
    prompt = one_line(words_of(data["prompts"][of["prompt"]]), 90)
    title = f"Wrong completions by fingerprint, coloured by {by}"
    return Figure(
        f"map-{number}-{by}", title, str(of["help"]), map_spec(values, by), values, f"{prompt} ({run['name']})"
    )


def map_spec(values: Sequence[Mapping[str, Any]], by: str) -> dict[str, Any]:
    """A scatter plot coloured (and shaped) by ``by``."""
    hidden = {"axis": None, "type": "quantitative", "scale": {"zero": False, "nice": False, "padding": 14}}
    encoding: dict[str, Any] = {"x": {"field": "x", **hidden}, "y": {"field": "y", **hidden}}
    if by == "step":
        gradient = {"orient": "top", "title": "step", "gradientLength": 160}
        encoding["color"] = numbers("step", legend=gradient)
    else:
        counts = Counter(row[by] for row in values)
        kinds = [kind for kind, _ in counts.most_common() if kind not in MUTED_SHAPES]
        muted = [kind for kind in MUTED_SHAPES if kind in counts]
        # One legend for colour and shape: Vega-Lite merges those of one field and one domain.
        legend = {"orient": "top", "title": None, "columns": 5, "symbolSize": 90}
        of_kind = names(by, legend=legend)
        colours = [*OWN_COLOURS[: len(kinds)], *[MUTED] * len(muted)]
        shapes = [*SHAPES[: len(kinds)], *(MUTED_SHAPES[kind] for kind in muted)]
        encoding["color"] = {**of_kind, "scale": {"domain": [*kinds, *muted], "range": colours}}
        encoding["shape"] = {**of_kind, "scale": {"domain": [*kinds, *muted], "range": shapes}}
    mark = {"type": "point", "filled": True, "size": 70, "opacity": 0.85, "cursor": "pointer"}
    return specification(440, mark={**mark, "tooltip": {"content": "data"}}, encoding=encoding)


def _commonest(values: Sequence[str]) -> list[str]:
    counts = Counter(value for value in values if value not in MUTED_SHAPES)
    kept = {*MUTED_SHAPES, *(value for value, _ in counts.most_common(MAX_KINDS))}
    return [value if value in kept else OTHER for value in values]
