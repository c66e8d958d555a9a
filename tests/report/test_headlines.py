"""The sentences that a reader can quote."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meds_rl.report.data import report_data
from meds_rl.report.headlines import _how_often, _legend, _repeats, verdicts
from meds_rl.report.meanings import POCKET
from meds_rl.tasks.pocket.reading import SLIP
from meds_rl.tasks.pocket.strategies import WRONG as POCKET_WRONG

from .runs import RIGHT, WRONG, write_run

BATCH = [("p", "2", WRONG), ("p", "2", WRONG), ("q", "5", WRONG), ("p", "1", RIGHT)]
STRATEGIES = {"2": "sign", "5": "sign"}


def sentences(path):
    return [headline["text"] for headline in report_data([path])["headlines"]]


def test_a_run_with_a_memory(tmp_path):
    write_run(tmp_path, [BATCH] * 9, strategies=STRATEGIES)
    way, largest, repeats, penalty = sentences(tmp_path)
    assert way == "The most repeated error is “sign”: 27 of 27 wrong completions (100 %), in 2 of 2 prompts."
    assert largest == (
        "The largest single error: to “question p” the policy gave the answer “2” 18 times, 100 % of that prompt's "
        "wrong completions, mostly by “sign”; steps 0 to 8, steady. None of them is in a cluster of the memory."
    )
    assert repeats == (
        "In the last third of training 100 % of the wrong completions repeated a wrong answer of an earlier batch, "
        "as much as in the middle third (100 %)."
    )
    # p's first two are unseen, and q's group of one is all wrong and skipped: 16 of 27 lose something.
    assert penalty.startswith("The mean penalty of wrong completions was 0.1")
    assert penalty.endswith("59 % of them had a penalty, at most 0.200.")


def test_an_annealed_penalty_and_one_that_only_watched(tmp_path):
    write_run(tmp_path / "annealed", [BATCH] * 3, fields={"meds_anneal": [0.25, 0.5]})
    assert sentences(tmp_path / "annealed")[-1].endswith("It fell from 25 % of training on and was 0 from 50 % on.")
    data = report_data([tmp_path / "annealed"])
    assert data["runs"][0]["settings"]["meds_anneal"] == "[0.25, 0.5]"
    write_run(tmp_path / "first", [BATCH])  # the first batch finds nothing
    assert sentences(tmp_path / "first")[-1] == "The penalty was 0 for every wrong completion: the memory only watched."


def test_the_right_way_is_never_the_most_repeated_error(tmp_path):
    # Both prompts follow "rule" and mostly get it right; the answers 2 and 5 are slips. "sign" is wrong once a prompt.
    right = [(prompt, "1", RIGHT) for prompt in "pq"] * 3
    rows = [*right, ("p", "2", WRONG), ("p", "2", WRONG), ("q", "2", WRONG), ("p", "3", WRONG), ("q", "3", WRONG)]
    write_run(
        tmp_path, [rows], memory=False, strategies={"1": "rule", "2": "rule", "3": "sign"}, fields={"task": "pocket"}
    )
    assert sentences(tmp_path)[0].startswith("The most repeated error is “sign”: 2 of 5")
    rule, sign = report_data([tmp_path])["ways"]
    assert (rule["name"], rule["is_right"], rule["meaning"]) == (
        "rule",
        True,
        "the right strategy; here the answer is wrong",
    )
    assert (sign["is_right"], sign["meaning"]) == (False, "")


def test_what_the_pocket_tasks_names_mean(tmp_path):
    names = {"2": "left_to_right", "3": "other"}
    write_run(
        tmp_path, [[("p", "2", WRONG), ("p", "3", WRONG)]], memory=False, strategies=names, fields={"task": "pocket"}
    )
    found = {way["name"]: way["meaning"] for way in report_data([tmp_path])["ways"]}
    assert found["other"] == "follows no strategy that the task knows"
    assert found["left_to_right"].startswith("computes from left to right")
    assert set(POCKET) == {*POCKET_WRONG, SLIP}


def row(group, low, high, num_seeds=1, variant="meds"):
    middle = (low + high) / 2
    return {
        "metric": "pass@1",
        "variant": variant,
        "group": group,
        "baseline_value": 0.5,
        "value": 0.5 + middle,
        "difference": middle,
        "low": low,
        "high": high,
        "num_seeds": num_seeds,
    }


def test_the_verdict_says_better_or_worse_only_where_the_interval_does():
    rows = [row("test easy", -0.125, -0.005), row("test hard", 0.02, 0.08), row("train hard", 0.3, 0.4)]
    assert verdicts({"baseline": "dapo", "rows": rows}) == [
        "pass@1 after training, meds against dapo: worse on test easy (44 % against 50 %, −6.5 points, 95 % interval "
        "−12.5 to −0.5); better on test hard (55 % against 50 %, +5.0 points, 95 % interval +2.0 to +8.0). This is one "
        "seed; others may differ."
    ]
    (unclear,) = verdicts({"baseline": "dapo", "rows": [row("all", -0.01, 0.02, num_seeds=3)]})
    assert "no clear difference on all" in unclear
    assert "seed" not in unclear
    many = verdicts({"baseline": "a", "rows": [row(f"g{n}", 0.1, 0.2) for n in range(6)]})
    assert "; 2 more groups are in the comparison." in many[0]
    assert verdicts(None) == []


def test_errors_that_do_not_come_back(tmp_path):
    # Steps 0 to 2, 3 to 5, 6 to 8: in the middle third the same error, in the last one a new one each time.
    old = [("p", "2", WRONG), ("p", "1", RIGHT)]
    write_run(tmp_path, [old] * 6 + [[("p", f"new {n}", WRONG), ("p", "1", RIGHT)] for n in range(3)], memory=False)
    repeats = sentences(tmp_path)[-1]
    assert repeats == (
        "In the last third of training 0 % of the wrong completions repeated a wrong answer of an earlier batch, "
        "less than in the middle third (100 %)."
    )


def test_no_answer_at_all(tmp_path):
    write_run(tmp_path, [[("p", None, WRONG), ("p", None, WRONG), ("p", "1", RIGHT)]], memory=False)
    assert sentences(tmp_path)[0].startswith(
        "The largest single error: to “question p” the policy wrote words like “so it is None” 2 times"
    )


def test_once_is_not_1_times(tmp_path):
    write_run(tmp_path, [[("p", "2", WRONG), ("p", "1", RIGHT)]], memory=False)
    (largest,) = sentences(tmp_path)
    # One batch has no course.
    assert largest == (
        "The largest single error: to “question p” the policy gave the answer “2” once, 100 % of that prompt's wrong "
        "completions."
    )


def test_equal_answers_to_different_prompts_are_not_one_error(tmp_path):
    rows = [(prompt, answer, WRONG) for prompt in "pq" for answer in ("23", "23", "Paris")]
    write_run(tmp_path, [rows], memory=False)
    (largest,) = sentences(tmp_path)
    assert largest.startswith("The largest single error: to “question p” the policy gave the answer “23” 2 times")


def test_no_answer_is_told_first_where_it_is_the_most_frequent(tmp_path):
    rows = [(prompt, answer, WRONG) for prompt in "pq" for answer in [None] * 15 + ["5"]]
    write_run(tmp_path / "answers", [rows], memory=False)
    assert sentences(tmp_path / "answers")[0] == (
        "The most repeated error is no answer at all: 30 of 32 wrong completions (94 %), in 2 of 2 prompts."
    )
    write_run(tmp_path / "ways", [rows], memory=False, strategies={"5": "sign"})
    assert sentences(tmp_path / "ways")[0].endswith("; then the strategy “sign”: 2 (6.2 %).")
    write_run(tmp_path / "none", [[("p", None, WRONG), ("q", None, WRONG)]], memory=False)
    assert sentences(tmp_path / "none")[0] == (
        "The most repeated error is no answer at all: 2 of 2 wrong completions (100 %), in 2 of 2 prompts."
    )


@pytest.mark.parametrize(
    ("last", "middle", "words"),
    [
        (
            0.860,
            0.860,
            "86 % of the wrong completions repeated a wrong answer of an earlier batch, as much as",
        ),
        (0.856, 0.854, "about as much as in the middle third (85 %)"),
        (0.849, 0.836, "about as much as in the middle third (84 %)"),
        (0.860, 0.840, "more than in the middle third (84 %)"),
        (0.836, 0.856, "less than in the middle third (86 %)"),
        (
            0.050,
            0.040,
            "5.0 % of the wrong completions repeated a wrong answer of an earlier batch, about as much as",
        ),
    ],
)
def test_more_and_less_hold_of_the_figures_as_they_are_written(last, middle, words):
    # Batches 16 steps apart: the thirds are of batches.
    assert words in _repeats({("repeated", "answer"): {0: 0.0, 16: middle, 32: last}})
    assert _repeats({("repeated", "answer"): {0: 0.0, 16: middle}}) == ""


def test_nothing_is_wrong(tmp_path):
    write_run(tmp_path, [[("p", "1", RIGHT)]])
    assert sentences(tmp_path) == ["None of the 1 completions is wrong."]


def test_errors_that_the_task_cannot_name_are_told_of(tmp_path):
    rows = [
        ("p", "2", WRONG),
        ("q", "2", WRONG),
        ("p", "3", WRONG),
        ("q", "3", WRONG),
        ("q", "4", WRONG),
        ("p", "1", RIGHT),
    ]
    write_run(tmp_path, [rows], memory=False, strategies={"2": "sign", "3": "other", "4": "other"})
    assert sentences(tmp_path)[0] == (
        "The most repeated error is “sign”: 2 of 5 wrong completions (40 %), in 2 of 2 prompts; 60 % follow no "
        "strategy that the task knows."
    )


def test_a_run_in_which_nothing_says_what_is_right(tmp_path):
    write_run(tmp_path, [BATCH], memory=False)
    file = next((tmp_path / "rollouts").iterdir())
    table = pq.read_table(file)
    column = table.column_names.index("is_correct")
    pq.write_table(table.set_column(column, "is_correct", pa.nulls(len(table), pa.bool_())), file)
    assert sentences(tmp_path) == ["Nothing says which of the 4 completions are right (correctness): no errors."]


def test_what_the_letters_of_a_way_are():
    def legend(name):
        return _legend({"by": "steps", "name": name})

    assert legend("a+b=x, x*c≠y") == " Here a, b, … are the prompt's numbers in order, x, y, … the results."
    assert legend("def v1(v2): return v2") == " Here v1, v2, … are the program's names in order."
    assert legend("not b, a") == " Here a, b, … are the prompt's names in order."


def test_of_a_sample_the_prompts_are_the_least():
    way = {"by": "steps", "name": "a+b=x", "count": 40, "share": 1.0, "prompts": 3, "is_sample": True}
    assert _how_often(way, 40, 9) == "40 of 40 wrong completions (100 %), in at least 3 of 9 prompts"


def test_answers_that_another_programs_rollouts_lack_are_no_error(tmp_path):
    write_run(tmp_path, [[(prompt, None, WRONG) for prompt in "ppqq"]] * 3, memory=False)
    assert sentences(tmp_path)[0].startswith("The most repeated error is no answer at all")
    (tmp_path / "source.json").write_text(json.dumps({"path": "d", "name": "d", "notes": []}))
    found = sentences(tmp_path)
    assert len(found) == 1
    assert found[0].startswith("The largest single error")
