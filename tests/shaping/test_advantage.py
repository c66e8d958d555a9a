import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_rl.shaping import group_advantages


def test_one_unseen_error_among_seven_repeated_ones():
    # mean = -1.4 / 8 = -0.175. Deviations: 0.175 once, -0.025 seven times; their squares sum to
    # 0.030625 + 7 * 0.000625 = 0.035; std = sqrt(0.035 / 7) = 0.0707107.
    # 0.175 / 0.0708107 = 2.47138 and -0.025 / 0.0708107 = -0.35305.
    advantages = group_advantages([0.0] + [-0.2] * 7, group_size=8)
    np.testing.assert_allclose(advantages, [2.47138] + [-0.35305] * 7, atol=5e-6)


def test_a_lone_right_answer_gets_the_same():
    # mean 0.125; squares: 0.765625 + 7 * 0.015625 = 0.875; std = sqrt(0.125) = 0.353553;
    # 0.875 / 0.353653 = 2.47417.
    # Without eps both cases are 7 / sqrt(8) = 2.47487: the size of the difference does not matter.
    assert group_advantages([1.0] + [0.0] * 7, group_size=8)[0] == pytest.approx(2.47417, abs=5e-6)
    for difference in (1.0, 0.2, 1e-6):
        one = group_advantages([difference] + [0.0] * 7, group_size=8, eps=0.0)[0]
        assert one == pytest.approx(7 / 8**0.5)


def test_without_division_the_difference_keeps_its_size():
    advantages = group_advantages([0.0] + [-0.2] * 7, group_size=8, normalize_by_std=False)
    np.testing.assert_allclose(advantages, [0.175] + [-0.025] * 7, rtol=1e-12)


def test_division_can_be_chosen_row_by_row():
    rewards = [1.0, 0.0, 0.0, -0.2]
    both = group_advantages(rewards, group_size=2, normalize_by_std=[True, True, False, False])
    # first group: +-0.5 / (sqrt(0.5) + 0.0001) = 0.70701; second: +-0.1
    np.testing.assert_allclose(both, [0.70701, -0.70701, 0.1, -0.1], atol=5e-6)


def test_groups_by_prompt_id_may_be_of_any_size_and_order():
    # "x": 1, 0, 0.5 -> mean 0.5, std 0.5: 0.5 / 0.5001 = 0.9998. "y": 2 alone -> 0. The integer 1 is not "1".
    advantages = group_advantages([1.0, 2.0, 0.0, 0.5, 3.0, 4.0], prompt_ids=["x", "y", "x", "x", 1, "1"])
    np.testing.assert_allclose(advantages, [0.9998, 0.0, -0.9998, 0.0, 0.0, 0.0], atol=1e-6)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.floats(0, 1))
def test_equal_rewards_have_no_advantage_whatever_eps(values, eps):
    rewards = np.repeat(values, 3)
    assert group_advantages(rewards, group_size=3, eps=eps).tolist() == [0.0] * len(rewards)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=16))
def test_equals_the_textbook(rewards):
    values = np.array(rewards)
    expected = (values - values.mean()) / (values.std(ddof=1) + 1e-4)
    np.testing.assert_allclose(group_advantages(rewards, group_size=len(rewards)), expected, atol=1e-9)


def test_equals_torchs_standard_deviation():
    torch = pytest.importorskip("torch")
    rewards = torch.tensor(np.random.default_rng(0).normal(size=(6, 8)))
    expected = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    np.testing.assert_allclose(group_advantages(rewards.numpy().ravel(), group_size=8), expected.ravel())


def test_no_rewards():
    assert group_advantages([], group_size=8).shape == (0,)
    assert group_advantages([], prompt_ids=[]).shape == (0,)


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({}, TypeError, "either group_size or prompt_ids"),
        ({"group_size": 2, "prompt_ids": ["x"] * 4}, TypeError, "either group_size or prompt_ids"),
        ({"group_size": 3}, ValueError, "4 rewards do not divide into groups of group_size 3"),
        ({"group_size": 0}, ValueError, "group_size must be 1 or more"),
        ({"group_size": 2.0}, TypeError, "group_size must be an integer"),
        ({"prompt_ids": ["x"] * 3}, ValueError, "prompt_ids must have one row per reward, 4, got 3"),
        ({"group_size": 2, "normalize_by_std": [True]}, ValueError, "normalize_by_std must have one row"),
        ({"group_size": 2, "normalize_by_std": [1, 1, 0, 0]}, TypeError, "normalize_by_std must be bool"),
        ({"group_size": 2, "eps": -1.0}, ValueError, "eps must be finite"),
    ],
)
def test_bad_input(keywords, error, message):
    with pytest.raises(error, match=message):
        group_advantages([0.0, 1.0, 0.0, 1.0], **keywords)
