"""Outcomes in the report: kinds over all prompts, errors of a prompt, sentences, and the page."""

import pytest

from meds_rl import RepeatedErrorPenalty
from meds_rl.cli.report import summary
from meds_rl.report.data import report_data
from meds_rl.report.drawing.html import write_page
from meds_rl.report.outcomes import in_words

INDEX, TYPE, OUTPUT = ("ok", "ok", "IndexError"), ("TypeError", "TypeError", "TypeError"), ("ok", "got 5", "wrong")
PROGRAM = "def f(xs):\n" + "    x = 1\n" * 300


def write(folder, outcomes_by_prompt, batches=1, program=PROGRAM):
    """A run folder: of each prompt a right completion, and a wrong one an outcome."""
    penalty = RepeatedErrorPenalty(
        "right", 0.0, fingerprint="outcome", folder=folder, answer_finder=lambda text: text.rpartition("```\n")[2]
    )
    for number in range(batches):
        rows = [
            (prompt, 0, outcome, f"```\n{program}    return {number}{place}")
            for prompt, outcomes in outcomes_by_prompt.items()
            for place, outcome in enumerate(outcomes)
        ]
        rows += [(prompt, 1, ("ok",) * 3, "```\nright") for prompt in outcomes_by_prompt]
        prompts, right, outcomes, completions = map(list, zip(*rows, strict=True))
        penalty(prompts=prompts, completions=completions, right=right, outcome=outcomes)
    penalty.close()
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(
        tmp_path_factory.mktemp("run"),
        {"p": [INDEX, INDEX, OUTPUT], "q": [INDEX, TYPE, None], "r": [TYPE, TYPE, ("ok", "got 7", "ok")]},
        batches=3,
    )


@pytest.fixture(scope="module")
def data(folder):
    return report_data([folder])


def test_kinds_of_outcomes_over_all_prompts(data):
    """27 wrong completions: IndexError 9 in p and q, TypeError 9 in q and r, wrong output 6 in p and r, none 3."""
    ways = [way for way in data["ways"] if way["by"] == "outcome"]
    assert [(way["name"], way["count"], way["prompts"]) for way in ways] == [
        ("IndexError", 9, 2),
        ("TypeError", 9, 2),
        ("wrong output", 6, 2),
    ]
    assert [way["meaning"] for way in ways] == [
        "67 % of the tests passed on average; only the last one failed in 100 %",
        "no test passed",
        "50 % of the tests passed on average",  # 1 of 3 and 2 of 3
    ]


def test_errors_of_a_prompt_by_outcome(data):
    errors = [error for error in data["errors"] if error["by"] == "outcome"]
    named = {(data["prompts"][error["prompt"]]["text"], error["name"]): error["size"] for error in errors}
    assert named == {
        ("p", "IndexError on test 3 of 3"): 6,
        ("r", "TypeError on all 3 tests"): 6,
        ("p", "got 5 on test 2 of 3, wrong on 3"): 3,
        ("q", "IndexError on test 3 of 3"): 3,
        ("q", "TypeError on all 3 tests"): 3,
        ("q", "no outcome"): 3,
        ("r", "got 7 on test 2 of 3"): 3,
    }
    clusters = [error for error in data["errors"] if error["by"] == "cluster" and error["kind"] == "cluster"]
    assert clusters
    assert clusters[0]["outcomes"] in ([["IndexError on test 3 of 3", 6]], [["TypeError on all 3 tests", 6]])


def test_the_sentences(data):
    first, largest, repeats = [line.strip() for line in summary(data)[1:4]]
    assert first == (
        "The most frequent outcome of wrong completions is “IndexError”: 9 of 27 wrong completions (33 %), in 2 of 3 "
        "prompts; then “TypeError” (33 %), “wrong output” (22 %)."
    )
    assert largest.startswith(
        "The largest single error: to “p” the policy had the outcome “IndexError on test 3 of 3” 6"
    )
    # Each batch repeats the outcomes of the first; only that of q without an outcome does not count: 8 of 9.
    assert repeats == (
        "In the last third of training 89 % of the wrong completions of prompts that came again repeated an outcome "
        "that their prompt had in an earlier batch, as much as in the middle third (89 %)."
    )
    assert not any("Answers were not found" in line for line in summary(data))


def test_no_program_is_shown_as_an_answer(data):
    assert all(len(answer) < 250 for error in data["errors"] for answer, _ in error["answers"])
    assert all(len(answer or "") < 250 for answer in data["completions"]["answer"])
    assert all(len(error["name"]) < 250 for error in data["errors"])
    assert all(len(line) < 600 for line in summary(data))


def test_a_game_has_no_tests_and_needs_no_answers(tmp_path):
    data = report_data([write(tmp_path, {"p": ["lost by timeout", "lost by mate"], "q": ["lost by timeout"]})])
    ways = [way for way in data["ways"] if way["by"] == "outcome"]
    assert [(way["name"], way["meaning"], way["count"]) for way in ways] == [("lost by timeout", "", 2)]
    assert "outcome of wrong completions is “lost by timeout”: 2 of 3" in data["headlines"][0]["text"]


def test_without_outcomes_nothing_is_said_of_them(tmp_path):
    data = report_data([write(tmp_path, {"p": [None, None, INDEX]})])  # one of three is too few
    assert not [error for error in data["errors"] if error["by"] == "outcome"]
    assert "outcome" not in "".join(summary(data)[1:]) + data["ways_help"]


def test_tests_in_words():
    assert in_words("ok, got 1, wrong, wrong, wrong, ok, wrong", True) == "got 1 on test 2 of 7, wrong on 3–5, 7"
    assert in_words("ok, timeout, not run, not run", True) == "timeout on test 2 of 4, not run on 3, 4"
    assert in_words("wrong, ok, wrong", True) == "wrong on tests 1, 3 of 3"


@pytest.mark.long
def test_the_page(data, tmp_path, watch):
    path = tmp_path / "report.html"
    write_page(data, path)
    page = watch().open(path)
    assert page.messages == []
    ways = page.page.locator("#ways")
    assert ways.get_by_text("By outcome").count() or ways.get_by_text("IndexError").count()
    row = page.page.locator("#errors table.errors tr.row").first
    assert "on test 3 of 3" in row.inner_text() or "on all 3 tests" in row.inner_text()
    assert "x = 1" not in row.inner_text()
    row.locator("button.open").click()
    page.page.get_by_role("button", name="Open in full").first.click()
    assert "Outcome" in page.page.locator("#detail .facts").inner_text()
