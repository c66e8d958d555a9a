"""Reading files, folders and hub layouts; finding the problem, the answer and the level in a row."""

import pytest

from meds_rl.tasks.sources import check_columns, find_answer, find_level, find_problem, read_source

from .layouts import PREFIX, SUFFIX, dapo_row, eleuther_row, nlile_row, processed_dapo_row, write

ROWS = [dapo_row("What is $1+1$?", "2"), dapo_row("What is $2+2$?", "4")]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl", "rows.json", "ROWS.JSONL"])
def test_files(tmp_path, name):
    dataset = read_source(write(ROWS, tmp_path / name))
    assert [find_problem(row) for row in dataset] == ["What is $1+1$?", "What is $2+2$?"]
    assert [find_answer(row) for row in dataset] == ["2", "4"]


def test_csv(tmp_path):
    (tmp_path / "own.csv").write_text('question,answer\n"1+1?",2\n')
    assert [(find_problem(row), find_answer(row)) for row in read_source(str(tmp_path / "own.csv"))] == [("1+1?", "2")]


def test_csv_cells_are_taken_as_they_stand(tmp_path):
    answers = ["007", "1e5", "12345678901234567890123", "0.50", "NA", "True", "2024-01-01"]
    lines = [f"{number}?,{answer}\n" for number, answer in enumerate(answers)]
    (tmp_path / "own.csv").write_text("question,answer\n" + "".join(lines))
    assert [find_answer(row) for row in read_source(str(tmp_path / "own.csv"))] == answers


def test_a_folder_like_the_hubs_gives_its_training_split(tmp_path):
    """The layout of nlile/hendrycks-MATH-benchmark: data/train-*, data/test-*."""
    write([nlile_row("train?", "1")], tmp_path / "data" / "train-00000-of-00001.parquet")
    write([nlile_row("test?", "2")], tmp_path / "data" / "test-00000-of-00001.parquet")
    assert [find_problem(row) for row in read_source(str(tmp_path))] == ["train?"]


def _configs(folder, names):
    for name in names:
        write([eleuther_row(f"{name}?", r"\boxed{1}")], folder / name / "train-0.parquet")
        write([eleuther_row(f"{name} test?", r"\boxed{1}")], folder / name / "test-0.parquet")
    entries = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}/train-*\n"
        f"  - split: test\n    path: {name}/test-*\n"
        for name in names
    )
    (folder / "README.md").write_text(f"---\nconfigs:\n{entries}---\n")
    return str(folder)


def test_all_configurations_are_read_where_none_holds_them_all(tmp_path):
    """EleutherAI/hendrycks_math has one configuration for each of seven subjects."""
    found = read_source(_configs(tmp_path, ["algebra", "geometry", "number_theory"]))
    assert sorted(find_problem(row) for row in found) == ["algebra?", "geometry?", "number_theory?"]


def test_the_configuration_all_is_not_read_twice(tmp_path):
    """open-r1/DAPO-Math-17k-Processed has all, cn and en."""
    assert [find_problem(row) for row in read_source(_configs(tmp_path, ["all", "cn", "en"]))] == ["all?"]


def test_what_cannot_be_read_is_said(tmp_path):
    (tmp_path / "rows.xlsx").write_text("x")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "broken.jsonl").write_text('{"problem": "1')
    (tmp_path / "broken.parquet").write_text("no parquet")
    only_test = tmp_path / "held_out"
    write(ROWS, only_test / "test.parquet")
    for name, message in {
        "missing.parquet": "no such file or folder",
        "rows.xlsx": r"unknown file type '\.xlsx'; allowed: \.parquet, \.jsonl, \.json, \.csv",
        "empty.jsonl": "is empty: 0 rows",
        "broken.jsonl": r"cannot read .*broken\.jsonl",
        "broken.parquet": r"cannot read .*broken\.parquet",
        "held_out": r"has no split 'train' \(found: test\); name a file to use it",
    }.items():
        with pytest.raises(ValueError, match=message):
            read_source(str(tmp_path / name))


def test_a_hub_name_that_cannot_be_reached_is_said():
    with pytest.raises(ValueError, match="cannot read 'nobody/nothing' as a file, a folder or a hub data set"):
        read_source("nobody/nothing")


@pytest.mark.parametrize(
    ("row", "problem", "answer"),
    [
        (dapo_row("Find $x$.", "34"), "Find $x$.", "34"),
        (processed_dapo_row("Find $x$.", "34"), "Find $x$.", "34"),
        (
            eleuther_row("Find $x$.", r"It is $\boxed{3}$, no, $\boxed{\frac{1}{2}}$."),
            "Find $x$.",
            r"\frac{1}{2}",
        ),
        (nlile_row("Find $x$.", r"\text{(A)}"), "Find $x$.", r"\text{(A)}"),
        ({"question": "How many?", "answer": "3 and 4 are 7.\n#### 7"}, "How many?", "7"),  # GSM8K
        (
            {"prompt": [{"role": "user", "content": "a"}], "solution": r"$\frac12$"},
            "a",
            r"\frac12",
        ),  # TRL's DeepMath
        ({"problem": "a", "answer": 12}, "a", "12"),
        ({"problem": "a", "answer": None, "solution": r"\boxed{5}"}, "a", "5"),
        ({"problem": "a", "solution": "First\nthen"}, "a", None),
        ({"problem": "a", "solution": "x" * 200}, "a", None),
        ({"problem": "a", "solution": r"\boxed{12"}, "a", None),
        ({"problem": " ", "answer": " "}, "", None),
        ({"prompt": [{"role": "system", "content": "s"}], "answer": "1"}, "", "1"),
        ({"prompt": None, "reward_model": None, "answer": "1"}, "", "1"),
        ({"problem": 5, "question": "a", "answer": ["$1$", "2"]}, "a", "1, 2"),
        ({"problem": "a", "answer": float("nan")}, "a", None),
        ({"problem": "a", "final_answer": r"['$\\frac{1}{2}$', '2']"}, "a", r"\frac{1}{2}, 2"),
        ({"problem": "a", "reward_model": {"ground_truth": ["3", "4"]}}, "a", "3, 4"),
    ],
)
def test_problem_and_answer_of_a_row(row, problem, answer):
    assert find_problem(row) == problem
    assert find_answer(row, bare_solution=True) == answer


@pytest.mark.parametrize(
    "text",
    [
        PREFIX + "Find $x$." + SUFFIX,
        "Find $x$." + SUFFIX,
        r"Find $x$. Let's think step by step and output the final answer within \boxed{}.",
        "Find $x$.\nPlease reason step by step, and put your final answer within \\boxed{}.",
        "  Find $x$.\n",
    ],
)
def test_instructions_are_taken_away(text):
    assert find_problem({"problem": text}) == "Find $x$."


def test_levels():
    assert [find_level({"level": level}) for level in (5, "Level 4", "3", "Level ?", None)] == [
        5,
        4,
        3,
        None,
        None,
    ]


def test_columns_are_checked():
    check_columns(["prompt", "reward_model"], "f")
    with pytest.raises(
        ValueError,
        match=r"f has no prompts: needed is a column problem or question or prompt; found: text, answer",
    ):
        check_columns(["text", "answer"], "f")
    with pytest.raises(
        ValueError,
        match=r"f has no answers: needed is a column reward_model or answer or final_answer or solution; found: prob",
    ):
        check_columns(["problem"], "f")


def test_a_bare_solution_is_an_answer_only_where_that_is_meant():
    assert find_answer({"problem": "a", "solution": "There is none."}) is None
    assert find_answer({"problem": "a", "solution": r"So \boxed{3}."}) == "3"
