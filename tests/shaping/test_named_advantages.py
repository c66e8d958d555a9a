"""Advantages by name: numbers worked out by hand, sums of 0, any order of rows, and what penalties do to them."""

from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_rl.engines.settings import SETTINGS, make_advantage
from meds_rl.shaping import (
    f_grpo_advantages,
    group_advantages,
    maxrl_advantages,
    pass_at_k_advantages,
    undivided_advantages,
)

ALL = [undivided_advantages, maxrl_advantages, partial(pass_at_k_advantages, k=2), f_grpo_advantages]


def of_group(function, rewards, num_right, **options):
    """The advantages of one group whose first `num_right` completions are right."""
    right = np.arange(len(rewards)) < num_right
    return function(np.array(rewards, dtype=float), np.zeros(len(rewards), dtype=int), right, **options).tolist()


def test_by_hand_in_a_group_with_a_penalty():
    rewards = [1.0, 0.0, -0.2, 0.0]  # mean 0.2, so 0.8, -0.2, -0.4, -0.2
    assert of_group(undivided_advantages, rewards, 1) == pytest.approx([0.8, -0.2, -0.4, -0.2])
    # One of four is right: times 4.
    assert of_group(maxrl_advantages, rewards, 1) == pytest.approx([3.2, -0.8, -1.6, -0.8])
    # Squares 0.64, 0.04, 0.16, 0.04: std = sqrt(0.88 / 3) = 0.541603. Times 3/4: 0.6 / 0.541703 = 1.107618.
    assert of_group(f_grpo_advantages, rewards, 1) == pytest.approx(
        [1.107618, -0.276905, -0.553809, -0.276905], abs=1e-6
    )
    # Without penalties 1 and -1/3. The wrong ones' mean is -0.2 / 3: 0.066667, -0.133333, 0.066667 are added.
    found = of_group(pass_at_k_advantages, rewards, 1, k=2)
    assert found == pytest.approx([1.0, -0.266667, -0.466667, -0.266667], abs=1e-6)


def test_maxrl_by_hand():
    # Half are right: 0.5 / 0.5. Seven of eight: 0.125 / 0.875 = 1/7.
    assert of_group(maxrl_advantages, [1, 1, 0, 0], 2) == [1, 1, -1, -1]
    assert of_group(maxrl_advantages, [1] * 7 + [0], 7) == pytest.approx([1 / 7] * 7 + [-1])
    # The mean of the rewards is -0.5: dividing by it would turn the signs.
    assert of_group(maxrl_advantages, [1, -1, -1, -1], 1) == [6, -2, -2, -2]


@pytest.mark.parametrize(
    ("n", "c", "k", "right", "wrong"),
    [
        # f = C(2, 2) / C(4, 2) = 1/6, s = sqrt(5) / 6; wrong: 1/6 - C(1, 1) / C(3, 1) = -1/6.
        (4, 2, 2, 5**-0.5, -(5**-0.5)),
        # f = C(7, 4) / C(8, 4) = 1/2 = s; wrong: 1/2 - C(6, 3) / C(7, 3) = 35/70 - 40/70.
        (8, 1, 4, 1.0, -1 / 7),
        # One wrong: every pair has a right one.
        (4, 3, 2, 0.0, 0.0),
        # f = 3/4, s = sqrt(3) / 4: GRPO's, with the divisor n.
        (4, 1, 1, 3**0.5, -(3**-0.5)),
        # A group of two counts as k = 2.
        (2, 1, 4, 0.0, 0.0),
    ],
)
def test_pass_at_k_by_hand(n, c, k, right, wrong):
    found = of_group(pass_at_k_advantages, [1] * c + [0] * (n - c), c, k=k)
    assert found == pytest.approx([right] * c + [wrong] * (n - c))


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_mean_over_all_subsets(n, data):
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(combinations(range(n), k))
    best = np.array([float(min(subset) < c) for subset in subsets])  # the first c are right
    expected = np.zeros(n)
    if best.std() > 0:
        means = [best[[row in subset for subset in subsets]].mean() for row in range(n)]
        expected = (np.array(means) - best.mean()) / best.std()
    assert of_group(pass_at_k_advantages, [1] * c + [0] * (n - c), c, k=k) == pytest.approx(expected, abs=1e-9)


