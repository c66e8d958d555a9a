"""The paper's training set: unified, deduplicated, and readable by TRL and verl."""

from dataclasses import asdict

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_rl.tasks import prompt_id
from meds_rl.tasks.mathematics import SYSTEM_PROMPT, SourceCounts, collect, normalise, write_parquet

from .layouts import dapo_row, eleuther_row, nlile_row, write


def counted(counts: SourceCounts) -> dict[str, int]:
    numbers = {name: value for name, value in asdict(counts).items() if name != "source" and value}
    assert numbers["read"] == sum(value for name, value in numbers.items() if name != "read")
    return numbers


@pytest.fixture
def dapo(tmp_path):
    """Five problems: one a hundred times, one spaced differently, one that contradicts itself."""
    rows = [dapo_row("What is $1+1$?", "2", str(i)) for i in range(100)]
    rows += [dapo_row("What is  \\(1 + 1\\)?\n", "2.0"), dapo_row("What is $5!$?", "120")]
    rows += [
        dapo_row("Guess.", "1"),
        dapo_row("Guess.", "2"),
        dapo_row("Guess.", "1"),
        dapo_row("Nothing.", ""),
    ]
    return write(rows, tmp_path / "dapo-math-17k.parquet")


@pytest.fixture
def math(tmp_path):
    rows = [
        eleuther_row("Easy?", r"\boxed{1}", "Level 2"),
        eleuther_row("Unknown?", r"\boxed{1}", "Level ?"),
        eleuther_row("Half of one?", r"Clearly $\boxed{\frac{1}{2}}$.", "Level 3"),
        eleuther_row("Open?", "There is no box.", "Level 4"),
        eleuther_row("What is $5!$?", r"\boxed{120}", "Level 5"),
        eleuther_row("", r"\boxed{120}", "Level 5"),
    ]
    return write(rows, tmp_path / "math.jsonl")


def test_two_sources_become_one_set(dapo, math):
    rows, (of_dapo, of_math) = collect(dapo, math)
    # 106 rows: 1+1 and 5! are kept; 99 exact copies of 1+1 and one spaced differently (2.0 is 2); "Guess." says
    # 1, 2 and 1; one row has no answer.
    assert counted(of_dapo) == {"read": 106, "kept": 2, "duplicates": 100, "contradictory": 3, "no_answer": 1}
    # 6 rows: levels 2 and ?; 5! is in DAPO already; one without a box, one without a problem.
    assert counted(of_math) == {
        "read": 6, "kept": 1, "other_level": 2, "duplicates": 1, "no_answer": 1, "no_problem": 1,
    }  # fmt: skip
    assert [(row["prompt"][1]["content"], row["answer"]) for row in rows] == [
        ("What is $1+1$?", "2"),
        ("What is $5!$?", "120"),
        ("Half of one?", r"\frac{1}{2}"),
    ]


def test_a_contradiction_between_sources_takes_both_out(tmp_path):
    dapo = write([dapo_row("a?", "1"), dapo_row("b?", "1")], tmp_path / "d.parquet")
    math = write([nlile_row("a?", "2"), nlile_row("b?", "1.0")], tmp_path / "m.parquet")
    rows, (of_dapo, of_math) = collect(dapo, math)
    assert counted(of_dapo) == {"read": 2, "kept": 1, "contradictory": 1}
    assert counted(of_math) == {"read": 2, "contradictory": 1, "duplicates": 1}
    assert [row["prompt"][1]["content"] for row in rows] == ["b?"]


def test_a_row_as_trl_and_verl_read_it(math):
    (row,), _ = collect(None, math, levels=[3])
    prompt = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": "Half of one?"}]
    assert row == {
        "data_source": "lighteval/MATH",
        "prompt": prompt,
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": r"\frac{1}{2}"},
        "extra_info": {"index": 0, "split": "train", "level": 3, "source": math},
        "prompt_id": prompt_id(prompt),
        "answer": r"\frac{1}{2}",
        "solution": r"\boxed{\frac{1}{2}}",
    }


def test_levels_and_limit(dapo, math):
    rows, _ = collect(None, math, levels=[2, 3])
    assert [row["extra_info"]["level"] for row in rows] == [2, 3]
    rows, (of_dapo, of_math) = collect(dapo, math, limit=1)
    assert (of_dapo.kept, of_dapo.read, of_math.kept) == (1, 1, 1)
    assert [row["extra_info"]["index"] for row in rows] == [0, 1]


def test_progress_is_told(dapo):
    told = []
    collect(dapo, None, on_progress=lambda *news: told.append(news))
    assert told == [(dapo, 106, 106)]


def test_bad_input(tmp_path, math):
    for arguments, message in [
        ((None, None), "no problem is left of no source"),
        ((write([{"text": "a"}], tmp_path / "t.jsonl"), None), "has no prompts.*found: text"),
        ((write([{"problem": "a"}], tmp_path / "p.jsonl"), None), "has no answers.*found: problem"),
        (
            (None, write([{"problem": "a", "answer": "1"}], tmp_path / "l.jsonl")),
            "no column 'level'; found: problem, answer",
        ),
        ((str(tmp_path / "none.parquet"), None), "no such file"),
        ((write([dapo_row("a", "")], tmp_path / "n.jsonl"), None), "no problem is left of .*n.jsonl"),
    ]:
        with pytest.raises(ValueError, match=message):
            collect(*arguments)
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        collect(None, math, limit=0)


def test_the_file_is_what_pandas_and_arrow_read(tmp_path, dapo):
    rows, _ = collect(dapo, None)  # no level anywhere: the column must still be an integer column
    write_parquet(rows, tmp_path / "new" / "set.parquet")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["set.parquet"]
    frame = pd.read_parquet(tmp_path / "new" / "set.parquet")
    assert list(frame.columns) == [
        "data_source", "prompt", "ability", "reward_model", "extra_info", "prompt_id", "answer", "solution",
    ]  # fmt: skip
    assert [prompt_id(prompt) for prompt in frame["prompt"]] == list(frame["prompt_id"])
    assert frame["reward_model"][0] == {"style": "rule", "ground_truth": "2"}
    extra = pq.read_schema(tmp_path / "new" / "set.parquet").field("extra_info").type
    assert str(extra.field("level").type) == "int64"


def test_nothing_is_overwritten(tmp_path, dapo):
    rows, _ = collect(dapo, None)
    path = tmp_path / "set.parquet"
    path.write_text("precious")
    with pytest.raises(ValueError, match="exists and is not overwritten"):
        write_parquet(rows, path)
    assert path.read_text() == "precious"
    with pytest.raises(ValueError, match=r"must end in \.parquet"):
        write_parquet(rows, tmp_path / "set.json")


def test_normalise_keeps_what_matters():
    assert normalise("Is $A < a$?") != normalise("Is $a < a$?")
    assert normalise("１＋１ is?") == normalise("1+1 is ?")  # full-width digits


@given(st.text(), st.text(" \t\n", min_size=1))
def test_white_space_makes_no_new_problem(text, space):
    assert normalise(space.join(text.split())) == normalise(text) == normalise(space + text + space)
