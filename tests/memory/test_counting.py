"""Answer strings, exact clustering and distance 0: the penalties are those of plain counting."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meds_rl import ErrorMemory, RewardShaper
from meds_rl.fingerprint.text import answer_vectors
from meds_rl.labels import UNSEEN
from meds_rl.memory import equal_vectors
from meds_rl.memory.vote import vote

ROW = st.tuples(st.sampled_from("xyz"), st.sampled_from(["1", "2", "12", "-1", None]), st.booleans())
BATCHES = st.lists(st.lists(ROW, min_size=1, max_size=12), min_size=1, max_size=6)


def counter(**options) -> RewardShaper:
    return RewardShaper(memory=ErrorMemory(equal_vectors), all_wrong="shape", max_distance=0, **options)


def shape(shaper, batch):
    prompts, answers, is_correct = zip(*batch, strict=True)
    return shaper.shape(
        np.array(is_correct, dtype=float),
        prompt_ids=prompts,
        features=answer_vectors(answers),
        is_correct=np.array(is_correct),
    )


@settings(max_examples=60)
@given(BATCHES)
def test_penalties_equal_a_counter_of_answers(batches):
    shaper, seen = counter(), Counter()
    for batch in batches:
        mixed = {prompt for prompt, _, right in batch if not right}  # groups that are not all right
        expected = [
            0.0 if right or prompt not in mixed else min(0.1 * math.log1p(seen[prompt, answer]), 0.2)
            for prompt, answer, right in batch
        ]
        assert shape(shaper, batch).penalties.tolist() == pytest.approx(expected, abs=1e-15)
        seen.update((prompt, answer) for prompt, answer, right in batch if not right)


@settings(max_examples=40)
@given(BATCHES)
def test_outcome_based_exploration_equals_its_bonus_within_groups(batches):
    """r - c (1 - min(1, N^-.5)) and r + c min(1, N^-.5) differ by one number a group: the advantages are equal."""

    def inverse_sqrt(sizes, _group_sizes):
        return 0.3 * (1 - 1 / np.sqrt(np.maximum(sizes, 1)))

    shaper, seen = counter(target="both", penalty=inverse_sqrt), Counter()
    for batch in batches:
        shaped = shape(shaper, batch)
        for prompt in {prompt for prompt, _, _ in batch}:
            rows = [i for i, row in enumerate(batch) if row[0] == prompt]
            if all(batch[i][2] for i in rows):
                continue
            bonus = [0.3 * min(1, max(seen[batch[i]], 1) ** -0.5) + batch[i][2] for i in rows]
            lost = shaped.rewards[rows]
            np.testing.assert_allclose(lost - lost.mean(), np.array(bonus) - np.mean(bonus), atol=1e-12)
        mixed = {prompt for prompt, _, right in batch if not right}
        seen.update(row for row in batch if row[0] in mixed)


def test_a_single_remembered_answer_counts_by_hand():
    shaper = counter()
    wrong = [("x", "48", False), ("x", "51", False), ("x", "51", False)]
    assert shape(shaper, wrong).cluster_sizes.tolist() == [0, 0, 0]
    # One 48 and two 51: .1 ln 2 = .0693 and .1 ln 3 = .1099; 30 was never seen.
    shaped = shape(shaper, [("x", "48", False), ("x", "51", False), ("x", "30", False)])
    assert shaped.penalties.round(4).tolist() == [0.0693, 0.1099, 0.0]
    assert shaped.clusters[2] == UNSEEN
    assert shaped.reasons == ["cluster", "cluster", "unseen"]


def test_the_vote_can_say_none_of_these():
    members = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    labels = np.array([5, 6, 7], dtype=np.int32)
    query = np.array([[1, 1]], dtype=np.float32)  # at 45 degrees: distance sqrt(2 - 2 cos 45) = .7654
    assert vote(query, members, labels, 3, 0.76).tolist() == [UNSEEN]
    assert vote(query, members, labels, 3, 0.77).tolist() == [5]
    assert vote(query, members, labels, 3).tolist() == [5]
    # At 10 degrees: .1743 to the first two, 1.2856 to the third, which would have turned no vote but is out of reach.
    near = np.array([[np.cos(np.pi / 18), np.sin(np.pi / 18)]], dtype=np.float32)
    assert vote(near, members, np.array([7, 5, 7], dtype=np.int32), 3, 1.0).tolist() == [7]
    assert vote(near, members, np.array([5, 7, 7], dtype=np.int32), 3, 1.0).tolist() == [5]
    assert vote(near, members, np.array([5, 7, 7], dtype=np.int32), 3, 2.0).tolist() == [7]


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_distance_2_is_no_bound(seed):
    rng = np.random.default_rng(seed)
    queries, members = (rng.normal(size=(9, 3)).astype(np.float32) for _ in range(2))
    labels = rng.integers(-1, 3, size=9).astype(np.int32)
    assert (vote(queries, members, labels, 3) == vote(queries, members, labels, 3, 2.0)).all()


@pytest.mark.parametrize("distance", [-0.1, 2.1, float("nan")])
def test_a_distance_is_0_to_2(distance):
    with pytest.raises(ValueError, match="max_distance must be"):
        RewardShaper(max_distance=distance)
