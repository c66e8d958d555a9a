"""Paired differences between variants of training, as figures and as sentences: same seed, model, task and problems.

If all runs are evaluations of another program or of ``meds eval``, these are compared.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from meds_rl.evaluation.paired import PairedDifference, PerProblem, paired_difference
from meds_rl.report.evaluations import EVALUATION_PANELS, METRICS, end_of_training, k_of, per_problem, read_evaluations
from meds_rl.report.life import LEAST_BATCHES, thirds
from meds_rl.report.source import RunData
from meds_rl.report.text import counted, percent

if TYPE_CHECKING:
    import pandas as pd

UNSHAPED = ("dapo", "grpo", "grpo-entropy")
"""Methods without a memory, in the order in which one is taken as the baseline."""

PANELS = {panel.id: panel for panel in EVALUATION_PANELS}

MAX_GROUPS = 4
"""Groups of problems in a sentence."""

COMMON = "what both have"
"""The group of evaluations that have one group each, of different names."""

SMALL = 0.01
"""A smaller difference of shares does not show in whole percents."""

FEW_SEEDS = 5
"""With fewer seeds the notes warn that the intervals are too narrow."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A run and its evaluations since training began; of an evaluation all of it.

    Attributes:
        run: the run.
        at: the problems evaluated, by optimiser step above 0.
        end: the step of the evaluation at the end of training; None where there is none (yet). Of an evaluation the
            last step that all evaluations have, or else its own last.
    """

    run: RunData
    at: dict[int, pd.DataFrame]
    end: int | None

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.run.path.name


Pair: TypeAlias = tuple[Trained, Trained]
"""Baseline and other, of the same seed, model and task."""

Compared: TypeAlias = "tuple[tuple[RunData, pd.DataFrame], tuple[RunData, pd.DataFrame]]"
"""The two runs of a pair, each with the problems of the evaluation that is compared."""


def differences(
    runs: Sequence[RunData], variants: Sequence[str], baseline: str | None, seed: int
) -> dict[str, Any] | None:
    """Differences between each variant and the baseline, after training, or at the same step of unfinished runs.

    Args:
        runs: The runs.
        variants: The variant of each run (`meds_rl.report.recipe.variants`).
        baseline: One of them; by default the first method without a memory or with alpha 0, of evaluations else the
            first.
        seed: of the bootstrap.

    Returns:
        The part of the report's data; None if there is nothing to compare.

    Raises:
        ValueError: no run is of the baseline's variant.
    """
    names = list(dict.fromkeys(variants))
    are_evaluations = all(run.is_evaluation for run in runs)
    chosen = _baseline(runs, variants, baseline) or (names[0] if are_evaluations else None)
    if chosen is None or len(names) < 2:
        return None
    notes: list[str] = []
    trained = _evaluated(runs, notes) if are_evaluations else {run.id: _trained(run, notes) for run in runs}
    rows: list[dict[str, Any]] = []
    few = False
    for variant in names:
        if variant == chosen:
            continue
        found = [(trained[a.id], trained[b.id]) for a, b in _pairs(runs, variants, chosen, variant, notes)]
        pairs = [pair for pair in found if pair[0].at and pair[1].at]
        tasks = sorted({pair[0].run.compared_by.task for pair in pairs})
        for task in tasks:
            of_task = [pair for pair in pairs if pair[0].run.compared_by.task == task]
            compared, step = comparable(of_task, notes)
            few |= 1 < len(compared) < FEW_SEEDS
            prefix = f"{task}: " if len(tasks) > 1 else ""
            suffix = "" if step is None else f", at step {step:,}"
            rows += _rows(compared, variant, (prefix, suffix), np.random.default_rng(seed))
    if are_evaluations:
        rows = [{**row, "group": f"{row['group']}, {counted(row['num_problems'], 'problem')}"} for row in rows]
    if few:
        notes.append(
            f"With fewer than {FEW_SEEDS} seeds these intervals are too narrow where seeds differ much "
            "(three seeds: about 80 % instead of 95 %). Look at the seeds themselves."
        )
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    return {
        "baseline": chosen,
        "are_evaluations": are_evaluations,
        "metrics": metrics,
        "rows": rows,
        "notes": notes,
    }


def in_training(
    runs: Sequence[RunData], variants: Sequence[str], baseline: str | None, seed: int
) -> dict[str, Any] | None:
    """As `differences`, of runs without evaluations: pass@1 in the last third of training, on the prompts of both.

    Args:
        runs: runs that recorded all groups.
        variants, seed: as in `differences`.
        baseline: as there; by default the first method without a memory or with alpha 0, or else the first variant.
    """
    names = list(dict.fromkeys(variants))
    if len(names) < 2 or any(len(run.batch_steps) < LEAST_BATCHES for run in runs):
        return None
    chosen = _baseline(runs, variants, baseline) or names[0]
    rows: list[dict[str, Any]] = []
    for variant in names:
        pairs = [] if variant == chosen else _pairs(runs, variants, chosen, variant, [])
        measured = [(_late_pass_at_1(a), _late_pass_at_1(b)) for a, b in pairs]
        measured = [pair for pair in measured if set(pair[0].problem_ids) & set(pair[1].problem_ids)]
        if measured:
            found = paired_difference(measured, np.random.default_rng(seed))
            group = f"the {found.num_problems:,} prompts that both had"
            rows.append({"variant": variant, "group": group, "metric": "pass@1"} | _described(found, []))
    return {"baseline": chosen, "are_evaluations": False, "rows": rows} if rows else None


def _late_pass_at_1(run: RunData) -> PerProblem:
    """pass@1 of each prompt in the last third of the batches."""
    steps = run.batch_steps
    late = run.rollouts["step"] >= steps[thirds(len(steps))[1]]
    rows = run.rollouts[late & run.rollouts["reward"].notna()]
    means = rows["is_correct"].astype(float).groupby(rows["prompt_id"]).mean()
    return PerProblem(means.index.tolist(), means.to_numpy())


def _baseline(runs: Sequence[RunData], variants: Sequence[str], given: str | None) -> str | None:
    names = list(dict.fromkeys(variants))
    if given is not None:
        if given not in names:
            raise ValueError(f"--baseline must be one of: {'; '.join(names)}. Got {given!r}.")
        return given
    for method in UNSHAPED:
        for name in names:
            if name.partition(",")[0] == method:
                return name
    watched = (name for run, name in zip(runs, variants, strict=True) if run.compared_by.number("meds_alpha") == 0)
    return next(watched, None)


def _trained(run: RunData, notes: list[str]) -> Trained:
    at = {step: problems for step, problems in read_evaluations(run) if step > 0}
    trained = Trained(run, at, end_of_training(run, list(at)))
    if not at:
        notes.append(f"{trained.name} has no evaluation in or after training: it is in no comparison.")
    return trained


def _evaluated(runs: Sequence[RunData], notes: list[str]) -> dict[int, Trained]:
    """Evaluations without a training, by the numbers of the runs; the groups of problems are those that all have."""
    found = {run.id: dict(read_evaluations(run)) for run in runs}
    steps = set.intersection(*(set(at) for at in found.values()))
    if steps and any(len(at) > 1 for at in found.values()):
        notes.append(f"Compared at step {max(steps):,}, the last that all evaluations have.")
    groups = {frozenset(problems["group"]) for at in found.values() for problems in at.values()}
    if len(groups) > 1 and all(len(group) == 1 for group in groups):  # called by the folders
        found = {
            number: {step: problems.assign(group=COMMON) for step, problems in at.items()}
            for number, at in found.items()
        }
    ends = {number: max(steps or at, default=None) for number, at in found.items()}
    return {run.id: Trained(run, found[run.id], ends[run.id]) for run in runs}


def _pairs(
    runs: Sequence[RunData], variants: Sequence[str], baseline: str, variant: str, notes: list[str]
) -> list[tuple[RunData, RunData]]:
    both = [
        _by_repetition([run for run, name in zip(runs, variants, strict=True) if name == wanted], wanted, notes)
        for wanted in (baseline, variant)
    ]
    both = [_for_all(both[0], both[1]), _for_all(both[1], both[0])]
    common = [key for key in both[0] if key in both[1]]
    for found, wanted in zip(both, (baseline, variant), strict=True):
        alone = [run.path.name for key, run in found.items() if key not in common]
        if alone:
            notes.append(
                f"Without a partner of the same seed, model and task for {variant} against {baseline}: "
                f"{', '.join(alone)} ({wanted})."
            )
    return [(both[0][key], both[1][key]) for key in common]


def _for_all(
    found: dict[tuple[Any, ...], RunData], others: dict[tuple[Any, ...], RunData]
) -> dict[tuple[Any, ...], RunData]:
    """The one evaluation of a model that no run trained, such as the first model, is the partner of each other."""
    first = next(iter(found.values()))
    is_model = len(found) == 1 and first.is_evaluation and first.evaluated is None
    return dict.fromkeys(others, first) if is_model else found


def _by_repetition(runs: Sequence[RunData], name: str, notes: list[str]) -> dict[tuple[Any, ...], RunData]:
    found: dict[tuple[Any, ...], RunData] = {}
    for run in runs:
        first = found.setdefault(run.compared_by.repetition, run)
        note = f"{name} has seed {run.compared_by.seed} twice; {run.path.name} is left out."
        if first is not run and note not in notes:
            notes.append(note)
    return found


def _rows(
    pairs: Sequence[Compared], variant: str, around: tuple[str, str], rng: np.random.Generator
) -> list[dict[str, Any]]:
    rows = []
    prefix, suffix = around
    for group in _common_groups(pairs):
        k = min(k_of(run, problems) for pair in pairs for run, problems in pair)
        for metric in METRICS:
            measured = [(_measured(a, group, metric, k), _measured(b, group, metric, k)) for (_, a), (_, b) in pairs]
            found = paired_difference(measured, rng)
            row = {
                "variant": variant,
                "group": f"{prefix}{group}{suffix}",
                "metric": f"pass@{k}" if metric == "pass@k" else metric,
                "title": PANELS[metric].title.format(k=k),
                "percent": PANELS[metric].percent,
            }
            rows.append(row | _described(found, [_seed(a, b) for (a, _), (b, _) in pairs]))
    return rows


def _seed(a: RunData, b: RunData) -> int | None:
    """The seed of a pair; that of b if a is an evaluation of a model that no run trained."""
    return b.compared_by.seed if a.compared_by.seed is None else a.compared_by.seed


def _common_groups(pairs: Sequence[Compared]) -> list[str]:
    """Groups in which every pair has problems in common."""
    common: set[str] | None = None
    for (_, a), (_, b) in pairs:
        here = {group for group, _ in _problems(a) & _problems(b)}
        common = here if common is None else common & here
    return sorted(common or ())


def _problems(evaluation: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(evaluation["group"].tolist(), evaluation["problem_id"].tolist(), strict=True))


def _measured(evaluation: pd.DataFrame, group: str, metric: str, k: int) -> PerProblem:
    return per_problem(evaluation[evaluation["group"] == group], metric, k)


def _described(found: PairedDifference, seeds: Sequence[int | None]) -> dict[str, Any]:
    return {
        "baseline_value": _known(found.baseline),
        "value": _known(found.value),
        "difference": _known(found.difference),
        "low": _known(found.low),
        "high": _known(found.high),
        "num_seeds": len(found.by_seed),
        "num_agree": int((np.sign(found.by_seed) == np.sign(found.difference)).sum()),
        "num_problems": found.num_problems,
        "by_seed": [[seed, _known(value)] for seed, value in zip(seeds, found.by_seed, strict=bool(seeds))],
        "method": found.method.replace("%", " %"),
    }


def _known(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


def comparable(pairs: Sequence[Pair], notes: list[str]) -> tuple[list[Compared], int | None]:
    """The pairs of one variant that can be averaged, and the step at which they are compared.

    If both runs of some pair have ended, those pairs are compared at the end of training (None). Otherwise all are
    compared at the step at which the most pairs were evaluated, the last one of several. Other pairs are left out.

    Args:
        pairs: The pairs.
        notes: A note is added for each pair that is left out.
    """
    ended = [pair for pair in pairs if pair[0].end is not None and pair[1].end is not None]
    if ended:
        step = None
        chosen = [_compared(pair, pair[0].end or 0, pair[1].end or 0) for pair in ended]
        left_out = [pair for pair in pairs if pair not in ended]
    else:
        common = Counter(step for a, b in pairs for step in a.at.keys() & b.at.keys())
        step = max(common, key=lambda at: (common[at], at), default=None)
        chosen = [_compared(pair, step, step) for pair in pairs if step is not None and _has(pair, step)]
        left_out = [pair for pair in pairs if step is None or not _has(pair, step)]
    notes += [_why_left_out(pair, step) for pair in left_out]
    if step is not None:
        names = "; ".join(" and ".join(run.name for run in pair) for pair in pairs if _has(pair, step))
        notes.append(f"Compared at step {step:,}, as not both have an evaluation after training: {names}.")
    return chosen, step


def _has(pair: Pair, step: int) -> bool:
    return step in pair[0].at and step in pair[1].at


def _compared(pair: Pair, first: int, second: int) -> Compared:
    return (pair[0].run, pair[0].at[first]), (pair[1].run, pair[1].at[second])


def _why_left_out(pair: Pair, step: int | None) -> str:
    names = " and ".join(run.name for run in pair)
    if step is not None:
        return f"{names} are in no comparison: not both were evaluated at step {step:,}, as the other seeds were."
    unfinished = [run.name for run in pair if run.end is None]
    verb = "has" if len(unfinished) == 1 else "have"
    return f"{names} are in no comparison: {' and '.join(unfinished)} {verb} no evaluation after training."


# ---- In words.


def verdicts(differences: Mapping[str, Any] | None, when: str = "after training") -> list[str]:
    """One sentence for each variant: on which problems its pass@1 is above or below the baseline's.

    Args:
        differences: what `differences` or `in_training` returns.
        when: words for what is compared.
    """
    rows = [row for row in (differences or {"rows": []})["rows"] if row["metric"] == "pass@1"]
    rows = [row for row in rows if row["difference"] is not None and row["low"] is not None]
    tests = [row for row in rows if "test" in row["group"]] or rows
    baseline, are_evaluations = ((differences or {}).get(name) for name in ("baseline", "are_evaluations"))
    when = "" if are_evaluations else f" {when}"
    found = {
        variant: [row for row in tests if row["variant"] == variant] for variant in (row["variant"] for row in tests)
    }
    return [
        f"pass@1{when}, {variant} against {baseline}: {_verdict(rows)}{_seeds(rows, bool(are_evaluations))}"
        for variant, rows in found.items()
    ]


def _seeds(rows: Sequence[Mapping[str, Any]], are_evaluations: bool) -> str:
    if max(row["num_seeds"] for row in rows) > 1:
        return ""
    if are_evaluations:
        return " The intervals are over problems; another training may differ."
    return " This is one seed; others may differ."


def _verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    parts = [
        f"{_better(row)} on {row['group']} ({_shares(row)}, "
        f"{_points(row['difference'])} points, 95 % interval {_points(row['low'])} to {_points(row['high'])})"
        for row in rows[:MAX_GROUPS]
    ]
    parts += [f"{len(rows) - MAX_GROUPS} more groups are in the comparison"] if len(rows) > MAX_GROUPS else []
    return f"{'; '.join(parts)}."


def _shares(row: Mapping[str, Any]) -> str:
    """The value against the baseline's, with a decimal where whole percents would contradict or hide the difference.

    >>> _shares({"value": 0.2962, "baseline_value": 0.295, "difference": 0.0012})
    '29.6 % against 29.5 %'
    """
    digits = 1 if abs(row["difference"]) < SMALL else None
    return f"{percent(row['value'], digits)} against {percent(row['baseline_value'], digits)}"


def _points(share: float) -> str:
    """A difference of shares in points of percent.

    >>> _points(0.0678), _points(-0.005)
    ('+6.8', '−0.5')
    """
    return f"{100 * share:+.1f}".replace("-", "−")


def _better(row: Mapping[str, Any]) -> str:
    """Better or worse if the interval excludes 0."""
    if row["low"] > 0:
        return "better"
    return "worse" if row["high"] < 0 else "no clear difference"
