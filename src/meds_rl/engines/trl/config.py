"""``MEDSConfig``: TRL's ``GRPOConfig`` and the few fields that MEDS adds."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from trl import GRPOConfig

from meds_rl.checks import check_something_penalised
from meds_rl.engines.settings import ADVANTAGE
from meds_rl.engines.trl.bounds import check_bounds, check_sizes
from meds_rl.engines.trl.methods import METHODS
from meds_rl.engines.trl.presets import PRESETS

TEXT_FINGERPRINTS = ("answer_string", "text_embedding", "strategy")
"""Fingerprints that read the text and not the model."""

SCALES = ("group", "batch", "none", True, False)
"""What TRL's ``scale_rewards`` may be; True is "group", False is "none"."""

_CHOICES = (
    "method",
    "preset",
    "meds_drop_first",
    "meds_target",
    "meds_noise",
    "meds_all_wrong",
    "meds_mixed",
    "meds_no_answer",
    "meds_clustering",
    "meds_scope",
    "meds_penalty_form",
    "fingerprint",
    "fingerprint_from",
    "answer_marker",
)


@dataclass
class MEDSConfig(GRPOConfig):
    """Configuration of :class:`~meds_rl.engines.trl.trainer.MEDSTrainer`: every field of ``GRPOConfig``, and these.

    ``method`` chooses one of the paper's four methods or a rival and sets the fields below whose default is ``None``;
    ``preset`` does so for settings of the memory and, with "meds", for how advantages are made of shaped rewards
    (``scale_rewards``, ``entropy_advantage``). A value given explicitly always wins. ``meds_*`` fields act only where
    the method has a memory: "meds", "dapo-outcome", "dapo-outcome-batch".

    Note:
        ``beta`` is TRL's KL coefficient. The cap of the penalty, the paper's beta, is ``meds_beta``.

    Parameters:
        method: "grpo", "grpo-entropy", "dapo" or "meds"; or a rival on DAPO's settings: "dapo-outcome",
            "dapo-outcome-batch", "dapo-nsr", "dapo-w-reinforce", "dapo-rep-exp".
        preset: "paper" (as published) or "recommended" (this project's choice; docs/evidence.md says what it is worth).
        meds_alpha: strength of the penalty, min(alpha * ln(|C| + 1), beta); by preset.
        meds_beta: cap of the penalty; by preset.
        meds_target: which completions are penalised: "wrong" (as released), "right" or "both"; by method and preset.
        meds_noise: "cluster" counts the noise points of a prompt as one cluster (as released); "free" does not.
        meds_all_wrong: groups with no right answer: "skip" (as released), "center" or "shape"; by method and preset.
        meds_mixed: groups with right and wrong answers: "shape" (as published), or only "remember".
        meds_anneal: two shares of training: alpha counts whole up to the first, falls in a line, and not at all from
            the second on; [1, 1] for whole throughout (as published); by preset.
        meds_no_answer: completions without an answer: "cluster" counts them like a cluster; "free" as released.
        meds_n_neighbors: neighbours that vote for the cluster of a new completion.
        meds_max_distance: neighbours further away than this (unit vectors, 0 to 2) do not vote; 2 for however far, as
            published; by preset.
        meds_scope: what a completion is compared with: its "prompt"'s memory (as published), the "global" one of all
            prompts, or only the "batch"; by method and preset.
        meds_penalty_form: what a count costs: "log" (as published), "inverse_sqrt" or "share"; by method and preset.
        meds_clustering: what groups remembered errors: "hdbscan" (as published), "exact", "single", "kmeans", "dbscan",
            "agglomerative" or "random"; by method and preset.
        meds_num_clusters: clusters of a prompt, for "kmeans".
        meds_cluster_distance: reach of "dbscan", cut of "agglomerative": distance of unit vectors.
        meds_min_cluster_size: remembered completions that make a cluster, for "hdbscan", "dbscan" and "random".
        meds_cluster_selection_epsilon: clusters that split off at less than this distance of unit vectors (0 to 2) are
            one; by preset.
        meds_capacity: most completions kept of one prompt and side (right, wrong); None for no bound.
        meds_total_capacity: most completions kept over all prompts; None for no bound.
        meds_drop_first: what goes first when a bound is reached: the "oldest" completions, or the oldest ones of the
            "largest" clusters.
        meds_half_life: a remembered completion counts half as much after so many batches; None for the same for ever.
        meds_reencode_tokens: tokens that may be run through the policy in each generation batch, over all processes,
            to take fingerprints of remembered completions anew; None or 0 for none.
        meds_reencode_age: only of fingerprints that were taken so many remembered batches ago, or more.
        fingerprint: "layer_logits", "layer_logits_diff", "pooled_logits", "answer_states" or "working_states" of
            the model; "answer_string" or "text_embedding" of the text alone; "strategy", a control: the
            name that the task gives to the way of working; by method and preset.
        fingerprint_layers: last layers to read (layer_logits); default L // 2; -1 for all. For pooled_logits
            and working_states the layer to pool; default the middle one, or two thirds of the way. answer_states has
            its own two layers, whatever this says.
        fingerprint_from: "policy" (as released) or "reference" (the model as it was before training); by method.
        answer_marker: where the final answer is: "boxed" (``\\boxed{``), "answer_tag" (``<answer>``), "hashes" (####).
        correct_above: a completion is right if the first reward function that grades it gives more than this.
        dynamic_sampling: drop groups of raw accuracy 0 or 1 and refill from new prompts.
        max_generation_batches: at most so many rounds of generation to fill one batch.
        overlong_buffer: tokens before ``max_completion_length`` over which the overlong punishment grows from 0 to 1;
            0 turns it off. Default for dapo and meds: 512, or a quarter of ``max_completion_length`` if that is less.
        overlong_factor: weight of the overlong punishment.
        entropy_advantage: add tokens' entropies to the advantages, A += min(a * H, |A| / k); by method,
            and with "meds" by preset.
        entropy_advantage_coef: a in that formula.
        entropy_advantage_cap: k in the same formula.
        positive_weight: advantage of right completions, for "dapo-nsr" and "dapo-w-reinforce"; by method.
        exploration_weight: weight of the novelty bonus, for "dapo-rep-exp".
        exploration_dim: numbers to which a completion's state is projected, for "dapo-rep-exp".
        log_rollouts: write every training completion to ``output_dir/rollouts`` (one parquet file a generation batch).

    Raises:
        ValueError: an unknown choice or a value out of range, with what is allowed.
    """

    method: Literal[
        "grpo",
        "grpo-entropy",
        "dapo",
        "meds",
        "dapo-outcome",
        "dapo-outcome-batch",
        "dapo-nsr",
        "dapo-w-reinforce",
        "dapo-rep-exp",
    ] = field(
        default="meds",
        metadata={
            "help": "grpo, grpo-entropy, dapo, meds, or a rival: dapo-outcome, dapo-outcome-batch, dapo-nsr, "
            "dapo-w-reinforce, dapo-rep-exp."
        },
    )
    preset: Literal["paper", "recommended"] = field(
        default="paper", metadata={"help": "Defaults of MEDS: paper or recommended."}
    )

    loss_type: str | None = field(
        default=None, metadata={"help": "TRL's loss type. Default: set by `method`."}
    )
    beta: float | None = field(
        default=None, metadata={"help": "TRL's KL coefficient. Default: set by `method`."}
    )
    epsilon: float | None = field(
        default=None, metadata={"help": "Lower clip range. Default: set by `method`."}
    )
    scale_rewards: str | None = field(
        default=None,
        metadata={
            "help": "Divide rewards by a deviation: group, batch or none. Default: by `method`, `preset`."
        },
    )

    meds_alpha: float | None = field(
        default=None, metadata={"help": "Strength of the penalty. Default: by `preset`."}
    )
    meds_beta: float | None = field(
        default=None, metadata={"help": "Cap of the penalty. Default: by `preset`."}
    )
    meds_target: Literal["wrong", "right", "both"] | None = field(
        default=None, metadata={"help": "Penalised completions: wrong, right or both. Default: by `method`."}
    )
    meds_noise: Literal["cluster", "free"] = field(
        default="cluster", metadata={"help": "Noise points: cluster (as released) or free."}
    )
    meds_all_wrong: Literal["skip", "center", "shape"] | None = field(
        default=None, metadata={"help": "All-wrong groups: skip, center or shape. Default: by `preset`."}
    )
    meds_mixed: Literal["shape", "remember"] = field(
        default="shape", metadata={"help": "Groups with a right answer: shape (as published) or remember."}
    )
    meds_anneal: list[float] | None = field(
        default=None,
        metadata={"help": "Shares of training between which alpha falls to 0. Default: by `preset`."},
    )
    meds_no_answer: Literal["cluster", "free"] = field(
        default="cluster", metadata={"help": "No answer: cluster or free (as released)."}
    )
    meds_n_neighbors: int = field(default=3, metadata={"help": "Neighbours that vote for the cluster."})
    meds_max_distance: float | None = field(
        default=None,
        metadata={"help": "Neighbours further away, of unit vectors, do not vote. Default: by `preset`."},
    )
    meds_scope: Literal["prompt", "global", "batch"] | None = field(
        default=None, metadata={"help": "Compared with: prompt, global or batch. Default: by `method`."}
    )
    meds_penalty_form: Literal["log", "inverse_sqrt", "share"] | None = field(
        default=None, metadata={"help": "What a count costs: log, inverse_sqrt, share. Default: by `method`."}
    )
    meds_clustering: (
        Literal["hdbscan", "exact", "single", "kmeans", "dbscan", "agglomerative", "random"] | None
    ) = field(
        default=None,
        metadata={
            "help": "hdbscan, exact, single, kmeans, dbscan, agglomerative or random. Default: by `method`."
        },
    )
    meds_num_clusters: int = field(default=8, metadata={"help": "Clusters of a prompt, for kmeans."})
    meds_cluster_distance: float = field(
        default=0.3, metadata={"help": "Reach of dbscan, cut of agglomerative: distance of unit vectors."}
    )
    meds_min_cluster_size: int = field(
        default=2,
        metadata={"help": "Completions that make a cluster. A memory handed in keeps its own clustering."},
    )
    meds_cluster_selection_epsilon: float | None = field(
        default=None,
        metadata={"help": "Clusters closer than this, of unit vectors, are one. Default: by `preset`."},
    )
    meds_capacity: int | None = field(
        default=None,
        metadata={
            "help": "Most completions kept of one prompt and side. Default: no bound. A memory handed in keeps its own."
        },
    )
    meds_total_capacity: int | None = field(
        default=None,
        metadata={
            "help": "Most completions kept over all prompts. Default: no bound. A memory handed in keeps its own."
        },
    )
    meds_drop_first: Literal["oldest", "largest"] = field(
        default="oldest",
        metadata={"help": "What a full memory drops: oldest, or largest. A memory handed in keeps its own."},
    )
    meds_half_life: float | None = field(
        default=None,
        metadata={
            "help": "Batches after which an old error counts half. Default: never. A memory handed in keeps its own."
        },
    )
    meds_reencode_tokens: int | None = field(
        default=None,
        metadata={
            "help": "Tokens a generation batch for taking old fingerprints anew. Default, and 0: none."
        },
    )
    meds_reencode_age: int = field(
        default=1, metadata={"help": "Batches after which a fingerprint may be taken anew."}
    )

    fingerprint: (
        Literal[
            "layer_logits",
            "layer_logits_diff",
            "pooled_logits",
            "answer_states",
            "working_states",
            "answer_string",
            "text_embedding",
            "strategy",
        ]
        | None
    ) = field(
        default=None,
        metadata={
            "help": "layer_logits, layer_logits_diff, pooled_logits, answer_states, working_states, answer_string, "
            "text_embedding or strategy. "
            "Default: by `preset`."
        },
    )
    fingerprint_layers: int | None = field(
        default=None,
        metadata={"help": "Last layers to read (default L // 2; -1 for all), or the layer to pool."},
    )
    fingerprint_from: Literal["policy", "reference"] | None = field(
        default=None, metadata={"help": "policy (as released) or reference. Default: by `method`."}
    )
    answer_marker: Literal["boxed", "answer_tag", "hashes"] = field(
        default="boxed", metadata={"help": "boxed, answer_tag or hashes."}
    )
    correct_above: float = field(default=0.5, metadata={"help": "Right if its first reward is above this."})

    dynamic_sampling: bool | None = field(
        default=None, metadata={"help": "Refill groups of raw accuracy 0 or 1. Default: set by `method`."}
    )
    max_generation_batches: int = field(default=10, metadata={"help": "Most rounds of generation per batch."})
    overlong_buffer: int | None = field(
        default=None, metadata={"help": "Tokens; 0 is off. Default: by `method`."}
    )
    overlong_factor: float = field(default=1.0, metadata={"help": "Weight of the overlong punishment."})
    entropy_advantage: bool | None = field(
        default=None,
        metadata={"help": "A += min(a * H, |A| / k), H a token's entropy. Default: by `method`, `preset`."},
    )
    entropy_advantage_coef: float = field(default=0.4, metadata={"help": "a in A += min(a * H, |A| / k)."})
    entropy_advantage_cap: float = field(default=2.0, metadata={"help": "k in A += min(a * H, |A| / k)."})

    positive_weight: float | None = field(
        default=None, metadata={"help": "Advantage of right completions in dapo-nsr, dapo-w-reinforce."}
    )
    exploration_weight: float = field(default=0.01, metadata={"help": "Weight of dapo-rep-exp's bonus."})
    exploration_dim: int = field(default=32, metadata={"help": "Numbers that dapo-rep-exp projects to."})

    log_rollouts: bool = field(
        default=True, metadata={"help": "Write training completions to output_dir/rollouts."}
    )

    def __post_init__(self) -> None:
        self._apply_preset()
        self._check_choices()
        check_sizes(self.__dict__)
        self._apply_method()
        super().__post_init__()
        check_bounds(self.__dict__)
        if self.uses_memory:
            check_something_penalised(
                mixed=self.meds_mixed, all_wrong=self.meds_all_wrong, target=self.meds_target, prefix="meds_"
            )
        self._check_reencoding()

    def _check_choices(self) -> None:
        kinds = {f.name: f.type for f in fields(MEDSConfig) if f.name in _CHOICES}
        for name, kind in kinds.items():
            # Of an optional choice, which the preset has made by now, the choice.
            allowed = get_args(get_args(kind)[0]) or get_args(kind)
            value = self.__dict__[name]
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}.")

    def _apply_method(self) -> None:
        method = METHODS[self.method]
        buffer = min(512, self.max_completion_length // 4) if method.overlong_shaping else 0
        defaults = {
            "loss_type": method.loss_type,
            "beta": method.kl_coefficient,
            "epsilon": method.epsilon,
            "epsilon_high": method.epsilon_high,
            "delta": method.delta,
            "dynamic_sampling": method.dynamic_sampling,
            "overlong_buffer": buffer,
            "entropy_advantage": method.entropy_advantage,
            "scale_rewards": method.scale_rewards,
        }
        self._fill(defaults)
        self._fill(ADVANTAGE[self.preset])  # where the method leaves it open
        if self.scale_rewards not in SCALES:
            raise ValueError(f"scale_rewards must be group, batch or none; got {self.scale_rewards!r}.")

    def _apply_preset(self) -> None:
        if self.method in METHODS:
            self._fill(METHODS[self.method].settings)
        if self.preset in PRESETS:
            self._fill(PRESETS[self.preset])

    def _fill(self, defaults: Mapping[str, Any]) -> None:
        for name, value in defaults.items():
            if self.__dict__[name] is None:
                setattr(self, name, deepcopy(value))  # a list is this configuration's own

    def _check_reencoding(self) -> None:
        if not self.reencodes:
            return
        if self.fingerprint in TEXT_FINGERPRINTS or self.meds_scope != "prompt":
            raise ValueError(
                "meds_reencode_tokens takes the model's fingerprints of a prompt's memory anew; it does nothing for "
                f"fingerprint={self.fingerprint!r} with meds_scope={self.meds_scope!r}. Set it to 0, or take "
                "a fingerprint of the model and meds_scope='prompt'."
            )
        if self.fingerprint_from == "reference":
            raise ValueError(
                "meds_reencode_tokens takes old fingerprints anew because the policy moves on; those of "
                "fingerprint_from='reference' never change. Set fingerprint_from='policy', or meds_reencode_tokens=0."
            )

    @property
    def uses_memory(self) -> bool:
        """Whether the method counts errors, as MEDS does."""
        return METHODS[self.method].memory

    @property
    def reencodes(self) -> bool:
        """Whether fingerprints of remembered completions are taken anew."""
        return self.uses_memory and bool(self.meds_reencode_tokens)

    @property
    def shapes_all_wrong(self) -> bool:
        """Whether a group without a right answer can carry signal, so that dynamic sampling keeps it."""
        if self.uses_own_advantages:
            return True
        return self.uses_memory and self.meds_all_wrong != "skip" and self.meds_target != "right"

    @property
    def uses_own_advantages(self) -> bool:
        """Whether advantages are -1 and ``positive_weight``, whatever the group's rewards are."""
        return METHODS[self.method].own_advantages

    @property
    def uses_exploration(self) -> bool:
        """Whether novel states of the model get a bonus."""
        return METHODS[self.method].exploration
