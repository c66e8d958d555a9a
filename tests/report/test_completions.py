"""The completions that are shown: whole or not at all, whatever they hold, and why each lost what it lost."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meds_rl.report.completions import Completions
from meds_rl.report.source import read_run
from meds_rl.rollouts import RunFolder

from .runs import RIGHT, WRONG, write_run

HOSTILE = {
    "script": "</script><script>alert(1)</script><!--",
    "control": "\x00\x07\x1b[2J\x1b]0;title\x07\r\n\x7f\x85",
    "bidi": "שלום \u202eabc\u202c عربى",
    "long": "x" * 2_000_000,
    "odd": "🙂 e\u0301 \ufeff \u2028 \ud7ff",
}


def hostile_run(path, memory=True):
    rows = [("p", name, WRONG) for name in HOSTILE] + [("p", None, WRONG), ("p", "r", RIGHT)]
    return write_run(path, [rows, rows], completions=HOSTILE, memory=memory)


def test_hostile_texts_pass_unharmed(tmp_path):
    hostile_run(tmp_path)
    run = read_run(tmp_path)
    chosen = Completions([run])
    places = [chosen.place(run, row) for row in range(5)]
    assert chosen.place(run, 3) == places[3] == 3  # asked for again: the same place
    table, notes = chosen.table(10_000_000)
    assert table["text"] == list(HOSTILE.values())
    assert notes == []
    assert json.loads(json.dumps(table, allow_nan=False))["text"] == list(HOSTILE.values())


def test_beyond_the_budget_a_text_is_missing_and_said_to_be(tmp_path):
    hostile_run(tmp_path)
    run = read_run(tmp_path)
    chosen = Completions([run])
    for row in range(5):
        chosen.place(run, row)
    table, notes = chosen.table(1000)
    assert [text is None for text in table["text"]] == [False, False, False, True, False]
    assert table["answer"][3] == "long"
    assert notes == [
        "The texts of 1 of 5 completions are left out: all would be more than 1,000 characters. The rollouts have them."
    ]


def test_rows_of_several_runs_and_files(tmp_path):
    hostile_run(tmp_path / "a")
    hostile_run(tmp_path / "b", memory=False)
    runs = [read_run(tmp_path / name, number) for number, name in enumerate("ab")]
    chosen = Completions(runs)
    asked = [(1, 7), (0, 13), (0, 2), (1, 0)]
    for run, row in asked:
        chosen.place(runs[run], row)
    table, _ = chosen.table(10_000_000)
    assert table["run"] == [1, 0, 0, 1]
    assert table["step"] == [1, 1, 0, 0]
    assert table["answer"] == ["script", "r", "bidi", "script"]
    assert table["text"] == [HOSTILE["script"], "so it is r", HOSTILE["bidi"], HOSTILE["script"]]
    assert table["is_correct"] == [False, True, False, False]
    assert table["prompt"] == [0, 0, 0, 0]
    (prompt,) = chosen.prompts({"q": "7"})
    assert prompt == {"id": "p", "text": "question p", "words": "question p", "gold": None}
    assert chosen.prompts({"p": "7"})[0]["gold"] == "7"
    assert {len(column) for column in table.values()} == {4}


@pytest.mark.parametrize(
    ("batches", "row", "expected"),
    [
        # Score first, then remember: the first batch is unseen.
        (1, 0, "Nothing like it with an answer was remembered of this prompt yet. No penalty."),
        (1, 2, "Completions of its kind are no target of the penalty. No penalty."),
        # Two copies of one error: all noise, which counts as one cluster of 2: min(.1 ln 3, .2) = .1099.
        (
            2,
            3,
            "Its nearest remembered completions are of no cluster; 2 such count together as one. "
            "Penalty 0.1099 = min(0.1 ln(2 + 1), 0.2).",
        ),
    ],
)
def test_why(tmp_path, batches, row, expected):
    write_run(tmp_path, [[("p", "2", WRONG), ("p", "2", WRONG), ("p", "r", RIGHT)]] * batches)
    run = read_run(tmp_path)
    chosen = Completions([run])
    chosen.place(run, row)
    assert chosen.table(1000)[0]["why"] == [expected]


def test_why_shows_no_formula_that_does_not_give_the_penalty(tmp_path):
    # A run that was resumed with another alpha: the recipe at hand is not the one of this batch.
    rows = [("p", "2", WRONG), ("p", "2", WRONG), ("p", "r", RIGHT)]
    write_run(tmp_path, [rows, rows], fields={"meds_alpha": 0.5})
    run = read_run(tmp_path)
    chosen = Completions([run])
    chosen.place(run, 3)
    assert chosen.table(1000)[0]["why"][0].endswith("Penalty 0.1099.")


def test_why_without_a_memory(tmp_path):
    write_run(tmp_path, [[("p", "2", WRONG)]], memory=False)
    run = read_run(tmp_path)
    chosen = Completions([run])
    chosen.place(run, 0)
    assert chosen.table(1000)[0]["why"] == ["This run has no memory of past errors."]
    assert np.isfinite(chosen.table(1000)[0]["reward"]).all()


def test_why_says_what_replaced(tmp_path):
    write_run(tmp_path, [[("p", "2", WRONG), ("p", "3", WRONG)]])
    ((_, path),) = RunFolder(tmp_path).rollout_files()
    table = pq.read_table(path)
    place = table.schema.get_field_index("replaced")
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array([True, False])), path)
    run = read_run(tmp_path)
    chosen = Completions([run])
    for row in (0, 1):
        chosen.place(run, row)
    why = chosen.table(1000)[0]["why"]
    assert why[0] == f"{why[1]} A recalled right completion took its place in the update."


def test_runs_of_before_recall_are_read(tmp_path):
    write_run(tmp_path, [[("p", "2", WRONG)]])
    ((_, path),) = RunFolder(tmp_path).rollout_files()
    pq.write_table(pq.read_table(path).drop_columns(["replaced"]), path)
    assert RunFolder(tmp_path).rollouts()["replaced"].isna().all()
    assert read_run(tmp_path).rollouts["replaced"].tolist() == [None]
