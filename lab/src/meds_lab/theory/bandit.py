"""A simulated training of a skill: a softmax over modes (rules to answer by), shared by the skill's prompts.

Mode 0 is right, mode 1 the habit, the others are rare wrong rules. Prompts alternate. At each visit G modes are drawn
and their rewards shaped, and the logits move by lr / G sum_i A_i (onehot(y_i) - p), with A the reward minus the group's
mean. Fingerprints are perfect, except in the arm "answers". `meds_lab.theory.simulation` makes predictions from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meds_rl import penalty
from meds_rl.shaping.advantage import AdvantageFunction
from meds_rl.shaping.penalty import strength

Logits: TypeAlias = NDArray[np.float64]
"""(R, M): replicates, modes."""
Modes: TypeAlias = NDArray[np.intp]
"""(R, G): the mode of each completion."""

ANNEAL = (0.333, 0.666)
CAP = 2.0
FOUND_ABOVE = 0.05
NUM_ANSWERS = 900
"""An answer that tells nothing is drawn uniformly from so many (three-digit numbers)."""


@dataclass(frozen=True)
class Regime:
    """The skill before training: eps right, one habit, and rare wrong rules that share the rest.

    Args:
        habit: probability of the habit.
        num_rare: rare wrong rules.
        zipf: s; the share of the nth rare rule is proportional to n ** -s.
        lam: lambda = eps x samples in training.
        num_prompts, num_visits, group_size: P prompts, V visits of each, G completions a visit.
    """

    habit: float
    num_rare: int
    zipf: float = 0.0
    lam: float = 1.0
    num_prompts: int = 2
    num_visits: int = 20
    group_size: int = 8

    def probabilities(self) -> NDArray[np.float64]:
        """(M,) right, habit, rare ones.

        Example:
            >>> Regime(habit=0.5, num_rare=2, lam=4).probabilities().round(6).tolist()  # eps = 4 / 320
            [0.0125, 0.5, 0.24375, 0.24375]
        """
        eps = self.lam / (self.num_prompts * self.num_visits * self.group_size)
        rare = np.arange(1.0, self.num_rare + 1) ** -self.zipf
        return np.array([eps, self.habit, *((1 - eps - self.habit) * rare / rare.sum())])


@dataclass(frozen=True)
class Arm:
    """A method.

    Args:
        penalises: the penalty of a wrong completion of mode k. memory: alpha ln(C_k + 1), C_k counted at earlier visits
            to the prompt. batch: alpha ln n_k, n_k counted in the group. surprisal: alpha ln pi(y), where ln pi(y) is
            ln p_k plus the wording's part, normal with a deviation of `wording` nats. random: those of memory, permuted
            within the group. answers: as memory, for answers drawn uniformly from `NUM_ANSWERS`.
        times: factor of alpha.
        recall: whether a right completion is remembered and joins the next groups of its prompt that have none, at most
            `most` in a row. It replaces the wrong one with the largest penalty, and `weight` multiplies its advantage.
        advantage: replaces the reward minus the group's mean; without penalties and recall.
    """

    penalises: Literal["none", "memory", "batch", "surprisal", "random", "answers"] = "none"
    times: float = 1.0
    recall: bool = False
    advantage: AdvantageFunction | None = None


@dataclass(frozen=True)
class Setting:
    """What all arms share.

    Args:
        lr: learning rate, in logits per unit of advantage.
        alpha: strength of the penalty; annealed and capped as in ``preset="recommended"``.
        entropy: the entropy advantage, as if it always reached its bound: A += entropy |A|. The preset's bound is 0.5.
        wording, most, weight: see `Arm`.
    """

    lr: float
    alpha: float = 0.1
    entropy: float = 0.0
    wording: float = 2.0
    most: int = 4
    weight: float = 0.5


@dataclass(frozen=True)
class Outcome:
    """R trainings.

    Attributes:
        p_right: (R,) at the end.
        early: (R,) change of ln p_right over the first quarter of training.
    """

    p_right: NDArray[np.float64]
    early: NDArray[np.float64]

    @property
    def found(self) -> float:
        """Share of trainings that found the right mode."""
        return float((self.p_right > FOUND_ABOVE).mean())

    def multiplier(self, none: Outcome) -> float:
        """Hazard of discovery, -ln(1 - found), divided by that of the arm `none`."""
        return math.log1p(-self.found) / math.log1p(-none.found)

    def error_of_multiplier(self, none: Outcome) -> float:
        """Standard error of `multiplier` (delta method, replicates paired)."""
        own, base = self.p_right > FOUND_ABOVE, none.p_right > FOUND_ABOVE
        parts = own / (1 - self.found) - self.multiplier(none) * base / (1 - none.found)
        return float(parts.std() / math.sqrt(len(parts)) / -math.log1p(-none.found))


def simulate(regime: Regime, arm: Arm, setting: Setting, num_replicates: int = 4000, seed: int = 0) -> Outcome:
    """Train R skills.

    Example:
        >>> none = simulate(Regime(0.84, 6), Arm(), Setting(lr=0.0), num_replicates=3)
        >>> none.p_right.round(9).tolist()  # nothing is learned: lambda / 320
        [0.003125, 0.003125, 0.003125]
    """
    rng, other = np.random.default_rng(seed), np.random.default_rng([seed, 1])  # all arms share the draws of rng
    state = _State.start(regime, num_replicates)
    num_steps = regime.num_prompts * regime.num_visits
    early = np.zeros(num_replicates)
    for step in range(num_steps):
        modes = draw(softmax(state.logits), rng.random((num_replicates, regime.group_size)))
        now = setting.alpha * arm.times * strength(ANNEAL, step / num_steps)
        prompt = step % regime.num_prompts
        penalties = _penalties(arm, replace(setting, alpha=now), state, prompt, modes, other)
        trained, advantages = modes, centred(modes, penalties)
        if arm.advantage is not None:
            advantages = without_penalties(arm.advantage, modes)
        if arm.recall:
            trained, advantages = _recall(state, prompt, modes, penalties, setting)
        advantages = advantages + setting.entropy * np.abs(advantages)
        state.logits = move(state.logits, trained, advantages, setting.lr)
        state.remember(prompt, modes)
        if step + 1 == num_steps // 4:
            early = np.log(softmax(state.logits)[:, 0] / regime.probabilities()[0])
    return Outcome(softmax(state.logits)[:, 0], early)


def softmax(logits: Logits) -> Logits:
    """Probabilities (R, M)."""
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def draw(probabilities: Logits, uniform: NDArray[np.float64]) -> Modes:
    """Modes (R, G) by inversion of uniform numbers (R, G)."""
    edges = np.cumsum(probabilities, axis=1)[:, None, :-1]
    return np.asarray((uniform[:, :, None] > edges).sum(axis=-1))


def centred(modes: Modes, penalties: NDArray[np.float64]) -> NDArray[np.float64]:
    """Advantages (R, G): reward minus the group's mean. Mode 0 is right, and only wrong ones are penalised."""
    rewards = np.where(modes == 0, 1.0, -penalties)
    return np.asarray(rewards - rewards.mean(axis=1, keepdims=True))


