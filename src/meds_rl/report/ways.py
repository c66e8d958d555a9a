"""Ways of going wrong: errors over all prompts, by strategy, by outcome or by the steps of their workings."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from meds_rl.fingerprint.steps import read_steps
from meds_rl.report.completions import read_texts
from meds_rl.report.errors import rows_by
from meds_rl.report.life import State, life, thirds
from meds_rl.report.meanings import UNNAMED
from meds_rl.report.outcomes import failed_tests, kind_of
from meds_rl.report.source import RunData
from meds_rl.report.text import shortened
from meds_rl.report.workings import UNREAD_STEPS, Workings

MAX_WAYS = 30
"""Ways that are listed by strategy, by outcome, and by steps: the most frequent."""

LEAST_TRACED, TRACED = 20, 0.02
"""A way with fewer completions, or a smaller share of the wrong ones, is too rare to grow, fade or die out."""

UNSURE = 0.02
"""A way grows or fades only if its shares in single batches show it: p of the Mann-Whitney test is below this. Fewer
than 13 batches cannot."""

MAX_EXAMPLES = 3
"""Completions that are shown of a way."""


@dataclass(frozen=True)
class Way:
    """A way of going wrong over all prompts.

    Attributes:
        run: the run.
        by: "strategy", of the task's names, "outcome", of what the grader reports, or "steps", read from the workings.
        name, meaning: for the reader; the meaning may be empty.
        rows: (n,) its completions, rows of the run's rollouts, in the order of training.
        scale: completions of the run per completion that was read; above 1 if only a sample was read.
        example: the row of the newest completion with these steps, and the steps with their numbers; None without any.
        is_error: whether it is one error; not the completions with right steps, nor those whose steps are unknown.
    """

    run: RunData
    by: Literal["strategy", "outcome", "steps"]
    name: str
    meaning: str
    rows: NDArray[np.int64]
    scale: float = 1.0
    example: tuple[int, str] | None = None
    is_error: bool = True

    @cached_property
    def prompts(self) -> list[tuple[str, int]]:
        """Its prompts, the most frequent first, each with its newest completion."""
        ids = self.run.rollouts["prompt_id"].to_numpy()[self.rows].tolist()
        newest = dict(zip(ids, self.rows.tolist(), strict=True))
        return [(str(prompt), newest[prompt]) for prompt, _ in Counter(ids).most_common()]

    def examples(self) -> list[int]:
        """At most `MAX_EXAMPLES` rows: `example`, or else the newest completion, and the newest of other prompts."""
        first = int(self.rows[-1]) if self.example is None else self.example[0]
        ids = self.run.rollouts["prompt_id"].to_numpy()
        others = [row for prompt, row in self.prompts if prompt != str(ids[first])]
        return [first, *others[: MAX_EXAMPLES - 1]]

    @cached_property
    def asked(self) -> NDArray[np.int64]:
        """(m,) the steps of all completions of its prompts; of the run where most prompts came in one batch only."""
        if self.run.mostly_asked_once:
            return self.run.rollouts["step"].to_numpy()
        of_prompts = self.run.rollouts["prompt_id"].isin([prompt for prompt, _ in self.prompts])
        return self.run.rollouts["step"].to_numpy()[of_prompts.to_numpy()]

    def growth(self) -> tuple[float, float] | None:
        """Its shares of the completions (`asked`) in the first and the last third of the batches.

        None if the way is too rare (`LEAST_TRACED`, `TRACED`), or if the shares of the single batches do not show that
        the two differ (`UNSURE`).
        """
        from scipy.stats import mannwhitneyu

        if len(self.rows) * self.scale < max(LEAST_TRACED, TRACED * len(self.run.wrong)):
            return None
        batches = self.run.batch_steps
        made, asked = (
            np.bincount(np.searchsorted(batches, steps), minlength=len(batches))
            for steps in (self.run.rollouts["step"].to_numpy()[self.rows], self.asked)
        )
        begin, end = thirds(len(batches))
        places = np.arange(len(batches))
        parts = [third & (asked > 0) for third in (places < begin, places >= end)]
        if not all(part.any() for part in parts):
            return None
        if mannwhitneyu(*(made[part] / asked[part] for part in parts)).pvalue >= UNSURE:
            return None
        first, last = (float(self.scale * made[part].sum() / asked[part].sum()) for part in parts)
        return first, last

    def to_dict(self) -> dict[str, Any]:
        """The way in the report's data, without examples and prompts."""
        rollouts = self.run.rollouts
        steps = rollouts["step"].to_numpy()
        lived = life(steps[self.rows], self.asked, self.run.batch_steps, self.run.num_steps)
        return {
            "run": self.run.id,
            "by": self.by,
            "name": shortened(self.name),
            "meaning": self.meaning,
            "count": round(len(self.rows) * self.scale),
            "share": len(self.rows) * self.scale / len(self.run.wrong),
            "prompts": len(self.prompts),
            "is_sample": self.scale > 1,
            "course": [round(count * self.scale) for count in lived.course],
            "state": lived.state if self.is_error else None,
            "growth": self.growth(),
            "is_error": self.is_error,
            "written": None if self.example is None else shortened(self.example[1]),
            "written_to": None if self.example is None else str(rollouts["prompt_id"].iat[self.example[0]]),
        }


