"""Figures of groups, worked out by hand."""

import pytest

from meds_rl.evaluation.figures import group_figures, shown_ks


def rows(problem, marks, group="test", exact=None):
    """marks: R right, a wrong answer's letter, or - for none; a capital C after it would be cut off."""
    return [
        {
            "benchmark": "b",
            "group": group,
            "problem_id": problem,
            "answer": None if mark == "-" else mark,
            "is_correct": mark == "R",
            "is_exact": None if exact is None else exact[i],
            "num_tokens": 10 + i,
            "finished": mark != "-",
        }
        for i, mark in enumerate(marks)
    ]


def test_two_problems_by_hand():
    (found,) = group_figures([*rows("p", "Raa-"), *rows("q", "RRRR")])
    assert (found.num_problems, found.num_samples) == (2, 4)
    # p: pass@k = k/4. q: 1.
    assert [e.value for e in found.at_k["pass@k"]] == pytest.approx([0.625, 0.75, 0.875, 1.0])
    # p, one right, two a, one silent. Pairs: Ra 1/2 twice, R- 1: 2 of 6. Triples: Raa 0, Ra- 1/2 twice: 1 of 4. All: 0.
    maj = [(0.25 + 1) / 2, (2 / 6 + 1) / 2, (0.25 + 1) / 2, 0.5]
    assert [e.value for e in found.at_k["maj@k"]] == pytest.approx(maj)
    values = {name: estimate.value for name, estimate in found.figures.items()}
    assert values == {
        "no_answer": 1 / 8,
        "cut_off": 1 / 8,
        "mean_tokens": 11.5,
        "distinct_wrong": 1.0,  # p: a and "none"; q: nothing
        "repeated_errors": pytest.approx(1 / 3),  # of p's a, a, none one repeats
    }
    assert "exact pass@k" not in found.at_k
    assert (found.at_k["pass@k"][0].low, found.at_k["pass@k"][0].high) == (0.25, 1.0)


def test_exact_traces_beside_answers_and_groups_in_order():
    exact = [True, False, False, False]
    found = group_figures([*rows("p", "RRaa", "train hard", exact), *rows("q", "R", "test", [True])], seed=1)
    assert [group.group for group in found] == ["train hard", "test"]
    assert [group.num_samples for group in found] == [4, 1]
    assert found[0].at_k["exact pass@k"][0].value == 0.25
    assert found[0].at_k["pass@k"][0].value == 0.5
    assert found[1].to_dict()["pass@k"] == [{"k": 1, "value": 1.0, "low": None, "high": None}]


def test_the_same_seed_gives_the_same_intervals():
    table = [row for i in range(12) for row in rows(str(i), "R" * (i % 4) + "a" * (4 - i % 4))]
    assert group_figures(table, 3) == group_figures(table, 3)
    assert group_figures(table, 3) != group_figures(table, 4)


def test_without_answers_no_figure_that_compares_them_is_claimed():
    table = rows("p", "RRa-------") + rows("q", "R---------")
    for row in table[1:]:
        row["answer"] = None  # 1 of 20 has an answer: they were looked for in the wrong place
    (found,) = group_figures(table)
    assert (found.num_answers, found.has_answers) == (1, False)
    assert set(found.at_k) == {"pass@k"}
    assert set(found.figures) == {"cut_off", "mean_tokens"}
    assert found.to_dict()["num_answers"] == 1


def test_more_samples_than_majorities_can_be_counted_for():
    (found,) = group_figures(rows("p", "R" * 1_025))
    assert set(found.at_k) == {"pass@k"}


def test_bad_input():
    with pytest.raises(ValueError, match="no samples"):
        group_figures([])
    with pytest.raises(ValueError, match=r"same number of samples; got \[2, 4\]"):
        group_figures([*rows("p", "RRRR"), *rows("q", "RR")])
    with pytest.raises(ValueError, match=r"1\.\.4"):
        shown_ks(4, [5])
    assert shown_ks(8) == [1, 2, 4, 8]
    assert shown_ks(8, [3, 1, 3]) == [1, 3]
