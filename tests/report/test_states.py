"""Errors by the states of a model at hand."""

import pytest

from meds_rl.report import states
from meds_rl.report.data import report_data
from meds_rl.report.source import read_run
from meds_rl.report.states import read_states

from .runs import WRONG, write_run

torch = pytest.importorskip("torch")

BATCH = [(prompt, answer, WRONG) for prompt in ("p", "q") for answer in ("12", "12", "7", "7", "7", None)]
TEXTS = {
    "12": "\n7 + 5 is 12\n\\boxed{12}",
    "7": "\nso the answer must be what it was before, and nothing else.\n\\boxed{7}",
    "None": "",
}


@pytest.fixture(scope="module")
def model():
    from meds_rl.tasks.pocket.model import new_model

    return new_model(seed=0)


def test_equal_completions_are_one_error_and_no_error_has_two_prompts(tmp_path, model):
    write_run(tmp_path, [BATCH], memory=False, completions=TEXTS)
    run = read_run(tmp_path)
    found = read_states(run, *model)
    assert found.by == "states"
    assert not found.over_prompts
    assert found.note == "The model read 12 of 12 wrong completions."
    by_answer = {}
    for row, group in zip(found.rows.tolist(), found.groups.tolist(), strict=True):
        key = (run.rollouts["prompt_id"][row], run.rollouts["answer"][row])
        by_answer.setdefault(key, set()).add(group)
    # The prompt is part of what the model reads; an empty completion has no states.
    assert by_answer[("p", None)] == by_answer[("q", None)] == {-1}
    groups = [by_answer[key] for key in (("p", "12"), ("p", "7"), ("q", "12"), ("q", "7"))]
    assert [len(group) for group in groups] == [1, 1, 1, 1]
    assert len(set.union(*groups)) == 4
    assert sorted(found.names) == ["answers 12", "answers 12", "answers 7", "answers 7"]


def test_the_report_has_them_as_a_grouping(tmp_path, model):
    write_run(tmp_path, [BATCH], memory=False, completions=TEXTS)
    data = report_data([tmp_path], model=model)
    named = {(error["by"], error["kind"], error["name"]) for error in data["errors"]}
    assert {("states", "working", "answers 12"), ("states", "unread", "each different")} <= named


def test_the_prompts_with_the_most_errors_are_read(tmp_path, model, monkeypatch):
    monkeypatch.setattr(states, "MAX_COMPLETIONS", 7)
    batch = [("few", "7", WRONG)] * 2 + [("many", "12", WRONG)] * 6
    write_run(tmp_path, [batch], memory=False, completions=TEXTS)
    found = read_states(read_run(tmp_path), *model)
    assert found.rows.tolist() == [2, 3, 4, 5, 6, 7]
    assert found.note == "The model read 6 of 8 wrong completions."


def test_nothing_wrong(tmp_path, model):
    write_run(tmp_path, [[("p", "12", True)]], memory=False, completions=TEXTS)
    assert read_states(read_run(tmp_path), *model).groups.tolist() == []
