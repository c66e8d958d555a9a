"""Points on a plane: duplicates, few points, constant and huge values neither crash nor warn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meds_rl.report.maps import layout


def groups(rng, num_groups, each, width):
    centres = rng.normal(size=(num_groups, width))
    return np.repeat(centres, each, axis=0) + 0.01 * rng.normal(size=(num_groups * each, width))


@pytest.mark.parametrize("width", [2, 14, 500])
def test_neighbours_stay_together(width):
    rng = np.random.default_rng(0)
    places, perplexity = layout(groups(rng, 3, 20, width).astype(np.float32), seed=0)
    assert perplexity == pytest.approx(59 / 3)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    assert (nearest // 20 == np.arange(60) // 20).all()


def test_the_seed_decides():
    vectors = groups(np.random.default_rng(0), 2, 5, 3).astype(np.float32)
    assert np.array_equal(layout(vectors, seed=1)[0], layout(vectors, seed=1)[0])


def test_equal_fingerprints_are_drawn_side_by_side():
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(6, 4)), 50, axis=0).astype(np.float32)
    places, perplexity = layout(vectors, seed=0)
    assert perplexity == pytest.approx(5 / 3)
    assert len(np.unique(places.round(6), axis=0)) == 300
    width = np.ptp(places, axis=0).max()
    spread = max(np.ptp(places[50 * i : 50 * i + 50], axis=0).max() for i in range(6))
    assert spread < 0.2 * width


@pytest.mark.parametrize("num", [1, 2, 3, 4, 5, 6])
def test_few_points(num):
    places, perplexity = layout(np.random.default_rng(0).normal(size=(num, 3)).astype(np.float32), seed=0)
    assert places.shape == (num, 2)
    assert np.isfinite(places).all()
    assert (perplexity is None) == (num < 5)


@pytest.mark.parametrize(
    "vectors", [np.ones((20, 3)), np.zeros((20, 3)), np.full((20, 3), 3e38), np.eye(20), np.ones((7, 1))]
)
def test_constant_empty_and_huge_values(vectors):
    places, _ = layout(vectors.astype(np.float32), seed=0)
    assert np.isfinite(places).all()
    assert len(np.unique(places.round(9), axis=0)) == len(vectors)


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(-2, 2), min_size=2, max_size=2), min_size=1, max_size=25))
def test_any_points_have_finite_places(rows):
    places, _ = layout(np.array(rows, dtype=np.float32), seed=0)
    assert places.shape == (len(rows), 2)
    assert np.isfinite(places).all()
