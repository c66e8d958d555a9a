"""The penalty as an entropy bonus: formulas against finite differences, enumeration and the library itself."""

from itertools import product

import numpy as np
import pytest

from meds_lab.theory import entropy
from meds_lab.theory.entropy_bonus import (
    entropy_gradient,
    expected_batch_gradient,
    expected_gradient,
    expected_log_count,
    main,
    sampled_gradients,
)

P = np.array([0.6, 0.3, 0.1])


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum()


def enumerated(p, group_size, cost_of_group):
    """E[g] over all groups of this size."""
    total = np.zeros(len(p))
    for group in product(range(len(p)), repeat=group_size):
        modes = np.array(group)
        costs = cost_of_group(modes)
        drawn = modes[:, None] == np.arange(len(p))
        total += p[modes].prod() * ((costs.mean() - costs)[:, None] * (drawn - p)).mean(axis=0)
    return total


def test_the_entropy_gradient_by_finite_differences():
    logits, step = np.log(P), 1e-6
    moves = step * np.eye(3)
    found = [(entropy(softmax(logits + move)) - entropy(softmax(logits - move))) / (2 * step) for move in moves]
    np.testing.assert_allclose(entropy_gradient(P), found, atol=1e-9)


def test_expected_gradients_by_enumeration():
    costs = np.array([1.2, 0.3, 0.5])
    np.testing.assert_allclose(expected_gradient(P, costs, 4), enumerated(P, 4, lambda modes: costs[modes]), atol=1e-12)

    def log_counts(modes):
        return np.log((modes[:, None] == modes).sum(axis=1))

    np.testing.assert_allclose(expected_batch_gradient(P, 4), enumerated(P, 4, log_counts), atol=1e-12)


def test_expected_penalties_of_two_errors():
    # C is 0, 1, 2 with (1 - p)^2, 2 p (1 - p), p^2.
    expected = [2 * p * (1 - p) * np.log(2) + p * p * np.log(3) for p in P]
    np.testing.assert_allclose(expected_log_count(P, 2), expected)


@pytest.mark.parametrize("batch_only", [False, True])
def test_the_library_takes_these_steps(batch_only):
    counts = np.array([60, 30, 10])
    gradients = sampled_gradients(P, counts, 8, 2000, batch_only=batch_only)
    exact = expected_batch_gradient(P, 8) if batch_only else expected_gradient(P, np.log1p(counts), 8)
    errors = gradients.std(axis=0) / len(gradients) ** 0.5
    assert (np.abs(gradients.mean(axis=0) - exact) < 4 * errors).all()
    np.testing.assert_allclose(gradients.sum(axis=1), 0, atol=1e-12)


def test_a_long_memory_is_an_entropy_bonus():
    bonus = (1 - 1 / 8) * entropy_gradient(P)
    distances = [
        np.linalg.norm(expected_gradient(P, expected_log_count(P, n), 8) - bonus) / np.linalg.norm(bonus)
        for n in (10, 100, 10_000)
    ]
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 0.01


def test_the_numbers_of_the_page(capsys):
    main()
    printed = capsys.readouterr().out
    assert "ln 7 = 1.95; .84 against .04: 3.04" in printed
    assert "25% at .84, 66% at .95" in printed