def test_f_grpo_by_hand():
    # Three of four: mean 0.75, std 0.5, weight 1/4: 0.25 * 0.25 / 0.5001 and -0.25 * 0.75 / 0.5001.
    assert of_group(f_grpo_advantages, [1, 1, 1, 0], 3) == pytest.approx([0.124975] * 3 + [-0.374925], abs=1e-6)
    # gamma 0.5: the root of 1/4.
    assert of_group(f_grpo_advantages, [1, 1, 1, 0], 3, gamma=0.5)[0] == pytest.approx(0.24995, abs=1e-6)
    plain = group_advantages([1.0, 1.0, 1.0, 0.0], group_size=4).tolist()
    assert of_group(f_grpo_advantages, [1, 1, 1, 0], 3, gamma=0) == plain
    assert of_group(f_grpo_advantages, [1, 1, 0.9, 1], 4) == [0, 0, 0, 0]


@pytest.mark.parametrize("function", ALL)
def test_without_a_right_answer_only_what_is_left_of_the_penalties_counts(function):
    assert of_group(function, [-0.3] * 5, 0) == [0] * 5
    # All wrong, "center": mean -0.15.
    assert of_group(function, [0.0, -0.2, -0.2, -0.2], 0) == pytest.approx([0.15, -0.05, -0.05, -0.05])


@st.composite
def batches(draw):
    rows = st.tuples(st.integers(0, 3), st.booleans(), st.floats(-1, 0))
    groups, right, penalties = map(np.array, zip(*draw(st.lists(rows, min_size=1, max_size=20)), strict=True))
    return right + penalties, groups, right


@pytest.mark.parametrize("function", ALL)
@given(batch=batches(), seed=st.integers(0, 100))
def test_every_group_sums_to_0_in_any_order(function, batch, seed):
    rewards, groups, right = batch
    found = function(rewards, groups, right)
    np.testing.assert_allclose(np.bincount(groups, found), 0, atol=1e-9)
    order = np.random.default_rng(seed).permutation(len(groups))
    np.testing.assert_allclose(function(rewards[order], 7 - groups[order], right[order]), found[order], atol=1e-12)


@given(batches())
def test_undivided_is_group_advantages_without_the_deviation(batch):
    rewards, groups, right = batch
    expected = group_advantages(rewards, prompt_ids=groups.tolist(), normalize_by_std=False)
    assert undivided_advantages(rewards, groups, right).tolist() == expected.tolist()


@pytest.mark.parametrize("name", SETTINGS["advantage"].kind)
def test_every_name_has_a_function_but_the_trainers_own(name):
    function = make_advantage({"advantage": name, "advantage_k": 2})
    assert (function is None) == (name == "trl")
    if function is not None:
        # With k = 2 one of four right gives 1 by the formula above; k = 4 would give 0.
        assert function(np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(4, dtype=int), np.arange(4) < 1)[0] > 0.7


@pytest.mark.parametrize("function", ALL)
def test_no_rows(function):
    assert function(np.empty(0), np.empty(0, dtype=int), np.empty(0, dtype=bool)).shape == (0,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: maxrl_advantages([1.0, 0.0], [0, 0], [True]), "is_correct must have one row"),
        (lambda: f_grpo_advantages([1.0, 0.0], [0], [True]), "one row per reward"),
        (lambda: pass_at_k_advantages([1.0, np.nan], [0, 0], [True, False]), "rewards must be finite"),
        (lambda: pass_at_k_advantages([1.0], [0], [True], k=0), "k must be 1 or more"),
        (lambda: f_grpo_advantages([1.0], [0], [True], gamma=-1), "gamma must be finite"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
