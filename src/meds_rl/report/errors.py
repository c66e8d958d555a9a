"""The errors of a run: which recur, how large each grew, when it was born and whether it died out.

An error is a group of wrong completions of one prompt, taken in one of two ways: by the memory's lasting cluster, or by
the final answer. Noise, the completions in no cluster, is not one error; it is listed as a kind of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meds_rl.labels import NO_ANSWER, NOISE
from meds_rl.report.life import Life, life
from meds_rl.report.source import NOT_KEPT, RunData
from meds_rl.report.text import shortened

By: TypeAlias = Literal["cluster", "answer"]
Kind: TypeAlias = Literal["cluster", "noise", "no_answer", "answer"]

MAX_ANSWERS = 5
"""Of an error's most frequent answers and strategies so many are listed."""


@dataclass(frozen=True)
class Error:
    """One error.

    Attributes:
        run, prompt_id: whose it is.
        by: how completions were grouped.
        kind: "cluster", "noise" (no error of its own), "no_answer" or "answer".
        name: what to call it.
        rows: (n,) its completions, rows of the run's rollouts, in the order of training.
        share, share_of_prompt: n over all wrong completions of the run, and of the prompt.
        life: when it came and went.
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
        """The newest completion, the first, and the one in the middle, without repetition."""
        middle = int(self.rows[len(self.rows) // 2])
        return list(dict.fromkeys((int(self.rows[-1]), int(self.rows[0]), middle)))

    def to_dict(self) -> dict[str, Any]:
        """As the report's data has it, but for the prompt and the examples."""
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
            "strategies": counts(rollouts["strategy"]),
            "penalty_mean": float(penalties.mean()),
            "penalty_last": float(penalties[newest].mean()),
            "penalty_sum": float(penalties.sum()),
            "reason_counts": dict(Counter(rollouts["reason"]).most_common()),
        }


def find_errors(run: RunData, limit: int) -> tuple[list[Error], dict[By, int]]:
    """The ``limit`` largest errors of each way of grouping, and how many smaller ones of each there are."""
    errors: list[Error] = []
    left_out: dict[By, int] = {}
    for by, rows, keys in _groupings(run):
        found, num_groups = _grouped(run, by, rows, keys, limit)
        errors += found
        left_out[by] = num_groups - len(found)
    return errors, left_out


def counts(values: pd.Series) -> list[list[Any]]:
    """The most frequent values with how often; long ones are shortened and say so."""
    common = Counter(value for value in values if value is not None).most_common(MAX_ANSWERS)
    return [[shortened(str(value)), count] for value, count in common]


def _groupings(run: RunData) -> Iterator[tuple[By, NDArray[np.int64], NDArray[np.int64]]]:
    """Ways of grouping: the rows, and a number for what each is; NO_ANSWER and NOISE are what they are."""
    if run.clusters is not None:
        kept = run.wrong[run.clusters[run.wrong] != NOT_KEPT]
        yield "cluster", kept, run.clusters[kept]
    codes, _ = pd.factorize(run.rollouts["answer"].iloc[run.wrong], use_na_sentinel=True)
    yield "answer", run.wrong, np.where(codes < 0, NO_ANSWER, codes).astype(np.int64)


def _grouped(
    run: RunData, by: By, rows: NDArray[np.int64], keys: NDArray[np.int64], limit: int
) -> tuple[list[Error], int]:
    if not len(rows):
        return [], 0
    prompts = pd.factorize(run.rollouts["prompt_id"])[0].astype(np.int64)
    pairs = np.stack([prompts[rows], keys], axis=1)
    unique, groups, sizes = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(groups.ravel(), kind="stable")  # rows stay in the order of training
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
                kind=_kind(by, key),
                name=_name(run, by, key, members),
                rows=members,
                share=len(members) / len(run.wrong),
                share_of_prompt=len(members) / int(wrong_of_prompt[prompt]),
                life=life(steps[members], steps[rows_of_prompt[prompt]], run.batch_steps, run.num_steps),
            )
        )
    return errors, len(sizes)


def _rows_by(codes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """For each code from 0 its places."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes))[:-1])


def _kind(by: By, key: int) -> Kind:
    if key == NO_ANSWER:
        return "no_answer"
    if by == "cluster":
        return "noise" if key == NOISE else "cluster"
    return "answer"


def _name(run: RunData, by: By, key: int, members: NDArray[np.int64]) -> str:
    kind = _kind(by, key)
    if kind == "answer":
        return shortened(str(run.rollouts["answer"].iat[members[0]]))
    return {"no_answer": "no answer", "noise": "in no cluster", "cluster": f"cluster {key}"}[kind]
