"""The course of training of several runs: for each panel and line, values by optimiser step."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meds_rl.evaluation.diversity.answers import answer_entropy
from meds_rl.evaluation.diversity.eigenvalues import Center, top1_eigenvalue_ratio
from meds_rl.labels import NO_MEMORY, NOISE
from meds_rl.report.source import NOT_KEPT, RunData
from meds_rl.report.text import LARGEST, finite, one_line
from meds_rl.rollouts.remembered import NOT_FOUND

if TYPE_CHECKING:
    import pandas as pd

Line: TypeAlias = tuple[str, str]
"""Panel and line."""

Course: TypeAlias = dict[Line, dict[int, float]]
"""Panel and line -> optimiser steps done when the batch was sampled -> value."""

BATCH_COLUMNS = (
    *("step", "generation", "prompt_id", "num_tokens", "reward", "shaped_reward"),
    *("is_correct", "answer", "penalty", "memory_id"),
)
"""Columns of the rollouts that `BatchFigures` reads."""

BY_ANSWER: tuple[Line, ...] = (("entropy", "entropy"), ("distinct", "distinct"), ("repeated", "answer"))
"""Lines that tell errors apart by answer; none where answers are unknown (`UNKNOWN_ANSWERS`)."""

LOGGED: Mapping[str, Line] = {
    "meds/memory_size": ("memory", "size"),
    "meds/fingerprint_ms": ("time", "fingerprint"),
    "meds/memory_ms": ("time", "memory"),
    "pass/pass@1": ("pass", "pass@1"),
    "diversity/answer_entropy": ("entropy", "entropy"),
    "diversity/distinct_wrong": ("distinct", "distinct"),
    "diversity/top1_eigenvalue_ratio": ("eigenvalue", "problem"),
    "reward": ("reward", "shaped"),
}
"""Name of a logged metric -> panel and line."""

PASS_AT_G = re.compile(r"pass/pass@([0-9]+)")

PREFERRED = ("pass", "memory")
"""Panels taken from the logged metrics rather than from the rollouts: these lack the groups that dynamic sampling
dropped, and what the memory has forgotten."""

OF_THE_MEMORY = {"penalty", "memory", "time", "time_share"}
"""Panels that are shown only for runs with a memory."""

MAX_POINTS = 1000
"""Points of a line; a longer line is averaged over stretches of equal length."""

MAX_STEPS = 200
"""Steps with an eigenvalue ratio, evenly spread: each collects the fingerprints of a batch."""

MAX_VECTORS = 2000
"""Fingerprints of a step that its eigenvalue ratio is computed from, evenly spread."""

CENTERS: tuple[tuple[str, Center], ...] = (("problem", "problem"), ("pooled", "pooled"))


@dataclass(frozen=True)
class Panel:
    """One chart.

    Attributes:
        id: its name in the data.
        title: the heading.
        help: one sentence: what it is and how it is computed.
        lines: id and label of each line, in the order of the legend.
        unit: of the values.
        percent: whether values are shares, shown in percent.
    """

    id: str
    title: str
    help: str
    lines: tuple[tuple[str, str], ...]
    unit: str = ""
    percent: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The panel in the report's data."""
        return {
            "id": self.id,
            "title": self.title,
            "unit": self.unit,
            "percent": self.percent,
            "help": self.help,
            "lines": [{"id": line, "label": label} for line, label in self.lines],
        }


