"""The course of training: where its values come from."""

import json

import numpy as np
import pytest

from meds_rl.report.course import MAX_POINTS, course_table, has_memory, logged_course, run_course, thinned
from meds_rl.report.data import report_data
from meds_rl.report.source import read_run

from .runs import RIGHT, WRONG, write_run

# Prompt p: the error "2" comes in every batch, "3" only in the first.
BATCHES = [
    [("p", "2", WRONG), ("p", "2", WRONG), ("p", "3", WRONG), ("p", "1", RIGHT)],
    [("p", "2", WRONG), ("p", "2", WRONG), ("p", "1", RIGHT), ("p", "1", RIGHT)],
    [("p", "2", WRONG), ("p", None, WRONG), ("p", "1", RIGHT), ("p", "1", RIGHT)],
]


def test_a_run_with_a_memory(tmp_path):
    write_run(tmp_path, BATCHES, spread=1e-3)
    run = read_run(tmp_path)
    lines = run_course(run)
    assert lines["reward", "raw"] == {0: 0.25, 1: 0.5, 2: 0.5}
    assert lines["repeated", "answer"] == {1: 1.0, 2: 0.5}
    assert lines["memory", "size"] == {0: 3.0, 1: 5.0, 2: 7.0}  # logged after steps 1, 2, 3
    # Every first wrong batch is unseen: no penalty.
    assert lines["penalty", "mean"][0] == 0
    assert lines["penalty", "mean"][1] > 0
    assert lines["time_share", "share"][0] == pytest.approx(0.1 / 2.0)
    assert has_memory(run)
    table = course_table({0: lines})
    assert {panel["id"] for panel in table["panels"]} >= {"reward", "penalty", "memory", "time", "eigenvalue"}
    assert len({len(column) for column in table["values"].values()}) == 1


def test_pass_at_g_is_called_by_its_number_where_all_groups_are_as_large(tmp_path):
    write_run(tmp_path / "a", BATCHES)
    write_run(tmp_path / "b", BATCHES, memory=False)
    write_run(tmp_path / "c", BATCHES, memory=False, fields={"num_generations": 8})
    for names, label in (("ab", "pass@4"), ("abc", "pass@G")):
        panels = report_data([tmp_path / name for name in names])["course"]["panels"]
        (panel,) = [panel for panel in panels if panel["id"] == "pass"]
        assert panel["lines"][1] == {"id": "pass@G", "label": label}
        assert f"{label}: share of groups" in panel["help"]


def test_by_the_clusters_as_they_are_now(tmp_path):
    # Two copies and more of "2" and of "3" are two clusters in the end; each is new once.
    batches = [
        [("p", "2", WRONG), ("p", "2", WRONG), ("p", "3", WRONG), ("p", "1", RIGHT)],
        [("p", "2", WRONG), ("p", "3", WRONG), ("p", "3", WRONG), ("p", "1", RIGHT)],
        [("p", "4", WRONG), ("p", "4", WRONG), ("p", "2", WRONG), ("p", "1", RIGHT)],
    ]
    write_run(tmp_path, batches)
    lines = run_course(read_run(tmp_path))
    assert lines["repeated", "cluster"] == {1: 1.0, 2: pytest.approx(1 / 3)}


def test_a_run_without_a_memory_has_none_of_its_lines(tmp_path):
    write_run(tmp_path, BATCHES, memory=False)
    lines = run_course(read_run(tmp_path))
    assert ("reward", "shaped") not in lines
    assert not {"penalty", "memory", "time", "time_share", "eigenvalue"} & {panel for panel, _ in lines}


def test_a_run_without_rollouts_tells_what_it_logged(tmp_path):
    rows = [
        {
            "step": 1,
            "reward": 0.2,
            "rewards/meds_penalty/mean": -0.1,
            "meds/memory_size": 5.0,
            "pass/pass@1": 0.25,
        },
        {
            "step": 2,
            "reward": 0.3,
            "rewards/meds_penalty/mean": -0.1,
            "meds/memory_size": 9.0,
            "pass/pass@8": 0.75,
        },
        {"step": 2, "train_runtime": 3.0},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = read_run(tmp_path)
    lines = run_course(run)
    assert lines["reward", "raw"] == {0: pytest.approx(0.3), 1: pytest.approx(0.4)}
    assert lines["pass", "pass@1"] == {0: 0.25}
    assert lines["pass", "pass@G"] == {1: 0.75}
    assert run.num_steps == 2
    assert "no errors and no map" in run.notes[0]


def test_logged_pass_figures_know_the_groups_that_were_thrown_away(tmp_path):
    folder = write_run(tmp_path, BATCHES, memory=False)
    with folder.metrics_path.open("a") as file:
        file.write(json.dumps({"step": 1, "dynamic_sampling/raw_accuracy": 0.1}) + "\n")
    lines = run_course(read_run(tmp_path))
    assert lines["pass", "pass@1"] == {0: 0.1}
    assert lines["pass", "pass@G"] == {0: 1.0, 1: 1.0, 2: 1.0}


def test_nothing_is_counted_by_answer_where_answers_are_unknown(tmp_path):
    write_run(tmp_path, [[("p", None, WRONG), ("p", None, RIGHT)]] * 3, memory=False)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 1, "diversity/answer_entropy": 0.5, "diversity/distinct_wrong": 1.0}) + "\n")
    lines = run_course(read_run(tmp_path))
    assert ("pass", "pass@1") in lines
    assert not {"entropy", "distinct", "repeated"} & {panel for panel, _ in lines}


def test_nulls_and_nan_in_the_metrics_are_passed_over():
    rows = [{"step": 1, "reward": None}, {"step": 2, "reward": float("nan")}, {"step": 3, "reward": 1.0}]
    assert logged_course(rows)["reward", "shaped"] == {2: 1.0}


def test_a_long_line_is_averaged_over_equal_stretches():
    points = {step: float(step) for step in range(2 * MAX_POINTS + 2)}
    thin = list(thinned(points))
    # 2,002 points in stretches of 3: the first is steps 0, 1, 2 with the mean 1.
    assert len(thin) <= MAX_POINTS
    assert thin[0] == (0, 1.0)
    assert np.mean([value for _, value in thin[:-1]]) == pytest.approx(
        np.mean([3 * i + 1 for i in range(len(thin) - 1)])
    )
    assert list(thinned({3: 1.0, 1: 2.0})) == [(1, 2.0), (3, 1.0)]
