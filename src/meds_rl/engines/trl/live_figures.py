"""What one generation batch shows, for every method: how often right, and how varied the errors are.

Stateless, and over all groups that were generated, those that dynamic sampling threw away included. The names are
part of what a run folder promises its readers (`metrics.jsonl`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from meds_rl.evaluation.diversity.answer_entropy import answer_entropy
from meds_rl.evaluation.diversity.distinct_answers import distinct_answers, repeated_share
from meds_rl.evaluation.diversity.eigenvalue_ratio import top1_eigenvalue_ratio
from meds_rl.fingerprint.answer import extract_answer


def batch_figures(
    completions: Sequence[str],
    is_correct: NDArray[np.bool_],
    graded: NDArray[np.bool_],
    *,
    group_size: int,
    marker: str,
) -> dict[str, float]:
    """Figures of B completions, group after group.

    - `pass/pass@1`: share of right completions, mean over groups.
    - `pass/pass@G` (G as a number): share of groups with a right completion.
    - `diversity/answer_entropy`: `answer_entropy` of a group's wrong completions in nats, mean over the groups that
      have any.
    - `diversity/distinct_wrong`: different wrong answers, mean over groups.
    - `diversity/repeated_in_batch`: share of the wrong completions that repeat a wrong answer of their group.

    A figure of nothing (no group, no wrong completion) is left out.

    Args:
        completions: B texts.
        is_correct, graded: (B,); what no reward function graded is left out, and a group of nothing else too.
        group_size: G.
        marker: Of the final answer. No answer counts as one answer of its own.
    """
    rights: list[float] = []
    wrong: list[list[str | None]] = []
    for start in range(0, len(completions), group_size):
        rows = [row for row in range(start, start + group_size) if graded[row]]
        if rows:
            rights.append(float(is_correct[rows].mean()))
            wrong.append([extract_answer(completions[row], marker) for row in rows if not is_correct[row]])
    figures: dict[str, float] = {}
    if rights:
        figures["pass/pass@1"] = float(np.mean(rights))
        figures[f"pass/pass@{group_size}"] = float(np.mean([right > 0 for right in rights]))
        figures["diversity/distinct_wrong"] = float(np.mean([distinct_answers(answers) for answers in wrong]))
    if any(wrong):
        entropies = [answer_entropy(answers) for answers in wrong if answers]
        figures["diversity/answer_entropy"] = float(np.mean(entropies))
        figures["diversity/repeated_in_batch"] = repeated_share(wrong)
    return figures


def fingerprint_figures(
    features: NDArray[np.float32], prompt_ids: Sequence[str | int], chosen: NDArray[np.bool_]
) -> dict[str, float]:
    """`diversity/top1_eigenvalue_ratio` of the chosen rows (B,) of (B, D), within prompts; left out without variance.

    The name has no `meds/` before it, as it says something about the policy and nothing about the memory.
    """
    rows = np.flatnonzero(chosen & np.isfinite(features).all(axis=1)).tolist()
    ratio = top1_eigenvalue_ratio(features[rows], [prompt_ids[row] for row in rows])
    return {} if np.isnan(ratio) else {"diversity/top1_eigenvalue_ratio": ratio}
