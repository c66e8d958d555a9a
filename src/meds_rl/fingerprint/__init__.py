"""Where to look in a model: the answer's position, and what the layers compute there.

`answer_finder` finds the answer in token ids. `extract` runs the model for its fingerprints; `record` takes them
from a forward that runs anyway. `LayerLogits` and `PooledLogits` are the paper's fingerprints in its two readings,
`AnswerStates` and `WorkingStates` this project's own; `Projected` makes a wide one narrow. A new one is a class with
the members of `Fingerprint`; pass an instance.
"""

from typing import TYPE_CHECKING, Any

from meds_rl.fingerprint.answer import (
    AnswerFinder,
    AnswerPosition,
    TextAnswerFinder,
    answer_finder,
    answer_text,
    extract_answer,
    find_written,
    written_runs,
)
from meds_rl.fingerprint.locate import Tokenizer
from meds_rl.fingerprint.outcome import outcome_text, outcome_vectors

if TYPE_CHECKING:
    from meds_rl.fingerprint.answer_states import AnswerStates
    from meds_rl.fingerprint.base import Fingerprint, Where, num_tokens_read
    from meds_rl.fingerprint.extraction import extract, num_forwards
    from meds_rl.fingerprint.layer_logits import LayerLogits
    from meds_rl.fingerprint.model import Backbone, Head, ReferencePolicy, find_backbone, reference_model
    from meds_rl.fingerprint.pooled_logits import PooledLogits
    from meds_rl.fingerprint.projection import Projected
    from meds_rl.fingerprint.recorder import Recorder, record
    from meds_rl.fingerprint.working_states import WorkingStates

__all__ = [
    "NAMES",
    "AnswerFinder",
    "AnswerPosition",
    "AnswerStates",
    "Backbone",
    "Fingerprint",
    "Head",
    "LayerLogits",
    "PooledLogits",
    "Projected",
    "Recorder",
    "ReferencePolicy",
    "TextAnswerFinder",
    "Tokenizer",
    "Where",
    "WorkingStates",
    "answer_finder",
    "answer_text",
    "extract",
    "extract_answer",
    "find_backbone",
    "find_written",
    "make_fingerprint",
    "num_forwards",
    "num_tokens_read",
    "outcome_text",
    "outcome_vectors",
    "record",
    "reference_model",
    "written_runs",
]

NAMES = ("layer_logits", "layer_logits_diff", "pooled_logits", "answer_states", "working_states")

_FILES = {
    "answer_states": ("AnswerStates",),
    "base": ("Fingerprint", "Where", "num_tokens_read"),
    "extraction": ("extract", "num_forwards"),
    "layer_logits": ("LayerLogits",),
    "model": ("Backbone", "Head", "ReferencePolicy", "find_backbone", "reference_model"),
    "pooled_logits": ("PooledLogits",),
    "projection": ("Projected",),
    "recorder": ("Recorder", "record"),
    "working_states": ("WorkingStates",),
}


if not TYPE_CHECKING:  # or type checkers would take any name

    def __getattr__(name: str) -> Any:
        # These need torch. The fingerprints of texts and what finds answers do not, and are used where there is none.
        from importlib import import_module

        for file, names in _FILES.items():
            if name in names:
                return getattr(import_module(f"{__name__}.{file}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def make_fingerprint(name: str, layers: int | None = None, width: int | None = None) -> "Fingerprint":
    """The fingerprint that recipes, settings and tables call `name`.

    Args:
        name: one of `NAMES`.
        layers: how many of the last layers, -1 for all, None for half of them. For `pooled_logits` and
            `working_states` the layer to pool (None, and -1 for `working_states`: the class's default). Not used by
            `answer_states`.
        width: largest D; a wider fingerprint is projected (`Projected`). None: no limit.

    Raises:
        ValueError: a number out of range or an unknown name.

    Example:
        >>> make_fingerprint("layer_logits", layers=14).num_features(num_layers=28, hidden_size=3584)
        14
        >>> make_fingerprint("working_states", width=128).num_features(num_layers=28, hidden_size=3584)
        128
    """
    if width is not None:
        from meds_rl.fingerprint.projection import Projected

        return Projected(make_fingerprint(name, layers), width)
    if name not in NAMES:
        raise ValueError(f"fingerprint must be one of {', '.join(NAMES)}; got {name!r}.")
    from meds_rl.fingerprint.answer_states import AnswerStates
    from meds_rl.fingerprint.layer_logits import LayerLogits
    from meds_rl.fingerprint.pooled_logits import PooledLogits
    from meds_rl.fingerprint.working_states import WorkingStates

    if name == "answer_states":
        return AnswerStates()
    if name == "working_states":
        return WorkingStates(layer=None if layers == -1 else layers)
    if name == "pooled_logits":
        return PooledLogits(layer=layers)
    return LayerLogits("all" if layers == -1 else layers, differences=name == "layer_logits_diff")
