"""The benchmark of penalties against planted strategies, on errors that are put together by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from assignment import LOOSE, Errors, main, one_hot, stream

from meds_rl.shaping.clusterings import ExactClustering

HABIT = "left_to_right"


def errors(strategies, features):
    return Errors(list(strategies), {"it": np.asarray(features, dtype=np.float32)})


def test_exact_counts_of_the_strategies_are_right():
    # Visits of 8: seven of the habit and one other, 4 times. Before visits 3 and 4 the habit was made 14 and 21 times.
    strategies = ([HABIT] * 7 + ["drop_last"]) * 4
    seen, contrast, within, right = stream(
        errors(strategies, one_hot(strategies)), "it", ExactClustering(), 0.0
    )
    habit, other = np.log([15, 22]), np.log([3, 4])
    assert contrast == pytest.approx(habit.mean() - other.mean())
    assert within == pytest.approx(habit.std())
    assert right == pytest.approx(1)
    assert seen == 1


def test_a_vote_however_far_calls_nothing_new():
    # The habit's fingerprints lie together, each other error somewhere of its own.
    rng = np.random.default_rng(0)
    strategies = ([HABIT] * 6 + ["drop_last", "drop_first"]) * 6
    spread = np.where(np.array(strategies)[:, None] == HABIT, 0.01, 1.0) * rng.normal(size=(48, 16))
    features = np.eye(16)[0] + spread * 0.8
    one = errors(strategies, features)
    far, near = stream(one, "it", LOOSE, None)[1], stream(one, "it", LOOSE, 0.25)[1]
    assert near > far + 0.5
    assert near > 2


def test_without_any_other_error_there_is_no_contrast():
    one = errors([HABIT] * 32, np.ones((32, 2)))
    assert np.isnan(stream(one, "it", LOOSE, None)).all()


def test_too_few_samples_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--samples", "8"])
    assert "--samples at least 32" in capsys.readouterr().err
