"""Methods of a task and checkpoint have one budget, or nothing runs."""

import pytest

from meds_lab.compare.checks import check_grid, differing_fields
from meds_lab.compare.grid import GridError


def test_differing_fields():
    methods = {
        "dapo": {"max_steps": 40, "num_generations": 8, "learning_rate": 1e-4},
        "meds": {"max_steps": 60, "num_generations": 8, "learning_rate": 1e-5},
        "grpo": {"max_steps": 40, "num_generations": 4, "learning_rate": 1e-5},
    }
    assert differing_fields(methods) == {
        "max_steps": {"dapo": 40, "meds": 60, "grpo": 40},
        "num_generations": {"dapo": 8, "meds": 8, "grpo": 4},
    }
    assert list(differing_fields(methods, ["max_steps"])) == ["num_generations"]


def test_an_equal_budget_passes(make):
    assert check_grid(*make()).differing == frozenset()


def test_resolved_values_are_compared(make):
    # meds says in other words what dapo has: 128 completions a batch either way.
    methods = {"dapo": {"method": "dapo"}, "meds": {"method": "meds", "generation_batch_size": 128}}
    check_grid(*make(methods=methods))
    methods["meds"] = {"method": "meds", "generation_batch_size": 256}
    with pytest.raises(GridError, match=r"generation_batch_size is 128 \(dapo\), 256 \(meds\)"):
        check_grid(*make(methods=methods))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_steps", 9),
        ("temperature", 0.5),
        ("eval_problems", 3),
        ("num_generations", 8),
        ("generation_kwargs", {"temperature": 0.5}),
    ],
)
def test_unequal_budgets_are_refused_unless_named(make, field, value):
    methods = {"dapo": {"method": "dapo"}, "meds": {"method": "meds", field: value}}
    with pytest.raises(GridError, match=f"pocket/base have different budgets: {field} is"):
        check_grid(*make(methods=methods))
    assert check_grid(*make(methods=methods, budget_may_differ=[field])).differing == {field}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budget_may_differ": ["max_step"]}, "Did you mean max_steps"),
        ({"fields": {"eval_samples": 0}}, "eval_samples is 0"),
        ({"k": 9}, "k must be in 1..eval_samples"),
        ({"fields": {"eval_samples": 8, "eval_k": 4, "eval_by": "colour"}}, "eval_by must be a column"),
        (
            {"groups": ["tets hard"]},
            "groups: no task has problems 'tets hard'; there are: test easy, test hard, train easy, train hard.",
        ),
        ({"tasks": {"t": {"task": "sudoku"}}}, "t/base/seed-0/dapo: unknown task 'sudoku'"),
        ({"checkpoints": {"c": {"model_name_or_path": "pocket:x"}}}, "one pocket model is shipped"),
        ({"checkpoints": {"c": {"model_name_or_path": "./none"}}}, "no folder with a model at ./none"),
        ({"fields": {"eval_samples": None}}, "eval_samples must be a whole number; got None"),
        (
            {"methods": {"dapo": {"method": "dapo", "num_generations": 1}}},
            "seed-0/dapo: num_generations must be",
        ),
    ],
)
def test_what_would_fail_later_is_said_before_anything_runs(make, changes, said):
    grid, cells = make(**changes)
    with pytest.raises(GridError) as raised:
        check_grid(grid, cells)
    assert said in str(raised.value)


def test_groups_are_known_before_anything_runs(make):
    assert check_grid(*make()).groups == {"pocket": ["test easy", "test hard", "train easy", "train hard"]}
    assert check_grid(*make(groups=["test hard"])).groups == {"pocket": ["test hard"]}


def test_a_task_without_strategies_cannot_count_them(make):
    pytest.importorskip("reasoning_gym")
    tasks = {
        "sums": {
            "task": "reasoning_gym:chain_sum",
            "task_options": {"train_size": 4, "test_size": 4},
            "eval_by": None,
        }
    }
    methods = {"dapo": {"method": "dapo"}, "meds": {"method": "meds", "rival": "named"}}
    with pytest.raises(GridError, match="sums/base/seed-0/meds: rival: named counts the strategies"):
        check_grid(*make(tasks=tasks, methods=methods))
    del methods["meds"]["rival"]
    assert check_grid(*make(tasks=tasks, methods=methods)).groups == {"sums": ["test", "train"]}
    methods["meds"]["rival"] = "named"
    check_grid(*make(methods=methods))