def without_penalties(advantage: AdvantageFunction, modes: Modes) -> NDArray[np.float64]:
    """Advantages (R, G) of rewards 0 and 1. They depend only on how many of the group are right.

    Example:
        >>> from meds_rl.shaping.advantage import maxrl_advantages
        >>> without_penalties(maxrl_advantages, np.array([[0, 1, 1, 2]])).tolist()
        [[3.0, -1.0, -1.0, -1.0]]
    """
    size = modes.shape[1]
    of_number = np.zeros((size + 1, 2))  # number right, whether right
    for number in range(size + 1):
        right = np.arange(size) < number
        values = np.asarray(advantage(right.astype(np.float64), np.zeros(size, dtype=np.int64), right))
        of_number[number] = values[-1], values[0]
    right = modes == 0
    return np.asarray(of_number[right.sum(axis=1, keepdims=True), right.astype(np.intp)])


def move(logits: Logits, modes: Modes, advantages: NDArray[np.float64], lr: float) -> Logits:
    """Logits (R, M) after lr / G sum_i A_i (onehot(y_i) - p)."""
    pulled = summed(modes, advantages, logits.shape[1])
    total = advantages.sum(axis=1, keepdims=True)
    return np.asarray(logits + lr / modes.shape[1] * (pulled - softmax(logits) * total))


