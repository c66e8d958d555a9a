"""Right completions of prompts that are rarely solved: which ones are kept, and when one is recalled.

If a policy is right once in a hundred samples, few groups of the prompt teach it the right answer. So the memory keeps
the token ids of right completions, and later groups without one take one in (`meds_rl.shaping.recall`).
"""

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.checks import PromptId, check_positive_int, check_prompt_id

MOST_KEPT = 2
"""Right completions kept of a prompt."""


class RightCompletion(NamedTuple):
    """A right completion: its token ids (T,) int32, T >= 1, and its raw reward."""

    token_ids: NDArray[np.int32]
    reward: float


@dataclass(frozen=True, eq=False, slots=True)
class Kept:
    """The right completions kept of one prompt: at most `MOST_KEPT`, the newest first.

    `recalls` is the number of groups that have taken one in since the last right answer was sampled.
    """

    completions: tuple[RightCompletion, ...]
    recalls: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the token ids."""
        return sum(one.token_ids.nbytes for one in self.completions)


class GroupVisit(NamedTuple):
    """A group of one prompt: its size, how many are right, and which of these may be kept (`whole`: not cut off)."""

    prompt_id: PromptId
    group_size: int
    n_right: int
    whole: tuple[RightCompletion, ...] = ()


def is_rare(n_right: int, group_size: int) -> bool:
    """Whether a group has so few right answers that they are kept: one, or at most one in eight.

    Example:
        >>> is_rare(1, 8), is_rare(2, 8), is_rare(2, 16), is_rare(0, 8)
        (True, False, True, False)
    """
    return 0 < n_right <= max(1, group_size // 8)


def visited(kept: Kept | None, visit: GroupVisit, most: int) -> tuple[Kept | None, RightCompletion | None]:
    """What is kept of a prompt after a group of it, and the completion that joins the group.

    A group with a right answer takes none in and sets the count of recalls to 0. Its right completions are kept if they
    are rare (`is_rare`). If more than half of it is right, the prompt is solved and nothing is kept. A group without a
    right answer takes one in, unless `most` groups have done so since the last right answer. If two are kept, they
    alternate.
    """
    if visit.n_right == 0:
        if kept is None or kept.recalls >= most:
            return kept, None
        chosen = kept.completions[kept.recalls % len(kept.completions)]
        return Kept(kept.completions, kept.recalls + 1), chosen
    if 2 * visit.n_right > visit.group_size:
        return None, None
    completions = () if kept is None else kept.completions
    if is_rare(visit.n_right, visit.group_size):
        completions = _newest(visit.whole, completions)
    return (Kept(completions) if completions else None), None


def _newest(new: Iterable[RightCompletion], old: Iterable[RightCompletion]) -> tuple[RightCompletion, ...]:
    """The first `MOST_KEPT` different completions."""
    different: dict[bytes, RightCompletion] = {}
    for one in (*new, *old):
        different.setdefault(one.token_ids.tobytes(), one)
    return tuple(different.values())[:MOST_KEPT]


def check_visits(visits: Sequence[GroupVisit]) -> list[GroupVisit]:
    """The visits with checked and converted values; TypeError or ValueError for an impossible one."""
    checked = []
    for visit in visits:
        size, n_right = check_positive_int("group_size", visit.group_size), operator.index(visit.n_right)
        if not 0 <= n_right <= size or len(visit.whole) > n_right:
            raise ValueError(f"{n_right} of {size} are right, and {len(visit.whole)} of those may be kept")
        whole = tuple(right_completion(*one) for one in visit.whole)
        checked.append(GroupVisit(check_prompt_id(visit.prompt_id), size, n_right, whole))
    return checked


def right_completion(token_ids: ArrayLike, reward: float) -> RightCompletion:
    """A right completion with a read-only copy of the ids.

    Raises:
        TypeError, ValueError: the ids are not (T,) whole numbers from 0 to 2^31 - 1, T >= 1; the reward is not finite.
    """
    ids = np.asarray(token_ids)
    if ids.ndim != 1 or not len(ids):
        raise ValueError(f"token_ids must be (T,) with T of at least 1, got shape {ids.shape}")
    if ids.dtype.kind not in "iu":
        raise TypeError(f"token_ids must be whole numbers, got dtype {ids.dtype}")
    if ids.min() < 0 or ids.max() >= 2**31:
        raise ValueError(f"token_ids must be from 0 to 2^31 - 1, got {ids.min()} to {ids.max()}")
    if not math.isfinite(reward):
        raise ValueError(f"the reward must be finite, got {reward}")
    own = ids.astype(np.int32)
    own.setflags(write=False)
    return RightCompletion(own, float(reward))
