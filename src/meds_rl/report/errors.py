"""The errors of a run: which wrong completions of a prompt are the same error, and how often each was made.

An error is a group of wrong completions of one prompt, grouped by cluster of the memory, by outcome
(`meds_rl.report.outcomes`), by final answer, or by working (`meds_rl.report.workings`). Noise (completions in no
cluster) is not an error; it is a kind of its own. Errors over all prompts are ways (`meds_rl.report.ways`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meds_rl.labels import NO_ANSWER, NOISE
from meds_rl.report.life import Life, life
from meds_rl.report.outcomes import in_words
from meds_rl.report.source import NOT_KEPT, RunData
from meds_rl.report.text import shortened
from meds_rl.report.workings import Workings

By: TypeAlias = Literal["cluster", "outcome", "answer", "working", "states"]
Kind: TypeAlias = Literal[
    "cluster", "noise", "no_answer", "outcome", "answer", "working", "wording", "right_steps", "unread"
]

NO_ERRORS: tuple[Kind, ...] = ("noise", "right_steps", "unread")
"""Kinds of completions that are not one error: they come last and have no state."""

MAX_ANSWERS = 5
"""Answers, outcomes and strategies that are listed of an error: the most frequent."""


@dataclass(frozen=True)
class Error:
    """One error.

    Attributes:
        run, prompt_id: the run and the prompt.
        by: how completions were grouped.
        kind: "cluster", "noise", "no_answer", "outcome", "answer", "working" (alike by steps or states), "wording"
            (similar texts), "right_steps" (`RIGHT_STEPS`), or "unread" (in no group: `Workings.rest`).
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
    """The ``limit`` largest errors of each grouping, and how many smaller ones are left out. `NO_ERRORS` come last.

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
    rows_of_prompt = rows_by(prompts)
    largest = np.argsort(-sizes, kind="stable")[:limit]
    errors = []
    for group in largest.tolist():
        members = rows[order[starts[group] : starts[group + 1]]]
        prompt, key = (int(number) for number in unique[group])
        steps = run.rollouts["step"].to_numpy()
        kind = _kind(by, key, workings)
        lived = life(steps[members], steps[rows_of_prompt[prompt]], run.batch_steps, run.num_steps)
        errors.append(
            Error(
                run=run,
                prompt_id=str(run.rollouts["prompt_id"].iat[members[0]]),
                by=by,
                kind=kind,
                name=_name(run, by, key, members, workings),
                rows=members,
                share=len(members) / len(run.wrong),
                share_of_prompt=len(members) / int(wrong_of_prompt[prompt]),
                life=replace(lived, state=None) if kind in NO_ERRORS else lived,
            )
        )
    return sorted(errors, key=lambda error: error.kind in NO_ERRORS), len(sizes)


def rows_by(codes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The places of each code, from code 0."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes))[:-1])


def _kind(by: By, key: int, workings: Workings | None) -> Kind:
    if by in ("working", "states"):
        is_text = workings is not None and workings.by == "text"
        if workings is not None and key == workings.right:
            return "right_steps"
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
    if kind in ("working", "wording", "right_steps") and workings is not None:
        return shortened(workings.names[key])
    nothing = "no outcome" if by == "outcome" else "no answer"
    rest = "" if workings is None else workings.rest
    names = {"no_answer": nothing, "noise": "in no cluster", "unread": rest}
    return names.get(kind, f"cluster {key}")
