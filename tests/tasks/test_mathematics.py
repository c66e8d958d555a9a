"""Training on the written set, on a source's own file, and on a user's."""

import json
import pickle

import pytest

from meds_rl.tasks import load_task, prompt_id
from meds_rl.tasks.mathematics import SYSTEM_PROMPT, collect, load_problems, math_task, write_parquet

from .layouts import dapo_row, nlile_row, write


def test_what_meds_data_writes_is_a_task(tmp_path):
    source = write([nlile_row("Half?", r"\frac12"), nlile_row("Two?", "2")], tmp_path / "math.parquet")
    rows, _ = collect(None, source)
    write_parquet(rows, tmp_path / "set.parquet")
    task = load_task("math", path=str(tmp_path / "set.parquet"))
    assert task.train.column_names == ["prompt", "prompt_id", "answer", "solution"]
    assert task.train["prompt_id"][:] == [row["prompt_id"] for row in rows]
    assert task.train[0]["prompt"] == rows[0]["prompt"]
    assert task.grade(r"\boxed{0.5}", task.train[0])
    assert not task.grade(r"\boxed{0.5}", task.train[1])
    assert (task.name, task.test, task.answer_marker, task.strategy) == ("math", None, "boxed", None)


def test_the_raw_dapo_file_loses_its_instructions_and_copies(tmp_path):
    rows = [dapo_row("What is $1+1$?", "2", str(i)) for i in range(100)] + [dapo_row("And $2+2$?", "4")]
    train = math_task(write(rows, tmp_path / "dapo.parquet")).train
    assert [prompt[0]["content"] for prompt in train["prompt"]] == [SYSTEM_PROMPT, SYSTEM_PROMPT]
    assert [prompt[1]["content"] for prompt in train["prompt"]] == ["What is $1+1$?", "And $2+2$?"]


@pytest.mark.parametrize("problem", ["prompt", "problem", "question"])
@pytest.mark.parametrize("answer", ["answer", "solution"])
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_users_own_file(tmp_path, problem, answer, suffix):
    path = write([{problem: "1+1?", answer: "$2$", "image": "x"}], tmp_path / f"own.{suffix}")
    row = math_task(path, system_prompt="Box it.").train[0]
    assert row == {
        "prompt": [{"role": "system", "content": "Box it."}, {"role": "user", "content": "1+1?"}],
        "prompt_id": prompt_id(row["prompt"]),
        "answer": "2",
        "solution": r"\boxed{2}",
    }


def test_a_users_own_chat_is_left_as_it_is(tmp_path):
    chat = [
        {"role": "user", "content": "1+1?"},
        {"role": "assistant", "content": "?"},
        {"role": "user", "content": "Go."},
    ]
    task = math_task(write([{"prompt": chat, "answer": 2}], tmp_path / "own.jsonl"))
    assert task.train[0]["prompt"] == chat


def test_test_set_and_marker(tmp_path):
    train = write([{"problem": "a?", "answer": "1"}], tmp_path / "train.jsonl")
    test = write([{"problem": "b?", "answer": "2"}], tmp_path / "test.jsonl")
    task = math_task(train, test, answer_marker="answer_tag")
    assert task.test[0]["answer"] == "2"
    grade = pickle.loads(pickle.dumps(task.grade))
    assert grade("<answer>1</answer>", task.train[0])
    assert not grade(r"\boxed{1}", task.train[0])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"text": "a", "answer": "1"}],
            "has no prompts: needed is a column problem or question or prompt; found: text, answer",
        ),
        ([{"problem": "a", "label": "1"}], "has no answers.*found: problem, label"),
        ([{"problem": "a", "answer": "1"}, {"problem": "b", "answer": None}], r"no answer in 1 row\(s\): 1"),
        ([{"problem": " ", "answer": "1"}], r"empty prompt in 1 row\(s\): 0"),
        ([{"prompt": [{"role": "system", "content": "s"}], "answer": "1"}], r"empty prompt in 1 row\(s\): 0"),
        ([], "is empty: 0 rows"),
    ],
)
def test_bad_files(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        math_task(write(rows, tmp_path / "own.jsonl"))


def test_the_path_is_needed():
    with pytest.raises(ValueError, match="task 'math' needs the option 'path': a file that `meds data` wrote"):
        load_task("math")


def test_one_problem_with_two_answers_is_refused(tmp_path):
    path = tmp_path / "own.jsonl"
    rows = [{"problem": "x?", "answer": answer} for answer in (r"\frac{1}{2}", "0.5", r"\frac{1}{2}")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len(load_problems(str(path))) == 1
    path.write_text('{"problem": "x?", "answer": "1"}\n{"problem": "x?", "answer": "2"}\n')
    with pytest.raises(ValueError, match=r"own\.jsonl has two answers to one problem, '1' and '2': 'x\?'"):
        load_problems(str(path))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"problem": 5, "answer": "1"}', "own.jsonl: empty prompt in 1 row"),
        ('{"prompt": 5, "answer": "1"}', "own.jsonl: empty prompt in 1 row"),
        ('{"problem": "x?", "answer": NaN}', "own.jsonl: no answer in 1 row"),
        ('{"problem": "x?", "answer": 12345678901234567.0}', "own.jsonl: the answer .* was rounded"),
        ('{"problem": "x?", "ans', "cannot read .*own.jsonl"),
    ],
)
def test_bad_rows_are_said_with_their_file(tmp_path, line, said):
    path = tmp_path / "own.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ValueError, match=said):
        load_problems(str(path))


def test_files_without_rows_or_of_another_encoding(tmp_path):
    (tmp_path / "own.csv").write_text("problem,answer\n")
    with pytest.raises(ValueError, match=r"own\.csv is empty: 0 rows"):
        load_problems(str(tmp_path / "own.csv"))
    (tmp_path / "own.jsonl").write_bytes(b'{"problem": "caf\xe9", "answer": "1"}\n')
    with pytest.raises(ValueError, match=r"own\.jsonl"):
        load_problems(str(tmp_path / "own.jsonl"))
