"""Sentences about a run that a reader can quote: its most repeated errors, and what the memory did about them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from meds_rl.fingerprint.steps import read_steps
from meds_rl.labels import NO_ANSWER, NOISE
from meds_rl.report.completions import read_texts
from meds_rl.report.course import Course, came_before, has_memory
from meds_rl.report.errors import Error
from meds_rl.report.life import LEAST_BATCHES, thirds
from meds_rl.report.meanings import UNNAMED
from meds_rl.report.over_time import over_time
from meds_rl.report.source import RunData
from meds_rl.report.text import LARGEST, LONGEST, percent, prompt_words, shortened, times
from meds_rl.report.ways import is_error, is_unnamed
from meds_rl.report.workings import RIGHT_STEPS, STOPS_EARLY, UNREAD_STEPS
from meds_rl.shaping.penalty import check_anneal
from meds_rl.shaping.result import Reason

NOTICEABLE = 0.02
"""A smaller change of a share, as it is written, is not called a change."""

WORTH_SAYING = 0.1
"""If no error over all prompts is known, missing answers are named from this share of the wrong completions on."""

READ = 0.9
"""If the steps of a smaller share of the wrong completions were read, a sentence by steps begins with this share."""

LEAST_SHARE = 8
"""Completions from which a share of them is given in percent."""

CUT_OFF, LEAST_TOKENS = 0.2, 16
"""From this share of the wrong completions with the greatest length on, and of at least so many tokens, these were
probably cut off by the limit of length."""

LEAST_SKIPPED = 0.5
"""Share of the wrong completions in groups left out (``all_wrong="skip"``) that is named beside a penalty."""

MAX_NEXT = 3
"""Outcomes that are named after the most frequent one."""


class Headline(NamedTuple):
    """One sentence, or a few.

    Attributes:
        text: for the reader.
        lead: number of characters at the beginning that say what matters; 0 for all.
        is_warning: whether figures are missing because of something that the reader can change.
    """

    text: str
    lead: int = 0
    is_warning: bool = False


def headlines(
    run: RunData,
    errors: Sequence[Error],
    ways: Sequence[Mapping[str, Any]],
    lines: Course,
    prompt_text: Mapping[str, str],
) -> list[Headline]:
    """The sentences about one run.

    Args:
        run: The run.
        errors: Its errors.
        ways: Its errors across prompts.
        lines: Its course of training.
        prompt_text: Prompt id -> text, of the prompts of ``errors`` and of the examples of ``ways``.
    """
    if not len(run.rollouts):
        return []
    graded = int(run.rollouts["reward"].notna().sum())
    if not graded:
        return [
            Headline(f"Nothing says which of the {len(run.rollouts):,} completions are right (correctness): no errors.")
        ]
    if not len(run.wrong):
        return [
            Headline(f"None of the {graded:,} completions is wrong." if graded > 1 else "The only completion is right.")
        ]
    most, way = _most_repeated_way(run, ways, prompt_text)
    rest = [over_time(run, ways, way), _largest_error(errors, prompt_text), *_repeats(run, lines), _penalty(run)]
    found = [most, *_unknown_answers(run), *_cut_off(run), *(Headline(sentence) for sentence in rest)]
    return [headline for headline in found if headline.text]


def _most_repeated_way(
    run: RunData, ways: Sequence[Mapping[str, Any]], prompt_text: Mapping[str, str]
) -> tuple[Headline, Mapping[str, Any] | None]:
    """The sentence, and the way that it names; a copy of it where it is not the most repeated error."""
    named = [way for way in ways if is_error(way)]
    way = named[0] if named else None
    none, num_wrong, num_prompts = _no_answers(run), len(run.wrong), run.rollouts["prompt_id"].nunique()
    if way is not None and none["count"] > way["count"]:
        way = max(named, key=lambda each: each["count"])
    if none["prompts"] > 1 and (none["share"] >= WORTH_SAYING if way is None else none["count"] > way["count"]):
        most = f"The most repeated error is no answer at all: {_how_often(none, num_wrong, num_prompts)}"
        if way is None:
            return Headline(most + "."), None
        kind = {"strategy": "the strategy ", "outcome": "the outcome "}.get(way["by"], "")
        then = f"; then {kind}{_called(way)}: {way['count']:,} ({percent(way['share'])}){_as_in(way, prompt_text)}."
        then += _legend(way)
        return Headline(most + then, len(most)), {**way}  # a copy: "this error" is no answer
    if way is None:
        return Headline(_right_steps(ways).strip()), None
    # Unrecognised completions are not one error, but the reader must know if they are the majority.
    unnamed = sum(each["share"] for each in ways if is_unnamed(each))
    rest = f"; {percent(unnamed)} follow no strategy that the task knows" if unnamed > way["share"] else ""
    # One outcome, such as a wrong output, may be many errors.
    what = "most frequent outcome of wrong completions" if way["by"] == "outcome" else "most repeated error"
    read = _share_read(ways) if way["by"] == "steps" else 1.0
    of_read = (
        f"Of the {percent(read)} of the wrong completions whose steps could be read, the" if read < READ else "The"
    )
    most = f"{of_read} {what} is {_called(way)}: {_how_often(way, num_wrong, num_prompts)}{rest}"
    if way["by"] == "outcome":
        others = [each for each in named if each["by"] == "outcome" and each is not way][:MAX_NEXT]
        then = ", ".join(f"{_called(each)} ({percent(each['share'])})" for each in others)
        return Headline(most + (f"; then {then}." if then else "."), len(most) + (not then)), way
    example = _as_in(way, prompt_text)
    return Headline(f"{most}{example}.{_legend(way)}{_right_steps(ways, way)}", len(most) + (not example)), way


def _right_steps(ways: Sequence[Mapping[str, Any]], way: Mapping[str, Any] | None = None) -> str:
    """How many wrong completions have right steps, where these are more than the most repeated error."""
    share = sum(float(each["share"]) for each in ways if each["by"] == "steps" and each["name"] == RIGHT_STEPS)
    if share <= (WORTH_SAYING if way is None else way["share"]):
        return ""
    return f" In {percent(share)} of the wrong completions the steps that could be read are right: see these by answer."


def _share_read(ways: Sequence[Mapping[str, Any]]) -> float:
    """Share of the wrong completions whose steps were read."""
    return 1 - sum(float(way["share"]) for way in ways if way["by"] == "steps" and way["name"] == UNREAD_STEPS)


def _called(way: Mapping[str, Any]) -> str:
    """What a way is called in a sentence; an example (`_as_in`) shows its steps.

    >>> _called({"by": "strategy", "name": "left_to_right"}), _called({"by": "steps", "name": "a∘b=x", "written": "x"})
    ('“left_to_right”', 'one way of working')
    """
    if way["by"] != "steps":
        return f"“{shortened(way['name'], LONGEST)}”"
    return f"the working “{way['name']}”" if way.get("written") is None else "one way of working"


def _as_in(way: Mapping[str, Any], prompt_text: Mapping[str, str]) -> str:
    """One worked example of a way."""
    if way.get("written") is None:
        return ""
    steps = f" (in the table: {shortened(way['name'], LONGEST)})" if way["by"] == "steps" else ""
    stops = f", which is {STOPS_EARLY}" if way["meaning"].startswith(STOPS_EARLY) else ""
    return f", as in “{_prompt(prompt_text[way['written_to']])}”: {shortened(way['written'], LONGEST)}{stops}{steps}"


def _legend(way: Mapping[str, Any]) -> str:
    """What the letters in the name of a way mean, if no example shows it.

    >>> _legend({"by": "steps", "name": "a b, not c", "written": None})
    " Here a, b, … are the prompt's names in order."
    """
    if way["by"] != "steps" or way.get("written") is not None:
        return ""
    is_program = re.search(r"\bv1\b", str(way["name"])) is not None
    letters = "v1, v2, … are the program's names" if is_program else "a, b, … are the prompt's names"
    return f" Here {letters} in order."


def _prompt(text: str) -> str:
    return shortened(" ".join(prompt_words(text).split()), LONGEST)


def _unknown_answers(run: RunData) -> list[Headline]:
    """That answers were not found, and which option says how they are marked."""
    if run.answers_known or run.outcomes_known:
        return []
    share = float(run.rollouts["answer"].notna().mean())
    if run.folder.source is not None:
        option = "--answer-pattern or --answer-marker say how answers are marked, --answer names their column"
    elif "answer_finder" in run.recipe.fields:
        option = "answer_finder of RepeatedErrorPenalty says how answers are marked"
    else:
        option = "the setting answer_marker or the argument answer_finder says how answers are marked"
    found = f"only {percent(share)} of the completions have one" if share else "no completion has one"
    return [Headline(f"Answers were not found ({found}), so nothing is counted by answer: {option}.", 0, True)]


def _cut_off(run: RunData) -> list[Headline]:
    """That the limit of length probably cut wrong completions off: many of them, but few right ones, are longest."""
    lengths = run.rollouts["num_tokens"].to_numpy(dtype=np.float64)
    longest = np.max(lengths, initial=0, where=np.isfinite(lengths))
    is_longest, is_right = lengths == longest, run.rollouts["is_correct"].to_numpy(dtype=bool)
    share = float(is_longest[run.wrong].mean())
    of_right = float(is_longest[is_right].mean()) if is_right.any() else 0.0
    if longest < LEAST_TOKENS or is_longest.all() or share < max(CUT_OFF, 2 * of_right):
        return []
    counted = f"{is_longest[run.wrong].sum():,} of {len(run.wrong):,} wrong completions ({percent(share)})"
    return [Headline(f"{counted} have {longest:,.0f} tokens, the most of all: they were probably cut off.", 0, True)]


def _no_answers(run: RunData) -> dict[str, Any]:
    """The wrong completions without an answer, as a way of going wrong (`meds_rl.report.ways.ways`)."""
    wrong = run.rollouts.iloc[run.wrong]
    none = wrong[wrong["answer"].isna() & run.answers_known]
    return {"count": len(none), "share": len(none) / len(wrong), "prompts": int(none["prompt_id"].nunique())}


def _how_often(way: Mapping[str, Any], num_wrong: int, num_prompts: int) -> str:
    if way.get("is_sample"):
        return (
            f"about {percent(way['share'])} of {num_wrong:,} wrong completions (by a random sample), "
            f"in at least {way['prompts']:,} of {num_prompts:,} prompts"
        )
    return (
        f"{way['count']:,} of {num_wrong:,} wrong completions ({percent(way['share'])}), "
        f"in {way['prompts']:,} of {num_prompts:,} prompts"
    )


def _largest_error(errors: Sequence[Error], prompt_text: Mapping[str, str]) -> str:
    single = [error for error in errors if error.by == "outcome"] or [error for error in errors if error.by == "answer"]
    if not any(error.kind in ("outcome", "answer") for error in single):
        single = [error for error in errors if error.kind in ("working", "wording")] or single
    if not single:
        return ""
    error = max(single, key=lambda error: len(error.rows))
    if error.kind == "no_answer" and not error.run.answers_known:
        return ""
    if len(error.rows) == 1:
        once = not error.run.rollouts["prompt_id"].iloc[error.run.wrong].duplicated().any()
        return "No prompt was answered wrong twice." if once else "No prompt got the same error twice."
    name = f"“{shortened(_name(error), LONGEST)}”"
    done = {
        "no_answer": "had no outcome" if error.by == "outcome" else "gave no answer",
        "outcome": f"had the outcome {name}",
        "working": f"gave the working {name}",
        "wording": f"wrote words like {name}",
    }
    what = done.get(error.kind, f"gave the answer {name}")
    sentence = (
        f"The largest single error: to “{_prompt(prompt_text[error.prompt_id])}” the policy {what} {_of_prompt(error)}"
    )
    strategies = error.to_dict()["strategies"]
    if strategies and strategies[0][0] not in UNNAMED:
        sentence += f", mostly by “{strategies[0][0]}”"
    # "steady" may also mean that too few completions show a change.
    state = "" if error.life.state in (None, "steady") else f", {error.life.state}"
    born, last = error.life.born, error.life.last
    when = f"step {born}" if born == last else f"steps {born} to {last}"
    when = f"; {when}{state}" if len(error.run.batch_steps) > 1 else ""
    return f"{sentence}{when}.{_in_memory(error)}"


def _name(error: Error) -> str:
    """The error's name; of a working the steps of its newest completion, with their numbers."""
    if error.kind == "working" and error.by == "working":
        newest = int(error.rows[-1])
        prompts, texts = (dict(read_texts(error.run, column, [newest])) for column in ("prompt", "completion"))
        working = read_steps(prompts.get(newest), texts.get(newest) or "")
        if working is not None and working.written:
            return ", ".join(working.written)
    return error.name


