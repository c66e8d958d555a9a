"""What a projection loses, on errors that are put together by hand."""

import numpy as np
import pytest

from meds_lab.fingerprints.assignment import Errors
from meds_lab.fingerprints.widths import interval, judge, later_neighbours, projected, report, row, whitened

NAMES = (["habit"] * 6 + ["other"] * 2) * 4


def errors(width):
    """Two problems; the strategies lie in two places, far from each other."""
    rng = np.random.default_rng(0)
    centre = {"habit": np.eye(width)[0], "other": np.eye(width)[1]}
    features = np.array([centre[name] for name in NAMES]) + 0.005 * rng.normal(size=(len(NAMES), width))
    one = {"working_states": features.astype(np.float32), "answer_states": features.astype(np.float32)}
    return [Errors(list(NAMES), one)] * 2


def test_strategies_that_lie_apart_are_found_at_any_width():
    both = errors(200)
    full = np.concatenate([one.features["working_states"] for one in both])
    for vectors in (full, projected(full, 64), projected(full, 64, seed=3)):
        found = judge(both, vectors)
        assert found.rand.tolist() == [1, 1]
        assert found.neighbours.tolist() == [1, 1]
        assert found.right.min() > 0.99
    whole = judge(both, full)
    assert row("it", "all", [whole], whole).count("+0.000, +0.000 to +0.000") == 3
    assert row("it", "all", [whole], whole).endswith("| 1.000 |")


def test_other_projections_are_other_ones_and_keep_lengths():
    vectors = np.random.default_rng(1).normal(size=(50, 400))
    first, other = projected(vectors, 100), projected(vectors, 100, seed=1)
    assert first.shape == other.shape == (50, 100)
    assert not np.allclose(first, other)
    for found in (first, other):
        assert np.linalg.norm(found) / np.linalg.norm(vectors) == pytest.approx(1, abs=0.1)


def test_whitening_by_hand():
    # The first visits of eight spread by 3 along one axis and by 1 along the other; shrinkage 0 makes both 1.
    visit = np.array([[10, 3], [10, -3], [10, 3], [10, -3], [11, 0], [9, 0], [11, 0], [9, 0]], dtype=float)
    lengths = np.linalg.norm(visit, axis=1, keepdims=True)
    one = Errors(["a"] * 8, {})
    white = whitened([one], visit, 0.0)
    centred = visit / lengths - (visit / lengths).mean(axis=0)
    np.testing.assert_allclose(white.T @ white / 8, np.eye(2), atol=1e-9)
    plain = whitened([one], visit, 1.0)
    # Only the mean is gone, and one factor for both axes: all distances keep their ratios.
    np.testing.assert_allclose(np.linalg.norm(plain, axis=1) / np.linalg.norm(centred, axis=1), 1 / centred.std())


def test_the_tables(capsys):
    report("by hand", errors(130))
    shown = capsys.readouterr().out
    assert shown.count("| working_states |") == 5 + 2  # full, float16, 128, 64, 32; then as it is and at 128
    assert np.nanmean(later_neighbours(errors(130), errors(130)[0].features["working_states"].repeat(2, axis=0))) <= 1
    assert interval(np.array([0.5, 0.5, np.nan])) == "+0.500, +0.500 to +0.500"
