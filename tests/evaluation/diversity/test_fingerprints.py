"""Vendi score and top-1 eigenvalue ratio of fingerprints: by hand, against independent code, properties."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.decomposition import PCA

from meds_rl.evaluation.diversity import top1_eigenvalue_ratio, vendi_score, vendi_score_of_kernel

MATRICES = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(-9, 9).map(float)
)


def test_vendi_by_hand():
    assert vendi_score(np.eye(5)) == pytest.approx(5)
    assert vendi_score(np.ones((5, 3))) == pytest.approx(1)
    # Two at 60 degrees: cosine 1/2, eigenvalues 3/4 and 1/4.
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert vendi_score([[1, 0], [1, math.sqrt(3)]]) == pytest.approx(expected)


def test_vendi_leaves_out_what_has_no_direction():
    nan = math.nan
    assert vendi_score([[1, 0], [0, 0], [nan, nan], [0, 2]]) == pytest.approx(2)
    assert math.isnan(vendi_score([[0, 0], [nan, nan]]))
    assert math.isnan(vendi_score(np.zeros((0, 4))))
    assert vendi_score([[1e200, 0], [0, 1e-200]]) == pytest.approx(2)
    for bad in ([1, 2], [[1, nan]], [[1, math.inf]]):
        with pytest.raises(ValueError, match=r"features must be|finite"):
            vendi_score(bad)


@given(MATRICES)
def test_vendi_as_the_authors_package(features):
    vendi = pytest.importorskip("vendi_score.vendi")
    kept = features[np.abs(features).sum(axis=1) > 0]
    if not len(kept):
        assert math.isnan(vendi_score(features))
        return
    assert vendi_score(features) == pytest.approx(vendi.score_dual(kept), rel=1e-6)
    unit = kept / np.linalg.norm(kept, axis=1, keepdims=True)
    assert vendi_score(features) == pytest.approx(vendi_score_of_kernel(unit @ unit.T), rel=1e-6)


def test_ratio_by_hand():
    # Sums of squares 8 and 2 about the mean (0, 0): 8 / 10.
    assert top1_eigenvalue_ratio([[0, 2], [0, -2], [1, 0], [-1, 0]]) == pytest.approx(0.8)
    # Two problems, each on a line: within, sums of squares .5 and 12.5 and at right angles; together far apart.
    features = [[0, 0], [1, 0], [50, 0], [50, 5]]
    problems = ["a", "a", "b", "b"]
    assert top1_eigenvalue_ratio(features, problems) == pytest.approx(12.5 / 13)
    assert top1_eigenvalue_ratio(features, problems, group="problem") == pytest.approx(1)
    assert top1_eigenvalue_ratio(features, problems, center="pooled") > 0.99
    # Not centred: second moments [[5001, 250], [250, 25]].
    expected = (5026 + math.hypot(4976, 500)) / 2 / 5026
    assert top1_eigenvalue_ratio(features, problems, center="none") == pytest.approx(expected)


def test_ratio_of_nothing_is_nan():
    nan = math.nan
    for features, ids in (
        (np.zeros((0, 3)), None),
        (np.zeros((3, 0)), None),
        ([[1, 2]], None),
        ([[1, 2], [1, 2]], None),
        ([[nan, nan], [1, 2]], None),
        ([[1, 2], [3, 4]], ["a", "b"]),
        (np.full((7, 3), 0.1), None),
        (np.full((20_000, 3), [0.1, 1 / 3, -12345.678]), None),
        (np.full((2_000, 2), 1.7e308), None),
        ([], None),
    ):
        for group in ("pooled", "problem"):
            assert math.isnan(top1_eigenvalue_ratio(features, ids, group=group))


@pytest.mark.parametrize("scale", [1.7e308 / 2, 5e-324])
def test_ratio_of_the_largest_and_smallest_numbers(scale):
    features = np.array([[2, 0], [-2, 0], [0, 1], [0, -1]]) * scale
    for center in ("problem", "pooled", "none"):
        assert top1_eigenvalue_ratio(features, center=center) == pytest.approx(0.8)


def test_missing_fingerprints_are_left_out():
    nan = math.nan
    with_gaps = [[nan, nan], [0, 2], [0, -2], [nan, nan], [1, 0], [-1, 0]]
    assert top1_eigenvalue_ratio(with_gaps, ["b", *"aaaaa"]) == pytest.approx(0.8)


@given(MATRICES)
def test_ratio_as_a_principal_component_analysis(features):
    found = top1_eigenvalue_ratio(features)
    if len(features) < 2 or np.ptp(features, axis=0).max() == 0:
        assert math.isnan(found)
        return
    pca = PCA().fit(features)
    assert found == pytest.approx(pca.explained_variance_ratio_[0])
    assert found == top1_eigenvalue_ratio(features, center="pooled")
    rank = min(len(features) - 1, features.shape[1])
    assert 1 / rank - 1e-9 <= found <= 1
    assert top1_eigenvalue_ratio(features * 1e200) == pytest.approx(found)


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_ratio_of_wide_fingerprints_by_iteration(seed):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((300, 20)) @ rng.standard_normal((20, 400))  # wider than what is done densely
    expected = PCA().fit(features).explained_variance_ratio_[0]
    assert top1_eigenvalue_ratio(features) == pytest.approx(expected, rel=1e-8)


def test_order_does_not_matter():
    rng = np.random.default_rng(0)
    features, ids = rng.standard_normal((40, 5)), rng.integers(6, size=40)
    order = rng.permutation(40)
    for center, group in itertools.product(("problem", "pooled", "none"), ("pooled", "problem")):
        found = top1_eigenvalue_ratio(features, ids.tolist(), center=center, group=group)
        again = top1_eigenvalue_ratio(features[order], ids[order].tolist(), center=center, group=group)
        assert found == pytest.approx(again)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (([[1, 2]], ["a", "b"]), {}),
        (([1, 2],), {}),
        (([[1, math.nan]],), {}),
        (([[1, 2]],), {"center": "mean"}),
        (([[1, 2]],), {"group": "all"}),
    ],
)
def test_what_cannot_be_is_refused(arguments, options):
    with pytest.raises(ValueError, match=r"must be|there are"):
        top1_eigenvalue_ratio(*arguments, **options)
