"""The time left, by hand."""

from pathlib import Path

import pytest

from meds_lab.compare.cells import Cell
from meds_lab.compare.runner import expected_seconds, seconds_left


def cell(task, method, seed=0):
    return Cell(task, "base", seed, method, {}, Path("x"))


def test_nothing_is_known_before_the_first_cell_is_done():
    assert seconds_left([cell("a", "dapo")], {}, {}, jobs=2) is None


def test_the_nearest_cells_tell():
    done = {
        cell("a", "dapo"): 10.0,
        cell("a", "meds"): 30.0,
        cell("b", "dapo"): 50.0,
        cell("a", "dapo", 1): 20.0,
    }
    assert expected_seconds(cell("a", "dapo", 2), done) == 15.0  # (10 + 20) / 2
    assert expected_seconds(cell("b", "meds"), done) == 30.0  # of its method
    assert expected_seconds(cell("b", "grpo"), done) == 50.0  # of its task
    assert expected_seconds(cell("c", "grpo"), done) == pytest.approx(27.5)  # of all


def test_work_is_shared_but_no_cell_is_split():
    done = {cell("a", "dapo"): 10.0, cell("a", "meds"): 30.0}
    waiting = [cell("a", "dapo", 1), cell("a", "dapo", 2)]
    # 10 + 10 waiting, 30 - 10 running: 40 over two jobs.
    assert seconds_left(waiting, {cell("a", "meds", 1): 10.0}, done, jobs=2) == 20.0
    # One cell of 30 takes 30, however many jobs there are; one that is late takes no less than nothing.
    assert seconds_left([cell("a", "meds", 2)], {cell("a", "dapo", 1): 99.0}, done, jobs=8) == 30.0
    assert seconds_left([], {}, done, jobs=2) == 0.0
