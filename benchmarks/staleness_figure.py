"""Draws agreement over training: a row a regime, a column a fingerprint, a line a remedy."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from staleness_replay import (
    BOUND,
    CONTROLS,
    OURS,
    POLICY,
    PUBLISHED,
    REFERENCE,
    STATE,
    TENTH,
    UNLIMITED,
    Condition,
    Replayed,
)

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart by the colour-blind; dashes as well, for print in grey.
STYLES = {
    POLICY: ("#0072B2", "-"),
    REFERENCE: ("#E69F00", "--"),
    TENTH: ("#009E73", "-."),
    UNLIMITED: ("#D55E00", ":"),
    BOUND: ("#CC79A7", (0, (5, 1, 1, 1, 1, 1))),
    "answer string": ("#000000", "-"),
    "text of the working (tf-idf)": ("#56B4E9", "--"),
    "random vectors": ("#7F7F7F", ":"),
}
COLUMNS = {
    PUBLISHED: "layer logits (as published)",
    STATE: "state at p, last layer",
    OURS: "answer states, epsilon 0.3",
    CONTROLS: "controls",
}
AIM = 0.9

Panel = dict[Condition, list[Replayed]]


def curve(runs: list[Replayed]) -> tuple[np.ndarray, np.ndarray]:
    """Steps (S,) that all runs have, and each run's agreement there (runs, S)."""
    by_step = [dict(zip(one.step, one.strategy, strict=True)) for one in runs]
    steps = sorted(set.intersection(*(set(one) for one in by_step)))
    return np.array(steps), np.array([[one[step] for step in steps] for one in by_step])


def draw(panels: dict[str, Panel], path: Path) -> None:
    """Write the figure as SVG, the same bytes for the same curves."""
    families = [name for name in COLUMNS if any(c.family == name for panel in panels.values() for c in panel)]
    settings = {
        "svg.hashsalt": "agreement",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(settings):
        figure, axes = plt.subplots(
            len(panels),
            len(families),
            figsize=(2.9 * len(families) + 0.3, 2.3 * len(panels) + 0.9),
            sharex="row",
            sharey=True,
            squeeze=False,
            layout="constrained",
        )
        for row, (title, panel) in zip(axes, panels.items(), strict=True):
            for axis, family in zip(row, families, strict=True):
                _draw_lines(axis, {c: runs for c, runs in panel.items() if c.family == family})
            row[0].set_ylabel(title.replace(", ", ",\n", 1))
        for axis, family in zip(axes[0], families, strict=True):
            axis.set_title(COLUMNS[family], fontsize=9, fontweight="bold")
        for axis in axes[-1]:
            axis.set_xlabel("training step")
        figure.supylabel("adjusted Rand index of clusters and planted strategies", fontsize=9)
        handles = {
            name: line
            for axis in axes.flat
            for line, name in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            [handles[name] for name in STYLES if name in handles],
            [name for name in STYLES if name in handles],
            loc="outside lower center",
            ncols=4,
            frameon=False,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None}, facecolor="white")
        plt.close(figure)


def _draw_lines(axis: Axes, panel: Panel) -> None:
    axis.axhline(AIM, color="#BBBBBB", linewidth=0.8, zorder=0)
    axis.set_ylim(-0.08, 1.04)
    axis.set_yticks([0, 0.25, 0.5, 0.75, AIM], ["0", ".25", ".5", ".75", ".9"])
    for condition, runs in panel.items():
        if condition.name not in STYLES:
            continue
        colour, dashes = STYLES[condition.name]
        steps, agreements = curve(runs)
        axis.plot(
            steps,
            agreements.mean(axis=0),
            color=colour,
            linestyle=dashes,
            linewidth=1.6,
            label=condition.name,
        )
        axis.fill_between(
            steps, agreements.min(axis=0), agreements.max(axis=0), color=colour, alpha=0.1, linewidth=0
        )