PANELS = (
    Panel(
        "reward",
        "Reward",
        "Mean over the batch's completions: raw as graded, shaped after the penalty for repeated errors.",
        (("raw", "raw"), ("shaped", "shaped")),
    ),
    Panel(
        "pass",
        "Right answers",
        "pass@1: share of the batch's completions that are right; pass@G: share of groups with at least one. "
        "Over all groups that were generated, where the run logged them.",
        (("pass@1", "pass@1"), ("pass@G", "pass@G")),
        percent=True,
    ),
    Panel(
        "entropy",
        "Wrong-answer entropy",
        "How evenly a group's wrong completions spread over different wrong answers (no answer counts as one), "
        "mean over the groups that have any; 0: always the same.",
        (("entropy", "entropy"),),
        unit="nats",
    ),
    Panel(
        "distinct",
        "Distinct wrong answers",
        "Different wrong answers in a group, mean over the batch's groups.",
        (("distinct", "distinct wrong answers"),),
        unit="per group",
    ),
    Panel(
        "eigenvalue",
        "Top-1 eigenvalue ratio",
        "Largest eigenvalue of the covariance of the fingerprints of a batch's wrong completions over the sum of all; "
        "lower is more diverse.",
        (("problem", "within prompts"), ("pooled", "all together")),
    ),
    Panel(
        "repeated",
        "Repeated errors",
        "Of the batch's wrong completions of prompts that came before, the share that repeat what an earlier batch got "
        "wrong: the same answer to the prompt, or the same cluster of the memory as it is now (noise is no cluster).",
        (("answer", "same answer"), ("cluster", "same cluster")),
        percent=True,
    ),
    Panel(
        "penalty",
        "Penalty",
        "Mean penalty of the batch's wrong completions, 0 for those that were not scored. With meds_anneal it falls to "
        "0 during training.",
        (("mean", "mean over wrong"),),
    ),
    Panel("memory", "Memory size", "Completions remembered after the batch.", (("size", "completions"),)),
    Panel(
        "time",
        "Time of the memory",
        "Time of a step for taking fingerprints, and for looking up, remembering and clustering.",
        (("fingerprint", "fingerprints"), ("memory", "memory")),
        unit="ms",
    ),
    Panel(
        "time_share",
        "Time of the memory, share of a step",
        "All of the memory's time over the time of the step.",
        (("share", "share of a step"),),
        percent=True,
    ),
    Panel(
        "length",
        "Completion length",
        "Mean length of the batch's right and wrong completions.",
        (("right", "right"), ("wrong", "wrong")),
        unit="tokens",
    ),
)


RAW_REWARD = "Mean over the batch's completions, as graded."

NAMED = "reward: "
"""Prefix of a line with one of several rewards; its name follows."""


def course_table(courses: Mapping[int, Course], group_size: int | None = None) -> dict[str, Any]:
    """Panels and values of several runs, as the report's data has them.

    A line that no run has is left out, and so is a panel without lines.

    Args:
        courses: The number of each run, and its course.
        group_size: G, where all runs have the same; pass@G is then called by its number.
    """
    values: dict[str, list[Any]] = {name: [] for name in ("run", "panel", "line", "step", "value")}
    for run, lines in courses.items():
        for (panel, line), points in lines.items():
            for step, value in thinned(points):
                for column, item in zip(values.values(), (run, panel, line, step, value), strict=True):
                    column.append(item)
    there = dict.fromkeys(line for lines in courses.values() for line in lines)
    name = f"pass@{group_size or 'G'}"
    panels = []
    for each in PANELS:
        shown = [line for line in each.lines if (each.id, line[0]) in there]
        if each.id == "reward":
            shown += [(line, line.removeprefix(NAMED)) for panel, line in there if line.startswith(NAMED)]
        named = tuple((id_, label.replace("pass@G", name)) for id_, label in shown)
        if named:
            help_ = (
                RAW_REWARD
                if each.id == "reward" and ("shaped", "shaped") not in named
                else each.help.replace("pass@G", name)
            )
            panels.append(replace(each, lines=named, help=help_).to_dict())
    return {"panels": panels, "values": values}


def run_course(run: RunData) -> Course:
    """The course of one run. Rollouts come first, then logged metrics, then the memory; see also `PREFERRED`."""
    sampled = _sampled(run)
    logged = logged_course(run.metrics)
    lines = {**eigenvalue_ratios(run), **repeated_clusters(run), **logged, **sampled}
    named = _named_rewards(run)
    raw = lines.get(("reward", "raw"))
    if raw is not None and any(_are_equal(points, raw) for points in named.values()):
        del lines["reward", "raw"]  # the user chose one of them (--reward)
    lines |= named
    lines |= {line: points for line, points in logged.items() if line[0] in PREFERRED}
    if not has_memory(run):
        lines = {line: points for line, points in lines.items() if not _of_the_memory(line)}
    if not run.answers_known:
        lines = {line: points for line, points in lines.items() if line not in BY_ANSWER}
    return lines


def _named_rewards(run: RunData) -> Course:
    """Each of several rewards that another program saved."""
    rewards = (run.folder.source or {}).get("rewards", {})
    return {
        ("reward", f"{NAMED}{one_line(name, 40)}"): {step: value for step, value in means if finite(value) is not None}
        for name, means in rewards.items()
    }


def _are_equal(a: Mapping[int, float], b: Mapping[int, float]) -> bool:
    return a.keys() == b.keys() and np.allclose(list(map(a.__getitem__, b)), list(b.values()))


