import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_rl import ErrorMemory
from meds_rl.memory.update import carry_over


def carried(before: list[int], after: list[int], next_cluster: int) -> tuple[list[int], int]:
    numbers, following = carry_over(np.array(before, dtype=np.int32), np.array(after), next_cluster)
    assert numbers.dtype == np.int32
    return numbers.tolist(), following


@pytest.mark.parametrize(
    ("before", "after", "expected", "following"),
    [
        ([-1, -1, -1], [-1, -1, -1], [-1, -1, -1], 5),  # nothing is found
        ([-1, -1, -1, -1], [1, 0, 0, 1], [5, 6, 6, 5], 7),  # new clusters count up by their first member
        ([3, 3, 4, 4], [0, 0, 1, 1], [3, 3, 4, 4], 5),  # the same clusters, whatever the refit calls them
        ([4, 4, 3, 3, -1], [0, 0, 1, 1, 1], [4, 4, 3, 3, 3], 5),  # one grows
        (
            [3, 3, 3, -1, -1],
            [1, 1, 0, 0, -1],
            [3, 3, 5, 5, -1],
            6,
        ),  # a split: the larger part keeps the number
        ([3, 3, 4, 4, 4], [0, 0, 0, 0, 0], [4, 4, 4, 4, 4], 5),  # a merger: the larger part gives the number
        ([3, 4, 3, 4], [0, 0, 0, 0], [3, 3, 3, 3], 5),  # of equal parts the older
        ([3, 3], [0, 1], [3, 5], 6),  # of equal parts of a split the one with the first member
        ([3, 3, 3], [-1, -1, 0], [-1, -1, 3], 5),  # most of it dissolved
        ([], [], [], 5),
    ],
)
def test_by_hand(before, after, expected, following):
    assert carried(before, after, 5) == (expected, following)


def test_the_largest_overlap_goes_first():
    # Old 1 overlaps new a by 2 and new b by 3; old 2 overlaps new a by 4. Pairs by size: (2, a) 4, (1, b) 3.
    before = [1, 1, 1, 1, 1, 2, 2, 2, 2]
    after = [0, 0, 1, 1, 1, 0, 0, 0, 0]
    assert carried(before, after, 3) == ([2, 2, 1, 1, 1, 2, 2, 2, 2], 3)


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 4)), max_size=30), st.permutations(range(5)))
def test_the_partition_stays_and_no_number_is_given_twice(pairs, renaming):
    before, after = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    numbers, following = carried(before, after, 4)
    assert [number == -1 for number in numbers] == [label == -1 for label in after]
    assert len(set(zip(numbers, after, strict=True))) == len(set(numbers)) == len(set(after))
    assert {number for number in numbers if number >= 4} == set(range(4, following))
    # What the refit calls its clusters does not matter.
    renamed = [label if label < 0 else renaming[label] for label in after]
    assert carried(before, renamed, 4) == (numbers, following)


def on_circle(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def test_an_error_keeps_its_number_while_others_come_up():
    memory = ErrorMemory()
    memory.remember("x", on_circle(0, 1, 180, 181))
    first = memory.assign("x", on_circle(0.5, 180.5)).clusters
    for angle in (90, 270, 45):
        memory.remember("x", on_circle(angle, angle + 1))
        assert memory.assign("x", on_circle(0.5, 180.5)).clusters.tolist() == first.tolist()
    entry = memory.entry("x")
    assert entry is not None
    assert sorted(set(entry.labels.tolist())) == [0, 1, 2, 3, 4]
