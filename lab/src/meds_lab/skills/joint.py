"""Simulates whole trainings of the task: all skills share the weights that are trained, so the optimiser matters.

    python -m meds_lab.skills.joint                     # SGD and AdamW at the rates of the grids, 48 trainings each
    python -m meds_lab.skills.joint --alpha 0.03 --first-policy 16      # those of compare-skills-weak.yaml

`meds_lab.theory.bandit` simulates one skill by itself, with plain steps. Here logits are W h: W the output rows of the
54 rules, h the features of a skill, orthogonal between skills. AdamW divides each step by the size of recent gradients
of all skills. Fingerprints are perfect; recall keeps right completions as the library does (`meds_recall=4`).
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meds_lab.skills.collect import FOUND
from meds_lab.skills.rules import RULES
from meds_lab.skills.skills import FREE_ANSWERS, skills_of
from meds_rl.memory.recall import is_rare
from meds_rl.shaping.penalty import strength

Array = NDArray[np.float64]
METHODS = ("none", "answers", "replay", "memory", "batch", "batch-same-alpha", "recall", "recall-batch")
RATES = {"sgd": 17.0, "adamw": 0.005}
ANNEAL, ALPHA, CAP, MOST, WEIGHT = (0.333, 0.666), 0.1, 2.0, 4, 0.5
NUM_UPDATES, NUM_PROMPTS, GROUP_SIZE, NUM_TOKENS = 40, 28, 8, 224 * 18.2
NUM_FEATURES, SQUARED_NORM = 96, 185.0


@dataclass
class Visits:
    """What a prompt's earlier groups leave: errors counted by rule (54,) and by answer; whether a right completion is
    kept, and how many groups in a row have taken it in."""

    rules: Array = field(default_factory=lambda: np.zeros(len(RULES)))
    answers: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    is_kept: bool = False
    recalls: int = 0


def repeats(method: str, visits: Visits, rules: NDArray[np.intp]) -> Array:
    """(G,) how often the method has counted each completion's error: in the group, with itself, or in earlier ones."""
    if "batch" in method:
        return (rules[:, None] == rules[None, :]).sum(axis=1).astype(np.float64)
    return visits.rules[rules]


def penalties(method: str, alpha: float, visits: Visits, rules: NDArray[np.intp], answers: Sequence[int]) -> Array:
    """Of a group's completions (G,), as if all were wrong; their answers are given where those do not tell."""
    if method in ("memory", "recall") or (method == "answers" and not answers):
        return np.minimum(alpha * np.log1p(repeats(method, visits, rules)), CAP)
    if method == "answers":
        return np.array([min(alpha * math.log1p(visits.answers[one]), CAP) for one in answers])
    if "batch" in method:
        times = 1.0 if method == "batch-same-alpha" else 1.7
        return np.asarray(times * alpha * np.log(repeats(method, visits, rules)))
    return np.zeros(len(rules))


def trained_group(
    method: str, visits: Visits, rules: NDArray[np.intp], right: int, costs: Array
) -> tuple[NDArray[np.intp], Array]:
    """The rules that the update uses, and their advantages; keeps and recalls right completions."""
    is_right = rules == right
    rewards, weights, used = np.where(is_right, 1.0, -costs), np.ones(len(rules)), rules.copy()
    if method.startswith(("replay", "recall")):
        if is_right.any():
            visits.recalls = 0
            visits.is_kept = 2 * is_right.sum() <= len(rules) and (
                visits.is_kept or is_rare(is_right.sum(), len(rules))
            )
        elif visits.is_kept and visits.recalls < MOST:
            place = 0 if method == "replay" else int(repeats(method, visits, rules).argmax())
            visits.recalls += 1
            used[place], rewards[place], weights[place] = right, 1.0, WEIGHT
    return used, (rewards - rewards.mean()) * weights


