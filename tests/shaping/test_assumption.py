import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_rl import ErrorMemory, RewardShaper
from meds_rl.labels import NOT_SCORED
from meds_rl.shaping.assumption import assumption_figures

NAMES = ("violations", "holds", "comparable", "covariance")


def figures(ids, scored, sizes, rewards, taken) -> dict[str, float]:
    found = assumption_figures(
        ids, np.array(scored, bool), np.array(sizes), np.array(rewards, float), np.array(taken, float)
    )
    assert list(found) == [f"assumption_{name}" for name in NAMES]
    assert all(type(value) is float for value in found.values())
    return {name: found[f"assumption_{name}"] for name in NAMES}


def test_hand_worked_numbers():
    # x: sizes 4, 4, 1, 0 and rewards 0, -1, -1, 0. Comparable: (4, 0)-(1, -1) violates, (4, -1)-(0, 0) does not,
    # (1, -1)-(0, 0) does not; the rest share a size or a reward: 1 of 3.
    # y: sizes 2, 1 and rewards -1, 0: 0 of 1. z: one reward, nothing to compare. The right row of y is not scored.
    found = figures(
        list("xxxxyyyzz"),
        [1, 1, 1, 1, 1, 1, 0, 1, 1],
        [4, 4, 1, 0, 2, 1, 0, 7, 3],
        [0, -1, -1, 0, -1, 0, 1, 0, 0],
        [0] * 9,
    )
    assert found == {
        "violations": pytest.approx((1 / 3 + 0) / 2),
        "holds": pytest.approx(2 / 3),
        "comparable": pytest.approx(2 / 3),
        "covariance": 0.0,
    }


def test_covariance_by_hand():
    # x: r = (1, 0), w = (1, 1/2): E[rw] - E[r] E[w] = 1/2 - 1/2 * 3/4 = 1/8. y: one completion, 0.
    found = figures(list("xxy"), [0, 1, 1], [0, 5, 5], [1, 0, 0], [0, math.log(2), math.log(2)])
    assert found["covariance"] == pytest.approx(1 / 16)


def test_nothing_to_compare():
    # One group that was skipped: the assumption holds because nothing could violate it, and it says so.
    found = figures(["x", "x"], [0, 0], [0, 0], [0, -1], [0, 0])
    assert found == {"violations": 0.0, "holds": 1.0, "comparable": 0.0, "covariance": 0.0}
    # No group at all: a share of nothing is 0.
    assert set(figures([], [], [], [], []).values()) == {0.0}


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", 1, "1"]),
        st.booleans(),
        st.integers(0, 3),
        st.sampled_from([-1.0, -0.5, 0.0, 1.0]),
        st.floats(0, 0.2),
    ),
    min_size=1,
    max_size=14,
)


@given(ROWS, st.randoms(use_true_random=False))
def test_is_the_definition_pair_by_pair_and_does_not_depend_on_the_order_of_rows(rows, random):
    found = figures(*map(list, zip(*rows, strict=True)))
    names = list(dict.fromkeys(row[0] for row in rows))
    shares, covariances = [], []
    for name in names:
        group = [row for row in rows if row[0] == name]
        asked = [row for row in group if row[1]]
        pairs = [(i, j) for k, i in enumerate(asked) for j in asked[k + 1 :] if i[2] != j[2] and i[3] != j[3]]
        if pairs:
            shares.append(sum((i[2] > j[2]) == (i[3] > j[3]) for i, j in pairs) / len(pairs))
        r, w = [row[3] for row in group], [math.exp(-row[4]) for row in group]
        products = [x * y for x, y in zip(r, w, strict=True)]
        covariances.append(np.mean(products) - np.mean(r) * np.mean(w))
    assert found["violations"] == pytest.approx(np.mean(shares) if shares else 0.0)
    assert found["holds"] == pytest.approx(1 - sum(share > 0 for share in shares) / len(names))
    assert found["comparable"] == pytest.approx(len(shares) / len(names))
    assert found["covariance"] == pytest.approx(np.mean(covariances), abs=1e-12)
    random.shuffle(rows)
    assert figures(*map(list, zip(*rows, strict=True))) == pytest.approx(found, abs=1e-12)


def shaped_twice(target: str, rewards: list[float]):
    """Visit one prompt twice: three errors of one kind, two of another, three right ones of one kind."""
    rng = np.random.default_rng(0)
    kinds = np.eye(4)[[0, 0, 0, 1, 1, 2, 2, 2]]
    shaper = RewardShaper(target=target, memory=ErrorMemory())
    for _ in range(2):
        shaped = shaper.shape(
            rewards,
            prompt_ids=["x"] * 8,
            features=kinds + rng.normal(scale=0.05, size=kinds.shape),
            is_correct=[False] * 5 + [True] * 3,
        )
    return shaped


def test_it_is_trivial_with_rewards_of_1_and_0_and_the_target_wrong():
    metrics = shaped_twice("wrong", [0.0] * 5 + [1.0] * 3).metrics()
    assert metrics["assumption_comparable"] == 0.0
    assert metrics["assumption_holds"] == 1.0
    assert metrics["assumption_covariance"] > 0  # right ones are never charged


def test_overlong_shaping_makes_it_informative():
    # Of either error one runs over (-0.5, -1), the others end in time (0).
    shaped = shaped_twice("wrong", [0.0, 0.0, -0.5, 0.0, -1.0, 1.0, 1.0, 1.0])
    metrics, wrong = shaped.metrics(), slice(0, 5)
    sizes, rewards = shaped.cluster_sizes[wrong], shaped.raw_rewards[wrong]
    assert len(set(sizes.tolist())) > 1
    assert metrics["assumption_comparable"] == 1.0
    products = np.subtract.outer(sizes, sizes) * np.subtract.outer(rewards, rewards)
    assert metrics["assumption_violations"] == pytest.approx((products > 0).sum() / (products != 0).sum())


def test_with_the_target_both_right_ones_are_compared_too():
    shaped = shaped_twice("both", [0.0] * 5 + [1.0] * 3)
    assert NOT_SCORED not in shaped.clusters
    assert shaped.metrics()["assumption_comparable"] == float(len(set(shaped.cluster_sizes.tolist())) > 1)
    # What is taken from a right one is r - r / (1 + penalty).
    w = np.exp(-(shaped.raw_rewards - shaped.rewards))
    r = shaped.raw_rewards
    assert shaped.metrics()["assumption_covariance"] == pytest.approx((r * w).mean() - r.mean() * w.mean())
