"""Does the theorem's assumption hold in this batch: do larger clusters never carry larger rewards? (docs/theorem.md)"""

import numpy as np
from numpy.typing import NDArray

from meds_rl.checks import PromptId
from meds_rl.memory.entry import ClusterSizes


def assumption_figures(
    prompt_ids: list[PromptId],
    scored: NDArray[np.bool_],
    sizes: ClusterSizes,
    raw_rewards: NDArray[np.float64],
    taken: NDArray[np.float64],
) -> dict[str, float]:
    """Figures for a log, each a mean over groups. They look only; nothing is shaped by them.

    A pair of scored completions of one group is comparable if both their |C| and their raw rewards differ, and violates
    the assumption if the larger cluster has the larger reward. What is not scored was not looked up and is in no pair.
    To the covariance it belongs: its cost is 0.

    - `assumption_violations`: violating pairs of the comparable pairs of a group; mean over groups with any, else 0.
    - `assumption_holds`: groups without a violating pair, those without a comparable one included, of all groups.
    - `assumption_comparable`: groups with a comparable pair, of all groups. Where it is 0 the assumption holds because
      there was nothing to violate it: so it is with the target "wrong" and rewards of 1 and 0 only.
    - `assumption_covariance`: Cov(r, w) over all completions of a group (divisor G), w = exp(-reward taken away): eta
      is 1; mean over all groups. Its sign is that of the change of expected reward in the theorem.

    Args:
        prompt_ids: (B,) rows with the same id are a group.
        scored: (B,) bool.
        sizes: (B,) |C| as it counted.
        raw_rewards: (B,) r.
        taken: (B,) r less the shaped reward: the penalty of a wrong completion.

    Example:
        Of three errors the two larger clusters carry rewards of 0 and -1, the smallest -1: of two comparable pairs one
        violates.

        >>> figures = assumption_figures(
        ...     ["x"] * 3, np.ones(3, bool), np.array([5, 9, 2]), np.array([0.0, -1.0, -1.0]), np.zeros(3)
        ... )
        >>> figures["assumption_violations"], figures["assumption_holds"], figures["assumption_comparable"]
        (0.5, 0.0, 1.0)
    """
    numbers: dict[PromptId, int] = {}
    group = np.array([numbers.setdefault(prompt_id, len(numbers)) for prompt_id in prompt_ids], dtype=np.intp)
    shares = _violating_shares(group[scored], sizes[scored].astype(np.float64), raw_rewards[scored])
    n_groups = max(len(numbers), 1)
    return {
        "assumption_violations": float(np.mean(shares)) if shares else 0.0,
        "assumption_holds": (len(numbers) - sum(share > 0 for share in shares)) / n_groups,
        "assumption_comparable": len(shares) / n_groups,
        "assumption_covariance": _mean_covariance(group, raw_rewards, np.exp(-taken)),
    }


def _violating_shares(
    group: NDArray[np.intp], sizes: NDArray[np.float64], rewards: NDArray[np.float64]
) -> list[float]:
    """For each group with comparable pairs the share of those that violate the assumption."""
    if not len(group):
        return []
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order])) + 1
    shares = []
    for rows in np.split(order, starts):
        r, c = rewards[rows], sizes[rows]
        # Most groups of most runs: all wrong completions have one reward.
        if (r == r[0]).all() or (c == c[0]).all():
            continue
        # Each pair twice, which leaves the share as it is.
        products = np.sign(np.subtract.outer(r, r)) * np.sign(np.subtract.outer(c, c))
        comparable = int((products != 0).sum())
        if comparable:
            shares.append(int((products > 0).sum()) / comparable)
    return shares


def _mean_covariance(group: NDArray[np.intp], a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean over groups of the covariance (divisor G) of a and b (B,) within the group; 0 for no groups."""
    if not len(group):
        return 0.0
    counts = np.bincount(group)
    centred = b - (np.bincount(group, b) / counts)[group]
    return float((np.bincount(group, a * centred) / counts).mean())
