"""The fingerprint of an outcome."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_rl.fingerprint import outcome_text, outcome_vectors
from meds_rl.fingerprint.outcome import MAX_ITEMS
from meds_rl.fingerprint.text import text_fingerprints


class Nameless:
    """Hashable, and its text has an address in it."""


def test_equal_outcomes_have_equal_unit_vectors_and_others_do_not():
    outcomes = [("ok", "IndexError"), "lost by timeout", ("ok", "IndexError"), None, ("IndexError", "ok"), 3]
    vectors = outcome_vectors(outcomes)
    assert vectors.shape == (6, 128)
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors[0], vectors[2])
    assert np.isnan(vectors[3]).all()
    known = vectors[[0, 1, 4, 5]]
    np.testing.assert_allclose(np.linalg.norm(known, axis=1), 1, rtol=1e-6)
    cosines = known @ known.T
    assert (np.abs(cosines[~np.eye(4, dtype=bool)]) < 0.5).all()  # the place of an item counts


def test_a_vector_is_the_sum_of_its_items():
    # With the signs a of (0, "ok"), b of (1, "ok") and c of (1, "no"): the outcomes are a + b and a + c, divided by
    # their lengths. One of two items differs: the cosine is near 1/2. a alone is a unit vector of entries 1/sqrt(128).
    both, other, first = outcome_vectors([("ok", "ok"), ("ok", "no"), "ok"])
    np.testing.assert_allclose(np.abs(first), 128**-0.5, rtol=1e-6)
    assert 0.3 < both @ other < 0.7
    second = both / np.abs(both).max() * 2 - np.sign(first)  # (a + b) - a = b
    assert set(np.round(second, 5).tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (None, None),
        (("ok", "IndexError", "got 5"), "ok, IndexError, got 5"),
        (("ok", "got [1, 2]"), "ok, got [1,2]"),  # ", " only stands between items
        ("ok, got [1,2]", "ok, got [1,2]"),
        ("two\nlines  of it", "two lines of it"),
        ((), "()"),
        (frozenset({"b", "a", "c"}), "{'a','b','c'}"),
        ((("x", 1), 2.5, True), "('x',1), 2.5, True"),
        (np.float64(2.5), "2.5"),
        ("\ud800", "?"),
    ],
)
def test_the_text_of_an_outcome_has_its_vector(outcome, text):
    assert outcome_text(outcome) == text
    if text is not None:
        np.testing.assert_array_equal(*outcome_vectors([outcome, text]))
        assert outcome_text(text) == text


ITEMS = st.text(st.sampled_from("a, \n\u2003") | st.characters(), max_size=8).map(lambda text: text * 40)


@given(st.lists(ITEMS, min_size=1, max_size=4).map(tuple) | ITEMS | st.frozensets(st.integers()))
def test_a_text_is_its_own_text_and_has_the_same_vector(outcome):
    text = outcome_text(outcome)
    assert outcome_text(text) == text
    np.testing.assert_array_equal(*outcome_vectors([outcome, text]))


@pytest.mark.parametrize(
    ("outcome", "message"),
    [(["ok"], "must be hashable.*got list"), ((["ok"],), "got tuple"), (Nameless(), "text of its own; got a Nameless")],
)
def test_what_is_no_outcome(outcome, message):
    with pytest.raises(TypeError, match=message):
        outcome_vectors([outcome])


def test_a_long_outcome_is_read_up_to_a_bound():
    long, longer = ("x",) * 1_000_000, ("x",) * 1_000_001
    assert np.array_equal(*outcome_vectors([long, longer]))
    assert len(outcome_text(long)) == 3 * MAX_ITEMS - 2
    assert outcome_text("y" * 1_000_000) == "y" * 200
    assert outcome_text(10**5_000).startswith("0x")  # more digits than Python writes


def test_the_vector_is_the_same_in_every_process():
    code = (
        "from meds_rl.fingerprint import outcome_vectors\n"
        "print(outcome_vectors([frozenset('abcdef'), ('ok', 1.5)])[:, :6].tolist())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_by_its_name():
    given = {"prompts": ["p", "p"], "completions": ["c", "d"], "answers": [None, None]}
    features = text_fingerprints("outcome", outcomes=["lost", None], **given)
    np.testing.assert_array_equal(features, outcome_vectors(["lost", None]))
    with pytest.raises(ValueError, match="needs outcomes"):
        text_fingerprints("outcome", **given)