def _of_prompt(error: Error) -> str:
    """How often; a share only where it is of `LEAST_SHARE` completions or more."""
    count, of = len(error.rows), round(len(error.rows) / error.share_of_prompt)
    if of >= LEAST_SHARE:
        return f"{times(count)}, {percent(error.share_of_prompt)} of that prompt's wrong completions"
    return f"in {count} of that prompt's {of} wrong completions"


def _in_memory(error: Error) -> str:
    """The clusters of the memory that have the error; the penalty depends on their sizes."""
    clusters = error.run.clusters
    if clusters is None or error.kind == "no_answer":
        return ""
    names, sizes = np.unique(clusters[error.rows], return_counts=True)
    inside = sizes[names >= 0]
    if len(inside) == 1:
        return f" {inside[0]:,} of them are one cluster of the memory."
    if len(inside):
        return f" The memory has them in {len(inside):,} clusters, the largest with {inside.max():,} of them."
    mostly = int(names[sizes.argmax()])
    if mostly == NO_ANSWER:
        return " The memory found no answer in them and counts them with all others that have none."
    if mostly == NOISE and error.run.recipe.fields.get("meds_noise", "cluster") == "cluster":
        return " The memory has them in no cluster and counts them with all others in none."
    return " None of them is in a cluster of the memory."


