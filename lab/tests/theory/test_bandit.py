"""The simulated training of a skill: steps by hand, and arms that must be equal."""

import numpy as np
import pytest

from meds_lab.theory.bandit import Arm, Outcome, Regime, Setting, centred, draw, move, simulate, without_penalties
from meds_lab.theory.entropy_bonus import expected_batch_gradient, felt_contrast
from meds_rl.shaping.advantage import f_grpo_advantages, undivided_advantages

SMALL = Regime(0.6, 4)
SETTING = Setting(lr=6.0)


def run(arm, setting=SETTING, regime=SMALL, seed=0):
    return simulate(regime, arm, setting, num_replicates=200, seed=seed).p_right


def test_modes_are_drawn_by_inversion():
    assert draw(np.array([[0.25, 0.5, 0.25]]), np.array([[0.1, 0.3, 0.8, 0.999]])).tolist() == [[0, 1, 2, 2]]


def test_advantages_are_rewards_less_the_groups_mean():
    # Rewards 1, -.2, -.2, 0, mean .15. What a right one would cost has no effect.
    advantages = centred(np.array([[0, 1, 1, 2]]), np.array([[9.0, 0.2, 0.2, 0.0]]))
    np.testing.assert_allclose(advantages, [[0.85, -0.35, -0.35, -0.15]])
    # All wrong and alike: nothing.
    np.testing.assert_allclose(centred(np.ones((1, 4), dtype=int), np.full((1, 4), 0.2)), np.zeros((1, 4)))


def test_a_step_by_hand():
    """lr / G = 1, p = 1/2 each; (1/2 - 0, -1/2 - 0), then with a sum of 1/2: (1/2 - 1/4, 0 - 1/4)."""
    modes, zeros = np.array([[0, 1]]), np.zeros((1, 2))
    np.testing.assert_allclose(move(zeros, modes, np.array([[0.5, -0.5]]), lr=2.0), [[0.5, -0.5]])
    np.testing.assert_allclose(move(zeros, modes, np.array([[0.5, 0.0]]), lr=2.0), [[0.25, -0.25]])


def test_the_mean_step_is_the_exact_expected_gradient():
    p = np.array([1e-12, 0.7, 0.2, 0.1])
    groups = np.random.default_rng(0).random((20_000, 8))
    logits = np.tile(np.log(p), (len(groups), 1))
    modes = draw(np.tile(p, (len(groups), 1)), groups)
    sizes = (modes[:, :, None] == modes[:, None, :]).sum(axis=-1)
    steps = (move(logits, modes, centred(modes, np.log(sizes)), lr=1.0) - logits)[:, 1:]
    errors = steps.std(axis=0) / len(steps) ** 0.5
    assert (np.abs(steps.mean(axis=0) - expected_batch_gradient(p[1:] / p[1:].sum(), 8)) < 4 * errors).all()


def test_seeds():
    np.testing.assert_array_equal(run(Arm("random")), run(Arm("random")))
    assert (run(Arm("random")) != run(Arm("random"), seed=1)).any()


@pytest.mark.parametrize("penalises", ["memory", "batch", "surprisal", "random", "answers"])
def test_alpha_0_is_no_penalty(penalises):
    off = Setting(lr=6.0, alpha=0.0)
    np.testing.assert_allclose(run(Arm(penalises), off), run(Arm()))
    np.testing.assert_allclose(run(Arm(penalises, recall=True), off), run(Arm(recall=True)))
    assert (run(Arm(penalises)) != run(Arm())).any()
    np.testing.assert_array_equal(run(Arm(penalises, times=2.0)), run(Arm(penalises), Setting(lr=6.0, alpha=0.2)))


def test_other_advantages_by_the_number_that_is_right():
    modes = np.array([[0, 1, 1, 2], [1, 1, 1, 1], [0, 0, 0, 0]])
    # F-GRPO: (1 - 1/4) (1 - 1/4) / (1/2 + 1e-4) = 1.125 and -.375.
    expected = [[1.125, -0.375, -0.375, -0.375], [0] * 4, [0] * 4]
    np.testing.assert_allclose(without_penalties(f_grpo_advantages, modes), expected, atol=1e-3)
    np.testing.assert_allclose(without_penalties(undivided_advantages, modes), centred(modes, np.zeros(modes.shape)))
    np.testing.assert_allclose(run(Arm(advantage=undivided_advantages)), run(Arm()))


def test_recall_that_may_not_join_is_none():
    np.testing.assert_array_equal(run(Arm(recall=True), Setting(lr=6.0, most=0)), run(Arm()))


def test_recall_lifts_what_was_right_once():
    none, replay = (simulate(Regime(0.84, 6), Arm(recall=one), SETTING, 2000).found for one in (False, True))
    assert replay > none + 0.1


def test_batch_counts_do_nothing_in_groups_of_two_without_a_right_answer():
    regime = Regime(0.6, 4, lam=1e-9, group_size=2)
    np.testing.assert_allclose(run(Arm("batch"), regime=regime), run(Arm(), regime=regime), rtol=1e-9)
    assert (run(Arm("memory"), regime=regime) > run(Arm(), regime=regime)).mean() > 0.9


def test_a_multiplier_is_a_ratio_of_hazards():
    quarter = Outcome(np.array([0.1, 0, 0, 0, 0.1, 0, 0, 0]), np.zeros(8))
    eighth = Outcome(np.array([0.1, 0, 0, 0, 0, 0, 0, 0]), np.zeros(8))
    assert quarter.multiplier(eighth) == pytest.approx(np.log(0.75) / np.log(0.875))
    assert eighth.multiplier(eighth) == 1
    assert eighth.error_of_multiplier(eighth) == 0


def test_felt_contrast_is_blind_to_the_level():
    p = np.array([0.5, 0.3, 0.2])
    gradient = -p * (np.array([5.0, 4.0, 3.0]) - 4.3) * 0.5  # G = 2; the mean penalty is 4.3
    np.testing.assert_allclose(felt_contrast(gradient, p, 2), [2, 1, 0])
