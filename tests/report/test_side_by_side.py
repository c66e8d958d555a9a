"""The shares of the same errors in several runs, on the prompts that all had."""

import pytest

from meds_rl.report.data import report_data
from meds_rl.report.side_by_side import in_lines

from .runs import RIGHT, WRONG, write_run

STEPS = {  # answer -> the working that leads to it
    "add": "10 + 2 = 12",
    "subtract": "10 - 2 = 8",
    "divide": "10 / 2 = 5",
}
QUESTIONS = ("p 10 and 2", "q 10 and 2", "r 10 and 2")


def rows(**made):
    """A batch: so many completions of each error to each of the first two questions, and one right one."""
    return [
        row
        for question in QUESTIONS[:2]
        for row in [
            *((question, error, WRONG) for error, count in made.items() for _ in range(count)),
            (question, "20", RIGHT),
        ]
    ]


def compared(tmp_path, runs, **options):
    for name, batches in runs.items():
        write_run(tmp_path / name, batches, memory=False, fields={"method": name}, completions=STEPS, **options)
    return report_data([tmp_path / name for name in runs])


def by_name(found):
    return {error["name"]: [share for share, *_ in error["shares"]] for error in found["errors"]}


def test_each_error_has_its_share_in_each_run(tmp_path):
    # Wrong per question and batch, of a: 3 added, 1 subtracted; of b: 1 added, 1 subtracted, 2 divided.
    only_a = [("r 10 and 2", "divide", WRONG)] * 50  # b never had this question
    runs = {
        "a": [[*rows(add=3, subtract=1), *only_a]] * 3,
        "b": [rows(add=1, subtract=1, divide=2)] * 2 + [rows(add=4)],
    }
    data = compared(tmp_path, runs)
    found = data["side_by_side"]
    assert (found["by"], found["num_prompts"]) == ("steps", 2)
    assert [column["name"] for column in found["columns"]] == ["a", "b"]
    # b: of 4 a batch and question 1, 1, 4 are added, 1, 1, 0 subtracted, 2, 2, 0 divided.
    assert by_name(found) == {
        "a+b=x": [0.75, pytest.approx(6 / 12)],
        "a-b=x": [0.25, pytest.approx(2 / 12)],
        "a/b=x": [0.0, pytest.approx(4 / 12)],
    }
    shares = {error["name"]: error["shares"] for error in found["errors"]}
    assert shares["a+b=x"][1] == [0.5, 0.25, 1.0]  # in all batches, in the first third, in the last
    assert [column["wrong"] for column in found["columns"]] == [[0.8] * 3] * 2  # 4 of 5
    lines = in_lines(found, data["prompts"])
    assert lines[0].endswith("to the 2 prompts that all runs had (first to last third of the run):")
    assert "a+b=x (10 + 2 = 12): a 75 % (75 % to 75 %); b 50 % (25 % to 100 %)" in lines


def test_a_column_is_the_mean_over_the_runs_of_a_variant(tmp_path):
    made = {"dapo-0": rows(add=4), "dapo-1": rows(add=2, subtract=2), "meds-0": rows(subtract=4)}
    for name, batch in made.items():
        fields = {"method": name[:4], "seed": int(name[-1])}
        write_run(tmp_path / name, [batch], memory=False, fields=fields, completions=STEPS)
    found = report_data([tmp_path / name for name in made])["side_by_side"]
    assert [(column["name"], column["runs"]) for column in found["columns"]] == [("dapo", [0, 1]), ("meds", [2])]
    assert by_name(found) == {"a+b=x": [0.75, 0.0], "a-b=x": [0.25, 1.0]}  # (1 + .5)/2, (0 + .5)/2


def test_strategies_are_compared_by_name_and_missing_answers_are_an_error_too(tmp_path):
    silent = [(question, None, WRONG) for question in QUESTIONS[:2]]
    runs = {"a": [[*rows(add=3), *silent]], "b": [rows(add=1, subtract=1)]}
    strategies = {"add": "adds", "subtract": "subtracts", "None": "gives up"}
    found = compared(tmp_path, runs, strategies=strategies)["side_by_side"]
    assert found["by"] == "strategy"
    assert by_name(found) == {
        "adds": [0.75, 0.5],
        "subtracts": [0.0, 0.5],
        "gives up": [0.25, 0.0],
        "no answer": [0.25, 0.0],
    }


def test_without_steps_answers_to_single_prompts_are_compared(tmp_path):
    runs = {"a": [[("p", "7", WRONG)] * 3 + [("q", "8", WRONG)]], "b": [[("p", "7", WRONG), ("q", "9", WRONG)]]}
    data = compared(tmp_path, runs)
    found = data["side_by_side"]
    assert found["by"] == "answer"
    words = [data["prompts"][error["prompt"]]["words"] for error in found["errors"]]
    answers = [(word, error["name"]) for word, error in zip(words, found["errors"], strict=True)]
    assert dict(zip(answers, ([s for (s,) in error["shares"]] for error in found["errors"]), strict=True)) == {
        ("question p", "7"): [0.75, 0.5],
        ("question q", "9"): [0.0, 0.5],
        ("question q", "8"): [0.25, 0.0],
    }
    assert in_lines(found, data["prompts"])[2] == "“7” to “question p”: a 75 %; b 50 %"


def test_nothing_to_compare(tmp_path):
    batch = [("p", "7", WRONG)]
    assert compared(tmp_path, {"a": [batch]})["side_by_side"] is None
    apart = {"b": [batch], "c": [[("q", "7", WRONG)]]}
    assert compared(tmp_path, apart)["side_by_side"] is None
    assert in_lines(None, []) == []
    right = {"d": [[("p", "1", RIGHT)]], "e": [[("p", "1", RIGHT)]]}
    assert compared(tmp_path, right)["side_by_side"] is None