def _repeats(run: RunData, lines: Course) -> list[str]:
    """How much is repeated in the last third, compared with the middle third."""
    points = _repeated_outcomes(run) if run.outcomes_known else lines.get(("repeated", "answer"), {})
    steps = run.batch_steps
    if len(steps) < LEAST_BATCHES:
        return []
    begin, end = thirds(len(steps))
    again = run.wrong[came_before(run)[run.wrong]]
    of_wrong = run.rollouts["step"].to_numpy()[again]
    shares = []
    for third in (steps[end:], steps[begin:end]):
        values = [points[step] for step in third.tolist() if step in points]
        if not values or np.isin(of_wrong, third).sum() < LEAST_SHARE:
            return []
        shares.append(float(np.mean(values)))
    what = "an outcome that their prompt had in" if run.outcomes_known else "a wrong answer of"
    last, middle = shares
    return [_repeated(last, middle, what, "the batches" if run.is_evaluation else "training")]


def _repeated_outcomes(run: RunData) -> dict[int, float]:
    """By step: of the wrong completions whose prompt came before, the fraction whose outcome it had then."""
    wrong = run.rollouts.iloc[run.wrong]
    first = wrong.groupby(["prompt_id", "outcome"])["generation"].transform("min")  # NaN without an outcome
    again = came_before(run)[run.wrong]
    shares = (wrong["generation"] > first)[again].groupby(wrong["step"][again]).mean()
    return dict(zip(shares.index.tolist(), shares.tolist(), strict=True))


