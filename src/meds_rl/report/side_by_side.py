"""The errors of several runs side by side: the share of each in the wrong completions, on the prompts that all had.

Errors are distinguished by strategy, by outcome or by steps, whichever is the first that all runs have; else by answer,
prompt by prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meds_rl.report.completions import Completions
from meds_rl.report.life import LEAST_BATCHES, thirds
from meds_rl.report.outcomes import kind_of
from meds_rl.report.source import RunData
from meds_rl.report.text import one_line, percent, shortened
from meds_rl.report.ways import MAX_WAYS, Way, is_error
from meds_rl.report.workings import Workings

MAX_ERRORS = 10
"""Errors that are shown: those with the largest share in any run."""

NO_ANSWER = "no answer"

Found: TypeAlias = "Sequence[tuple[Way, Mapping[str, Any]]]"
"""A run's ways of going wrong, each with its row in the report's data."""


class Compared(NamedTuple):
    """One error.

    Attributes:
        labels: of the completions that made it.
        name: for the reader.
        run, row: of an example; None without any.
        written: the steps of the example with their numbers; None without any.
    """

    labels: frozenset[Hashable]
    name: str
    run: RunData | None = None
    row: int = 0
    written: str | None = None


@dataclass(frozen=True)
class _Side:
    """One run's graded completions of the common prompts.

    Attributes:
        labels: of each wrong completion that was read: what error it made; None for none.
        rows: (n,) of these.
        parts: of the wrong completions, counts of labels: in all batches, in their first and in their last third.
        wrong, unanswered: the fraction of the completions that are wrong, and of the wrong ones that have no answer, in
            the same three.
    """

    labels: Sequence[Hashable]
    rows: NDArray[np.int64]
    parts: list[Counter[Hashable]]
    wrong: list[float | None]
    unanswered: list[float | None]

    def shares(self, labels: frozenset[Hashable]) -> list[float | None]:
        """Of the wrong completions of each part the fraction with one of the labels; None of none."""
        return [sum(part[label] for label in labels) / part.total() if part.total() else None for part in self.parts]


def side_by_side(
    runs: Sequence[RunData],
    variants: Sequence[str],
    names: Sequence[str],
    ways: Mapping[int, Found],
    workings: Sequence[Workings],
    completions: Completions,
) -> dict[str, Any] | None:
    """The largest errors of all runs; None for one run, or without a common prompt or error.

    Args:
        runs: The runs.
        variants, names: Of each run. Of several variants each is a column, the mean over its runs; else each run is.
        ways, workings: Of each run.
        completions: Numbers the prompts of the examples.
    """
    prompts = _common_prompts(runs)
    if len(runs) < 2 or not prompts:
        return None
    read = dict(zip((run.id for run in runs), workings, strict=True))
    kind = _kind([run for run in runs if len(run.wrong)], ways, read)
    sides = {run.id: _side(run, kind, read[run.id], prompts) for run in runs}
    found = _by_answer(runs, sides) if kind == "answer" else _by_way(runs, kind, ways, sides)
    called = list(variants) if len(set(variants)) > 1 else list(names)
    members = {name: [run.id for run, own in zip(runs, called, strict=True) if own == name] for name in called}
    columns = [[sides[number] for number in of] for of in members.values()]
    rows = [(each, [_means([side.shares(each.labels) for side in of]) for of in columns]) for each in found]
    if kind != "answer" and all(run.answers_known for run in runs):
        rows.append((Compared(frozenset(), NO_ANSWER), [_means([side.unanswered for side in of]) for of in columns]))
    ranked = sorted((row for row in rows if _largest(row[1])), key=lambda row: -_largest(row[1]))
    if not ranked:
        return None
    return {
        "by": kind,
        "num_prompts": len(prompts),
        "columns": [
            {"name": name, "runs": numbers, "wrong": _means([side.wrong for side in of])}
            for (name, numbers), of in zip(members.items(), columns, strict=True)
        ],
        "errors": [_described(error, shares, completions) for error, shares in ranked[:MAX_ERRORS]],
    }


def _common_prompts(runs: Sequence[RunData]) -> set[str]:
    """Of trainings, or of evaluations; none of both together."""
    if len({run.is_evaluation for run in runs}) > 1:
        return set()
    return set.intersection(*(set(run.rollouts["prompt_id"].unique().tolist()) for run in runs))


def _kind(runs: Sequence[RunData], ways: Mapping[int, Found], workings: Mapping[int, Workings]) -> str:
    """What tells the errors of all these runs apart."""
    for kind in ("strategy", "outcome"):
        if runs and all(any(way.by == kind for way, _ in ways[run.id]) for run in runs):
            return kind
    read = [workings[run.id] for run in runs]
    are_steps = all(one.by == "steps" for one in read) and any(one.over_prompts for one in read)
    return "steps" if are_steps else "answer"


def _side(run: RunData, kind: str, workings: Workings, prompts: set[str]) -> _Side:
    rollouts = run.rollouts
    here = rollouts["prompt_id"].isin(prompts).to_numpy()
    wrong = workings.rows if kind == "steps" else run.wrong
    is_kept = here[wrong]
    rows, labels = wrong[is_kept], _labels(run, kind, workings, wrong)
    labels = [label for label, kept in zip(labels, is_kept.tolist(), strict=True) if kept]
    steps = rollouts["step"].to_numpy()
    graded = here & rollouts["reward"].notna().to_numpy()
    is_wrong = np.zeros(len(rollouts), dtype=bool)
    is_wrong[run.wrong] = True
    none = rollouts["answer"].isna().to_numpy()
    spans = [np.ones(len(rollouts), dtype=bool)]
    if len(run.batch_steps) >= LEAST_BATCHES:
        begin, end = (run.batch_steps[place] for place in thirds(len(run.batch_steps)))
        spans += [steps < begin, steps >= end]
    return _Side(
        labels,
        rows,
        [Counter(label for label, row in zip(labels, span[rows].tolist(), strict=True) if row) for span in spans],
        [_mean(is_wrong[graded & span]) for span in spans],
        [_mean(none[graded & is_wrong & span]) for span in spans],
    )


def _mean(values: NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None


def _labels(run: RunData, kind: str, workings: Workings, wrong: NDArray[np.int64]) -> Sequence[Hashable]:
    """What error each wrong completion made; None if that is not known, or if its steps are right."""
    if kind == "steps":
        pairs = zip(workings.keys, workings.groups.tolist(), strict=True)
        return [None if group < 0 or group == workings.right else key for key, group in pairs]
    rollouts = run.rollouts.iloc[wrong]
    if kind == "answer":
        return list(zip(rollouts["prompt_id"].tolist(), rollouts["answer"].tolist(), strict=True))
    values = rollouts[kind].tolist()
    return values if kind == "strategy" else [None if value is None else kind_of(value) for value in values]


def _by_way(
    runs: Sequence[RunData], kind: str, ways: Mapping[int, Found], sides: Mapping[int, _Side]
) -> list[Compared]:
    """The ways of all runs. Ways of two runs are one error if one of them has the most frequent label of the other."""
    candidates: list[tuple[int, Counter[Hashable], Way]] = []
    for run in runs:
        side = sides[run.id]
        label_of = dict(zip(side.rows.tolist(), side.labels, strict=True))
        for way, described in ways[run.id]:
            if way.by == kind and is_error(described):
                made = Counter(label_of[place] for place in way.rows.tolist() if label_of.get(place) is not None)
                candidates.append((made.total(), made, way))
    found: list[Compared] = []
    taken: set[Hashable] = set()
    for count, made, way in sorted(candidates, key=lambda candidate: -candidate[0]):
        if not count or made.most_common(1)[0][0] in taken:
            continue
        labels = frozenset(made.keys() - taken)
        taken |= labels
        error = Compared(labels, way.name)
        if way.example is not None:
            row, written = way.example
            error = error._replace(run=way.run, row=row, written=written)
        found.append(error)
    return found


def _by_answer(runs: Sequence[RunData], sides: Mapping[int, _Side]) -> list[Compared]:
    """The most frequent answers to single prompts, of all runs."""
    found: dict[Hashable, Compared] = {}
    for run in runs:
        side = sides[run.id]
        newest = dict(zip(side.labels, side.rows.tolist(), strict=True))
        for label, _ in side.parts[0].most_common(MAX_WAYS):
            answer = run.rollouts["answer"].iat[newest[label]]
            if answer is not None or run.answers_known:
                name = NO_ANSWER if answer is None else str(answer)
                found.setdefault(label, Compared(frozenset([label]), name, run, newest[label]))
    return list(found.values())


def _means(shares: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Means over runs, for each part of the training; None where a run has none."""
    parts = min(map(len, shares))
    columns = [[share[part] for share in shares] for part in range(parts)]
    known = [[value for value in column if value is not None] for column in columns]
    return [float(np.mean(values)) if values else None for values in known]


