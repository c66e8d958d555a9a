"""The fingerprints of a model by the names that recipes, settings and tables use."""

from __future__ import annotations

from meds_rl.fingerprint.answer_states import AnswerStates
from meds_rl.fingerprint.base import Fingerprint
from meds_rl.fingerprint.layer_logits import LayerLogits
from meds_rl.fingerprint.pooled_logits import PooledLogits
from meds_rl.fingerprint.working_states import WorkingStates

NAMES = ("layer_logits", "layer_logits_diff", "pooled_logits", "answer_states", "working_states")


def make_fingerprint(name: str, layers: int | None = None) -> Fingerprint:
    """A fingerprint by its name.

    Args:
        name: one of `NAMES`.
        layers: how many of the last layers, -1 for all, None for half of them; for `pooled_logits` and
            `working_states` the layer to pool (-1 for `working_states`: its own choice);
            `answer_states` has its own two.

    Raises:
        ValueError: an unknown name, or a number of layers out of range.

    Example:
        >>> make_fingerprint("layer_logits", layers=14).num_features(num_layers=28, hidden_size=3584)
        14
    """
    if name not in NAMES:
        raise ValueError(f"fingerprint must be one of {', '.join(NAMES)}; got {name!r}.")
    if name == "answer_states":
        return AnswerStates()
    if name == "working_states":
        return WorkingStates(layer=None if layers == -1 else layers)
    if name == "pooled_logits":
        return PooledLogits(layer=layers)
    return LayerLogits("all" if layers == -1 else layers, differences=name == "layer_logits_diff")
