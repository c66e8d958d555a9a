"""Predictions for the task `skills` by simulation: what each method should gain.

    python -m meds_lab.theory.simulation              # the tables of predictions, a minute or two on one core
    python -m meds_lab.theory.simulation --lr 3.4     # at the pilot's learning rate

A skill is *found* if the probability of its right mode is above .05 at the end. The multiplier of an arm is a ratio of
hazards, ln(1 - found) / ln(1 - found of "none"). The same alpha has less effect on a network than on a table of logits,
so each regime has two tables: at the preset's alpha, and at the alpha at which memory multiplies discovery as in
earlier grids. The order of the arms is predicted. The level is fitted to "none" and, in the second table, to
"memory".
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meds_lab.theory.bandit import ANNEAL, Arm, Regime, Setting, simulate
from meds_lab.theory.entropy_bonus import expected_batch_gradient, expected_gradient, expected_log_count
from meds_rl.shaping import group_advantages
from meds_rl.shaping.advantage import f_grpo_advantages, maxrl_advantages, pass_at_k_advantages
from meds_rl.shaping.penalty import strength


def bisect(rising: Callable[[float], float], target: float, low: float, high: float) -> float:
    """Where a rising function reaches a target; ValueError if it does not between `low` and `high`."""
    if not rising(low) < target < rising(high):
        raise ValueError(f"must be between {rising(low):.2f} and {rising(high):.2f}, got {target!r}")
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return (low + high) / 2


def calibrate(regime: Regime, found: float, num_replicates: int, entropy: float = 0.0) -> float:
    """The learning rate at which "none" finds this share."""

    def at(lr: float) -> float:
        return simulate(regime, Arm(), Setting(lr, entropy=entropy), num_replicates, seed=1).found

    return bisect(at, found, 0.0, 32.0)


def felt_alpha(regime: Regime, setting: Setting, multiplier: float, num_replicates: int) -> float:
    """The alpha at which "memory" multiplies discovery by `multiplier`."""
    none = simulate(regime, Arm(), setting, num_replicates, seed=1)

    def at(alpha: float) -> float:
        memory = simulate(regime, Arm("memory"), replace(setting, alpha=alpha), num_replicates, seed=1)
        return memory.multiplier(none)

    return bisect(at, multiplier, 0.0, 0.2)


def matched(regime: Regime, penalises: Literal["batch", "surprisal"]) -> float:
    """The factor of alpha at which an arm pushes a fixed policy away from its habit as strongly as the memory does.

    A push is the expected gradient of the habit's logit, summed over the visits with the annealed alpha.

    Raises:
        ValueError: batch counts have groups of two, in which they have no gradient.
    """
    p = regime.probabilities()[1:]
    p = p / p.sum()  # in groups without a right answer
    size, visits = regime.group_size, range(regime.num_visits)
    weights = [strength(ANNEAL, visit / regime.num_visits) for visit in visits]
    memory = [expected_gradient(p, expected_log_count(p, size * visit), size)[0] for visit in visits]
    other = expected_batch_gradient(p, size)[0] if penalises == "batch" else expected_gradient(p, np.log(p), size)[0]
    if other == 0:
        raise ValueError(f"batch counts need groups of at least 3, got {size}")
    return float(np.dot(weights, memory) / (np.sum(weights) * other))


REGIMES = {
    "habit .84, 6 rare rules": Regime(0.84, 6),
    "habit .3, 30 rare rules": Regime(0.3, 30, zipf=1),
}


def divided(rewards: NDArray[np.float64], group_ids: NDArray[np.int64], _: NDArray[np.bool_]) -> NDArray[np.float64]:
    """GRPO's advantages."""
    return group_advantages(rewards, prompt_ids=group_ids.tolist())


def arms_of(regime: Regime) -> dict[str, Arm]:
    """The arms of a regime's table, by name."""
    batch, surprisal = matched(regime, "batch"), matched(regime, "surprisal")
    return {
        "none": Arm(),
        "memory": Arm("memory"),
        "batch counts": Arm("batch"),
        "batch counts x 1.6": Arm("batch", 1.6),
        f"batch counts, matched (x {batch:.2f})": Arm("batch", batch),
        f"surprisal, matched (x {surprisal:.2f})": Arm("surprisal", surprisal),
        "random labels": Arm("random"),
        "answers that tell nothing": Arm("answers"),
        "replay": Arm(recall=True),
        "recall: replay and memory": Arm("memory", recall=True),
        "GRPO (divided by the deviation)": Arm(advantage=divided),
        "MaxRL": Arm(advantage=maxrl_advantages),
        "F-GRPO": Arm(advantage=f_grpo_advantages),
        "pass@4": Arm(advantage=pass_at_k_advantages),
    }


def print_table(regime: Regime, setting: Setting, num_replicates: int) -> None:
    """Print one row for each arm."""
    print("| arm | found | multiplier (s. e.) | change of ln p_right in the first quarter: mean, deviation |")
    print("|---|---|---|---|")
    outcomes = {label: simulate(regime, arm, setting, num_replicates) for label, arm in arms_of(regime).items()}
    for label, outcome in outcomes.items():
        factor, error = outcome.multiplier(outcomes["none"]), outcome.error_of_multiplier(outcomes["none"])
        early = f"{outcome.early.mean():+.2f}, {outcome.early.std():.2f}"
        print(f"| {label} | {outcome.found:.3f} | {factor:.2f} ({error:.2f}) | {early} |")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--lr", type=float, help="learning rate (default: at which none finds --found)")
    parser.add_argument("--found", type=float, default=0.34, help="share that none finds (default: 0.34)")
    parser.add_argument("--lam", type=float, default=1.0, help="lambda of a skill (default: 1)")
    parser.add_argument("--alpha", type=float, default=0.1, help="strength of the penalty (default: 0.1)")
    parser.add_argument("--multiplier", type=float, default=1.47, help="memory's, in the second table (default: 1.47)")
    parser.add_argument("--entropy", type=float, default=0.0, help="entropy advantage, A += ENTROPY |A| (default: 0)")
    parser.add_argument("--replicates", type=int, default=8000, help="trainings an arm (default: 8000)")
    options = parser.parse_args(arguments)
    for name, regime in REGIMES.items():
        regime = replace(regime, lam=options.lam)
        lr = options.lr or calibrate(regime, options.found, options.replicates, options.entropy)
        setting = Setting(lr, options.alpha, options.entropy)
        weaker = felt_alpha(regime, setting, options.multiplier, options.replicates)
        for alpha in (options.alpha, weaker):
            print(f"\n{name}; learning rate {lr:.2f}, alpha {alpha:.3g}, entropy {options.entropy:g}\n")
            print_table(regime, replace(setting, alpha=alpha), options.replicates)


if __name__ == "__main__":
    main()
