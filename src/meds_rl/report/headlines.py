"""Sentences about a run that a reader can quote: its most repeated errors, and what the memory did about them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from meds_rl.report.course import Course, has_memory
from meds_rl.report.errors import LEAST_BATCHES, Error, thirds
from meds_rl.report.meanings import UNNAMED
from meds_rl.report.source import RunData
from meds_rl.report.text import LARGEST, percent, prompt_words, shortened, times
from meds_rl.shaping.penalty import check_anneal

NOTICEABLE = 0.02
"""A smaller change of a share, as it is written, is not called a change."""

WORTH_SAYING = 0.1
"""If no error over all prompts is known, missing answers are named from this share of the wrong completions on."""

MAX_GROUPS = 4
"""Groups of problems in a sentence."""

LONGEST = 160
"""Characters of a prompt or answer in a sentence."""


def headlines(
    run: RunData,
    errors: Sequence[Error],
    ways: Sequence[Mapping[str, Any]],
    lines: Course,
    prompt_text: Mapping[str, str],
) -> list[str]:
    """The sentences about one run.

    Args:
        run: The run.
        errors: Its errors.
        ways: Its errors across prompts.
        lines: Its course of training.
        prompt_text: Prompt id -> text, of the prompts of ``errors``.
    """
    if not len(run.rollouts):
        return []
    graded = int(run.rollouts["reward"].notna().sum())
    if not graded:
        return [f"Nothing says which of the {len(run.rollouts):,} completions are right (correctness): no errors."]
    if not len(run.wrong):
        return [f"None of the {graded:,} completions is wrong."]
    sentences = [_most_repeated_way(run, ways), _largest_error(errors, prompt_text)]
    sentences += [_repeats(lines) if _has_answers(run) else "", _penalty(run)]
    return [sentence for sentence in sentences if sentence]


def _most_repeated_way(run: RunData, ways: Sequence[Mapping[str, Any]]) -> str:
    # A way in one prompt only is left to the sentence on the largest single error.
    named = [way for way in ways if not (_is_unnamed(way) or way.get("is_right")) and way["prompts"] > 1]
    way = named[0] if named else None
    none, num_wrong, num_prompts = _no_answers(run), len(run.wrong), run.rollouts["prompt_id"].nunique()
    if none["prompts"] > 1 and (none["share"] >= WORTH_SAYING if way is None else none["count"] > way["count"]):
        most = f"The most repeated error is no answer at all: {_how_often(none, num_wrong, num_prompts)}"
        if way is None:
            return most + "."
        kind = "the strategy " if way["by"] == "strategy" else ""
        return f"{most}; then {kind}{_called(way)}: {way['count']:,} ({percent(way['share'])}).{_legend(way)}"
    if way is None:
        return ""
    # Unrecognised completions are not one error, but the reader must know if they are the majority.
    unnamed = sum(each["share"] for each in ways if _is_unnamed(each))
    rest = f"; {percent(unnamed)} follow no strategy that the task knows" if unnamed > way["share"] else ""
    return f"The most repeated error is {_called(way)}: {_how_often(way, num_wrong, num_prompts)}{rest}.{_legend(way)}"


def _called(way: Mapping[str, Any]) -> str:
    return f"“{way['name']}”" if way["by"] == "strategy" else f"the working “{way['name']}”"


def _legend(way: Mapping[str, Any]) -> str:
    """What the letters in the name of a way mean; empty for a strategy.

    >>> _legend({"by": "steps", "name": "a∘b=x"})
    " Here a, b, … are the prompt's numbers in order, x, y, … the results, and ∘ is the prompt's own sign."
    """
    if way["by"] == "strategy":
        return ""
    name = str(way["name"])
    if re.search(r"\bv1\b", name):
        return " Here v1, v2, … are the program's names in order."
    if "=x" not in name and "≠x" not in name:
        return " Here a, b, … are the prompt's names in order."
    own = ", and ∘ is the prompt's own sign" if "∘" in name else ""
    return f" Here a, b, … are the prompt's numbers in order, x, y, … the results{own}."


def verdicts(differences: Mapping[str, Any] | None) -> list[str]:
    """One sentence for each variant: on which problems its pass@1 after training is above or below the baseline's.

    Args:
        differences: `meds_rl.report.differences.differences`.
    """
    rows = [row for row in (differences or {"rows": []})["rows"] if row["metric"] == "pass@1"]
    rows = [row for row in rows if row["difference"] is not None and row["low"] is not None]
    tests = [row for row in rows if "test" in row["group"]] or rows
    return [
        _verdict(variant, [row for row in tests if row["variant"] == variant], str((differences or {})["baseline"]))
        for variant in dict.fromkeys(row["variant"] for row in tests)
    ]


def _verdict(variant: str, rows: Sequence[Mapping[str, Any]], baseline: str) -> str:
    parts = [
        f"{_better(row)} on {row['group']} ({percent(row['value'])} against {percent(row['baseline_value'])}, "
        f"{_points(row['difference'])} points, 95 % interval {_points(row['low'])} to {_points(row['high'])})"
        for row in rows[:MAX_GROUPS]
    ]
    parts += [f"{len(rows) - MAX_GROUPS} more groups are in the comparison"] if len(rows) > MAX_GROUPS else []
    alone = " This is one seed; others may differ." if max(row["num_seeds"] for row in rows) == 1 else ""
    return f"pass@1 after training, {variant} against {baseline}: {'; '.join(parts)}.{alone}"


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


def _is_unnamed(way: Mapping[str, Any]) -> bool:
    """Whether it is an `UNNAMED` strategy."""
    return way["name"] in UNNAMED


def _no_answers(run: RunData) -> dict[str, Any]:
    """The wrong completions without an answer, as a way of going wrong (`meds_rl.report.errors.ways`)."""
    wrong = run.rollouts.iloc[run.wrong]
    none = wrong[wrong["answer"].isna() & _has_answers(run)]
    return {"count": len(none), "share": len(none) / len(wrong), "prompts": int(none["prompt_id"].nunique())}


def _has_answers(run: RunData) -> bool:
    """Whether a missing answer says something about the policy: another program's rollouts may lack them all."""
    return run.folder.source is None or bool(run.rollouts["answer"].notna().any())


