"""The figures of a grid: what they hold, and that Vega-Lite compiles and draws each."""

import json
from dataclasses import replace

import pytest

from meds_lab.compare.comparison import CoursePoint, compare
from meds_lab.compare.drawing import cost_figures, course_figures, course_names, figure_names, forest_figures
from meds_lab.compare.results import costs
from meds_rl.report.drawing.figure import SHAPES, config

from .test_comparison import outcome

METHODS = ("dapo", "count", "meds")


@pytest.fixture
def grid(make):
    return make(k=2, methods={name: {"method": "dapo"} for name in METHODS}, also=[["meds", "count"]])[0]


def outcomes(num_checkpoints=2):
    """Per checkpoint two seeds; of two problems dapo has (1, 2) right in 4, count (2, 2), meds (2, 4 - seed)."""
    return [
        outcome(name, seed, right, exact=right, checkpoint=f"c{number}", seconds=seconds)
        for number in range(num_checkpoints)
        for seed in (0, 1)
        for name, right, seconds in (
            ("dapo", [1, 2], 2.0),
            ("count", [2, 2], 2.0 + seed),
            ("meds", [2, 4 - seed], 4.0),
        )
    ]


def points(methods, num_units=2):
    return [
        CoursePoint("pocket", "test", measure, 2, method, step, 0.1 + step / 10, 0.3, num_units)
        for measure in ("pass@1", "pass@k")
        for method in methods
        for step in (0, 1, 2)
    ]


def test_every_figure_compiles(grid):
    vl_convert = pytest.importorskip("vl_convert")
    figures = [
        *forest_figures(compare(grid, outcomes()), "dapo"),
        *course_figures(points(METHODS), METHODS, "dapo"),
        *cost_figures(costs(grid, outcomes()), "dapo"),
    ]
    assert [figure.name for figure in figures] == [
        *("difference-pass@1", "difference-pass@k", "difference-exact-pass@k", "difference-distinct"),
        *("pairs-pass@1", "pairs-pass@k", "pairs-exact-pass@k", "pairs-distinct"),
        *("course-pass@1", "course-pass@k", "cost"),
    ]
    assert [figure.name for figure in figures] == figure_names(grid, with_courses=True)
    for figure in figures:
        json.dumps(figure.to_dict(), allow_nan=False)
        assert vl_convert.vegalite_to_svg(figure.whole(config("light", background=True))).startswith("<svg")


def test_a_task_that_cannot_tell_right_working_has_no_figure_of_it(grid):
    cells = [outcome(name, seed, [1, 2 + seed]) for name in METHODS for seed in (0, 1)]
    names = [figure.name for figure in forest_figures(compare(grid, cells), "dapo")]
    assert names == [f"{kind}-{what}" for kind in ("difference", "pairs") for what in ("pass@1", "pass@k", "distinct")]


def test_a_forest_has_means_with_their_intervals_and_units(grid):
    figure, *_ = forest_figures(compare(grid, outcomes()), "dapo")
    means = [row for row in figure.values if "difference" in row]
    units = [row for row in figure.values if "unit" in row]
    # count: 4/8 - 3/8. meds: seed 0 6/8, seed 1 5/8, less 3/8.
    assert [(row["method"], row["difference"]) for row in means] == [("count", 0.125), ("meds", 0.3125)]
    assert all(row["low2"] <= row["low"] <= row["high"] <= row["high2"] for row in means)
    assert [(row["checkpoint"], row["seed"], row["unit"]) for row in units if row["method"] == "meds"] == [
        ("c0", 0, 0.375),
        ("c0", 1, 0.25),
        ("c1", 0, 0.375),
        ("c1", 1, 0.25),
    ]
    marks = figure.spec["spec"]["layer"]
    assert marks[0]["encoding"]["x"] == {"datum": 0}
    shape = marks[-1]["encoding"]["shape"]
    assert (shape["field"], shape["scale"]["domain"]) == ("checkpoint", ["c0", "c1"])
    assert "checkpoints" in figure.help


def test_the_title_has_k_where_all_panels_have_the_same(grid):
    found = compare(grid, outcomes())
    names = ["difference-pass@1", "difference-pass@k"]
    titles = {figure.name: figure.title for figure in forest_figures(found, "dapo")}
    assert [titles[name] for name in names] == ["pass@1, minus dapo", "pass@2, minus dapo"]
    others = [replace(one, task="other", k=4) for one in found]
    titles = {figure.name: figure.title for figure in forest_figures([*found, *others], "dapo")}
    assert [titles[name] for name in names] == ["pass@1, minus dapo", "pass@k, minus dapo"]


def test_one_checkpoint_has_one_interval_and_one_shape(grid):
    figure, *_ = forest_figures(compare(grid, outcomes(1)), "dapo")
    assert not any("low2" in row for row in figure.values)
    assert "checkpoints" not in figure.help
    assert "shape" not in figure.spec["spec"]["layer"][-1]["encoding"]


def test_more_checkpoints_than_shapes_have_none(grid):
    figure, *_ = forest_figures(compare(grid, outcomes(len(SHAPES) + 1)), "dapo")
    assert "shape" not in figure.spec["spec"]["layer"][-1]["encoding"]


def test_other_pairs_are_named_in_full(grid):
    named = {figure.name: figure for figure in forest_figures(compare(grid, outcomes()), "dapo")}
    figure = named["pairs-pass@1"]
    assert {row["method"] for row in figure.values} == {"meds minus count"}
    assert next(row["difference"] for row in figure.values if "difference" in row) == 0.1875  # .3125 - .125


def test_many_methods_are_several_courses_and_each_has_the_baseline():
    methods = ["a", "b", "base", "c", "d"]
    figures = course_figures(points(methods), methods, "base")
    assert [figure.name for figure in figures] == [
        *("course-pass@1", "course-pass@1-2", "course-pass@k", "course-pass@k-2")
    ]
    assert [list(dict.fromkeys(row["method"] for row in figure.values)) for figure in figures[:2]] == [
        ["a", "b", "base", "c"],
        ["base", "d"],
    ]
    line = figures[1].spec["spec"]["layer"][1]
    assert line["encoding"]["color"]["scale"]["domain"] == ["base", "d"]
    first = figures[0].values[0]
    assert (first["value"], first["low"], first["high"]) == (0.1, 0.0, 0.4)  # never below 0


def test_one_unit_has_no_band():
    with_band, without = (course_figures(points(["dapo"], num_units=number), ["dapo"], "dapo")[0] for number in (2, 1))
    assert len(with_band.spec["spec"]["layer"]) == len(without.spec["spec"]["layer"]) + 1
    assert "band" not in without.help


def test_costs_are_relative_and_without_the_baseline(grid):
    (figure,) = cost_figures(costs(grid, outcomes()), "dapo")
    assert [row["method"] for row in figure.values] == ["count", "meds"]
    # count: 1 and 1.5 times, geometric mean sqrt 1.5.
    assert (figure.values[0]["low"], figure.values[0]["high"]) == (1.0, 1.5)
    assert figure.values[0]["relative"] == pytest.approx(1.5**0.5)
    only = [one for one in outcomes() if one.cell.method == "dapo"]
    assert cost_figures(costs(grid, only), "dapo") == []


@pytest.mark.parametrize("number", range(1, 9))
def test_names_of_courses_are_known_before(number):
    methods = [f"m{place}" for place in range(number)]
    assert [figure.name for figure in course_figures(points(methods), methods, "m0")] == course_names(number)
