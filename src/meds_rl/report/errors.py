"""The errors of a run: how often each was made, when it appeared, and whether it died out.

An error is a group of wrong completions of one prompt, grouped by cluster of the memory, by outcome
(`meds_rl.report.outcomes`), by final answer, or by working (`meds_rl.report.workings`). Noise (completions in no
cluster) is not an error; it is a kind of its own. A *way* of going wrong is an error over all prompts: a strategy that
the task names, a kind of outcome, or steps that workings share.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meds_rl.fingerprint.steps import read_steps
from meds_rl.labels import NO_ANSWER, NOISE
from meds_rl.report.completions import read_texts
from meds_rl.report.outcomes import failed_tests, in_words, kind_of
from meds_rl.report.source import NOT_KEPT, RunData
from meds_rl.report.text import shortened
from meds_rl.report.workings import Workings

By: TypeAlias = Literal["cluster", "outcome", "answer", "working", "states"]
Kind: TypeAlias = Literal["cluster", "noise", "no_answer", "outcome", "answer", "working", "wording", "unread"]
State: TypeAlias = Literal["growing", "steady", "fading", "died out", "not asked again", "rare", "too short to tell"]

MAX_ANSWERS = 5
"""Answers, outcomes and strategies that are listed of an error: the most frequent."""

MAX_WAYS = 30
"""Ways that are listed by strategy, by outcome, and by steps: the most frequent."""

LEAST_TRACED, TRACED = 20, 0.02
"""A way with fewer completions, or a smaller share of the wrong ones, is not said to grow, fade or have died out."""

UNSURE = 0.02
"""Nor is one whose shares in single batches differ so little (p of the Mann-Whitney test; 10 batches at least)."""

MAX_EXAMPLES = 3
"""Completions that are shown of a way."""

MAX_BINS = 40
"""Most stretches of steps in the course of an error."""

LEAST_BATCHES = 3
"""With fewer batches, an error has no state."""

LEAST_MADE = 5
"""An error made fewer times neither grows nor dies out: its state is "rare"."""

FACTOR = 1.5
"""The ratio from which an error is "growing"; its inverse is for "fading"."""

STATES: dict[str, str] = {
    "growing": f"in the last third of the run's batches at least {FACTOR} times as often as before, or new",
    "steady": "about as often as before",
    "fading": f"at most 1/{FACTOR} as often as before",
    "died out": "its prompt came in the last third of the run's batches, and this error did not",
    "not asked again": "its prompt did not come in the last third of the run's batches",
    "rare": f"made fewer than {LEAST_MADE} times, which is too few to tell",
    "too short to tell": f"the run has fewer than {LEAST_BATCHES} batches, or its prompt came in fewer, or in their "
    "last third only",
}
"""What each state means. "How often" is a fraction of the prompt's completions, right and wrong, in these batches.
Batches are counted rather than optimiser steps, because a batch may serve many steps."""


@dataclass(frozen=True)
class Error:
    """One error.

    Attributes:
        run, prompt_id: the run and the prompt.
        by: how completions were grouped.
        kind: "cluster", "noise", "no_answer", "outcome", "answer", "working" (alike by steps or states), "wording"
            (similar texts), or "unread" (in no group).
        name: for the reader.
        rows: (n,) its completions, rows of the run's rollouts, in the order of training.
        share, share_of_prompt: n as a fraction of all wrong completions of the run, and of the prompt.
        life: when it was made.
    """

    run: RunData
    prompt_id: str
    by: By
    kind: Kind
    name: str
    rows: NDArray[np.int64]
    share: float
    share_of_prompt: float
    life: Life

    def examples(self) -> list[int]:
        """The newest completion, the first, and the one in the middle, each once."""
        middle = int(self.rows[len(self.rows) // 2])
        return list(dict.fromkeys((int(self.rows[-1]), int(self.rows[0]), middle)))

    def to_dict(self) -> dict[str, Any]:
        """The error in the report's data, without the prompt and the examples."""
        rollouts = self.run.rollouts.iloc[self.rows]
        penalties = rollouts["penalty"].to_numpy(dtype=np.float64)
        newest = (rollouts["generation"] == rollouts["generation"].iloc[-1]).to_numpy()
        return {
            "run": self.run.id,
            "by": self.by,
            "kind": self.kind,
            "name": self.name,
            "size": len(self.rows),
            "share": self.share,
            "share_of_prompt": self.share_of_prompt,
            **self.life.to_dict(),
            "answers": counts(rollouts["answer"]),
            "outcomes": counts(rollouts["outcome"], lambda outcome: in_words(outcome, self.run.has_tests)),
            "strategies": counts(rollouts["strategy"]),
            "penalty_mean": float(penalties.mean()),
            "penalty_last": float(penalties[newest].mean()),
            "penalty_sum": float(penalties.sum()),
            "reason_counts": dict(Counter(rollouts["reason"]).most_common()),
        }


