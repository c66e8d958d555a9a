"""The sentence on which errors grew, faded or died out over all prompts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from meds_rl.report.life import State
from meds_rl.report.source import RunData
from meds_rl.report.text import LONGEST, percent, shortened
from meds_rl.report.ways import is_error, traced

STATES_NAMED: tuple[State, ...] = ("growing", "fading", "died out")
MAX_TRACED = 2
"""Ways in the sentence on what grew, faded or died out, of each those that `first_named` puts first."""


def over_time(run: RunData, ways: Sequence[Mapping[str, Any]], most: Mapping[str, Any] | None) -> str:
    """Which ways, of the kind of the most repeated one, grew, faded or died out over all prompts."""
    of_kind = [way for way in ways if is_error(way) and (most is None or way["by"] == most["by"])]
    shares_of = "all completions" if run.mostly_asked_once else "the completions of their prompts"
    sentences: list[str] = []
    for state in STATES_NAMED:
        found = traced(of_kind, state)
        named = [_traced(way, way is most) for way in first_named(found)[:MAX_TRACED]]
        more = [f"{len(found) - MAX_TRACED} more"] if len(found) > MAX_TRACED else []
        over = "" if sentences else f" over all prompts (shares of {shares_of})"
        sentences += [f"{state.capitalize()}{over}: {'; '.join([*named, *more])}."] if named else []
    return " ".join(sentences)


def first_named(ways: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The ways: new ones first, then by how much their shares changed; ways that only differ in which of the prompt's
    numbers they use, as a*c=x and b*c=x, come after all others but the first of them."""
    ordered = sorted(ways, key=lambda way: (way["growth"][0] > 0, -abs(way["growth"][1] - way["growth"][0])))
    shapes = [_OPERAND.sub("a", way["name"]) if way["by"] == "steps" else way["name"] for way in ordered]
    places = sorted(range(len(ordered)), key=lambda place: shapes[place] in shapes[:place])
    return [ordered[place] for place in places]


_OPERAND = re.compile(r"\b(?:[a-w]|n\d+)\b")


def _traced(way: Mapping[str, Any], is_most: bool) -> str:
    name = f"“{shortened(way['written'] if way['by'] == 'steps' and way['written'] else way['name'], LONGEST)}”"
    before, last = way["growth"]
    this = "this outcome" if way["by"] == "outcome" else "this error"
    return f"{this if is_most else name}, {percent(before)} " + (f"to {percent(last)}" if last else "before")
