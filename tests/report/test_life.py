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
        # 9 steps; the last third is steps 6 to 8. How often: of 16 completions a step.
        ([4] * 9, [16] * 9, "steady"),
        ([2, 2, 2, 2, 2, 2, 6, 6, 6], [16] * 9, "growing"),  # 18 of 48 after 12 of 96
        ([8, 8, 8, 8, 8, 8, 2, 2, 2], [16] * 9, "fading"),
        ([4, 4, 4, 4, 4, 4, 0, 0, 0], [16] * 9, "died out"),
        ([1, 1, 1, 1, 1, 1, 0, 0, 0], [8, 8, 8, 8, 8, 8, 0, 0, 0], "not asked again"),
        ([0, 0, 0, 0, 0, 0, 0, 0, 20], [24] * 9, "growing"),  # new
        # Made 19 times: too few for any of these, but whether its prompt was asked is known.
        ([0, 0, 0, 0, 0, 0, 0, 0, 19], [24] * 9, None),
        ([19, 0, 0, 0, 0, 0, 0, 0, 0], [24] * 9, None),
        ([19, 0, 0, 0, 0, 0, 0, 0, 0], [24, 24, 24, 24, 24, 24, 0, 0, 0], "not asked again"),
        # 9 of 24 after 12 of 48 is 1.5 times as often; so many come by chance in more than one case of 50 (p = .29).
        ([2, 2, 2, 2, 2, 2, 3, 3, 3], [8] * 9, "steady"),
        # Half as many members, but the prompt was asked half as often.
        ([4, 4, 4, 4, 4, 4, 2, 2, 2], [16, 16, 16, 16, 16, 16, 8, 8, 8], "steady"),
        # Its prompt was never asked before: there is nothing to compare with.
        ([0, 0, 0, 0, 0, 0, 0, 0, 20], [0, 0, 0, 0, 0, 0, 0, 0, 24], None),
        # Its prompt was asked twice: 2 and 20 of 24 are no course.
        ([2, 0, 0, 0, 0, 0, 0, 0, 20], [24, 0, 0, 0, 0, 0, 0, 0, 24], None),
    ],
)
def test_states(members, completions, state):
    found = life(asked(*members), asked(*completions), np.arange(9), num_steps=9)
    assert found.state == state
    assert found.state in (None, *STATES)


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
        ([0], None),
        ([0, 16], None),
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
