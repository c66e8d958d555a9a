"""One sentence about a run: would a memory help here?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from meds_rl.report.text import percent

Regime: TypeAlias = Literal[
    "no answers", "one batch", "asked once", "new errors", "solved", "mixed", "mixed, yet", "stuck", "many", "repeats"
]

DOMINANT = 0.8
"""An error is dominant if it is over this fraction of its prompt's completions."""

STUCK = 0.2
"""A run is stuck if, on at least this fraction of its prompts, over `DOMINANT` of the completions make one error."""

MOSTLY = 0.8
"""From this fraction on, groups are mostly mixed, or mostly all right."""

HARDLY = 0.1
"""If fewer prompts came again, or fewer errors were made before, there is hardly anything to remember."""

UNANSWERED = 0.9
"""If this fraction of the wrong completions has no answer, nothing is said about repetition."""

MOST_SEEN = 0.5
"""From this share of errors that were made before, mixed groups do not mean that there is nothing to learn."""

_TEST = ": train with and without a penalty (meds_alpha=0) to see whether it helps."
_TESTED = ": see the comparison with and without a penalty."
SENTENCES: Mapping[Regime, str] = {
    "no answers": "No final answer was found in {no_answer} of the wrong completions, so nothing can be said about "
    "repeated errors.",
    "one batch": "There is one batch only, so whether errors come back cannot be seen{dominated}.",
    "asked once": "{once} came once: a memory across visits has nothing to remember.",
    "new errors": "A memory can hardly help: {before}.",
    "solved": "Little is left to learn: {all_right} of the groups are all right.",
    "mixed": "Nothing to learn for a penalty: {mixed} of the groups are mixed, so right and wrong already differ in "
    "reward.",
    "mixed, yet": "{mixed} of the groups are mixed, so right and wrong already differ in reward there. But {evidence}"
    + _TEST,
    "stuck": "Stuck: on {stuck} of the prompts, over {dominant} of the completions make the same error" + _TEST,
    "many": "Many errors at a time: the median prompt has {modes:.1f} different errors, more than a group of {size} "
    "can show" + _TEST,
    "repeats": "Errors repeat: {before}{all_wrong}" + _TEST,
}
"""The sentence of each regime. None promises that a penalty helps, because we could not show that it does."""


def regime_of(found: Mapping[str, Any], no_answer: float, dropped: bool, has_evidence: bool) -> Regime:
    """The first regime that holds.

    Args:
        found: figures of `meds_rl.report.outlook.Outlook`, by name.
        no_answer: fraction of the wrong completions that have neither an answer nor steps.
        dropped: whether groups that are all right or all wrong are missing.
        has_evidence: whether something speaks for a memory (`evidence_for`).
    """
    groups, commonest, live = found["groups"], found["commonest"], found["live_errors"]
    if no_answer >= UNANSWERED:
        return "no answers"
    if found["num_batches"] == 1:
        return "one batch"
    if found["asked_again"] < HARDLY:
        return "asked once"
    if groups and not dropped and groups.all_right >= MOSTLY:
        return "solved"
    if groups and not dropped and groups.mixed >= MOSTLY:
        return "mixed, yet" if has_evidence else "mixed"
    if found["seen_before"] is None or found["seen_before"] < HARDLY:
        return "new errors"
    if commonest and commonest.over_dominant >= STUCK:
        return "stuck"
    return "many" if live is not None and live > found["group_size"] > 1 else "repeats"


def sentence_of(
    regime: Regime, found: Mapping[str, Any], no_answer: float, evidence: str, is_tested: bool = False
) -> str:
    """The sentence of a regime, with its figures.

    Args:
        regime, found, no_answer: as in `regime_of`.
        evidence: the result of `evidence_for`.
        is_tested: whether the report compares runs with and without a penalty, so that none is advised.
    """
    sentence = SENTENCES[regime].replace(_TEST, _TESTED) if is_tested else SENTENCES[regime]
    groups, commonest = found["groups"], found["commonest"]
    all_wrong = groups.all_wrong if groups else 0.0
    stuck = percent(commonest.over_dominant if commonest else 0.0)
    dominated = f"; on {stuck} of the prompts, over {percent(DOMINANT)} of the completions make the same error"
    return sentence.format(
        dominated=dominated if commonest else "",
        no_answer=percent(no_answer),
        once="Every prompt" if not found["asked_again"] else f"{percent(1 - found['asked_again'])} of the prompts",
        before=f"over the whole run, {_before(found['seen_before'] or 0.0, found['errors_by'])}",
        all_right=percent(groups.all_right if groups else 0.0),
        all_wrong=f", and {percent(all_wrong)} of the groups are all wrong" if all_wrong else "",
        mixed=percent(groups.mixed if groups else 0.0),
        stuck=stuck,
        dominant=percent(DOMINANT),
        modes=found["live_errors"] or 0.0,
        size=found["group_size"],
        evidence=evidence,
    )


def _before(seen: float, errors_by: str) -> str:
    return f"{percent(seen)} of the errors on prompts that came again were made before (by {errors_by})"


def evidence_for(seen: float | None, growth: tuple[float, float] | None, errors_by: str) -> str:
    """What speaks for a memory although most groups are mixed; empty if nothing does."""
    parts = [_before(seen, errors_by)] if seen is not None and seen >= MOST_SEEN else []
    if growth is not None:
        parts.append(
            f"one way of going wrong grows from {percent(growth[0])} to {percent(growth[1])} of its prompts' "
            "completions"
        )
    return " and ".join(parts)
