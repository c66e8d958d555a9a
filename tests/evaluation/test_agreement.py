"""Agreement of clusters with labels: numbers by hand, parity with scikit-learn, properties."""

import itertools
import math
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, v_measure_score
from sklearn.metrics.cluster import contingency_matrix

from meds_rl.evaluation import Agreement, adjusted_rand, agreement, agreement_percentage, purity, splits

# Small alphabets, so that clusters and labels are shared; -1 among the clusters.
PAIRS = st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 4)), min_size=1, max_size=40)


def unzip(pairs):
    clusters, labels = zip(*pairs, strict=True)
    return list(clusters), list(labels)


# ---- by hand ----


def test_a_table_by_hand():
    # Clusters {a a} {a b b}. Ordered pairs: together in the clusters 2 + 6 = 8, in the labels 6 + 2 = 8, in both 2 + 2
    # = 4; so tp 4, fp 4, fn 4, tn 20 - 12 = 8: 2 (4 * 8 - 4 * 4) / ((4 + 4)(4 + 8) + (4 + 4)(4 + 8)) = 32 / 192 = 1/6.
    # Purity (2 + 2) / 5. a: shares 2/3, 1/3, so exp(ln 3 - 2/3 ln 2) = 3 / 2^(2/3); b is whole: (3 * that + 2 * 1) / 5.
    found = agreement([0, 0, 1, 1, 1], ["a", "a", "a", "b", "b"])
    # Entropies: clusters and labels both split 2 : 3, H = ln 5 - .4 ln 2 - .6 ln 3; within a cluster (or label) of 3
    # (2 and 1): .6 (ln 3 - 2/3 ln 2). Matched: 0 is a (2), 1 is b (2), 4 of 5.
    h = math.log(5) - 0.4 * math.log(2) - 0.6 * math.log(3)
    v = 1 - 0.6 * (math.log(3) - 2 / 3 * math.log(2)) / h
    expected = Agreement(1 / 6, 4 / 5, (3 * 3 / 2 ** (2 / 3) + 2) / 5, v, v, v, v, 80)
    assert found == pytest.approx(expected)


def test_noise_is_one_group_or_each_its_own():
    clusters, labels = [-1, -1, 0, 0], ["a", "b", "a", "b"]
    # One group: two clusters that each mix a and b, each label in two halves.
    # Ordered pairs: together in the clusters 4, in the labels 4, in both 0; tp 0, fp 4, fn 4, tn 4:
    # 2 (0 - 16) / (4 * 8 + 4 * 8) = -1/2.
    assert agreement(clusters, labels) == pytest.approx((-1 / 2, 1 / 2, 2.0, 0, 0, 0, 0, 50), abs=1e-12)
    # Alone: {a} {b} {a b}: tp 0, fp 2, fn 4, tn 6: 2 (0 - 8) / (4 * 10 + 2 * 8) = -2/7.
    # Given the cluster, one half is left of ln 2: homogeneity 1/2; H(cluster) 1.5 ln 2, of it ln 2 within labels: 1/3.
    expected = (-2 / 7, 3 / 4, 2.0, 1 / 2, 1 / 3, 2 / 5, 2 / 5, 50)
    assert agreement(clusters, labels, noise="alone") == pytest.approx(expected)


def test_clusters_below_minus_one_are_clusters():
    # Only -1 is noise: -2 ("no answer") keeps its members together.
    assert splits([-2, -2, -1, -1], ["a", "a", "b", "b"], noise="alone") == pytest.approx(1.5)


def test_one_label_in_equal_parts_counts_the_parts():
    assert splits(np.repeat(np.arange(5), 3), ["a"] * 15) == pytest.approx(5)


@pytest.mark.parametrize("noise", ["group", "alone"])
def test_one_completion_agrees(noise):
    assert agreement([-1], ["a"], noise=noise) == (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 100.0)


def test_many_completions_do_not_overflow():
    n = 200_000
    clusters = np.arange(n) % 2
    # Two equal clusters within one label: fp 0 and tn 0, so the index is 0 (nothing better than chance).
    assert agreement(clusters, np.zeros(n, int)) == pytest.approx((0, 1, 2, 1, 0, 0, 0, 50), abs=1e-12)
    assert adjusted_rand(clusters, clusters) == 1.0


# ---- parity and properties ----


@given(PAIRS)
def test_as_scikit_learn(pairs):
    clusters, labels = unzip(pairs)
    assert adjusted_rand(clusters, labels) == pytest.approx(adjusted_rand_score(labels, clusters), abs=1e-12)
    table = contingency_matrix(labels, clusters)
    assert purity(clusters, labels) == pytest.approx(table.max(axis=0).sum() / table.sum())
    found = agreement(clusters, labels)
    assert found.nmi == pytest.approx(normalized_mutual_info_score(labels, clusters), abs=1e-12)
    assert found.v_measure == pytest.approx(v_measure_score(labels, clusters), abs=1e-12)
    alone = [c if c != -1 else 100 + i for i, c in enumerate(clusters)]
    assert agreement(clusters, labels, noise="alone") == agreement(alone, labels)


