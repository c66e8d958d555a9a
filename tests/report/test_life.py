"""Born, grew, died out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_rl.report.life import MAX_BINS, STATES, life, stretches


def asked(*counts):
    """So many completions at steps 0, 1, 2, ..."""
    return np.repeat(np.arange(len(counts)), counts)


@pytest.mark.parametrize(
    ("members", "completions", "state"),
    [
        # 9 steps; the last third is steps 6 to 8. How often: of 8 completions a step.
        ([2] * 9, [8] * 9, "steady"),
        ([1, 1, 1, 1, 1, 1, 2, 2, 2], [8] * 9, "growing"),
        ([4, 4, 4, 4, 4, 4, 1, 1, 1], [8] * 9, "fading"),
        ([1, 1, 1, 1, 1, 1, 0, 0, 0], [8] * 9, "died out"),
        ([1, 1, 1, 1, 1, 1, 0, 0, 0], [8, 8, 8, 8, 8, 8, 0, 0, 0], "not asked again"),
        ([0, 0, 0, 0, 0, 0, 0, 0, 5], [8] * 9, "growing"),  # new
        # Made four times: too few for any of these, but whether its prompt was asked is known.
        ([0, 0, 0, 0, 0, 0, 0, 0, 4], [8] * 9, "rare"),
        ([2, 2, 0, 0, 0, 0, 0, 0, 0], [8] * 9, "rare"),
        ([2, 2, 0, 0, 0, 0, 0, 0, 0], [8, 8, 8, 8, 8, 8, 0, 0, 0], "not asked again"),
        # Half as many members, but the prompt was asked half as often.
        ([2, 2, 2, 2, 2, 2, 1, 1, 1], [8, 8, 8, 8, 8, 8, 4, 4, 4], "steady"),
        # Its prompt was never asked before: there is nothing to compare with.
        ([0, 0, 0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0, 0, 8], "too short to tell"),
        # Its prompt was asked twice: 2 and 6 of 8 are no course.
        ([2, 0, 0, 0, 0, 0, 0, 0, 6], [8, 0, 0, 0, 0, 0, 0, 0, 8], "too short to tell"),
    ],
)
def test_states(members, completions, state):
    found = life(asked(*members), asked(*completions), np.arange(9), num_steps=9)
    assert found.state == state
    assert found.state in STATES


@pytest.mark.parametrize(
    ("batch_steps", "state"),
    [
        # One error in each completion: steady, whatever the number of steps that a batch serves.
        ([0, 8, 16, 24], "steady"),
        ([0, 1, 2], "steady"),
        # Batches of 30 steps, and a run of 80 of them: by steps the last third would be step 54 on, one batch of three.
        ([0, 30, 60], "steady"),
        # No batch in the last third of 40 steps: a run that went on without sampling.
        ([0, 1, 2, 3, 4, 5], "steady"),
        ([0], "too short to tell"),
        ([0, 16], "too short to tell"),
    ],
)
def test_thirds_are_of_the_batches_sampled(batch_steps, state):
    steps = np.repeat(batch_steps, 8)
    assert life(steps, steps, np.array(batch_steps), num_steps=80).state == state


def test_when_it_came_and_went():
    found = life(np.array([2, 5, 5, 7]), np.arange(10), np.arange(10), num_steps=10)
    assert (found.born, found.last, found.peak) == (2, 7, 5)
    assert found.course == [0, 0, 1, 0, 0, 2, 0, 1, 0, 0]


@given(st.integers(0, 5000), st.data())
def test_every_member_is_in_one_stretch(num_steps, data):
    starts = stretches(num_steps)
    assert 1 <= len(starts) <= MAX_BINS
    steps = np.array(data.draw(st.lists(st.integers(0, max(0, num_steps - 1)), min_size=1, max_size=20)))
    assert sum(life(steps, steps, np.unique(steps), num_steps).course) == len(steps)
