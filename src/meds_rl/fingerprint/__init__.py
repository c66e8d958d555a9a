"""Where to look in a model: the answer's place, and what its layers say there.

`answer_finder` gives the place of the answer in token ids. `extract` runs the model for its fingerprints;
`record` takes them from a forward that runs anyway. `LayerLogits` is the paper's fingerprint; a new one is a
class with the members of `Fingerprint`, passed in. `AnswerStates` and `WorkingStates` are this
project's own.
"""

from meds_rl.fingerprint.answer import AnswerFinder, AnswerPosition, answer_finder, extract_answer
from meds_rl.fingerprint.answer_states import AnswerStates
from meds_rl.fingerprint.base import Fingerprint, Where, num_tokens_read
from meds_rl.fingerprint.extract import extract, num_forwards
from meds_rl.fingerprint.layer_logits import LayerLogits
from meds_rl.fingerprint.locate import Tokenizer
from meds_rl.fingerprint.model import Backbone, Head, ReferencePolicy, find_backbone, reference_model
from meds_rl.fingerprint.pooled_logits import PooledLogits
from meds_rl.fingerprint.recorder import Recorder, record
from meds_rl.fingerprint.working_states import WorkingStates

__all__ = [
    "AnswerFinder",
    "AnswerPosition",
    "AnswerStates",
    "Backbone",
    "Fingerprint",
    "Head",
    "LayerLogits",
    "PooledLogits",
    "Recorder",
    "ReferencePolicy",
    "Tokenizer",
    "Where",
    "WorkingStates",
    "answer_finder",
    "extract",
    "extract_answer",
    "find_backbone",
    "num_forwards",
    "num_tokens_read",
    "record",
    "reference_model",
]