def _repeated(last: float, middle: float, what: str = "a wrong answer of", of: str = "training") -> str:
    return (
        f"In the last third of {of} {percent(last)} of the wrong completions of prompts that came again repeated "
        f"{what} an earlier batch, {_compared(last, middle)} in the middle third ({percent(middle)})."
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
        return f"The penalty was 0 for every wrong completion{_why_nothing(run)}."
    skipped = _reasons(run).get(Reason.ALL_WRONG.value, 0.0)
    left_out = f" {percent(skipped)} of them {_SKIPPED}." if skipped >= LEAST_SKIPPED else ""
    return (
        f"The mean penalty of wrong completions was {penalties.mean():.3f}; "
        f"{percent((penalties > 0).mean())} of them had a penalty, at most {penalties.max():.3f}.{left_out}"
        f"{_annealed(run)}"
    )


_SKIPPED = "are in groups without a right answer, which are left out (all_wrong: skip)"
_WHY_NOTHING = {
    Reason.ALL_WRONG.value: _SKIPPED,
    Reason.UNSEEN.value: "came before anything like them was remembered",
    Reason.NOT_TARGET.value: "are no target of the penalty (target)",
    Reason.NOISE_FREE.value: "are in no cluster, which costs nothing (noise: free)",
    Reason.NO_ANSWER_FREE.value: "have no answer, which costs nothing (no_answer: free)",
}
"""Reasons for a penalty of 0, of several completions."""


def _why_nothing(run: RunData) -> str:
    """Why no wrong completion has a penalty, as far as recipe and rollouts show."""
    alpha = run.recipe.number("meds_alpha")
    if alpha == 0:
        return ": the memory only watched (alpha is 0)"
    shares = _reasons(run)
    parts = [
        f"{percent(share)} of them {_WHY_NOTHING[reason]}" for reason, share in shares.items() if reason in _WHY_NOTHING
    ]
    wrong = run.rollouts.iloc[run.wrong]
    once = Reason.UNSEEN.value in shares and bool((wrong.groupby("prompt_id")["generation"].nunique() == 1).all())
    but = "" if alpha is None else f", although alpha is {alpha:g}"
    why = [*parts, *(["every prompt came once"] if once else [])]
    return f"{but}: {'; '.join(why)}" if why else but


def _reasons(run: RunData) -> dict[str, float]:
    """Share of the wrong completions with each reason for their penalty, the most frequent first."""
    shares = run.rollouts["reason"].iloc[run.wrong].value_counts(normalize=True)
    return {str(reason): float(share) for reason, share in shares.items()}


def _annealed(run: RunData) -> str:
    """When the penalty falls, where it does (`meds_anneal`)."""
    try:
        fractions = check_anneal("meds_anneal", run.recipe.fields.get("meds_anneal"))
    except ValueError:  # a damaged recipe
        return ""
    if fractions is None:
        return ""
    return f" It falls from {percent(fractions[0])} of training on and is 0 from {percent(fractions[1])} on."


def _written(share: float) -> float:
    return float(percent(share).removesuffix(" %")) / 100
