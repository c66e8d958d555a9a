"""Benchmarks by name, on small local files in exactly the layouts of the hub's."""

import json

import datasets
import pytest

from meds_rl.evaluation.problems import BENCHMARKS, check_names, load_benchmark, select
from meds_rl.tasks.mathematics import SYSTEM_PROMPT

ROWS = {
    "aime24": {
        "id": 60,
        "problem": "Find $x$.",
        "solution": r"It is $\boxed{033}$",
        "answer": "33",
        "url": "u",
        "year": "2024",
    },
    "aime25": {"problem": "Find $x$.", "answer": "33", "id": "0"},
    "amc23": {"id": 0, "question": "Find $x$.", "answer": "33", "url": "u"},
    "math500": {
        "problem": "Find $x$.",
        "solution": r"So $x = \boxed{33}$.",
        "answer": "33",
        "subject": "Algebra",
        "level": 2,
        "unique_id": "test/algebra/1.json",
    },
    "minerva": {"question": "Find $x$.", "answer": "33"},
    "olympiadbench": {
        "id": 1606,
        "question": "Find $x$.",
        "solution": ["First way.", "Second way."],
        "final_answer": ["33"],
        "is_multiple_answer": False,
        "unit": None,
        "answer_type": "Numerical",
        "error": None,
        "subfield": "Algebra",
        "subject": "Math",
        "language": "English",
    },
}


def jsonl(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_layout_from_a_file(tmp_path, name):
    source = load_benchmark(name, jsonl(tmp_path / "rows.jsonl", ROWS[name]))
    (problem,) = select(source)
    columns = problem.columns()
    assert (columns["benchmark"], columns["group"], columns["gold"]) == (name, "test", "33")
    system, user = json.loads(columns["prompt"])
    assert (system["content"], user["content"]) == (SYSTEM_PROMPT, "Find $x$.")
    assert source.task.grade_may_hang
    assert source.task.grade(r"\boxed{33}", problem.row)
    assert not source.task.grade("33", problem.row)


def test_a_file_is_read_whole_and_parquet_too(tmp_path):
    rows = [{**ROWS["amc23"], "question": f"Question {i}?"} for i in range(3)]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "amc.parquet")
    assert len(select(load_benchmark("amc23", tmp_path / "amc.parquet"))) == 3
    assert len(select(load_benchmark("amc23", tmp_path / "amc.parquet"), limit=2)) == 2


def test_a_folder_as_on_the_hub_or_of_files_by_name(tmp_path):
    # The hub's layout: the split that holds the problems is taken, here "test", whatever else there is.
    jsonl(tmp_path / "hub" / "test.jsonl", ROWS["aime25"])
    jsonl(tmp_path / "hub" / "train.jsonl", {**ROWS["aime25"], "problem": "training"})
    (problem,) = select(load_benchmark("aime25", tmp_path / "hub"))
    assert "Find" in problem.columns()["prompt"]
    jsonl(tmp_path / "all" / "amc23.jsonl", ROWS["amc23"])
    jsonl(tmp_path / "all" / "math500" / "test.jsonl", ROWS["math500"])
    assert len(select(load_benchmark("amc23", tmp_path / "all"))) == 1
    assert len(select(load_benchmark("math500", tmp_path / "all"))) == 1


def test_a_folder_with_other_benchmarks_is_not_taken_for_this_one(tmp_path):
    folder = tmp_path / "copies"
    for other in ("amc23", "math500"):
        jsonl(folder / f"{other}.jsonl", ROWS[other])
    with pytest.raises(ValueError, match=r"copies holds no aime24 \(found: amc23.jsonl, math500.jsonl\)"):
        load_benchmark("aime24", folder)
    # A split's name does not make a file of another benchmark this one's.
    jsonl(folder / "train_amc23.jsonl", ROWS["amc23"])
    with pytest.raises(ValueError, match="holds no aime24"):
        load_benchmark("aime24", folder)
    jsonl(tmp_path / "plain" / "problems.jsonl", ROWS["aime24"])
    with pytest.raises(ValueError, match=r"plain holds no aime24 \(found: problems.jsonl\)"):
        load_benchmark("aime24", tmp_path / "plain")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"found: nothing"):
        load_benchmark("aime24", tmp_path / "empty")


