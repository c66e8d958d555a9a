"""Entropy over clusters against entropy over outcomes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_lab.theory import compare, entropy, split_entropy

SAME = [0.0] * 9


def weights(*numbers: float) -> np.ndarray:
    return np.array(numbers) / sum(numbers)


@st.composite
def clustered(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """q1 (N,), the cluster of each outcome, and the cost of each outcome, which is its cluster's."""
    q1 = weights(*draw(st.lists(st.integers(1, 9), min_size=1, max_size=8)))
    clusters = np.array(draw(st.lists(st.integers(0, 3), min_size=len(q1), max_size=len(q1))))
    of_cluster = np.array(draw(st.lists(st.floats(0, 3), min_size=4, max_size=4)))
    return q1, clusters, of_cluster[clusters]


@given(clustered(), st.floats(0, 3))
def test_the_update_of_clusters_is_the_clusters_of_the_update(case, eta):
    q1, clusters, costs = case
    result = compare(q1, np.zeros(len(q1)), costs, eta=eta)
    names = np.unique(clusters)
    of_clusters = np.array([q1[clusters == name].sum() for name in names])
    coarse = compare(of_clusters, np.zeros(len(names)), [costs[clusters == name][0] for name in names], eta=eta)
    for name, mass in zip(names, coarse.penalised, strict=True):
        rows = clusters == name
        assert result.penalised[rows].sum() == pytest.approx(mass, abs=1e-12)
        # Within a cluster nothing changes.
        np.testing.assert_allclose(result.penalised[rows] / mass, q1[rows] / q1[rows].sum(), rtol=1e-9)
    assert split_entropy(result.penalised, clusters).between == pytest.approx(coarse.entropy_penalised, abs=1e-9)


@given(clustered(), st.floats(0, 3))
def test_statement_8_the_change_within_is_a_covariance_with_the_entropy_within(case, eta):
    q1, clusters, costs = case
    q2 = compare(q1, np.zeros(len(q1)), costs, eta=eta).penalised
    inner = np.array([entropy(q1[clusters == k] / q1[clusters == k].sum()) for k in clusters])
    w = np.exp(-eta * costs)
    covariance = (q1 @ (inner * w) - (q1 @ inner) * (q1 @ w)) / (q1 @ w)
    change = split_entropy(q2, clusters).within - split_entropy(q1, clusters).within
    assert change == pytest.approx(covariance, abs=1e-9)


@given(clustered())
def test_the_parts_add_up(case):
    q1, clusters, _ = case
    split = split_entropy(q1, clusters)
    assert split.total == pytest.approx(entropy(q1), abs=1e-12)
    assert split.between >= 0
    assert split.within >= 0


def test_counterexample_g_clusters_more_even_and_outcomes_less():
    # Cluster A: four wordings at 1/6 each; B: one at 1/3. A costs one halving: A and B are even, 1/2 each.
    # Over clusters 0.6365 -> 0.6931. Over outcomes 2/3 ln 6 + 1/3 ln 3 = 1.5607 -> 1/2 ln 8 + 1/2 ln 2 = 1.3863.
    q1, clusters = weights(1, 1, 1, 1, 2), [0, 0, 0, 0, 1]
    result = compare(q1, SAME[:5], [1, 1, 1, 1, 0], eta=math.log(2))
    before, after = split_entropy(q1, clusters), split_entropy(result.penalised, clusters)
    assert (before.between, after.between) == pytest.approx((0.6365, 0.6931), abs=1e-4)
    assert (before.total, after.total) == pytest.approx((1.5607, 1.3863), abs=1e-4)


def test_counterexample_h_noise_counted_as_one_cluster():
    # One error of probability 4/12 and eight that are each made once in twelve: HDBSCAN calls those noise, and together
    # they count 8 against 4. Charged as one halving, the rare ones go: (4, 8 x 1/2) / 8. 2.0228 -> 1.7329.
    result = compare(weights(4, *[1] * 8), SAME, [0] + [1] * 8, eta=math.log(2))
    assert result.entropy_plain == pytest.approx(2.0228, abs=1e-4)
    assert result.entropy_penalised == pytest.approx(1.7329, abs=1e-4)


def test_counterexample_i_the_memory_splits_one_error_in_two():
    # An error of probability 4/7 that the memory holds as two halves of 2 is charged less than one of 3/7 held whole:
    # the likelier gains. (4, 3 / 2) / 5.5 = (8, 3) / 11: 0.6829 -> 0.5860.
    result = compare(weights(4, 3), SAME[:2], [0, 1], eta=math.log(2))
    assert (result.entropy_plain, result.entropy_penalised) == pytest.approx((0.6829, 0.5860), abs=1e-4)


def test_numbers_beyond_those_of_float64_are_told_apart():
    assert split_entropy([0.5, 0.5], [2**60, 2**60 + 1]).between == pytest.approx(math.log(2))


def test_refuses_clusters_of_other_outcomes():
    with pytest.raises(ValueError, match="one value for each of 2"):
        split_entropy([0.5, 0.5], [1])
