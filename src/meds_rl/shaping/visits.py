"""What goes into the memory and what comes out of it: completions of one prompt, right or wrong."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.shaping.checks import PromptId, check_bool, check_prompt_id
from meds_rl.shaping.entry import EntryKey
from meds_rl.shaping.forgetting import ClusterSizes


class Visit(NamedTuple):
    """The completions of one prompt, all right or all wrong, that one batch adds: features (m, D)."""

    prompt_id: PromptId
    features: ArrayLike
    is_correct: bool = False


class Renewal(NamedTuple):
    """Fingerprints (m, D) taken anew of completions that are remembered under these ids (m,)."""

    prompt_id: PromptId
    ids: ArrayLike
    features: ArrayLike
    is_correct: bool = False


class Assigned(NamedTuple):
    """To which remembered cluster each of m completions belongs, and its size |C|.

    Attributes:
        clusters: (m,) int64 a lasting cluster >= 0, NOISE, NO_ANSWER, or UNSEEN where none is remembered near enough.
        sizes: (m,) members of that cluster in memory, int64: for NOISE all noise points, for NO_ANSWER all completions
            without an answer, for UNSEEN 0. With a `half_life` float64, each member counting by its age.
    """

    clusters: NDArray[np.int64]
    sizes: ClusterSizes


def key_of(visit: Visit | Renewal) -> EntryKey:
    """Which entry it is about.

    Raises:
        TypeError: the prompt id is no str or int, or `is_correct` no bool.
    """
    return EntryKey(check_prompt_id(visit.prompt_id), check_bool("is_correct", visit.is_correct))
