"""What a user may put in the place of a part: a penalty function, a subclass of the shaper, of the memory."""

import math
import re

import numpy as np
import pytest

from meds_rl import ErrorMemory, RewardShaper
from meds_rl.memory import Visit
from meds_rl.memory.entry import Assigned
from meds_rl.shaping import GroupKind

EAST, NORTH, WEST = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]


def shape(shaper, features, is_correct, prompt_ids=None, **more):
    prompt_ids = ["x"] * len(features) if prompt_ids is None else prompt_ids
    rewards = np.array(is_correct, dtype=float)
    return shaper.shape(rewards, prompt_ids=prompt_ids, features=features, is_correct=is_correct, **more)


def test_a_penalty_of_ones_own_by_hand():
    calls = []

    def share(sizes, group_sizes):
        calls.append((sizes.tolist(), group_sizes.tolist()))
        return 0.5 * sizes / group_sizes

    shaper = RewardShaper(penalty=share, target="both")
    features, graded, ids = [EAST, EAST, NORTH, WEST, WEST], [False, False, True, False, True], [*"xxxyy"]
    shape(shaper, features, graded, ids)
    shaped = shape(shaper, features, graded, ids)
    # Two wrong of x are remembered (noise), one right of x, one wrong and one right of y.
    assert calls == [([0] * 5, [3, 3, 3, 2, 2]), ([2, 2, 1, 1, 1], [3, 3, 3, 2, 2])]
    np.testing.assert_allclose(shaped.penalties, [1 / 3, 1 / 3, 1 / 6, 1 / 4, 1 / 4])
    np.testing.assert_allclose(shaped.rewards, [-1 / 3, -1 / 3, 5 / 6, -1 / 4, 3 / 4])  # right ones, too: r - penalty


def test_a_penalty_of_ones_own_is_annealed_and_only_for_scored_rows():
    shaper = RewardShaper(penalty=lambda sizes, _: np.ones(len(sizes)), anneal=(0.0, 0.5))
    penalties = [shape(shaper, [EAST, WEST], [False, True], progress=done).penalties for done in (0, 0.25, 1)]
    assert np.array(penalties).tolist() == [[1.0, 0.0], [0.5, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([0.1], "penalty must return (2,) penalties, got shape (1,)"),
        ([0.1, -0.1], "penalty must return finite numbers of 0 or more, got -0.1"),
        ([0.1, np.nan], "penalty must return finite numbers of 0 or more, got nan"),
        ([0.1, 1e101], "penalty must return numbers of at most 1e+100, got 1e+101"),
        (["0.1", "0.2"], "penalty must return numbers, got dtype <U3"),
        ([0.1j, 0.2], "penalty must return numbers, got dtype complex128"),
        ([10**400, 1], "penalty must return numbers, got dtype object"),
    ],
)
def test_a_bad_penalty_leaves_the_memory_as_it_was(returned, message):
    shaper = RewardShaper(penalty=lambda *_: returned)
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        shape(shaper, [EAST, WEST], [False, True])
    assert (len(shaper.memory), shaper.memory.step) == (0, 0)


def test_a_penalty_may_write_to_its_sizes_and_remember():
    def penalty(sizes, _):
        sizes += 7
        shaper.memory.remember("another", [NORTH])
        return sizes

    shaper = RewardShaper(penalty=penalty)
    shaped = shape(shaper, [EAST, WEST], [False, True])
    assert (shaped.penalties.tolist(), shaped.cluster_sizes.tolist()) == ([7, 0], [0, 0])
    assert (len(shaper.memory), shaper.memory.step) == (2, 2)


def test_a_subclass_that_penalises_only_groups_without_a_right_answer():
    class AllWrongOnly(RewardShaper):
        def penalties(self, sizes, groups, progress):
            penalties = super().penalties(sizes, groups, progress)
            for group in groups:
                if group.kind is GroupKind.MIXED:
                    penalties[group.rows] = 0.0
            return penalties

    shaper = AllWrongOnly(all_wrong="center")
    features, graded, groups = [EAST, EAST, WEST, EAST, EAST], [False, False, True, False, False], [*"aaabb"]
    shape(shaper, features, graded, group_ids=groups)
    assert len(shaper.memory) == 4
    shaped = shape(shaper, features, graded, group_ids=groups)  # four remembered, noise: 0.1 ln 5 = 0.160944
    np.testing.assert_allclose(shaped.rewards, [0, 0, 1, -0.160944, -0.160944], atol=5e-7)
    assert shaped.cluster_sizes.tolist() == [4, 4, 0, 4, 4]
    assert len(shaper.memory) == 8


class OneMemory(ErrorMemory):
    """One memory of all prompts."""

    def assign_batch(self, visits, **options):
        if not visits:
            return []
        merged = Visit("all", np.concatenate([visit.features for visit in visits]))
        clusters, sizes = super().assign_batch([merged], **options)[0]
        ends = np.cumsum([len(visit.features) for visit in visits])[:-1]
        return [Assigned(*parts) for parts in zip(np.split(clusters, ends), np.split(sizes, ends), strict=True)]

    def remember_batch(self, visits):
        if not visits:
            return super().remember_batch([])
        merged = Visit("all", np.concatenate([visit.features for visit in visits]))
        ends = np.cumsum([len(visit.features) for visit in visits])[:-1]
        return np.split(super().remember_batch([merged])[0], ends)


def test_a_memory_that_all_prompts_share_is_a_subclass():
    shaper = RewardShaper(memory=OneMemory())
    features, graded, ids = [EAST, NORTH, EAST, [math.nan] * 2], [False, True, False, True], [*"xxyy"]
    shape(shaper, features, graded, ids)
    assert shaper.memory.prompt_ids == ["all"]
    assert len(shaper.memory) == 2
    # HDBSCAN calls the two of one direction noise; noise counts as one: both prompts' errors count for each.
    assert shape(shaper, features, graded, ids).cluster_sizes.tolist() == [2, 0, 2, 0]