def test_layouts_of_the_hub(tmp_path):
    jsonl(tmp_path / "a" / "data" / "test-00000-of-00001.jsonl", ROWS["aime25"])
    jsonl(tmp_path / "b" / "test" / "0.jsonl", ROWS["aime25"])
    jsonl(tmp_path / "c" / "problems.jsonl", ROWS["aime25"])
    readme = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: test\n    path: problems.jsonl\n---\n"
    (tmp_path / "c" / "README.md").write_text(readme)
    for layout in "abc":
        assert len(select(load_benchmark("aime25", tmp_path / layout))) == 1, layout


def test_several_answers_are_joined(tmp_path):
    row = {**ROWS["olympiadbench"], "final_answer": ["$1$", r"$\frac{1}{2}$"], "is_multiple_answer": True}
    source = load_benchmark("olympiadbench", jsonl(tmp_path / "o.jsonl", row))
    (problem,) = select(source)
    assert problem.columns()["gold"] == r"1, \frac{1}{2}"
    assert source.task.grade(r"\boxed{1, \frac{1}{2}}", problem.row)
    assert source.task.grade(r"\boxed{\frac12, 1}", problem.row)
    assert not source.task.grade(r"\boxed{1}", problem.row)


def test_any_name_with_a_file_of_ones_own(tmp_path):
    source = load_benchmark("mine", jsonl(tmp_path / "mine.jsonl", {"question": "1+1?", "answer": 2}))
    assert select(source)[0].columns()["benchmark"] == "mine"


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match=r"unknown benchmark 'aime2', did you mean 'aime25'.*allowed: aime24,"):
        load_benchmark("aime2")
    with pytest.raises(ValueError, match="unknown benchmark 'x'"):
        check_names(["aime24", "x"])
    with pytest.raises(ValueError, match=r"letters, digits and .* only; got '../x'"):
        check_names(["../x"], tmp_path)
    one = jsonl(tmp_path / "one.jsonl", ROWS["aime24"])
    check_names(["aime24", "aime24"], one)
    with pytest.raises(ValueError, match=r"is one file, and 2 benchmarks are named \(aime24, amc23\)"):
        check_names(["aime24", "amc23"], one)
    jsonl(tmp_path / "hub" / "test.jsonl", ROWS["aime25"])
    with pytest.raises(ValueError, match="hub holds no aime25: where several benchmarks are named"):
        check_names(["aime25", "amc23"], tmp_path / "hub")
    with pytest.raises(ValueError, match="--data: no such file or folder"):
        load_benchmark("aime24", tmp_path / "none")
    with pytest.raises(ValueError, match="has no answers"):
        load_benchmark("aime24", jsonl(tmp_path / "a.jsonl", {"problem": "x"}))
    with pytest.raises(ValueError, match="problems must be at least 1"):
        select(load_benchmark("aime24", jsonl(tmp_path / "b.jsonl", ROWS["aime24"])), limit=0)
    with pytest.raises(ValueError, match="aime24 has no column 'level'"):
        select(load_benchmark("aime24", tmp_path / "b.jsonl"), by="level")


def test_a_hub_that_cannot_be_reached_is_said_with_the_way_round(monkeypatch):
    asked = []

    def offline(name, *_, **__):
        asked.append(name)
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "get_dataset_config_names", offline)
    with pytest.raises(ValueError, match=r"benchmark math500: .*Couldn't reach the Hub.*--data FILE\.parquet"):
        load_benchmark("math500")
    assert asked == ["HuggingFaceH4/MATH-500"]
