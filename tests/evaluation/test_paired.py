"""Paired differences, worked out by hand, and what the interval covers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_rl.evaluation.paired import PerProblem, paired_difference


def pair(before, after, ids=None):
    ids = list(range(len(before))) if ids is None else ids
    return PerProblem(ids, before), PerProblem(ids, after)


def compare(pairs, seed=0, **options):
    return paired_difference(pairs, np.random.default_rng(seed), **options)


def test_by_hand():
    # Seed 1: means .25 and .75; seed 2: .5 and .5. Differences .5 and 0.
    found = compare([pair([0, 0.5], [0.5, 1]), pair([0.5, 0.5], [0, 1])])
    assert (found.baseline, found.value, found.difference) == (0.375, 0.625, 0.25)
    assert found.by_seed == (0.5, 0.0)
    assert found.num_positive == 1
    assert found.num_problems == 2
    assert found.method == "bootstrap over seeds and problems, 10,000 resamples, 95%"
    # Per seed and problem: .5 and .5; -.5 and .5. The draws lie from -.5 (seed 2 and problem 1, twice) to .5.
    assert (found.low, found.high) == (-0.5, 0.5)


def test_the_noise_of_rounding_is_no_positive_difference():
    found = compare([pair([0.5], [0.5 + 8e-7]), pair([0.5], [0.5 + 2e-6]), pair([0.5], [0.4])])
    assert found.num_positive == 1


def test_every_resample_of_two_problems_and_one_seed():
    # Differences 0 and 1: of the draws (0,0), (0,1), (1,0), (1,1) a quarter each end at 0 and at 1.
    found = compare([pair([0, 0], [0, 1])], confidence=0.4, num_resamples=4000)
    assert (found.difference, found.low, found.high) == (0.5, 0.5, 0.5)  # the middle 40 % is .5
    found = compare([pair([0, 0], [0, 1])], confidence=0.9)
    assert (found.low, found.high) == (0.0, 1.0)
    assert "one seed" in found.method


def test_shares_are_of_sums():
    # 1 of 2 and 0 of 6 wrong ones repeat: 1/8, not the mean of 1/2 and 0. After: 1 of 1 and none at all.
    a = PerProblem("pq", [1, 0], [2, 6])
    b = PerProblem("pq", [1, 0], [1, 0])
    found = compare([(a, b)])
    assert (found.baseline, found.value) == (0.125, 1.0)
    assert np.isfinite([found.low, found.high]).all()  # a draw of q alone weighs nothing and is left out


def test_only_what_both_have_is_compared():
    a, b = PerProblem("pqr", [0, 1, 5]), PerProblem("qps", [1, 1, 7])
    found = compare([(a, b)])
    assert (found.baseline, found.value, found.num_problems) == (0.5, 1.0, 2)


def test_seeds_with_problems_of_their_own_are_nested():
    found = compare([pair([0, 0], [1, 0], ["a", "b"]), pair([0, 0], [0, 1], ["c", "d"])])
    assert found.method.startswith("bootstrap over seeds and each seed's own problems")
    assert found.difference == 0.5
    assert (found.low, found.high) == (0.0, 1.0)


def test_the_same_difference_everywhere_has_no_width():
    found = compare([pair([0, 0.25], [0.5, 0.75])] * 3)
    assert (found.low, found.difference, found.high) == (0.5, 0.5, 0.5)
    assert found.num_positive == 3


def test_one_problem_and_one_seed_tell_no_interval():
    found = compare([pair([0.0], [1.0])])
    assert found.difference == 1
    assert np.isnan([found.low, found.high]).all()


def test_a_figure_of_nothing_is_nan_and_no_warning():
    nothing = PerProblem("p", [0], [0])
    found = compare([(nothing, nothing), (nothing, nothing)])
    assert np.isnan([found.baseline, found.value, found.difference, found.low, found.high]).all()


def test_a_seed_that_says_nothing_leaves_no_difference_and_no_interval():
    nothing = PerProblem("pq", [0, 0], [0, 0])
    found = compare([pair([0, 0], [1, 1], "pq"), (nothing, nothing)])
    assert np.isnan([found.difference, found.low, found.high]).all()
    assert found.by_seed[0] == 1.0


def test_a_draw_in_which_a_seed_has_nothing_spoils_only_the_draws_of_that_seed():
    partly = PerProblem("pq", [1, 0], [1, 0]), PerProblem("pq", [2, 0], [1, 0])
    found = compare([pair([0, 0], [1, 1], "pq"), partly])
    assert (found.difference, found.low, found.high) == (1.0, 1.0, 1.0)


def constant(*effects):
    """Pairs of one problem, with these differences."""
    return [pair([0.0], [effect]) for effect in effects]


def test_one_cluster_is_the_plain_interval_to_the_bit():
    rng = np.random.default_rng(1)
    pairs = [pair(rng.random(20), rng.random(20)) for _ in range(4)]
    own = [pair([0, 0], [1, 0], ["a", "b"]), pair([0, 0], [0, 1], ["c", "d"])]
    for some in (pairs, own):
        assert compare(some, 5, clusters=["x"] * len(some)) == compare(some, 5)


def test_seeds_of_a_cluster_are_drawn_together():
    # Ten seeds at 0 and ten at 1. Drawn one by one, the mean is Binomial(20, 1/2) / 20: 2.1 % lie at .25 or below,
    # 5.8 % at .3 or below. Drawn by cluster it is 0, 1/2 or 1, with chances 1/4, 1/2, 1/4.
    pairs, clusters = constant(*[0.0] * 10, *[1.0] * 10), ["a"] * 10 + ["b"] * 10
    plain, clustered = compare(pairs), compare(pairs, clusters=clusters)
    assert (plain.low, plain.high) == pytest.approx((0.3, 0.7))
    assert (clustered.low, clustered.high) == (0.0, 1.0)
    middle = compare(pairs, clusters=clusters, confidence=0.4)
    assert (middle.low, middle.high) == (0.5, 0.5)
    assert clustered.method == "bootstrap over 2 clusters, their seeds and problems, 10,000 resamples, 95%"
    assert plain.by_seed == clustered.by_seed
    assert plain.difference == clustered.difference == 0.5


def test_seeds_within_a_cluster_are_drawn_too():
    # Each cluster holds 0 and 1. A draw of two clusters is four seeds, each 0 or 1 with chance 1/2, whichever clusters
    # they came from: Binomial(4, 1/2) / 4. 0 has 1/16.
    found = compare(constant(0, 1, 0, 1), clusters="aabb", confidence=0.8)
    assert (found.low, found.high) == (0.25, 0.75)
    found = compare(constant(0, 1, 0, 1), clusters="aabb", confidence=0.9)
    assert (found.low, found.high) == (0.0, 1.0)


def test_a_cluster_weighs_as_many_seeds_as_it_has():
    # Three seeds at 0 and one at 1: the mean is 1/4. Draws: a a (0 of 6), b b (2 of 2), or a b (1 of 4).
    found = compare(constant(0, 0, 0, 1), clusters="aaab", confidence=0.4)
    assert (found.difference, found.low, found.high) == (0.25, 0.25, 0.25)


def test_clusters_of_one_seed_each_are_seeds():
    # The draws differ, what they are drawn from does not: Binomial(10, 1/2) / 10, 1.1 % at .1 or below, 5.5 % at .2.
    pairs = constant(*[0.0, 1.0] * 5)
    found = compare(pairs, clusters=range(10))
    assert (found.low, found.high) == pytest.approx((0.2, 0.8))
    assert (compare(pairs).low, compare(pairs).high) == pytest.approx((0.2, 0.8))


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.integers(0, 5))
def test_the_other_way_round_is_the_negative(values, seed):
    before, after = values, values[::-1]
    found, back = (compare(pairs, seed, num_resamples=200) for pairs in ([pair(before, after)], [pair(after, before)]))
    assert found.difference == pytest.approx(-back.difference)
    assert found.low == pytest.approx(-back.high)


def test_the_same_generator_gives_the_same_interval():
    rng = np.random.default_rng(3)
    pairs = [pair(rng.random(20), rng.random(20)) for _ in range(3)]
    assert compare(pairs, 5) == compare(pairs, 5)
    assert compare(pairs, 5).low != compare(pairs, 6).low


def test_agrees_with_scipy_where_there_is_one_seed():
    from scipy.stats import bootstrap

    rng = np.random.default_rng(0)
    before, after = rng.random(50), rng.random(50)
    found = compare([pair(before, after)])
    theirs = bootstrap(
        (after - before,),
        np.mean,
        method="percentile",
        random_state=np.random.default_rng(1),
        n_resamples=10_000,
    )
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.005)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.005)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a"], [1.0, 2.0]), r"must be \(1,\)"),
        ((["a"], [float("nan")]), "finite"),
        ((["a"], [1.0], [-1.0]), "0 or more, got -1"),
        ((["a", "a"], [1.0, 2.0]), "comes twice"),
    ],
)
def test_bad_problems_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PerProblem(*arguments)


def test_bad_comparisons_are_refused():
    with pytest.raises(ValueError, match="no pair"):
        compare([])
    with pytest.raises(ValueError, match="in common"):
        compare([(PerProblem("a", [1.0]), PerProblem("b", [1.0]))])
    with pytest.raises(ValueError, match="confidence"):
        compare([pair([0], [1])], confidence=1.0)
    with pytest.raises(ValueError, match="each of the 1 pairs, got 2"):
        compare([pair([0], [1])], clusters="ab")
    with pytest.raises(ValueError, match="num_resamples"):
        compare([pair([0], [1])], num_resamples=0)


def coverage(num_seeds, seed_spread, num_trials, num_problems=30):
    """How often the 95 % interval holds the true difference, .1, problems and single samples varying by .3."""
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(num_trials):
        problems = rng.normal(0, 0.3, num_problems)
        pairs = []
        for _ in range(num_seeds):
            before = rng.normal(size=num_problems)
            effect = 0.1 + rng.normal(0, seed_spread) + problems + rng.normal(0, 0.3, num_problems)
            pairs.append(pair(before, before + effect))
        found = compare(pairs, trial, num_resamples=500)
        hits += found.low <= 0.1 <= found.high
    return hits / num_trials


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_seeds", "seed_spread", "low", "high"),
    [
        (1, 0.0, 0.90, 0.98),
        (3, 0.0, 0.94, 1.0),  # seeds hardly matter: a little too wide
        (3, 0.3, 0.74, 0.86),  # seeds differ much: too narrow, as the docstring says
        (10, 0.3, 0.87, 0.96),
        (10, 0.05, 0.92, 0.99),
    ],
)
def test_what_the_interval_covers(num_seeds, seed_spread, low, high):
    assert low <= coverage(num_seeds, seed_spread, 600) <= high


def clustered_coverage(num_clusters, seeds_each, num_trials, num_problems=30):
    """The same of the plain interval and of that over clusters, whose effects vary by .3 and their seeds' by .1."""
    rng = np.random.default_rng(0)
    hits = np.zeros(2)
    clusters = np.repeat(range(num_clusters), seeds_each).tolist()
    for trial in range(num_trials):
        problems = rng.normal(0, 0.3, num_problems)
        effects = rng.normal(0.1, 0.3, num_clusters)[clusters] + rng.normal(0, 0.1, len(clusters))
        pairs = []
        for effect in effects:
            before = rng.normal(size=num_problems)
            pairs.append(pair(before, before + effect + problems + rng.normal(0, 0.3, num_problems)))
        for place, given_clusters in enumerate((None, clusters)):
            found = compare(pairs, trial, num_resamples=400, clusters=given_clusters)
            hits[place] += found.low <= 0.1 <= found.high
    return hits / num_trials


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_clusters", "seeds_each", "plain", "clustered"),
    [
        (2, 5, 0.54, 0.74),
        (3, 5, 0.62, 0.78),
        (5, 4, 0.75, 0.89),
        (10, 3, 0.82, 0.92),
    ],  # the table in lab/evidence/comparing.md
)
def test_what_the_interval_over_clusters_covers(num_clusters, seeds_each, plain, clustered):
    # 400 trials: the standard error is .025 at most.
    assert clustered_coverage(num_clusters, seeds_each, 400) == pytest.approx([plain, clustered], abs=0.07)
