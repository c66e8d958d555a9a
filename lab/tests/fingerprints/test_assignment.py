"""The benchmark of penalties against planted strategies, on errors that are put together by hand."""

import numpy as np
import pytest

from meds_lab.fingerprints.assignment import BY_FINGERPRINT, BY_SETTING, COUNTED, Errors, main, stream
from meds_lab.rivals.global_memory import GlobalMemory
from meds_rl.fingerprint.text import answer_vectors

HABIT = "left_to_right"


def errors(strategies, features):
    return Errors(list(strategies), {"it": np.asarray(features, dtype=np.float32)})


def test_exact_counts_of_the_strategies_are_right():
    # Visits of 8: seven of the habit and one other, 4 times. Before visits 3 and 4 the habit was made 14 and 21 times.
    strategies = ([HABIT] * 7 + ["drop_last"]) * 4
    seen, contrast, within, right = stream([errors(strategies, answer_vectors(strategies))], "it", COUNTED)[0]
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
    far, near = stream([one], "it", {"max_distance": None})[0, 1], stream([one], "it", {})[0, 1]
    assert near > far + 0.5
    assert near > 2


def test_without_any_other_error_there_is_no_contrast():
    one = errors([HABIT] * 32, np.ones((32, 2)))
    assert np.isnan(stream([one], "it", {})).all()


def test_problems_of_different_length_each_have_their_own_memory():
    # The shorter problem's figures do not depend on the longer one beside it, unless they share a memory.
    few = ([HABIT] * 7 + ["drop_last"]) * 4
    short = errors(few, answer_vectors(few))
    names = (["drop_last"] * 6 + [HABIT, HABIT]) * 6 + ["drop_last"] * 3
    long = errors(names, answer_vectors(names))
    alone, beside = stream([short], "it", COUNTED)[0], stream([short, long], "it", COUNTED)
    assert beside.shape == (2, 4)
    np.testing.assert_allclose(beside[0], alone)
    assert stream([short, long], "it", COUNTED | {"memory": GlobalMemory})[0, 1] < alone[1] - 0.5


def test_each_setting_is_a_row_of_its_own_and_sees_what_came_before():
    names = ([HABIT] * 7 + ["drop_last"]) * 4
    one = errors(names, answer_vectors(names))
    for settings in (BY_FINGERPRINT, BY_SETTING):
        labels = [setting.label for setting in settings]
        assert len(set(labels)) == len(labels)
        assert all(stream([one], "it", setting.changed)[0, 0] > 0 for setting in settings)


def test_too_few_samples_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--samples", "8"])
    assert "--samples at least 32" in capsys.readouterr().err