def train(
    seed: int, method: str, optimizer: Literal["sgd", "adamw"], rng: np.random.Generator, alpha: float = ALPHA
) -> Array:
    """p(right rule) of each hard skill after a training of the starting policy with this seed.

    ``alpha`` is that of the memory; the batch's is 1.7 times as large.
    """
    skills = skills_of(seed)
    shares = np.full((len(skills), len(RULES)), 1e-9)
    for row, skill in zip(shares, skills, strict=True):
        row[[RULES.index(rule) for rule in skill.rules]] = skill.shares
    right = [RULES.index(skill.right) for skill in skills]
    features = np.linalg.qr(rng.standard_normal((NUM_FEATURES, len(skills))))[0].T * math.sqrt(SQUARED_NORM)
    weights = np.log(shares).T @ features / SQUARED_NORM
    step_of = _Optimizer(optimizer)
    prompts = [(index, number) for index, skill in enumerate(skills) for number in range(1 + skill.is_hard)]
    memory: dict[tuple[int, int], Visits] = defaultdict(Visits)
    epoch: list[tuple[int, int]] = []
    for update in range(NUM_UPDATES):
        epoch = epoch or [prompts[place] for place in rng.permutation(len(prompts))]
        batch, epoch = epoch[:NUM_PROMPTS], epoch[NUM_PROMPTS:]
        now = alpha * strength(ANNEAL, update / NUM_UPDATES)
        gradient = np.zeros_like(weights)
        for prompt in batch:
            index, visits = prompt[0], memory[prompt]
            p = _softmax(weights @ features[index])
            rules = rng.choice(len(RULES), GROUP_SIZE, p=p)
            answers: list[int] = []
            if not skills[index].tells:
                answers = rng.integers(0, len(FREE_ANSWERS), GROUP_SIZE).tolist()
            costs = penalties(method, now, visits, rules, answers)
            used, advantages = trained_group(method, visits, rules, right[index], costs)
            pulled = np.bincount(used, advantages, len(RULES)) - p * advantages.sum()
            gradient -= np.outer(pulled, features[index]) / NUM_TOKENS
            wrong = rules != right[index]
            np.add.at(visits.rules, rules[wrong], 1.0)
            for place in np.flatnonzero(wrong) if answers else ():
                visits.answers[answers[place]] += 1
        weights -= step_of(gradient)
    after = np.array([_softmax(weights @ one)[place] for one, place in zip(features, right, strict=True)])
    return after[[skill.is_hard for skill in skills]]


class _Optimizer:
    """The step of torch's SGD or AdamW without decay, at the rate of the grid."""

    def __init__(self, kind: str) -> None:
        self.kind, self.rate, self.number = kind, RATES[kind], 0
        self.mean: Array | float = 0.0
        self.square: Array | float = 0.0

    def __call__(self, gradient: Array) -> Array:
        if self.kind == "sgd":
            return self.rate * gradient
        self.number += 1
        self.mean = 0.9 * self.mean + 0.1 * gradient
        self.square = 0.999 * self.square + 0.001 * gradient**2
        root = np.sqrt(self.square / (1 - 0.999**self.number))
        return np.asarray(self.rate * self.mean / (1 - 0.9**self.number) / (root + 1e-8))


def _softmax(logits: Array) -> Array:
    p = np.exp(logits - logits.max())
    return np.asarray(p / p.sum())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the share found and the multiplier of each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=3, help="of each of 16 starting policies (default: 3)")
    parser.add_argument("--alpha", type=float, default=ALPHA, help=f"of the memory (default: {ALPHA})")
    parser.add_argument("--first-policy", type=int, default=0, metavar="N", help="seed of the first (default: 0)")
    parsed = parser.parse_args(arguments)
    print("| optimizer | method | found | multiplier |\n| :-- | :-- | --: | --: |")
    for optimizer in ("sgd", "adamw"):
        base = 0.0
        for method in METHODS:
            trained = [
                train(seed, method, optimizer, np.random.default_rng([seed, number]), parsed.alpha)
                for seed in range(parsed.first_policy, parsed.first_policy + 16)
                for number in range(parsed.trainings)
            ]
            found = float((np.array(trained) > FOUND).mean())
            base = base or math.log1p(-found)
            print(f"| {optimizer} | {method} | {found:.3f} | {math.log1p(-found) / base:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