def find_errors(run: RunData, limit: int, workings: Sequence[Workings] = ()) -> tuple[list[Error], dict[By, int]]:
    """The ``limit`` largest errors of each grouping, and how many smaller ones are left out.

    Args:
        run: the run.
        limit: most errors of each grouping.
        workings: further groupings, by working.
    """
    errors: list[Error] = []
    left_out: dict[By, int] = {}
    for by, rows, keys, names in _groupings(run, workings):
        found, num_groups = _grouped(run, by, rows, keys, limit, names)
        errors += found
        left_out[by] = num_groups - len(found)
    return errors, left_out


def counts(values: pd.Series, words: Callable[[str], str] = str) -> list[list[Any]]:
    """The most frequent values in words and their counts; long ones are shortened."""
    common = Counter(value for value in values if value is not None).most_common(MAX_ANSWERS)
    return [[shortened(words(value)), count] for value, count in common]


def _groupings(
    run: RunData, workings: Sequence[Workings]
) -> list[tuple[By, NDArray[np.int64], NDArray[np.int64], Workings | None]]:
    """Each grouping: its rows, the number of each row's group (or NO_ANSWER, NOISE), and where the names are."""
    found: list[tuple[By, NDArray[np.int64], NDArray[np.int64], Workings | None]] = []
    if run.clusters is not None:
        kept = run.wrong[run.clusters[run.wrong] != NOT_KEPT]
        found.append(("cluster", kept, run.clusters[kept], None))
    if run.outcomes_known:
        codes, _ = pd.factorize(run.rollouts["outcome"].iloc[run.wrong], use_na_sentinel=True)
        found.append(("outcome", run.wrong, np.where(codes < 0, NO_ANSWER, codes).astype(np.int64), None))
    codes, _ = pd.factorize(run.rollouts["answer"].iloc[run.wrong], use_na_sentinel=True)
    found.append(("answer", run.wrong, np.where(codes < 0, NO_ANSWER, codes).astype(np.int64), None))
    there = [read for read in workings if read.by is not None]
    found += [("states" if read.by == "states" else "working", read.rows, read.groups, read) for read in there]
    if run.answers_known:
        return found
    # Where answers are unknown, "no answer" is no error, unless there is nothing else to show.
    return [one for one in found if one[0] != "answer" and not (one[2] == NO_ANSWER).all()] or found


def _grouped(
    run: RunData,
    by: By,
    rows: NDArray[np.int64],
    keys: NDArray[np.int64],
    limit: int,
    workings: Workings | None,
) -> tuple[list[Error], int]:
    if not len(rows):
        return [], 0
    prompts = pd.factorize(run.rollouts["prompt_id"])[0].astype(np.int64)
    pairs = np.stack([prompts[rows], keys], axis=1)
    unique, groups, sizes = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(groups.ravel(), kind="stable")  # stable: rows stay in the order of training
    starts = np.concatenate([[0], np.cumsum(sizes)])
    wrong_of_prompt = np.bincount(prompts[run.wrong], minlength=int(prompts.max()) + 1)
    rows_of_prompt = _rows_by(prompts)
    largest = np.argsort(-sizes, kind="stable")[:limit]
    errors = []
    for group in largest.tolist():
        members = rows[order[starts[group] : starts[group + 1]]]
        prompt, key = (int(number) for number in unique[group])
        steps = run.rollouts["step"].to_numpy()
        errors.append(
            Error(
                run=run,
                prompt_id=str(run.rollouts["prompt_id"].iat[members[0]]),
                by=by,
                kind=_kind(by, key, workings),
                name=_name(run, by, key, members, workings),
                rows=members,
                share=len(members) / len(run.wrong),
                share_of_prompt=len(members) / int(wrong_of_prompt[prompt]),
                life=life(steps[members], steps[rows_of_prompt[prompt]], run.batch_steps, run.num_steps),
            )
        )
    return errors, len(sizes)


