"""Grading in a process: a completion that hangs, dies or eats the memory counts as wrong and stops nothing."""

import pytest

from meds_rl.tasks.grader import Grader
from meds_rl.tasks.grading import MathGrader

from .graders import grade

ROW = {"answer": "7"}


def test_here_and_in_a_process_it_is_the_same():
    jobs = [("7", ROW), ("8", ROW)]
    with Grader(grade, in_process=False) as here, Grader(grade, in_process=True) as there:
        assert here(jobs) == there(jobs) == [True, False]
        assert there.num_ended == 0


def test_what_hangs_or_dies_is_wrong_and_the_rest_is_graded():
    with Grader(grade, in_process=True, limit=1.0) as grader:
        jobs = [(text, ROW) for text in ("7", "hang", "7", "die", "7", "memory")]
        assert grader(jobs) == [True, False, True, False, True, False]
        assert grader.num_ended == 2  # the grader itself answered for the memory


def test_a_bug_in_a_grader_is_not_hidden():
    with Grader(grade, in_process=True) as grader, pytest.raises(KeyError, match="no such column"):
        grader([("bug", ROW)])


@pytest.mark.long
def test_a_tower_of_powers_does_not_stop_math_verify():
    with Grader(MathGrader(), in_process=True) as grader:
        jobs = [(rf"so \boxed{{{answer}}}", ROW) for answer in ("9^{9^{9^9}}", "7.0", "8")]
        assert grader(jobs) == [False, True, False]
