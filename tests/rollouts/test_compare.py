"""Samples that an evaluation did not grade one by one: when they are compared with the reference, and what is said."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meds_rl.rollouts import RunFolderError, read

SAMPLES = [["4", "5"], ["5", "4"], ["5", "5"], ["4", "4"], ["5", "6"]]
"""Of five documents, whose reference is 4, the answers of two samples."""


def repeats(texts, grade, *, answers=None, target="4", filter_="none", doc_id=0):
    """A document of lm-evaluation-harness whose first sample is graded."""
    row = {
        "doc_id": doc_id,
        "arguments": {"gen_args_0": {"arg_0": f"question {doc_id}", "arg_1": {}}},
        "resps": [texts],
        "filtered_resps": [texts[0] if answers is None else answers],
        "filter": filter_,
        "metrics": ["exact_match"],
        "exact_match": grade,
    }
    return row | ({} if target is None else {"target": target})


def documents(samples=SAMPLES, form="so \\boxed{%s}", **more):
    """The documents as they are; the program grades the first sample of each."""
    return [
        repeats([form % answer for answer in given], float(given[0] == "4"), doc_id=number, **more)
        for number, given in enumerate(samples)
    ]


def saved(tmp_path, rows):
    path = tmp_path / "samples_task_1.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def grades(table):
    """1 right, 0 wrong, None not graded."""
    pairs = zip(table["is_correct"], table["reward"], strict=True)
    return [None if reward != reward else int(right) for right, reward in pairs]


ALL = [int(answer == "4") for given in SAMPLES for answer in given]
FIRST = [grade for given in SAMPLES for grade in (int(given[0] == "4"), None)]


def test_repeats_are_compared_where_the_comparison_agrees_with_every_grade(tmp_path):
    table = read(saved(tmp_path, documents()))
    assert grades(table) == ALL == [1, 0, 0, 1, 0, 0, 1, 1, 0, 0]
    assert table["reward"].tolist() == [float(grade) for grade in ALL]
    assert "5 completions that the program did not grade were compared" in table.attrs["source"][1]
    assert "in 5 of 5 cases." in table.attrs["source"][1]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        # The program calls a 6 right.
        ([*documents(), repeats(["\\boxed{6}", "\\boxed{4}"], 1.0, doc_id=9)], "in 5 of 6 cases, of which 3 say right"),
        # The reference is written in another way.
        (documents(target="4.0"), "in 3 of 5 cases, of which 2 say right"),
        # Four grades are too few, and wrong ones alone do not show that a right answer would be seen.
        (documents(SAMPLES[:4]), "in 4 of 4 cases, of which 2 say right"),
        (documents([["5", "4"]] * 5), "in 5 of 5 cases, of which 0 say right"),
    ],
)
def test_repeats_stay_ungraded_where_it_disagrees_or_cannot_be_checked(tmp_path, rows, said):
    table = read(saved(tmp_path, rows))
    assert grades(table)[1::2] == [None] * len(rows)
    assert grades(table)[::2] == [int(row["exact_match"]) for row in rows]
    notes = " ".join(table.attrs["source"])
    assert f"{said}. It is used if a file has at least 5, one of them says right, and it agrees in all." in notes
    assert f"Not graded, neither right nor wrong: {len(rows)} completions." in notes


def test_repeats_without_a_reference_stay_ungraded(tmp_path):
    table = read(saved(tmp_path, documents(target=None)))
    assert grades(table) == FIRST
    assert "the reference" not in " ".join(table.attrs["source"])


def test_answers_without_a_marker_need_a_pattern(tmp_path):
    rows = documents(form="it is %s.")
    for row, given in zip(rows, SAMPLES, strict=True):
        row["filtered_resps"] = [given[0]]
    path = saved(tmp_path, rows)
    table = read(path)
    assert grades(table) == FIRST
    assert table["answer"].tolist()[::2] == [given[0] for given in SAMPLES]  # those that the file has
    assert "not compared with the reference: no answer is found in them." in " ".join(table.attrs["source"])
    assert grades(read(path, answer_pattern="it is ([0-9])")) == ALL


def test_answers_that_a_filter_read_in_every_repeat(tmp_path):
    rows = documents(form="it is %s.")
    for row, given in zip(rows, SAMPLES, strict=True):
        row["filtered_resps"] = [given]
    table = read(saved(tmp_path, rows))
    assert grades(table) == ALL
    assert table["answer"].tolist() == [answer for given in SAMPLES for answer in given]


def test_the_filter_whose_grades_the_comparison_confirms_is_read(tmp_path):
    # As in gsm8k: the reference is a worked solution, one filter reads the marked answer and the other the last number.
    solution = "2 + 2 = 4\n#### 4"
    samples = [*SAMPLES, ["4", "4"]]
    strict = documents(samples, form="#### %s", target=solution, filter_="strict")
    flexible = documents(samples, form="#### %s", target=solution, filter_="flexible")
    for rows in (strict, flexible):
        rows[-1]["resps"] = [["I think 4", "#### 4"]]
        for row, given in zip(rows, samples, strict=True):
            row["filtered_resps"] = [given[0]]
    strict[-1] |= {"filtered_resps": ["[invalid]"], "exact_match": 0.0}
    table = read(saved(tmp_path, [*flexible, *strict]))
    assert grades(table) == [*ALL, 0, 1]
    assert "strict is read, whose grades the comparison confirms." in " ".join(table.attrs["source"])


def details(tmp_path, figures, samples=SAMPLES, gold=0):
    """Documents of lighteval; `figures` has a value for each document, by the name of the metric."""
    rows = [
        {
            "doc": {"query": f"question {number}", "choices": ["4", "four"], "gold_index": gold},
            "model_response": {"text": [f"so \\boxed{{{answer}}}" for answer in given]},
            "metric": {name: values[number] for name, values in figures.items()},
        }
        for number, given in enumerate(samples)
    ]
    path = tmp_path / "details_task.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize(
    "figures",
    [
        {"avg@n:n=2": [0.5, 0.5, 0.0, 1.0, 0.0]},
        {"pass@k:k=1&n=2": [0.5, 0.5, 0.0, 1.0, 0.0]},
        {"math_pass@1:2_samples": [0.5, 0.5, 0.0, 1.0, 0.0]},
        {"pass@k:k=2": [1.0, 1.0, 0.0, 1.0, 0.0]},
        {"avg@n:n=1": [1.0, 0.0, 0.0, 1.0, 0.0]},  # of the first sample alone
        {"extractive_match": [1.0, 1.0, 0.0, 1.0, 0.0]},  # the best sample
        {"maj@n:n=2": [1.0, 0.0, 0.0, 1.0, 0.0], "avg@n:n=2": [0.5, 0.5, 0.0, 1.0, 0.0]},  # one that says it
    ],
)
def test_samples_of_a_document_are_compared_where_its_figure_agrees(tmp_path, figures):
    table = read(details(tmp_path, figures))
    assert grades(table) == ALL
    assert "in 5 of 5 cases." in " ".join(table.attrs["source"])


def test_samples_stay_ungraded_where_the_average_disagrees(tmp_path):
    table = read(details(tmp_path, {"avg@n:n=2": [0.5, 1.0, 0.0, 1.0, 0.0]}))  # of the second, 1 of 2 is right
    assert grades(table) == [None, None, None, None, 0, 0, None, None, 0, 0]
    assert "in 4 of 5 cases, of which 3 say right." in " ".join(table.attrs["source"])


def test_a_majority_that_is_wrong_does_not_say_that_all_are(tmp_path):
    with pytest.raises(RunFolderError, match="maj@n:n=2 has no number that says right or wrong"):
        read(details(tmp_path, {"maj@n:n=2": [1.0, 0.0, 0.0, 1.0, 0.0]}))


def test_one_of_several_references_is_enough(tmp_path):
    samples = [["4", "four"], *SAMPLES[1:]]
    table = read(details(tmp_path, {"avg@n:n=2": [1.0, 0.5, 0.0, 1.0, 0.0]}, samples, gold=[0, 1]))
    assert grades(table) == [1, 1, *ALL[2:]]


def test_each_file_is_checked_by_itself(tmp_path):
    for name, rows in (("samples_a_1.jsonl", documents()), ("samples_b_1.jsonl", documents(target="4.0"))):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / name).write_text(text.replace("so ", f"{name[8]} "))  # equal files are one file
    table = read(tmp_path)
    assert grades(table) == [*ALL, *FIRST]
    notes = " ".join(table.attrs["source"])
    assert "5 completions that the program did not grade were compared with the reference" in notes
    assert "5 completions that the program did not grade were not compared with the reference" in notes