def _rows_by(codes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The places of each code, from code 0."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes))[:-1])


def _kind(by: By, key: int, workings: Workings | None) -> Kind:
    if by in ("working", "states"):
        is_text = workings is not None and workings.by == "text"
        return "unread" if key < 0 else "wording" if is_text else "working"
    if key == NO_ANSWER:
        return "no_answer"
    if by == "cluster":
        return "noise" if key == NOISE else "cluster"
    return "outcome" if by == "outcome" else "answer"


def _name(run: RunData, by: By, key: int, members: NDArray[np.int64], workings: Workings | None) -> str:
    kind = _kind(by, key, workings)
    if kind == "answer":
        return shortened(str(run.rollouts["answer"].iat[members[0]]))
    if kind == "outcome":
        return shortened(in_words(str(run.rollouts["outcome"].iat[members[0]]), run.has_tests))
    if kind in ("working", "wording") and workings is not None:
        return shortened(workings.names[key])
    nothing = "no outcome" if by == "outcome" else "no answer"
    names = {"no_answer": nothing, "noise": "in no cluster", "unread": "like no other"}
    return names.get(kind, f"cluster {key}")


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
    """

    run: RunData
    by: Literal["strategy", "outcome", "steps"]
    name: str
    meaning: str
    rows: NDArray[np.int64]
    scale: float = 1.0
    example: tuple[int, str] | None = None

    @cached_property
    def prompts(self) -> list[tuple[str, int]]:
        """Its prompts, the most frequent first, each with its newest completion."""
        ids = self.run.rollouts["prompt_id"].to_numpy()[self.rows].tolist()
        newest = dict(zip(ids, self.rows.tolist(), strict=True))
        return [(str(prompt), newest[prompt]) for prompt, _ in Counter(ids).most_common()]

    def examples(self) -> list[int]:
        """`example`, or else the newest completion, and the newest of two other prompts."""
        first = int(self.rows[-1]) if self.example is None else self.example[0]
        ids = self.run.rollouts["prompt_id"].to_numpy()
        others = [row for prompt, row in self.prompts if prompt != str(ids[first])]
        return [first, *others[: MAX_EXAMPLES - 1]]

    @cached_property
    def asked(self) -> NDArray[np.int64]:
        """(m,) the steps of all completions of its prompts."""
        of_prompts = self.run.rollouts["prompt_id"].isin([prompt for prompt, _ in self.prompts])
        return self.run.rollouts["step"].to_numpy()[of_prompts.to_numpy()]

    def growth(self) -> tuple[float, float] | None:
        """Its shares of the completions of its prompts, before the last third of the batches and in it.

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
        late = np.arange(len(batches)) >= thirds(len(batches))[1]
        parts = [there & (asked > 0) for there in (~late, late)]
        if not all(part.any() for part in parts):
            return None
        if mannwhitneyu(*(made[part] / asked[part] for part in parts)).pvalue >= UNSURE:
            return None
        before, last = (float(self.scale * made[part].sum() / asked[part].sum()) for part in parts)
        return before, last

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
            "state": lived.state,
            "growth": self.growth(),
            "written": None if self.example is None else shortened(self.example[1]),
            "written_to": None if self.example is None else str(rollouts["prompt_id"].iat[self.example[0]]),
        }


def ways(run: RunData, workings: Workings | None = None) -> list[Way]:
    """The most frequent ways of going wrong: by strategy, if the task names any; by outcome, if most wrong completions
    have one; by steps, if `workings` has any.

    A way by outcome or steps has at least two prompts. Equal answers to different prompts are not a way.
    """
    found = []
    strategies = run.rollouts["strategy"].to_numpy()[run.wrong]
    known = np.flatnonzero([name is not None for name in strategies])
    for name, places in itertools.islice(_by_name(strategies[known]), MAX_WAYS):
        found.append(Way(run, "strategy", str(name), "", run.wrong[known[places]]))
    found = _with_steps(run, found)
    found += itertools.islice((way for way in _by_outcome(run) if len(way.prompts) > 1), MAX_WAYS)
    if workings is not None and workings.over_prompts:
        by_steps = [
            Way(
                run,
                "steps",
                workings.names[group],
                workings.meanings[group],
                rows,
                workings.scale,
                workings.examples[group] if workings.examples else None,
            )
            for group, rows in _rows_of_groups(workings)
        ]
        shared = (way for way in by_steps if len(way.prompts) > 1)
        found += itertools.islice(shared, MAX_WAYS)
    return found


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
    """The ways, as dicts of the report's data, that have a state and are frequent and clear enough to say so."""
    return [way for way in ways if way["growth"] is not None and way["state"] == state]


