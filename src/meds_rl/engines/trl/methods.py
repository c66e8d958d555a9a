"""The four training methods that the paper compares, and their rivals, as settings of one trainer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Method:
    """What a method sets; every field that the user gives explicitly wins over it.

    Attributes:
        loss_type: TRL's aggregation: "grpo" averages over tokens and then over sequences, "dapo" over all tokens.
        kl_coefficient: weight of the KL loss to the reference model (TRL's ``beta``).
        epsilon, epsilon_high: lower and upper clip range of the probability ratio.
        delta: cap of the ratio where the advantage is negative. TRL's two-sided clipping with ``delta`` = c is
            the dual clip with constant c: for A < 0 both give max(min(ratio, c), 1 - epsilon) * A.
        dynamic_sampling: drop groups whose raw accuracy is 0 or 1 and refill the batch from new prompts.
        overlong_shaping: the soft punishment of completions that come near the length limit (DAPO, Eq. 13).
        entropy_advantage: A += min(0.4 H, |A| / 2), H the token's entropy. None: as the preset says.
        scale_rewards: whether rewards are divided by the "group"'s deviation. None: as the preset says.
        memory: subtract the penalty for repeated errors. This is MEDS.
        own_advantages: -1 for wrong completions and ``positive_weight`` for right ones instead of the group's.
        exploration: add a bonus for states of the model that are unlike the group's others.
        settings: of the memory and the like, by field; they win over the preset's.
    """

    loss_type: str
    kl_coefficient: float
    epsilon: float
    epsilon_high: float
    delta: float | None
    dynamic_sampling: bool
    overlong_shaping: bool
    entropy_advantage: bool | None
    memory: bool
    scale_rewards: str | None = "group"
    own_advantages: bool = False
    exploration: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


_GRPO = Method(
    loss_type="grpo",
    kl_coefficient=0.001,
    epsilon=0.2,
    epsilon_high=0.2,
    delta=None,
    dynamic_sampling=False,
    overlong_shaping=False,
    entropy_advantage=False,
    memory=False,
)
_DAPO = Method(
    loss_type="dapo",
    kl_coefficient=0.0,
    epsilon=0.2,
    epsilon_high=0.28,
    delta=10.0,
    dynamic_sampling=True,
    overlong_shaping=True,
    entropy_advantage=False,
    memory=False,
)
# Final answers, counted exactly: what outcome-based exploration counts (arXiv 2509.06941).
_OUTCOMES = {
    "fingerprint": "answer_string",
    "meds_clustering": "exact",
    "meds_max_distance": 0.0,
    "meds_target": "both",
    "meds_all_wrong": "center",
    "meds_anneal": [1.0, 1.0],
}

METHODS: dict[str, Method] = {
    "grpo": _GRPO,
    "grpo-entropy": replace(_GRPO, entropy_advantage=True),
    "dapo": _DAPO,
    "meds": replace(_DAPO, memory=True, entropy_advantage=None, scale_rewards=None),
    "dapo-outcome": replace(_DAPO, memory=True, settings={**_OUTCOMES, "meds_penalty_form": "inverse_sqrt"}),
    "dapo-outcome-batch": replace(
        _DAPO, memory=True, settings={**_OUTCOMES, "meds_penalty_form": "share", "meds_scope": "batch"}
    ),
    "dapo-nsr": replace(_DAPO, own_advantages=True, settings={"positive_weight": 0.0}),
    "dapo-w-reinforce": replace(_DAPO, own_advantages=True, settings={"positive_weight": 0.1}),
    "dapo-rep-exp": replace(_DAPO, exploration=True, settings={"fingerprint_from": "reference"}),
}
