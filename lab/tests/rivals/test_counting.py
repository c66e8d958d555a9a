"""Answer strings, exact clustering and distance 0: the penalties are those of plain counting."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meds_lab.rivals.batch_memory import BatchMemory
from meds_lab.rivals.global_memory import ALL_PROMPTS, GlobalMemory
from meds_lab.rivals.outcome import inverse_sqrt_penalty
from meds_lab.rivals.remember import without_mixed
from meds_rl import ErrorMemory, RewardShaper
from meds_rl.fingerprint.text import answer_vectors, text_fingerprints
from meds_rl.labels import UNSEEN
from meds_rl.memory import equal_vectors

NAN = [float("nan")] * 2
ROW = st.tuples(st.sampled_from("xyz"), st.sampled_from(["1", "2", "12", "-1", None]), st.booleans())
BATCHES = st.lists(st.lists(ROW, min_size=1, max_size=12), min_size=1, max_size=6)


def counter(kind=ErrorMemory, **options) -> RewardShaper:
    return RewardShaper(memory=kind(equal_vectors), all_wrong="shape", max_distance=0, **options)


def where(prompt, scope):
    return prompt if scope == "prompt" else "all"


def shape(shaper, batch):
    prompts, answers, is_correct = zip(*batch, strict=True)
    return shaper.shape(
        np.array(is_correct, dtype=float),
        prompt_ids=prompts,
        features=answer_vectors(answers),
        is_correct=np.array(is_correct),
    )


@settings(max_examples=60)
@given(BATCHES, st.sampled_from(["prompt", "global"]))
def test_penalties_equal_a_counter_of_answers(batches, scope):
    shaper, seen = counter(GlobalMemory if scope == "global" else ErrorMemory), Counter()
    for batch in batches:
        mixed = {prompt for prompt, _, right in batch if not right}  # groups that are not all right
        expected = [
            0.0 if right or prompt not in mixed else min(0.1 * math.log1p(seen[where(prompt, scope), answer]), 0.2)
            for prompt, answer, right in batch
        ]
        assert shape(shaper, batch).penalties.tolist() == pytest.approx(expected, abs=1e-15)
        seen.update((where(prompt, scope), answer) for prompt, answer, right in batch if not right)


@settings(max_examples=60)
@given(BATCHES)
def test_within_a_batch_the_others_of_the_group_count(batches):
    shaper = counter(BatchMemory)
    for batch in batches:
        wrong = Counter((prompt, answer) for prompt, answer, right in batch if not right)
        expected = [0 if right else wrong[prompt, answer] - 1 for prompt, answer, right in batch]
        shaped = shape(shaper, batch)
        assert shaped.cluster_sizes.tolist() == expected
        assert set(shaped.memory_ids.tolist()) == {-1}
    assert len(shaper.memory) == 0
    assert shaper.memory.step == 0


@settings(max_examples=40)
@given(BATCHES)
def test_outcome_based_exploration_equals_its_bonus_within_groups(batches):
    """r - c (1 - min(1, N^-.5)) and r + c min(1, N^-.5) differ by one number a group: the advantages are equal."""
    shaper, seen = counter(target="both", penalty=lambda n, _: inverse_sqrt_penalty(n, 0.3, 0.3)), Counter()
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


def test_the_memory_of_all_prompts_is_one():
    shaper = RewardShaper(memory=GlobalMemory())
    batch = {
        "prompt_ids": ["x", "x", "y", "y"],
        "features": [[1, 0], [0, 1], [1, 0], NAN],
        "is_correct": [False, True, False, True],
    }
    shaper.shape([0.0, 1.0, 0.0, 1.0], **batch)
    assert shaper.memory.prompt_ids == [ALL_PROMPTS]
    assert len(shaper.memory) == 2
    # HDBSCAN calls the two of one direction noise; noise counts as one: both prompts' errors count for each.
    assert shaper.shape([0.0, 1.0, 0.0, 1.0], **batch).cluster_sizes.tolist() == [2, 0, 2, 0]


def test_a_group_with_a_right_answer_may_be_remembered_only():
    shaper = RewardShaper(all_wrong="center")
    east, west = [1.0, 0.0], [-1.0, 0.0]
    batch = {
        "prompt_ids": ["x"] * 5,
        "features": [east, east, west, east, east],
        "is_correct": [False, False, True, False, False],
        "group_ids": [*"aaabb"],
    }
    rewards = [0.0, 0.0, 1.0, 0.0, 0.0]
    shaper.shape(rewards, **batch)
    assert len(shaper.memory) == 4
    shaped = without_mixed(shaper.shape(rewards, **batch))  # four remembered, noise: 0.1 ln 5 = 0.160944
    np.testing.assert_allclose(shaped.rewards, [0, 0, 1, -0.160944, -0.160944], atol=5e-7)
    np.testing.assert_allclose(shaped.penalties, [0, 0, 0, 0.160944, 0.160944], atol=5e-7)
    assert shaped.cluster_sizes.tolist() == [4, 4, 0, 4, 4]
    assert len(shaper.memory) == 8


def test_batch_counts_are_alpha_ln_n_of_equal_steps():
    """Three workings that take 7 - 3 for a sum in their own words, one that multiplies: ln 3 three times and ln 1."""
    texts = [
        "7 - 3 = 10. \\boxed{10}",
        "we get 7 minus 3 is 10, \\boxed{10}",
        "7 take away 3 gives 10 so \\boxed{10}",
        "7 times 3 = 21. \\boxed{21}",
    ]
    answers = ["10", "10", "10", "21"]
    features = text_fingerprints("steps", prompts=["what is 7 - 3?"] * 4, completions=texts, answers=answers)
    shaper = counter(BatchMemory, alpha=0.1, beta=2.0)
    for _ in range(2):  # nothing is remembered
        shaped = shaper.shape([0.0] * 4, prompt_ids=["x"] * 4, features=features, is_correct=[False] * 4)
        np.testing.assert_allclose(shaped.penalties, 0.1 * np.log([3, 3, 3, 1]), atol=1e-12)
