"""One prompt's wrong completions as a scatter plot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from meds_rl.report.drawing.figure import MAX_KINDS, OWN_COLOURS, SHAPES, Figure, category, one_line, words_of
from meds_rl.report.drawing.theme import MUTED

COLOURINGS = ("cluster", "answer", "step")
OTHER = "all others"
MUTED_SHAPES = {
    "in no cluster": "M-.9,-.6L-.6,-.9L0,-.3L.6,-.9L.9,-.6L.3,0L.9,.6L.6,.9L0,.3L-.6,.9L-.9,.6L-.3,0Z",  # an x
    "no answer": "M-.9,-.3L.9,-.3L.9,.3L-.9,.3Z",  # a bar
    OTHER: "M0,.5A.5,.5,0,1,1,0,-.5A.5,.5,0,1,1,0,.5Z",  # a dot
}
"""What is no error of its own has no colour of its own, and a shape (an SVG path) that no error has."""


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
        kinds = [kind for kind, _ in counts.most_common() if kind not in MUTED_SHAPES]
        muted = [kind for kind in MUTED_SHAPES if kind in counts]
        # One legend for colour and shape: Vega-Lite merges those of one field and one domain.
        legend = {"orient": "top", "title": None, "columns": 5, "symbolSize": 90}
        of_kind = {"field": by, "type": "nominal", "legend": legend}
        colours = [*OWN_COLOURS[: len(kinds)], *[MUTED] * len(muted)]
        shapes = [*SHAPES[: len(kinds)], *(MUTED_SHAPES[kind] for kind in muted)]
        encoding["color"] = {**of_kind, "scale": {"domain": [*kinds, *muted], "range": colours}}
        encoding["shape"] = {**of_kind, "scale": {"domain": [*kinds, *muted], "range": shapes}}
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


def _commonest(names: Sequence[str]) -> list[str]:
    kept = {
        name for name, _ in Counter(name for name in names if name not in MUTED_SHAPES).most_common(MAX_KINDS)
    }
    kept.update(MUTED_SHAPES)
    return [name if name in kept else OTHER for name in names]
