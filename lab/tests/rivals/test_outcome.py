"""What outcome-based exploration does with counts, by hand."""

import pytest

from meds_lab.rivals.outcome import inverse_sqrt_penalty
from meds_lab.rivals.outcome_batch import share_penalty


def test_inverse_sqrt_by_hand():
    # .2 (1 - 1/sqrt N): N = 4 .1, N = 16 .15; the cap of .12 acts on the last.
    found = inverse_sqrt_penalty([0, 0.5, 1, 4, 16], alpha=0.2, beta=0.12)
    assert found.tolist() == pytest.approx([0, 0, 0, 0.1, 0.12])


def test_share_by_hand():
    # .8 * 3 / 8 = .3; .8 * 7 / 8 = .7, capped.
    assert share_penalty([0, 3, 7], [8, 8, 8], alpha=0.8, beta=0.5).tolist() == pytest.approx([0, 0.3, 0.5])


@pytest.mark.parametrize("bad", [-1.0, float("inf")])
def test_bad_strengths_are_refused(bad):
    for function in (inverse_sqrt_penalty, lambda sizes, **options: share_penalty(sizes, [1], **options)):
        with pytest.raises(ValueError, match="alpha must be finite"):
            function([1], alpha=bad)
        with pytest.raises(ValueError, match="beta must be finite"):
            function([1], beta=bad)
