"""The settings under ``meds:`` in verl's configuration."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from meds_rl.engines.bounds import check_above, check_at_least, check_flag, check_layers, check_memory_bounds
from meds_rl.engines.memory_settings import MemorySettings, check_choices
from meds_rl.engines.presets import ADVANTAGE, PRESETS
from meds_rl.shaping.checks import check_something_penalised

TEXT_FINGERPRINTS = ("answer_string", "text_embedding")
"""Fingerprints that read the text and not the model: they are made by the trainer, not in the workers."""

_NOT_IN_VERL = {
    "method": "verl's own settings make DAPO or GRPO (docs/verl.md); to train without a memory, run verl itself",
    "fingerprint_from": "verl's workers take fingerprints of the policy only",
    "reencode_tokens": "fingerprints of remembered completions are not taken anew in verl",
    "reencode_age": "fingerprints of remembered completions are not taken anew in verl",
}


@dataclass(frozen=True, kw_only=True)
class VerlSettings(MemorySettings):
    """Everything under ``meds:``.

    Attributes:
        preset: "paper" or "recommended": sets what the user leaves at null.
        fingerprint: of the model, captured in the workers, or of the text (`TEXT_FINGERPRINTS`).
        fingerprint_layers: last layers to read, -1 for all; or the layer to pool. None: the fingerprint's own choice.
        answer_marker: where the final answer is: "boxed", "answer_tag" or "hashes".
        correct_above: a completion is right if its `acc` (or its score, where the reward gives no `acc`) is above.
        scale_rewards: whether rewards are divided by the "group"'s deviation or not, "none"; by preset. None: as verl's
            own ``algorithm.norm_adv_by_std_in_grpo`` says.
        entropy_advantage: add token entropies to the advantages, A += min(a * H, |A| / k); by preset.
        entropy_advantage_coef, entropy_advantage_cap: a and k.
        memory: file of a memory to start with; a checkpoint's own memory goes before it. None: an empty one.
    """

    preset: Literal["paper", "recommended"] = "paper"
    fingerprint: Literal[
        "layer_logits",
        "layer_logits_diff",
        "pooled_logits",
        "answer_states",
        "working_states",
        "answer_string",
        "text_embedding",
    ]
    fingerprint_layers: int | None = None
    answer_marker: Literal["boxed", "answer_tag", "hashes"] = "boxed"
    correct_above: float = 0.5
    scale_rewards: Literal["group", "none"] | None = None
    entropy_advantage: bool
    entropy_advantage_coef: float = 0.4
    entropy_advantage_cap: float = 2.0
    memory: str | None = None

    @property
    def reads_text(self) -> bool:
        """Whether the fingerprint needs no model."""
        return self.fingerprint in TEXT_FINGERPRINTS

    @property
    def capture(self) -> dict[str, Any]:
        """What the workers must know."""
        return {name: asdict(self)[name] for name in ("fingerprint", "fingerprint_layers", "answer_marker")}


DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(VerlSettings)} | dict.fromkeys(
    [*PRESETS["paper"], "entropy_advantage"]
)
"""By setting: its default; None for what the preset sets."""


def read_settings(given: Mapping[str, Any] | None) -> VerlSettings:
    """The settings that a configuration gives, completed by its preset.

    Args:
        given: what stands under ``meds:``; None for nothing.

    Raises:
        ValueError: an unknown setting, or a value that is not allowed, with what is.

    Example:
        >>> settings = read_settings({"preset": "recommended", "alpha": 0.2})
        >>> settings.alpha, settings.beta, settings.fingerprint
        (0.2, 2.0, 'working_states')
    """
    given = dict(given or {})
    for name in given:
        check_name(name)
    values = DEFAULTS | given
    if not isinstance(values["preset"], str) or values["preset"] not in PRESETS:
        raise ValueError(f"meds.preset must be one of {', '.join(PRESETS)}; got {values['preset']!r}.")
    preset = {**PRESETS[values["preset"]], **ADVANTAGE[values["preset"]]}
    if preset["scale_rewards"] == "group":  # verl's own default: its own setting has the say
        preset["scale_rewards"] = None
    values |= {name: deepcopy(value) for name, value in preset.items() if values[name] is None}
    check_choices(VerlSettings, values, prefix="meds.")
    check_memory_bounds(values, prefix="meds.")
    check_something_penalised(
        mixed=values["mixed"], all_wrong=values["all_wrong"], target=values["target"], prefix="meds."
    )
    check_at_least("meds.correct_above", values["correct_above"], float("-inf"))
    if values["scale_rewards"] not in ("group", "none", None):
        raise ValueError(f"meds.scale_rewards must be null, group or none; got {values['scale_rewards']!r}.")
    check_flag("meds.entropy_advantage", values["entropy_advantage"])
    check_at_least("meds.entropy_advantage_coef", values["entropy_advantage_coef"], 0)
    check_above("meds.entropy_advantage_cap", values["entropy_advantage_cap"], 0)
    check_layers("meds.fingerprint_layers", values["fingerprint_layers"], values["fingerprint"])
    if values["memory"] is not None and not isinstance(values["memory"], str):
        raise ValueError(f"meds.memory must be null or the path of a memory; got {values['memory']!r}.")
    return VerlSettings(**values)


def check_name(name: str) -> None:
    """Refuse a setting that there is not.

    Raises:
        ValueError: with the settings that there are, or why this one of the TRL adapter's is not among them.
    """
    plain = str(name).removeprefix("meds_")
    if plain in _NOT_IN_VERL:
        raise ValueError(f"meds.{name} is not a setting in verl: {_NOT_IN_VERL[plain]}. Leave it out.")
    if name not in DEFAULTS:
        close = difflib.get_close_matches(plain, DEFAULTS, n=1)
        meant = f", did you mean meds.{close[0]}?" if close else ""
        raise ValueError(f"meds.{name} is no setting{meant} Allowed: {', '.join(sorted(DEFAULTS))}.")
