"""Agreement over prompts and over training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_rl.evaluation import agreement, agreement_by_chance, agreement_by_prompt, agreement_over_training
from meds_rl.evaluation.agreement_by_prompt import step_bins

pytestmark = pytest.mark.long


def rng():
    return np.random.default_rng(0)


def test_means_weighted_by_completions():
    # x: {a a} {b b}, index 1; y: {a b b}, one cluster, tp 1, fp 2, fn 0, tn 0: index 0. z has one completion.
    clusters, labels = [0, 0, 1, 1, 5, 5, 5, 0], ["a", "a", "b", "b", "a", "b", "b", "a"]
    found = agreement_by_prompt(clusters, labels, list("xxxxyyyz"))
    assert (found.num_completions, found.num_prompts, found.num_left_out) == (7, 2, 1)
    assert found.agreement.adjusted_rand == pytest.approx(4 / 7)
    assert found.agreement.purity == pytest.approx((4 * 1 + 3 * 2 / 3) / 7)
    assert found.agreement.percentage == pytest.approx((4 * 100 + 3 * 200 / 3) / 7)


@pytest.mark.parametrize("noise", ["group", "alone"])
def test_prompts_where_any_clusters_agree_are_left_out(noise):
    # x: two completions; y: one cluster, one label; z: all apart in both.
    clusters, labels = [0, 1, 0, 0, 0, 0, 1, 2], ["a", "b", "a", "a", "a", "a", "b", "c"]
    assert agreement_by_prompt(clusters, labels, list("xxyyyzzz"), noise=noise) is None
    assert agreement_by_chance(clusters, labels, list("xxyyyzzz"), noise=noise, rng=rng()) is None
    # Noise is one group, or all apart.
    assert agreement_by_prompt([-1] * 3, ["a", "a", "a"], "xxx") is None
    assert agreement_by_prompt([-1] * 3, ["a", "a", "a"], "xxx", noise="alone").agreement.adjusted_rand == 0
    assert agreement_by_prompt([-1] * 3, ["a", "b", "c"], "xxx").agreement.adjusted_rand == 0
    assert agreement_by_prompt([-1] * 3, ["a", "b", "c"], "xxx", noise="alone") is None


@pytest.mark.parametrize("size", [2, 3, 4, 8])
def test_random_clusters_of_tiny_prompts_have_index_0(size):
    draws = rng()
    prompts = np.repeat(np.arange(150), size)
    clusters, labels = draws.integers(3, size=150 * size), draws.integers(3, size=150 * size)
    found = agreement_by_prompt(clusters, labels, prompts.tolist())
    if size == 2:
        assert found is None
        return
    assert abs(found.agreement.adjusted_rand) < 0.12
    chance = agreement_by_chance(clusters, labels, prompts.tolist(), rng=draws)
    assert (chance.num_prompts, chance.num_left_out) == (found.num_prompts, found.num_left_out)
    assert chance.agreement == pytest.approx(found.agreement, abs=0.15, rel=0.1)


def test_chance_by_hand():
    # Clusters {1 1} {2}, labels a a b: of the three shuffles one agrees fully, with index 1; the others have
    # tp 0, fp 1, fn 1, tn 1, so 2 (0 - 1) / (1 * 2 + 1 * 2) = -1/2. The mean is 0; purity 1, 2/3 and 2/3.
    found = agreement_by_chance([1, 1, 2] * 100, ["a", "a", "b"] * 100, np.arange(300) // 3, rng=rng())
    assert found.agreement.adjusted_rand == pytest.approx(0, abs=0.12)
    assert found.agreement.purity == pytest.approx(7 / 9, abs=0.04)


def test_pooled_pairs_would_flatter():
    # Useless clusters within each of 50 prompts; pooled under (prompt, cluster) they would look well.
    draws = rng()
    prompts = np.repeat(np.arange(50), 8)
    clusters, labels = draws.integers(2, size=400), draws.integers(2, size=400)
    assert abs(agreement_by_prompt(clusters, labels, prompts.tolist()).agreement.adjusted_rand) < 0.1
    assert agreement(2 * prompts + clusters, 2 * prompts + labels).adjusted_rand > 0.4


def test_nothing_to_compare_is_none():
    assert agreement_by_prompt([0, 1], ["a", "a"], ["x", "y"]) is None
    assert agreement_by_prompt(np.zeros(0, int), [], []) is None
    assert agreement_over_training([], [], []) == []
    parts = agreement_over_training([0, 1, 1, 1], [0] * 4, list("aaab"), list("xyyy"), bins=5)
    assert [part.found is None for part in parts] == [True, False]


def test_over_training():
    steps = [0, 1, 2, 3, 4, 4]
    parts = agreement_over_training(steps, [0, 0, 1, 1, 2, 2], [1, 1, 2, 2, 5, 6], bins=2)
    # Five steps in two parts: 0 to 2 (all agree) and 3 to 4 ({2} {5 6}: 2 of 3 pure).
    assert [(part.first, part.last) for part in parts] == [(0, 2), (3, 4)]
    assert [part.found.agreement.purity for part in parts] == pytest.approx([1, 2 / 3])


@given(st.lists(st.integers(0, 20), max_size=30), st.integers(1, 8))
def test_every_row_is_in_one_part(steps, bins):
    parts = step_bins(np.array(steps, dtype=int), bins)
    assert len(parts) == min(bins, len(set(steps)))
    assert sorted(row for part in parts for row in part.rows) == list(range(len(steps)))
    assert all(part.first <= steps[row] <= part.last for part in parts for row in part.rows)
    different = [len({steps[row] for row in part.rows}) for part in parts]
    assert not parts or max(different) - min(different) <= 1


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: agreement_by_prompt([0, 1], ["a"], ["x", "x"]), ValueError),
        (lambda: agreement_by_prompt([0, 1], ["a", "b"], ["x"]), ValueError),
        (lambda: agreement_by_chance([0], ["a"], ["x"], rng=rng(), repeats=0), ValueError),
        (lambda: agreement_over_training([0], [0, 1], ["a", "b"]), ValueError),
        (lambda: step_bins([0, 1], 0), ValueError),
        (lambda: step_bins([0.5], 1), TypeError),
    ],
)
def test_what_does_not_fit_is_refused(call, error):
    with pytest.raises(error):
        call()
