"""Negative-sample reinforcement."""

import pytest

from meds_lab.rivals.nsr import reinforcement_advantages


def test_nsr_and_w_reinforce():
    assert reinforcement_advantages([True, False, False]).tolist() == [0, -1, -1]
    assert reinforcement_advantages([True, False], 0.1).tolist() == [0.1, -1]


def test_bad_weights_are_refused():
    with pytest.raises(ValueError, match="positive_weight must be finite and 0 or more"):
        reinforcement_advantages([True], -0.1)
    with pytest.raises(TypeError, match="is_correct must be bool"):
        reinforcement_advantages([1.0])