def _how_often(way: Mapping[str, Any], num_wrong: int, num_prompts: int) -> str:
    least = "at least " if way.get("is_sample") else ""
    return (
        f"{way['count']:,} of {num_wrong:,} wrong completions ({percent(way['share'])}), "
        f"in {least}{way['prompts']:,} of {num_prompts:,} prompts"
    )


def _largest_error(errors: Sequence[Error], prompt_text: Mapping[str, str]) -> str:
    single = [error for error in errors if error.by == "answer"]
    if not any(error.kind == "answer" for error in single):
        single = [error for error in errors if error.kind in ("working", "wording")] or single
    if not single:
        return ""
    error = max(single, key=lambda error: len(error.rows))
    prompt = shortened(" ".join(prompt_words(prompt_text[error.prompt_id]).split()), LONGEST)
    name = f"“{shortened(error.name, LONGEST)}”"
    done = {"no_answer": "gave no answer", "working": f"gave the working {name}", "wording": f"wrote words like {name}"}
    what = done.get(error.kind, f"gave the answer {name}")
    sentence = (
        f"The largest single error: to “{prompt}” the policy {what} {times(len(error.rows))}, "
        f"{percent(error.share_of_prompt)} of that prompt's wrong completions"
    )
    strategies = error.to_dict()["strategies"]
    if strategies and strategies[0][0] not in UNNAMED:
        sentence += f", mostly by “{strategies[0][0]}”"
    state = "" if error.life.state == "too short to tell" else f", {error.life.state}"
    born, last = error.life.born, error.life.last
    when = f"step {born}" if born == last else f"steps {born} to {last}"
    when = f"; {when}{state}" if len(error.run.batch_steps) > 1 else ""
    return f"{sentence}{when}.{_in_memory(error)}"


def _in_memory(error: Error) -> str:
    """The clusters of the memory that have the error; the penalty depends on their sizes."""
    clusters = error.run.clusters
    if clusters is None or error.kind == "no_answer":
        return ""
    names, sizes = np.unique(clusters[error.rows], return_counts=True)
    sizes = sizes[names >= 0]
    if not len(sizes):
        return " None of them is in a cluster of the memory."
    if len(sizes) == 1:
        return f" {sizes[0]:,} of them are one cluster of the memory."
    return f" The memory has them in {len(sizes):,} clusters, the largest with {sizes.max():,} of them."


def _repeats(lines: Course) -> str:
    """How much is repeated in the last third, compared with the middle third: in the first, little can repeat."""
    points = lines.get(("repeated", "answer"), {})
    if len(points) < LEAST_BATCHES:
        return ""
    values = np.array([points[step] for step in sorted(points)])
    begin, end = thirds(len(values))
    middle, last = float(values[begin:end].mean()), float(values[end:].mean())
    return (
        f"In the last third of training {percent(last)} of the wrong completions repeated a wrong answer of an "
        f"earlier batch, {_compared(last, middle)} in the middle third ({percent(middle)})."
    )


def _compared(share: float, before: float) -> str:
    """More, less or as much, by the rounded figures that the reader sees."""
    change = round(_written(share) - _written(before), 6)
    if abs(change) >= NOTICEABLE:
        return "more than" if change > 0 else "less than"
    return "about as much as" if change else "as much as"


def _penalty(run: RunData) -> str:
    if not has_memory(run):
        return ""
    penalties = run.rollouts["penalty"].to_numpy(dtype=np.float64)[run.wrong]
    penalties = penalties[np.abs(penalties) <= LARGEST]
    if not len(penalties):
        return ""
    if not penalties.any():
        return "The penalty was 0 for every wrong completion: the memory only watched."
    return (
        f"The mean penalty of wrong completions was {penalties.mean():.3f}; "
        f"{percent((penalties > 0).mean())} of them had a penalty, at most {penalties.max():.3f}.{_annealed(run)}"
    )


def _annealed(run: RunData) -> str:
    """When the penalty falls, where it does (`meds_anneal`)."""
    try:
        fractions = check_anneal("meds_anneal", run.recipe.fields.get("meds_anneal"))
    except ValueError:  # a damaged recipe
        return ""
    if fractions is None:
        return ""
    return f" It fell from {percent(fractions[0])} of training on and was 0 from {percent(fractions[1])} on."


def _written(share: float) -> float:
    return float(percent(share).removesuffix(" %")) / 100