def logged_course(metrics: Sequence[Mapping[str, Any]]) -> Course:
    """The course in ``metrics.jsonl``. A row is written after the step that used the batch, so its step is one less."""
    lines: Course = {}
    for row in metrics:
        for line, value in logged_figures(row).items():
            lines.setdefault(line, {})[max(0, int(row["step"]) - 1)] = value
    return lines


def has_memory(run: RunData) -> bool:
    """Whether a memory shaped its rewards."""
    if run.memory is not None or any("meds/memory_size" in row for row in run.metrics):
        return True
    return bool(len(run.rollouts)) and bool((run.rollouts["reason"] != NO_MEMORY).any())


def _sampled(run: RunData) -> Course:
    figures = BatchFigures()
    sums: dict[Line, dict[int, list[float]]] = {}
    for _, batch in run.rollouts.groupby("generation", sort=True):
        step = int(batch["step"].iloc[0])
        for line, value in figures.add(batch).items():
            sums.setdefault(line, {}).setdefault(step, []).append(value)
    return {line: {step: float(np.mean(values)) for step, values in steps.items()} for line, steps in sums.items()}


def thinned(points: Mapping[int, float]) -> Iterator[tuple[int, float]]:
    """The points in order; of more than `MAX_POINTS` the means of equal stretches, each at its first step."""
    steps = sorted(points)
    size = -(-len(steps) // MAX_POINTS) or 1
    for start in range(0, len(steps), size):
        stretch = steps[start : start + size]
        yield stretch[0], float(np.mean([points[step] for step in stretch]))


class BatchFigures:
    """Computes the figures of one batch after another, in the order of training: for the report and for `meds watch`.

    It keeps only which wrong answers each prompt has had, so a run of any length is read once.
    """

    def __init__(self) -> None:
        self._given: dict[str, set[str | None]] = {}
        self._size = 0

    def add(self, batch: pd.DataFrame) -> dict[Line, float]:
        """Figures of the next batch, by panel and line. A figure without a value (no wrong completion) is left out.

        Args:
            batch: B rows of one generation batch, with `BATCH_COLUMNS`; null answers are None.
        """
        self._size += int((batch["memory_id"].to_numpy() >= 0).sum())
        reward = _mean(_rewards(batch))
        # Completions that no reward function graded are neither wrong nor right.
        batch = batch[np.isfinite(batch["reward"].to_numpy(dtype=np.float64))]
        is_correct = batch["is_correct"].to_numpy(dtype=bool)
        tokens = batch["num_tokens"].to_numpy(dtype=np.float64)
        tokens = np.where(tokens < 0, np.nan, tokens)  # unknown
        penalties = batch["penalty"].to_numpy(dtype=np.float64)
        prompts = batch["prompt_id"].tolist()
        answers = batch["answer"].tolist()
        groups: dict[str, list[str | None]] = {}
        solved = set()
        for prompt, answer, right in zip(prompts, answers, is_correct.tolist(), strict=True):
            wrong = groups.setdefault(prompt, [])
            if right:
                solved.add(prompt)
            else:
                wrong.append(answer)
        figures = {
            ("reward", "raw"): reward,
            ("reward", "shaped"): _mean(batch["shaped_reward"].to_numpy(dtype=np.float64)),
            ("pass", "pass@1"): _mean(is_correct.astype(np.float64)),
            ("pass", "pass@G"): len(solved) / len(groups) if groups else math.nan,
            ("entropy", "entropy"): _mean(np.array([answer_entropy(wrong) for wrong in groups.values() if wrong])),
            ("distinct", "distinct"): _mean(np.array([len(set(wrong)) for wrong in groups.values()], dtype=np.float64)),
            ("repeated", "answer"): self._repeated(groups),
            ("penalty", "mean"): _mean(penalties[~is_correct]),
            ("memory", "size"): float(self._size),
            ("length", "right"): _mean(tokens[is_correct]),
            ("length", "wrong"): _mean(tokens[~is_correct]),
        }
        return {line: value for line, value in figures.items() if finite(value) is not None}

    def _repeated(self, groups: dict[str, list[str | None]]) -> float:
        """Share of wrong completions that repeat an answer of an earlier batch, where the prompt had one; then add
        those of this batch."""
        pairs = [(prompt, answer) for prompt, wrong in groups.items() for answer in wrong if prompt in self._given]
        share = sum(answer in self._given[prompt] for prompt, answer in pairs) / len(pairs) if pairs else math.nan
        for prompt, wrong in groups.items():
            self._given.setdefault(prompt, set()).update(wrong)
        return share


def _rewards(batch: pd.DataFrame) -> np.ndarray:
    """(B,) raw rewards, also of completions that nothing calls right or wrong: only their shaped reward is read."""
    reward, shaped, penalty = (
        batch[name].to_numpy(dtype=np.float64) for name in ("reward", "shaped_reward", "penalty")
    )
    return np.where(np.isnan(reward), shaped + np.nan_to_num(penalty), reward)


def _mean(values: np.ndarray) -> float:
    """Mean of the values that are numbers; NaN without any."""
    known = values[np.abs(values) <= LARGEST]  # excludes NaN
    return float(known.mean()) if len(known) else math.nan


def logged_figures(row: Mapping[str, Any]) -> dict[Line, float]:
    """Figures of one row of ``metrics.jsonl``, by panel and line; values that are not finite numbers are left out."""
    figures = {line: value for name, line in LOGGED.items() if (value := finite(row.get(name))) is not None}
    if ("reward", "shaped") in figures:  # the trainer logs the penalty as one of the rewards
        penalty = finite(row.get("rewards/meds_penalty/mean"))
        figures["reward", "raw"] = figures["reward", "shaped"] - (penalty or 0.0)
    accuracy = finite(row.get("dynamic_sampling/raw_accuracy"))
    if ("pass", "pass@1") not in figures and accuracy is not None:
        figures["pass", "pass@1"] = accuracy
    for name, logged in row.items():
        found, value = PASS_AT_G.fullmatch(name), finite(logged)
        if found is not None and found[1] != "1" and value is not None:
            figures["pass", "pass@G"] = value
    step_time = finite(row.get("step_time"))
    spent = [value for (panel, _), value in figures.items() if panel == "time"]
    if spent and step_time is not None and step_time > 1e-9:
        figures["time_share", "share"] = sum(spent) / (1000 * step_time)
    return figures


def eigenvalue_ratios(run: RunData) -> dict[Line, dict[int, float]]:
    """Top-1 eigenvalue ratio of the fingerprints that each batch left in the memory, wrong completions only."""
    if run.memory is None or not len(run.rollouts):
        return {}
    table = run.memory.table
    wrong = [number for number, _, _ in run.wrong_entries()]
    table = table[(table["row"] != NOT_FOUND) & (table["member"] >= 0) & table["entry"].isin(wrong)]
    steps = run.rollouts["step"].to_numpy()[table["row"].to_numpy()]
    table = table.assign(step=steps).sort_values("step", kind="stable")
    lines: dict[Line, dict[int, float]] = {}
    for step in _spread(np.unique(steps), MAX_STEPS):
        low, high = np.searchsorted(table["step"].to_numpy(), [step, step + 1])
        rows = table.iloc[_spread(np.arange(low, high), MAX_VECTORS)]
        vectors = run.memory.vectors(rows)
        for line, center in CENTERS:
            ratio = top1_eigenvalue_ratio(vectors, rows["entry"].tolist(), center=center)
            if not math.isnan(ratio):
                lines.setdefault(("eigenvalue", line), {})[int(step)] = ratio
    return lines


def repeated_clusters(run: RunData) -> dict[Line, dict[int, float]]:
    """Share of a batch's remembered wrong completions, of prompts that came before, in a cluster of an earlier batch.

    The clusters are the present ones. Noise is not a cluster; "no answer" is one.
    """
    if run.clusters is None:
        return {}
    rows = run.wrong[run.clusters[run.wrong] != NOT_KEPT]
    if not len(rows):
        return {}
    clusters = run.clusters[rows]
    frame = run.rollouts.iloc[rows][["step", "generation", "prompt_id"]].assign(cluster=clusters)
    first = frame.groupby(["prompt_id", "cluster"], sort=False)["generation"].transform("min")
    repeats = (frame["generation"] > first) & (frame["cluster"] != NOISE)
    again = came_before(run)[rows]
    shares = repeats[again].groupby(frame["step"][again]).mean()
    return {("repeated", "cluster"): {int(step): float(share) for step, share in shares.items()}} if again.any() else {}


def came_before(run: RunData) -> NDArray[np.bool_]:
    """(N,) whether a completion's prompt came in an earlier batch: only then can it repeat an error."""
    batches = run.rollouts["generation"]
    first = batches.groupby(run.rollouts["prompt_id"]).transform("min")
    return np.asarray(batches > first, dtype=bool)


def _spread(values: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of the values, evenly spread."""
    if len(values) <= count:
        return values
    return values[np.linspace(0, len(values) - 1, count).round().astype(np.intp)]


def _of_the_memory(line: Line) -> bool:
    return line[0] in OF_THE_MEMORY or line == ("reward", "shaped")