def ways(run: RunData, workings: Workings | None = None) -> list[Way]:
    """The most frequent ways of going wrong: by strategy, if the task names any; by outcome, if most wrong completions
    have one; by steps, if `workings` has any.

    A way by outcome or steps has at least two prompts; the last ones by steps are no errors (`Way.is_error`). Equal
    answers to different prompts are not a way.
    """
    found = []
    strategies = run.rollouts["strategy"].to_numpy()[run.wrong]
    known = np.flatnonzero([name is not None for name in strategies])
    for name, places in itertools.islice(_by_name(strategies[known]), MAX_WAYS):
        found.append(Way(run, "strategy", str(name), "", run.wrong[known[places]]))
    found = _with_steps(run, found)
    found += itertools.islice((way for way in _by_outcome(run) if len(way.prompts) > 1), MAX_WAYS)
    if workings is not None and workings.over_prompts:
        found += _by_steps(run, workings)
    return found


def _by_steps(run: RunData, workings: Workings) -> list[Way]:
    """The ways by steps, the most frequent first; then the completions with right steps, and those without steps."""
    named = [
        Way(
            run,
            "steps",
            workings.names[group],
            workings.meanings[group],
            rows,
            workings.scale,
            workings.examples[group] if workings.examples else None,
            is_error=group != workings.right,
        )
        for group, rows in _rows_of_groups(workings)
    ]
    unread = workings.rows[workings.groups < 0]
    rest = [way for way in named if not way.is_error]
    if len(unread):
        rest.append(Way(run, "steps", UNREAD_STEPS, "see these by answer", unread, workings.scale, is_error=False))
    errors = itertools.islice((way for way in named if way.is_error and len(way.prompts) > 1), MAX_WAYS)
    return [*errors, *(way for way in rest if len(way.prompts) > 1)]


def _by_outcome(run: RunData) -> Iterator[Way]:
    """The ways by the kind of their outcome (`kind_of`), the most frequent first."""
    if not run.outcomes_known:
        return
    outcomes = run.rollouts["outcome"].to_numpy()[run.wrong]
    known = np.flatnonzero([outcome is not None for outcome in outcomes])
    for kind, places in _by_name(kind_of(outcome) for outcome in outcomes[known]):
        members = known[places]
        meaning = failed_tests(outcomes[members]) if run.has_tests else ""
        yield Way(run, "outcome", kind, meaning, run.wrong[members])


def _by_name(names: Iterable[str]) -> list[tuple[str, NDArray[np.int64]]]:
    """Each name and its places, the most frequent name first; NumPy would take "a" and "a\\0" for equal."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    return sorted(((name, np.array(found)) for name, found in places.items()), key=lambda pair: -len(pair[1]))


def _with_steps(run: RunData, found: Sequence[Way]) -> list[Way]:
    """The ways with the steps of their newest completions as examples."""
    newest = [int(way.rows[-1]) for way in found]
    prompts, texts = (dict(read_texts(run, column, newest)) for column in ("prompt", "completion"))
    workings = [read_steps(prompts.get(row), texts.get(row) or "") for row in newest]
    return [
        way if working is None or not working.written else replace(way, example=(row, ", ".join(working.written)))
        for way, row, working in zip(found, newest, workings, strict=True)
    ]


def traced(ways: Sequence[Mapping[str, Any]], state: State) -> list[Mapping[str, Any]]:
    """The ways (dicts of the report's data) with this state, without those whose `growth` is not clear."""
    return [way for way in ways if way["growth"] is not None and way["state"] == state]


def _rows_of_groups(workings: Workings) -> list[tuple[int, NDArray[np.int64]]]:
    """The groups of the workings and their rows, the largest group first."""
    known = np.flatnonzero(workings.groups >= 0)
    places = rows_by(workings.groups[known])
    pairs = [(group, workings.rows[known[members]]) for group, members in enumerate(places)]
    return sorted(pairs, key=lambda pair: -len(pair[1]))


# ---- Of a way in the report's data.


def is_error(way: Mapping[str, Any]) -> bool:
    """Whether a way is one error over several prompts: neither the right way, nor unnamed, nor of one prompt only."""
    return way.get("is_error", True) and not (is_unnamed(way) or way.get("is_right")) and way["prompts"] > 1


def is_unnamed(way: Mapping[str, Any]) -> bool:
    """Whether it is an `UNNAMED` strategy."""
    return way["name"] in UNNAMED
