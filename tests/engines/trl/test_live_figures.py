"""Figures of hand-made batches."""

import math

import numpy as np
import pytest

from meds_rl.engines.figures import batch_figures
from meds_rl.engines.trl.batch import fingerprint_figures


def test_figures_by_hand():
    answers = ["1", "2", "2", None, "1", "1", "1", "1", "5", "5", "6", "7"]
    right = np.array([1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0], dtype=bool)
    figures = batch_figures(answers, right, np.ones(12, dtype=bool), list("aaaabbbbcccc"))
    # Groups: 1 of 4 right, wrong answers 2, 2, none; all right; none right, wrong answers 5, 5, 6, 7.
    assert figures["pass/pass@1"] == pytest.approx((0.25 + 1 + 0) / 3)
    assert figures["pass/pass@4"] == pytest.approx(2 / 3)
    assert figures["diversity/distinct_wrong"] == pytest.approx((2 + 0 + 3) / 3)
    # Entropy: (2/3) ln(3/2) + (1/3) ln 3 = ln 3 - (2/3) ln 2; (1/2) ln 2 + 2 (1/4) ln 4 = (3/2) ln 2.
    expected = (math.log(3) - 2 / 3 * math.log(2) + 1.5 * math.log(2)) / 2
    assert figures["diversity/answer_entropy"] == pytest.approx(expected)
    assert figures["diversity/repeated_in_batch"] == pytest.approx(2 / 7)  # the second 2 and the second 5


def test_what_was_not_graded_is_left_out():
    answers, right = ["1", "2", "3", "4"], np.array([True, False, False, False])
    graded = np.array([True, False, False, False])
    figures = batch_figures(answers, right, graded, [0, 0, 1, 1])
    assert figures == {"pass/pass@1": 1.0, "pass/pass@2": 1.0, "diversity/distinct_wrong": 0.0}
    assert batch_figures(answers, right, np.zeros(4, bool), [0, 0, 1, 1]) == {}


def test_the_eigenvalue_ratio_is_of_the_chosen_rows_within_prompts():
    features = np.array([[9, 9], [1, 0], [3, 0], [0, 5], [0, 7], [np.nan, np.nan]], dtype=np.float32)
    chosen = np.array([False, True, True, True, True, True])
    # Two prompts, each on a line of its own, at right angles: variances 2 and 2.
    assert fingerprint_figures(features, ["a", "a", "a", "b", "b", "b"], chosen) == {
        "diversity/top1_eigenvalue_ratio": pytest.approx(0.5)
    }
    assert fingerprint_figures(features, ["a"] * 6, np.zeros(6, dtype=bool)) == {}