@given(PAIRS)
def test_splits_as_written_down_first(pairs):
    clusters, labels = (np.array(column) for column in unzip(pairs))
    total = 0.0
    for label in set(labels.tolist()):
        own = clusters[labels == label]
        shares = [float((own == c).mean()) for c in set(own.tolist())]
        total += len(own) * math.exp(-sum(p * math.log(p) for p in shares))
    assert splits(clusters, labels) == pytest.approx(total / len(labels))


@given(PAIRS, st.sampled_from(["group", "alone"]), st.randoms(use_true_random=False))
def test_names_and_order_do_not_matter(pairs, noise, rng):
    clusters, labels = unzip(pairs)
    expected = agreement(clusters, labels, noise=noise)
    renamed = [c if c == -1 else 7 - c for c in clusters]
    assert agreement(renamed, [f"label {label}" for label in labels], noise=noise) == pytest.approx(expected)
    rng.shuffle(pairs)
    assert agreement(*unzip(pairs), noise=noise) == pytest.approx(expected)


@given(PAIRS)
def test_bounds(pairs):
    clusters, labels = unzip(pairs)
    found = agreement(clusters, labels)
    assert -1 <= found.adjusted_rand <= 1
    assert 0 < found.purity <= 1
    assert 1 - 1e-12 <= found.splits <= len(set(clusters)) + 1e-9
    assert agreement([0] * len(labels), labels).splits == pytest.approx(1)
    assert agreement(list(range(len(labels))), labels).purity == 1
    assert agreement(labels, labels) == pytest.approx((1, 1, 1, 1, 1, 1, 1, 100))


@given(PAIRS, st.sampled_from(["group", "alone"]))
def test_the_percentage_is_the_best_of_all_matchings(pairs, noise):
    clusters, labels = unzip(pairs[:8])
    names = [c if c != -1 or noise == "group" else 100 + i for i, c in enumerate(clusters)]
    own, true = sorted(set(names)), sorted(set(labels))
    counts = Counter(zip(names, labels, strict=True))
    # Each label is given a cluster of its own, or none, in every way there is.
    chosen = itertools.permutations([*own, *[None] * len(true)], len(true))
    best = max(sum(counts[c, label] for c, label in zip(way, true, strict=True)) for way in set(chosen))
    assert agreement_percentage(clusters, labels, noise=noise) == pytest.approx(100 * best / len(labels))


def test_the_percentage_of_many_small_parts_is_cheap():
    # A dense table of 50,000 by 50,000 would need 20 GB.
    clusters = np.arange(50_000)
    assert agreement_percentage(clusters, clusters // 2) == 50


def test_no_answer_is_a_label_among_texts():
    assert purity([0, 0, 1], ["7", None, None]) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("first", "second"), [(1, "1"), ("a", "a\0"), (True, "True"), (None, "None"), (("a", 1), ("a", 2))]
)
def test_labels_that_look_alike_stay_two(first, second):
    assert agreement([0, 0, 1, 1], [first, second] * 2).adjusted_rand == -0.5
    assert agreement([0, 0, 1, 1], [first, first, second, second]).adjusted_rand == 1


def test_nan_is_one_label():
    assert purity([0, 0, 1], [float("nan"), float("nan"), 1.0]) == 1
    assert purity([0, 0, 1], np.array([math.nan, math.nan, 1.0])) == 1


def test_one_long_label_costs_its_length_once():
    tracemalloc.start()
    try:
        agreement([0] * 2000, ["x"] * 1999 + ["y" * 100_000])
        assert tracemalloc.get_traced_memory()[1] < 20_000_000, "as an array of texts: 800 MB"
    finally:
        tracemalloc.stop()


# ---- refusals ----


@pytest.mark.parametrize(
    ("clusters", "labels", "noise", "error", "message"),
    [
        ([], [], "group", ValueError, "nothing to compare"),
        ([0], [0, 1], "group", ValueError, r"shapes \(1,\) and \(2,\)"),
        ([[0]], [[1]], "group", ValueError, r"must be \(n,\)"),
        ([0, 1], [["a"], ["b"]], "group", ValueError, r"must be \(n,\)"),
        ([[0]], np.array([[1]]), "group", ValueError, r"must be \(n,\)"),
        ([0.5], ["a"], "group", TypeError, "must be integers, got dtype float64"),
        ([0], ["a"], "free", ValueError, "got 'free'"),
    ],
)
def test_what_cannot_be_compared_is_refused(clusters, labels, noise, error, message):
    with pytest.raises(error, match=message):
        agreement(clusters, labels, noise=noise)