def _largest(shares: Sequence[Sequence[float | None]]) -> float:
    return max((each[0] or 0.0 for each in shares), default=0.0)


def _described(error: Compared, shares: Sequence[Sequence[float | None]], completions: Completions) -> dict[str, Any]:
    prompt = None if error.run is None else completions.prompt(error.run, error.row)
    written = None if error.written is None else shortened(error.written)
    return {"name": shortened(error.name), "written": written, "prompt": prompt, "shares": [*shares]}


# ---- In words.


def in_lines(compared: Mapping[str, Any] | None, prompts: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each error, after one that says what the shares are of.

    Args:
        compared: What `side_by_side` returns.
        prompts: Of the report's data.
    """
    if compared is None:
        return []
    columns = compared["columns"]
    over = " (first to last third of the run)" if any(len(column["wrong"]) > 1 for column in columns) else ""
    wrong = _listed(columns, [column["wrong"] for column in columns])
    lines = [
        f"Errors side by side, of the wrong completions to the {compared['num_prompts']:,} prompts that all runs "
        f"had{over}:",
        f"Wrong completions, of all: {wrong}",
    ]
    errors = compared["errors"]
    return [
        *lines,
        *(f"{_called(one, compared['by'], prompts)}: {_listed(columns, one['shares'])}" for one in errors),
    ]


def _called(error: Mapping[str, Any], by: str, prompts: Sequence[Mapping[str, Any]]) -> str:
    if by == "answer":
        return f"“{error['name']}” to “{one_line(prompts[error['prompt']]['words'], 80)}”"
    return str(error["name"]) + ("" if error["written"] is None else f" ({error['written']})")


def _listed(columns: Sequence[Mapping[str, Any]], shares: Sequence[Sequence[float | None]]) -> str:
    return "; ".join(f"{column['name']} {_course(each)}" for column, each in zip(columns, shares, strict=True))


def _course(shares: Sequence[float | None]) -> str:
    words = ["–" if share is None else percent(share) for share in shares]
    return words[0] if len(words) == 1 else f"{words[0]} ({words[1]} to {words[2]})"
