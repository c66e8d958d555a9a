"""Bootstrap intervals: against scipy's, their coverage, and the edges."""

import numpy as np
import pytest
from scipy import stats

from meds_rl.evaluation.intervals import Estimate, bootstrap_ratio


def interval(values, **settings):
    (found,) = bootstrap_ratio(values, 1.0, np.random.default_rng(0), **settings)
    return found


def test_agrees_with_scipys_percentile_interval():
    values = np.random.default_rng(1).beta(0.5, 1.5, size=40)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2)
    ).confidence_interval
    ours = interval(values, num_resamples=20_000)
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.005)


def test_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    hits = []
    for _ in range(300):
        found = bootstrap_ratio(rng.random(30) < 0.4, 1.0, rng, num_resamples=500)[0]
        hits.append(found.low <= 0.4 <= found.high)
    assert 0.88 <= np.mean(hits) <= 0.99


def test_a_ratio_weighs_problems_by_their_denominator():
    # 1 of 1 and 0 of 3: a quarter, not a half. Draws: (a, a) 1, (a, b) 1/4, (b, b) 0, so the interval is [0, 1].
    assert bootstrap_ratio([1, 0], [1, 3], np.random.default_rng(0)) == [Estimate(0.25, 0.0, 1.0)]


def test_all_figures_come_from_the_same_draws():
    values = np.random.default_rng(0).random((20, 1))
    first, second = bootstrap_ratio(np.hstack([values, 1 - values]), 1.0, np.random.default_rng(0))
    assert first.low + second.high == pytest.approx(1)


def test_edges():
    assert interval([0.5] * 5) == Estimate(0.5, 0.5, 0.5)
    assert interval([0.5]) == Estimate(0.5, None, None)
    nothing = bootstrap_ratio([0, 0], [0, 0], np.random.default_rng(0))
    assert nothing == [Estimate(0.0, None, None)]
    # The draw of the second problem twice has no denominator: left out.
    assert bootstrap_ratio([1, 0], [2, 0], np.random.default_rng(0)) == [Estimate(0.5, 0.5, 0.5)]


@pytest.mark.parametrize(
    ("values", "settings", "said"),
    [
        ([], {}, "one problem or more"),
        (np.zeros((2, 2, 2)), {}, "must be"),
        ([1, 2], {"level": 1.0}, "level"),
        ([1, 2], {"num_resamples": 0}, "num_resamples"),
    ],
)
def test_bad_input(values, settings, said):
    with pytest.raises(ValueError, match=said):
        interval(values, **settings)


@pytest.mark.parametrize(
    ("above", "below", "said"),
    [
        ([1, 2], [1, -1], "denominators must be finite and 0 or more, got -1"),
        ([1, 2], [1, float("nan")], "denominators must be finite and 0 or more, got nan"),
        ([1, float("nan")], 1.0, "numerators must be finite, got nan"),
        ([1, float("inf")], 1.0, "numerators must be finite, got inf"),
    ],
)
def test_what_gives_no_ratio_is_refused(above, below, said):
    with pytest.raises(ValueError, match=said):
        bootstrap_ratio(above, below, np.random.default_rng(0))