def _rows_of_groups(workings: Workings) -> list[tuple[int, NDArray[np.int64]]]:
    """The groups of the workings and their rows, the largest group first."""
    known = np.flatnonzero(workings.groups >= 0)
    places = _rows_by(workings.groups[known])
    pairs = [(group, workings.rows[known[members]]) for group, members in enumerate(places)]
    return sorted(pairs, key=lambda pair: -len(pair[1]))


def wrong_course(run: RunData) -> list[int]:
    """Number of all wrong completions in each stretch of a run (`stretches`)."""
    starts = stretches(run.num_steps)
    steps = run.rollouts["step"].to_numpy()[run.wrong]
    counts: list[int] = np.bincount(np.searchsorted(starts, steps, side="right") - 1, minlength=len(starts)).tolist()
    return counts


@dataclass(frozen=True)
class Life:
    """When an error was made, in optimiser steps.

    Attributes:
        born, last: first and last step with a member.
        peak: first step of the stretch with the most members.
        state: one of `STATES`.
        course: members in each stretch of the run (`stretches`).
    """

    born: int
    last: int
    peak: int
    state: State
    course: list[int]

    def to_dict(self) -> dict[str, Any]:
        """The life in the report's data."""
        return asdict(self)


def life(
    steps: NDArray[np.int64], prompt_steps: NDArray[np.int64], batch_steps: NDArray[np.int64], num_steps: int
) -> Life:
    """The life of an error.

    Args:
        steps: (n,) of its members, n at least 1.
        prompt_steps: (m,) of all completions of its prompt.
        batch_steps: (b,) steps at which the run sampled batches, in order, each once.
        num_steps: of the run.

    Example:
        >>> found = life(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 8, 8]), np.arange(9), num_steps=9)
        >>> found.state, found.born, found.last
        ('died out', 0, 1)
    """
    starts = stretches(num_steps)
    course = np.bincount(np.searchsorted(starts, steps, side="right") - 1, minlength=len(starts))
    return Life(
        born=int(steps.min()),
        last=int(steps.max()),
        peak=int(starts[course.argmax()]),
        state=_state(steps, prompt_steps, batch_steps),
        course=course.tolist(),
    )


def stretches(num_steps: int) -> NDArray[np.int64]:
    """First step of each of at most `MAX_BINS` stretches of equal length (the last may be shorter)."""
    length = max(1, -(-num_steps // MAX_BINS))
    return np.arange(0, max(1, num_steps), length)


def thirds(count: int) -> tuple[int, int]:
    """Where the middle and the last third of ``count`` ordered things begin.

    Example:
        >>> thirds(9), thirds(10)
        ((3, 6), (4, 7))
    """
    return -(-count // 3), -(-2 * count // 3)


def _state(steps: NDArray[np.int64], prompt_steps: NDArray[np.int64], batch_steps: NDArray[np.int64]) -> State:
    if len(batch_steps) < LEAST_BATCHES:
        return "too short to tell"
    begin = batch_steps[thirds(len(batch_steps))[1]]
    members, asked = int((steps >= begin).sum()), int((prompt_steps >= begin).sum())
    members_before, asked_before = len(steps) - members, len(prompt_steps) - asked
    if not asked:
        return "not asked again"
    if not asked_before or len(np.unique(prompt_steps)) < LEAST_BATCHES:
        return "too short to tell"
    if len(steps) < LEAST_MADE:
        return "rare"
    if not members:
        return "died out"
    if not members_before:
        return "growing"
    ratio = (members / asked) / (members_before / asked_before)
    if ratio >= FACTOR:
        return "growing"
    return "fading" if ratio <= 1 / FACTOR else "steady"
