"""The figures of a batch that need only its answers and grades: pass@1, pass@G, and how varied errors are."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from meds_rl.evaluation.diversity.answers import answer_entropy, distinct_answers, repeated_share


def batch_figures(
    answers: Sequence[str | None],
    is_correct: NDArray[np.bool_],
    graded: NDArray[np.bool_],
    group_ids: Sequence[Hashable],
) -> dict[str, float]:
    """The figures of B completions, the same for every method.

    - `pass/pass@1`: fraction of right completions, mean over groups.
    - `pass/pass@G` (G as a number, the size of the largest group): fraction of groups with a right completion.
    - `diversity/answer_entropy`: `answer_entropy` of a group's wrong completions in nats, mean over the groups that
      have any.
    - `diversity/distinct_wrong`: distinct wrong answers, mean over groups.
    - `diversity/repeated_in_batch`: fraction of the wrong completions that repeat a wrong answer of their group.

    A figure without anything to average (no group, no wrong completion) is left out.

    Args:
        answers: B answers; None (no answer) counts as one answer.
        is_correct, graded: (B,). Rows that are not graded are left out, and so are groups without a graded row.
        group_ids: B names of groups.
    """
    groups: dict[Hashable, list[int]] = {}
    for row, name in enumerate(group_ids):
        groups.setdefault(name, []).append(row)
    accuracies: list[float] = []
    wrong: list[list[str | None]] = []
    for group in groups.values():
        rows = [row for row in group if graded[row]]
        if rows:
            accuracies.append(float(is_correct[rows].mean()))
            wrong.append([answers[row] for row in rows if not is_correct[row]])
    figures: dict[str, float] = {}
    if accuracies:
        largest = max(map(len, groups.values()))
        figures["pass/pass@1"] = float(np.mean(accuracies))
        figures[f"pass/pass@{largest}"] = float(np.mean([accuracy > 0 for accuracy in accuracies]))
        figures["diversity/distinct_wrong"] = float(np.mean([distinct_answers(given) for given in wrong]))
    if any(wrong):
        entropies = [answer_entropy(given) for given in wrong if given]
        figures["diversity/answer_entropy"] = float(np.mean(entropies))
        figures["diversity/repeated_in_batch"] = repeated_share(wrong)
    return figures
