"""What the memory knows beyond the batch: on made-up policies whose answer is known."""

import numpy as np
import pytest

from meds_lab.regime.figures import RIGHT
from meds_lab.regime.knowledge import SIMULATED, Errors, errors, knowledge, most_visits, simulated, within_groups


def rows(problem, group, log_p, batch, memory) -> Errors:
    return Errors(np.array(problem), np.array(group), *(np.array(one, dtype=float) for one in (log_p, batch, memory)))


def test_counts_of_a_policy_with_one_error():
    # 64 equal errors: 32 estimate p, 8 are the batch, 24 the memory.
    found = errors([np.zeros(64, dtype=np.int64)], visits=3, replace=False)
    assert len(found.log_p) == 20 * 8
    assert np.unique(found.log_p).tolist() == pytest.approx([np.log(32.5 / 33)])
    assert np.unique(found.batch).tolist() == pytest.approx([np.log(8)])
    assert np.unique(found.memory).tolist() == pytest.approx([np.log(25)])
    again = errors([np.zeros(64, dtype=np.int64)], visits=12, replace=True)
    assert np.unique(again.memory).tolist() == pytest.approx([np.log(97)])


def test_right_completions_are_no_errors():
    found = errors([np.full(64, RIGHT), np.zeros(64, dtype=np.int64)], visits=1, replace=False)
    assert set(found.problem.tolist()) == {1}


def test_each_sample_is_in_one_part_only():
    # 64 different errors: none of the batch is in the memory or in the half that estimates.
    found = errors([np.arange(64)], visits=3, replace=False)
    assert (found.batch == 0).all()
    assert (found.memory == 0).all()
    assert np.unique(found.log_p).tolist() == pytest.approx([np.log(0.5 / 33)])


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="4 visits of 8 need more samples: 64 samples leave 3 visits"):
        errors([np.zeros(64, dtype=np.int64)], visits=4, replace=False)
    assert most_visits(512) == 31


def test_the_same_seed_divides_alike():
    modes = [np.arange(64) % 7]
    first, second = (errors(modes, visits=3, replace=True, seed=5) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


def test_r_squared_where_only_the_memory_knows():
    # The batch shows every error once, the memory its probability: ln p = ln(|C| + 1) - 5.
    problem = np.repeat(np.arange(4), 6)
    memory = np.tile([0.0, 1.0, 2.0, 0.0, 1.0, 2.0], 4)
    found = knowledge(rows(problem, np.arange(24) // 3, memory - 5, np.zeros(24), memory), within=False)
    assert found.batch.value == pytest.approx(0)
    assert found.memory.value == pytest.approx(1)
    assert found.both.value == pytest.approx(1)
    assert found.gain.value == pytest.approx(1)
    assert (found.alone, found.known) == (1, pytest.approx(2 / 3))  # two of three have a count


def test_differences_between_groups_are_not_used_within():
    # Two groups of a problem whose memories differ, and no difference within a group.
    problem, group = np.repeat(np.arange(4), 4), np.repeat(np.arange(8), 2)
    log_p, batch, memory = group % 2 * -1.0, np.tile([0.0, 1.0], 8), group % 2 * 1.0
    assert knowledge(rows(problem, group, log_p, batch, memory), within=False).memory.value == pytest.approx(1)
    centred = within_groups(rows(problem, group, log_p, batch, memory))
    assert (centred.memory == 0).all()
    assert (centred.log_p == 0).all()
    assert centred.batch.tolist() == [-0.5, 0.5] * 8


def test_a_habit_is_seen_by_the_batch_and_many_errors_by_the_memory():
    gains = [
        knowledge(errors(simulated(name, 40, 512), visits=12, replace=False), within=True).gain for name in SIMULATED
    ]
    assert gains[0].high < 0.1 < 0.3 < gains[1].low < gains[2].low


def test_the_simulated_habit_has_its_share():
    drawn = np.concatenate(simulated("habit .3, 29 rare", 50, 1000))
    # 1 / rank of 29 ranks sums to 3.962: the most frequent rare error has .7 / 3.962 = .177.
    assert [(drawn == mode).mean() for mode in (0, 1)] == pytest.approx([0.3, 0.177], abs=0.01)
