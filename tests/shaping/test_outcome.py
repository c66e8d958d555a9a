"""What outcome-based exploration does with counts, by hand."""

import numpy as np
import pytest

from meds_rl.shaping.forms import shaped_rewards
from meds_rl.shaping.outcome import inverse_sqrt_penalty, share_penalty


def test_inverse_sqrt_by_hand():
    # .2 (1 - 1/sqrt N): N = 4 .1, N = 16 .15; the cap of .12 acts on the last.
    found = inverse_sqrt_penalty([0, 0.5, 1, 4, 16], alpha=0.2, beta=0.12)
    assert found.tolist() == pytest.approx([0, 0, 0, 0.1, 0.12])


def test_share_by_hand():
    # .8 * 3 / 8 = .3; .8 * 7 / 8 = .7, capped.
    assert share_penalty([0, 3, 7], [8, 8, 8], alpha=0.8, beta=0.5).tolist() == pytest.approx([0, 0.3, 0.5])


def test_right_completions_keep_their_sign_only_in_the_papers_form():
    rewards, penalties, right = (
        np.array([1.0, -0.5, 0.0]),
        np.array([0.25, 0.2, 0.1]),
        np.array([True, True, False]),
    )
    assert shaped_rewards("log", rewards, penalties, right).tolist() == pytest.approx([0.8, -0.6, -0.1])
    assert shaped_rewards("share", rewards, penalties, right).tolist() == pytest.approx([0.75, -0.7, -0.1])


@pytest.mark.parametrize("bad", [-1.0, float("inf")])
def test_bad_strengths_are_refused(bad):
    for function in (inverse_sqrt_penalty, lambda sizes, **options: share_penalty(sizes, [1], **options)):
        with pytest.raises(ValueError, match="alpha must be finite"):
            function([1], alpha=bad)
        with pytest.raises(ValueError, match="beta must be finite"):
            function([1], beta=bad)
