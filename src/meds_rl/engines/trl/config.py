"""``MEDSConfig``: TRL's ``GRPOConfig`` and the few fields that MEDS adds."""

from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from trl import GRPOConfig

from meds_rl.engines.trl.methods import METHODS

_CHOICES = (
    "method",
    "meds_target",
    "meds_noise",
    "meds_all_wrong",
    "meds_no_answer",
    "fingerprint",
    "fingerprint_from",
    "answer_marker",
)


@dataclass
class MEDSConfig(GRPOConfig):
    """Configuration of :class:`~meds_rl.engines.trl.trainer.MEDSTrainer`: every field of ``GRPOConfig``, and these.

    ``method`` chooses one of the paper's four methods and sets the fields below whose default is ``None``;
    a value given explicitly always wins. ``meds_*`` fields act only where ``method`` is "meds".

    Note:
        ``beta`` is TRL's KL coefficient. The cap of the penalty, the paper's beta, is ``meds_beta``.

    Parameters:
        method: "grpo", "grpo-entropy", "dapo" or "meds".
        meds_alpha: strength of the penalty, min(alpha * ln(|C| + 1), beta).
        meds_beta: cap of the penalty.
        meds_target: which completions are penalised: "wrong" (default), "right" or "both".
        meds_noise: "cluster" counts the noise points of a prompt as one cluster (as released); "free" does not.
        meds_all_wrong: groups with no right answer: "skip" (as released), "center" or "shape".
        meds_no_answer: completions without an answer: "cluster" counts them like a cluster; "free" as released.
        meds_n_neighbors: neighbours that vote for the cluster of a new completion.
        fingerprint: "layer_logits", "layer_logits_diff" or "pooled_logits".
        fingerprint_layers: last layers to read (layer_logits); default L // 2; -1 for all. For pooled_logits, the
            layer to pool; default the middle one.
        fingerprint_from: "policy" (as released) or "reference" (the model as it was before training).
        answer_marker: where the final answer is: "boxed" (``\\boxed{``), "answer_tag" (``<answer>``), "hashes" (####).
        correct_above: a completion is right if the first reward function that grades it gives more than this.
        dynamic_sampling: drop groups of raw accuracy 0 or 1 and refill from new prompts.
        max_generation_batches: at most so many rounds of generation to fill one batch.
        overlong_buffer: tokens before ``max_completion_length`` over which the overlong punishment grows from 0 to 1;
            0 turns it off. Default for dapo and meds: 512, or a quarter of ``max_completion_length`` if that is less.
        overlong_factor: weight of the overlong punishment.
        entropy_advantage_coef: a in A += min(a * H, |A| / k), for "grpo-entropy".
        entropy_advantage_cap: k in the same formula.
        log_rollouts: write every training completion to ``output_dir/rollouts`` (one parquet file a generation batch).

    Raises:
        ValueError: an unknown choice or a value out of range, with what is allowed.
    """

    method: Literal["grpo", "grpo-entropy", "dapo", "meds"] = field(
        default="meds", metadata={"help": "grpo, grpo-entropy, dapo or meds."}
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

    meds_alpha: float = field(default=0.1, metadata={"help": "Strength of the penalty."})
    meds_beta: float = field(default=0.2, metadata={"help": "Cap of the penalty."})
    meds_target: Literal["wrong", "right", "both"] = field(
        default="wrong", metadata={"help": "Penalised completions: wrong, right or both."}
    )
    meds_noise: Literal["cluster", "free"] = field(
        default="cluster", metadata={"help": "Noise points: cluster (as released) or free."}
    )
    meds_all_wrong: Literal["skip", "center", "shape"] = field(
        default="skip", metadata={"help": "All-wrong groups: skip, center or shape."}
    )
    meds_no_answer: Literal["cluster", "free"] = field(
        default="cluster", metadata={"help": "No answer: cluster or free (as released)."}
    )
    meds_n_neighbors: int = field(default=3, metadata={"help": "Neighbours that vote for the cluster."})

    fingerprint: Literal["layer_logits", "layer_logits_diff", "pooled_logits"] = field(
        default="layer_logits", metadata={"help": "layer_logits, layer_logits_diff or pooled_logits."}
    )
    fingerprint_layers: int | None = field(
        default=None,
        metadata={"help": "Last layers to read (default L // 2; -1 for all), or the layer to pool."},
    )
    fingerprint_from: Literal["policy", "reference"] = field(
        default="policy", metadata={"help": "policy (as released) or reference."}
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
    entropy_advantage_coef: float = field(default=0.4, metadata={"help": "a in A += min(a * H, |A| / k)."})
    entropy_advantage_cap: float = field(default=2.0, metadata={"help": "k in A += min(a * H, |A| / k)."})

    log_rollouts: bool = field(
        default=True, metadata={"help": "Write training completions to output_dir/rollouts."}
    )

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_sizes()
        self._apply_method()
        super().__post_init__()
        self._check_bounds()

    def _check_choices(self) -> None:
        choices = {f.name: get_args(f.type) for f in fields(MEDSConfig) if f.name in _CHOICES}
        for name, allowed in choices.items():
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
        }
        for name, value in defaults.items():
            if self.__dict__[name] is None:
                setattr(self, name, value)

    def _check_sizes(self) -> None:
        """Before TRL divides by them."""
        if self.num_generations < 2:
            raise ValueError(
                f"num_generations must be at least 2: a group is compared; got {self.num_generations}."
            )
        for name in ("per_device_train_batch_size", "gradient_accumulation_steps", "max_completion_length"):
            if self.__dict__[name] < 1:
                raise ValueError(f"{name} must be at least 1; got {self.__dict__[name]}.")

    def _check_bounds(self) -> None:
        for name in ("meds_n_neighbors", "max_generation_batches", "overlong_buffer"):
            if not isinstance(self.__dict__[name], int):
                raise ValueError(f"{name} must be a whole number; got {self.__dict__[name]!r}.")
        for name, lowest in (
            ("correct_above", float("-inf")),
            ("beta", 0),
            ("meds_alpha", 0),
            ("meds_beta", 0),
            ("meds_n_neighbors", 1),
            ("max_generation_batches", 1),
            ("overlong_buffer", 0),
            ("overlong_factor", 0),
            ("entropy_advantage_coef", 0),
        ):
            value = self.__dict__[name]
            if not isinstance(value, int | float) or not lowest <= value < float("inf"):
                raise ValueError(f"{name} must be a finite number of at least {lowest}; got {value!r}.")
        if not self.entropy_advantage_cap > 0:
            raise ValueError(f"entropy_advantage_cap must be above 0; got {self.entropy_advantage_cap}.")
        if self.overlong_buffer and self.overlong_buffer >= self.max_completion_length:
            raise ValueError(
                f"overlong_buffer must be below max_completion_length ({self.max_completion_length}); "
                f"got {self.overlong_buffer}. 0 turns the overlong punishment off."
            )
        layers = self.fingerprint_layers
        if layers == -1 and self.fingerprint == "pooled_logits":
            raise ValueError(
                "fingerprint_layers=-1 (all) is for layer_logits; pooled_logits reads one layer, 1 to L."
            )
        if layers is not None and layers != -1 and layers < 1:
            raise ValueError(f"fingerprint_layers must be -1 (all) or at least 1; got {layers}.")

    @property
    def uses_memory(self) -> bool:
        """Whether the method remembers errors, that is, whether it is MEDS."""
        return METHODS[self.method].memory

    @property
    def shapes_all_wrong(self) -> bool:
        """Whether a group without a right answer can carry signal, so that dynamic sampling keeps it."""
        return self.uses_memory and self.meds_all_wrong != "skip" and self.meds_target != "right"

    @property
    def uses_entropy_advantage(self) -> bool:
        """Whether token entropies are added to the advantages."""
        return METHODS[self.method].entropy_advantage
