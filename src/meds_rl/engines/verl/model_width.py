"""How wide the fingerprints of a run will be, known before anything is generated."""

from __future__ import annotations

from typing import Any

from meds_rl.engines.text_features import text_features
from meds_rl.engines.verl.settings import VerlSettings
from meds_rl.fingerprint.by_name import make_fingerprint


def num_features(hf_config: Any, settings: VerlSettings) -> int:
    """D, the width of the fingerprints.

    Args:
        hf_config: the model's configuration, of transformers.
        settings: of the run.

    Raises:
        ValueError: the model reads more than text, or has too few layers for the fingerprint.
        ImportError: the package of a text's fingerprint is missing.

    Example:
        >>> from transformers import Qwen3Config
        >>> from meds_rl.engines.verl.settings import read_settings
        >>> config = Qwen3Config(num_hidden_layers=28, hidden_size=2048)
        >>> [num_features(config, read_settings({"preset": name})) for name in ("paper", "recommended")]
        [14, 2048]
    """
    if hf_config is not hf_config.get_text_config():
        raise ValueError(
            f"the model ({type(hf_config).__name__}) reads more than text, and meds is tested with text-only models. "
            "Set actor_rollout_ref.model.path to one."
        )
    if settings.reads_text:
        return text_features(settings.fingerprint, [""], settings.answer_marker).shape[1]
    fingerprint = make_fingerprint(settings.fingerprint, settings.fingerprint_layers)
    fingerprint.layers(hf_config.num_hidden_layers)
    return fingerprint.num_features(hf_config.num_hidden_layers, hf_config.hidden_size)
