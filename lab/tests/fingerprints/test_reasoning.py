"""The bench of fingerprints: neighbours counted by hand, labels read from workings, the way through on pocket."""

import itertools

import numpy as np
import pytest

from meds_lab.fingerprints import __main__ as reasoning
from meds_lab.fingerprints import neighbours as bench
from meds_lab.fingerprints.choice import halves
from meds_lab.fingerprints.labels import LABELS, equations, is_right
from meds_lab.fingerprints.problems import ORDERS, SUMS, WORDINGS, asked_in_styles, sum_working
from meds_lab.fingerprints.states import weights
from meds_rl.fingerprint import AnswerPosition


def two_strategies(count=12):
    """One problem, strategies a and b in turns, answers 1 and 2 in pairs: a a' b b' ..."""
    place = np.arange(count)
    return bench.Sample(np.zeros(count), np.where(place % 2, "b", "a"), np.where(place % 4 < 2, "1", "2"))


def test_vectors_that_know_the_strategy_share_it_always():
    sample = two_strategies()
    knows = np.eye(2)[(sample.strategy == "b").astype(int)]
    assert bench.shares(knows, sample, "all").tolist() == [1.0] * 12
    # Five of the eleven others.
    np.testing.assert_allclose(bench.chances(sample, "all"), 5 / 11)
    assert bench.best_shares(sample, "all").tolist() == [1.0] * 12


def test_ties_count_by_halves_and_the_length_does_not_count():
    sample = two_strategies()
    same = np.arange(1.0, 13.0)[:, None] * [[1.0, 2.0]]
    np.testing.assert_allclose(bench.shares(same, sample, "all"), 5 / 11)


def test_kinds_of_pairs():
    sample = two_strategies()
    assert sample.candidates(0, "same answer").tolist() == [1, 4, 5, 8, 9]
    assert sample.candidates(0, "other answer").tolist() == [2, 3, 6, 7, 10, 11]
    assert sample.candidates(0, "other problems").tolist() == []
    # Five others have the answer: too few to compare five neighbours with.
    assert np.isnan(bench.shares(np.eye(12), sample, "same answer")).all()


def test_intervals():
    problem = np.repeat([0, 1], 20)
    drawn = bench.resamples(problem, 200)
    assert (drawn.sum(axis=1) == 40).all()
    share, chance = np.full(40, 0.6), np.full(40, 0.2)
    found = bench.ratio(share, chance, drawn)
    np.testing.assert_allclose([found.value, found.low, found.high], 3)
    assert str(bench.difference(share, chance, drawn)) == "0.40 (0.40 to 0.40)"
    # One problem at .2, one at .6: drawing problems moves the mean from one end to the other.
    spread = bench.ratio(np.where(problem, 0.6, 0.2), chance, drawn)
    np.testing.assert_allclose([spread.value, spread.low, spread.high], [2, 1, 3])
    assert halves(np.array([3, 3, 7, 9])).tolist() == [0, 0, 1, 0]


def test_labels():
    steps = equations("Take 12 pens + 8 pens = 20\nThen 5 x 20 = 90\nSo $90 - 2$ = 88\n\\boxed{88}")
    assert [step.left for step in steps] == ["12+8", "20*5", "90-2"]
    assert {name: read(steps) for name, read in LABELS.items()} == {
        "first two equations": "12+8; 20*5",
        "first equation": "12+8",
        "sequence of operations": "+;*;-",
        "first wrong step": "1: 20*5=90",
    }
    assert [is_right(step) for step in steps] == [True, False, True]
    assert equations("8 + 12 = 20")[0].left == equations("12+8=20")[0].left == "12+8"
    assert equations("eight and 12 make 20") == []


def test_sums_are_one_answer_worked_out_in_four_ways():
    for numbers in SUMS:
        # Else two orders could write the same equations.
        assert len(set(numbers)) == 4
        workings = {key: sum_working(numbers, *key) for key in itertools.product(ORDERS, WORDINGS)}
        steps = {key: equations(text) for key, text in workings.items()}
        assert all(len(one) == 3 and all(map(is_right, one)) for one in steps.values())
        assert all(text.endswith(f"\\boxed{{{sum(numbers)}}}") for text in workings.values())
        labels = {key: LABELS["first two equations"](one) for key, one in steps.items()}
        assert all(labels[order, "equations"] == labels[order, "sentences"] for order in ORDERS)
        assert len(set(labels.values())) == 4


def test_sums_are_asked_in_styles_and_shown_in_one():
    asked = asked_in_styles()
    assert len({(one.problem, one.style) for one in asked}) == len(asked) == 8 * len(SUMS)
    for one in asked:
        assert one.chat[-1] == one.shown[-1]
        assert one.chat[:-1] != one.shown[:-1]
    assert len({str(one.shown) for one in asked}) == len(SUMS)


def test_weights_add_up_to_one():
    rows = weights(["so", "1", "2", "=", " ", "4", "8", "{", "4"], AnswerPosition(7, 0, 8))
    for row in rows.values():
        np.testing.assert_allclose(row.sum(), 1, rtol=1e-6)
    assert np.flatnonzero(rows["results"]).tolist() == [3, 5, 6]
    assert np.flatnonzero(rows["numbers and operators"]).tolist() == [1, 2, 3, 5, 6]
    assert np.flatnonzero(rows["part 3 of 4"]).tolist() == [4, 5]
    assert np.flatnonzero(rows["at the answer's end"]).tolist() == [8]


def test_an_empty_part_is_the_whole_working():
    rows = weights(["so", "it", "\\boxed", "{", "7", "}"], AnswerPosition(3, 0, 4))
    np.testing.assert_allclose(rows["results"], rows["working"])
    np.testing.assert_allclose(rows["results"].sum(), 1, rtol=1e-6)


@pytest.mark.parametrize("model", ["pocket", "pocket-guess"])
def test_the_way_through(tmp_path, model):
    text = reasoning.main(["--model", model, "--out", str(tmp_path), "--quick", "--samples", "24", "--resamples", "20"])
    assert (tmp_path / f"{model}.md").read_text() == text
    assert "| answer string |" in text
    assert "`working_states`" in text


@pytest.mark.parametrize("arguments", [["--quick"], ["--out", "x", "--model", "gpt"]])
def test_arguments(arguments):
    with pytest.raises(SystemExit):
        reasoning.parse_arguments(arguments)