def summed(labels: NDArray[np.intp], values: NDArray[np.float64], num_labels: int) -> NDArray[np.float64]:
    """Values (R, G) summed by label, (R, num_labels)."""
    rows = np.arange(len(labels))[:, None] * num_labels
    size = len(labels) * num_labels
    total: NDArray[np.float64] = np.bincount((rows + labels).ravel(), values.ravel(), size).astype(np.float64)
    return total.reshape(-1, num_labels)


@dataclass
class _State:
    """What changes during R trainings.

    Attributes:
        logits: (R, M).
        counts: (R, P, M) errors of each mode at earlier visits, C_k.
        answers: (R, P, A) wrong answers at earlier visits.
        kept: (R, P) whether a right completion is remembered.
        uses: (R, P) groups in a row that took it in.
    """

    logits: Logits
    counts: NDArray[np.float64]
    answers: NDArray[np.float64]
    kept: NDArray[np.bool_]
    uses: NDArray[np.int64]

    @classmethod
    def start(cls, regime: Regime, num_replicates: int) -> _State:
        logits = np.tile(np.log(regime.probabilities()), (num_replicates, 1))
        by_prompt = (num_replicates, regime.num_prompts)
        return cls(
            logits,
            counts=np.zeros((*by_prompt, logits.shape[1])),
            answers=np.zeros((*by_prompt, NUM_ANSWERS)),
            kept=np.zeros(by_prompt, dtype=np.bool_),
            uses=np.zeros(by_prompt, dtype=np.int64),
        )

    def remember(self, prompt: int, modes: Modes) -> None:
        """Count the errors of a group, after its penalties are computed."""
        self.counts[:, prompt] += summed(modes, (modes > 0).astype(np.float64), self.counts.shape[2])


def _penalties(
    arm: Arm, setting: Setting, state: _State, prompt: int, modes: Modes, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Penalties (R, G) at `setting.alpha`; those of right completions have no effect."""
    rows = np.arange(len(modes))[:, None]
    if arm.penalises == "none":
        return np.zeros(modes.shape)
    if arm.penalises == "surprisal":  # below 0, which has no effect, as the group's mean is subtracted
        logp = np.log(softmax(state.logits)[rows, modes]) + setting.wording * rng.standard_normal(modes.shape)
        has_right = (modes == 0).any(axis=1, keepdims=True)
        return np.where(has_right, 0.0, setting.alpha * logp)
    if arm.penalises == "batch":
        sizes = (modes[:, :, None] == modes[:, None, :]).sum(axis=-1) - 1.0
    elif arm.penalises == "answers":
        shown = rng.integers(0, NUM_ANSWERS, modes.shape)
        sizes = state.answers[rows, prompt, shown]
        state.answers[:, prompt] += summed(shown, (modes > 0).astype(np.float64), NUM_ANSWERS)
    else:
        sizes = state.counts[rows, prompt, modes]
    found = penalty(sizes, setting.alpha, CAP)
    return _permuted(found, modes > 0, rng) if arm.penalises == "random" else found


def _permuted(
    penalties: NDArray[np.float64], wrong: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Penalties (R, G), permuted at random among each group's wrong completions."""
    rows = np.arange(len(wrong))[:, None]
    sources = np.argsort(np.where(wrong, rng.random(wrong.shape), np.inf), axis=1)
    targets = np.argsort(~wrong, axis=1, kind="stable")
    permuted = np.zeros(penalties.shape)
    permuted[rows, targets] = penalties[rows, sources]
    return np.where(wrong, permuted, 0.0)


def _recall(
    state: _State, prompt: int, modes: Modes, penalties: NDArray[np.float64], setting: Setting
) -> tuple[Modes, NDArray[np.float64]]:
    """Modes and advantages (R, G) with remembered right completions put in. Updates `kept` and `uses`."""
    has_right = (modes == 0).any(axis=1)
    joins = state.kept[:, prompt] & ~has_right & (state.uses[:, prompt] < setting.most)
    place = (np.flatnonzero(joins), penalties.argmax(axis=1)[joins])
    trained = modes.copy()
    trained[place] = 0
    advantages = centred(trained, penalties)
    advantages[place] *= setting.weight
    state.uses[joins, prompt] += 1
    state.uses[has_right, prompt] = 0
    state.kept[has_right, prompt] = True
    return trained, advantages
