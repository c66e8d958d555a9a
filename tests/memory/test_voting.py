import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from meds_rl.memory.vote import canonical_order, vote


def on_circle(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def votes(query: float, members: list[float], labels: list[int], n_neighbors: int = 3) -> int:
    return int(vote(on_circle(query), on_circle(*members), np.array(labels), n_neighbors)[0])


def test_the_majority_wins_over_the_nearest():
    assert votes(0, members=[1, 5, 6, 90], labels=[7, 3, 3, 7]) == 3


def test_noise_votes_like_any_label():
    assert votes(0, members=[1, 5, 6], labels=[7, -1, -1]) == -1


def test_a_tie_goes_to_the_nearest():
    assert votes(0, members=[9, 5, 1], labels=[0, 1, 2]) == 2
    # four neighbours, two against two: label 4 has the nearest of them, though remembered last
    assert votes(0, members=[3, 4, 7, 1], labels=[5, 5, 4, 4], n_neighbors=4) == 4


def test_fewer_members_than_neighbors_all_vote():
    assert votes(0, members=[80], labels=[6]) == 6
    assert votes(0, members=[1, 80], labels=[6, 2], n_neighbors=50) == 6


def test_of_equally_near_members_the_first_remembered_is_nearer():
    assert votes(0, members=[10, -10], labels=[1, 2], n_neighbors=1) == 1
    assert votes(0, members=[-10, 10], labels=[2, 1], n_neighbors=1) == 2


def test_only_the_direction_counts():
    members = on_circle(0, 50) * np.array([[100.0], [0.01]], dtype=np.float32)
    assert vote(on_circle(40) * 7, members, np.array([1, 2]), 1).tolist() == [2]


def test_a_vector_of_zeros_is_equally_far_from_all():
    assert vote(np.zeros((1, 2), np.float32), on_circle(0, 90), np.array([4, 5]), 1).tolist() == [4]


@given(hnp.arrays(np.float32, (6, 3), elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0])), st.randoms())
def test_the_canonical_order_depends_on_the_rows_alone(rows, random):
    rows = rows + np.float32(0)  # no -0.0, as after check_features
    shuffled = rows[random.sample(range(6), 6)]
    assert rows[canonical_order(rows)].tolist() == shuffled[canonical_order(shuffled)].tolist()


@given(st.integers(0, 2**32 - 1))
def test_equal_queries_get_equal_votes_wherever_they_stand(seed):
    # Members all at nearly one distance from the queries: rounding in a matrix product could tell them apart.
    rng = np.random.default_rng(seed)
    members = rng.permuted(np.tile(rng.normal(size=7), (40, 1)), axis=1).astype(np.float32)
    queries = np.repeat(np.ones((1, 7), np.float32), 19, axis=0)
    queries[rng.integers(19)] = rng.normal(size=7)
    same = (queries == 1).all(axis=1)
    assert len(set(vote(queries, members, np.arange(40), 3)[same])) == 1


def test_a_difference_in_the_last_bits_is_no_difference():
    # Five members of exactly one direction; their computed cosines differ. The first remembered is the nearest.
    rng = np.random.default_rng(0)
    for _ in range(200):
        whole = rng.integers(1, 9, size=5)
        members = np.array([whole * 3, whole * 7, whole * 5, whole * 11, whole], dtype=np.float32)
        query = rng.integers(1, 9, size=(1, 5)).astype(np.float32)
        assert vote(query, members, np.array([4, 3, 2, 1, 0]), 1).tolist() == [4]
