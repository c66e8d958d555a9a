"""reasoning-gym's data sets as tasks: the same problems each time, graded by the data sets' own scorers."""

import pickle
import sys

import pytest

from meds_rl.tasks import check_dataset, prompt_id
from meds_rl.tasks.reasoning_gym import (
    SCORED,
    ReasoningGymGrader,
    decode_entry,
    encode_entry,
    may_be_right,
    plain,
    reasoning_gym_task,
)

SEVERAL = [
    "basic_arithmetic",
    "chain_sum",
    "countdown",
    "fraction_simplification",
    "knights_knaves",  # numpy strings in its entries
    "letter_counting",
    "rearc",  # its scorer compares tuples
    "simple_equations",
    "sokoban",
    "word_sorting",
]


@pytest.mark.parametrize("name", SEVERAL)
def test_a_data_set_is_a_task(name):
    task = reasoning_gym_task(name, train_size=4, test_size=2)
    assert (len(task.train), len(task.test)) == (4, 2)
    check_dataset(task.train)
    for row in [*task.train, *task.test]:
        assert [message["role"] for message in row["prompt"]] == ["system", "user"]
        assert "\\boxed{}" in row["prompt"][0]["content"]
        assert row["prompt_id"] == prompt_id(row["prompt"])
        assert task.grade(rf"Thinking ... \boxed{{{row['answer']}}}", row)
        assert not task.grade(f"{row['answer']}", row)
        assert not task.grade(r"\boxed{surely not}", row)


def test_the_same_arguments_give_the_same_problems():
    first, again, other = (reasoning_gym_task("chain_sum", 20, 10, seed) for seed in (3, 3, 4))
    assert first.train[:] == again.train[:]
    assert first.test[:] == again.test[:]
    assert first.train["prompt_id"][:] != other.train["prompt_id"][:]


def test_all_prompts_differ_also_between_training_and_test():
    # One digit and two terms: 200 draws repeat some problems.
    config = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    task = reasoning_gym_task("chain_sum", 80, 40, config=config)
    ids = [*task.train["prompt_id"], *task.test["prompt_id"]]
    assert len(set(ids)) == len(ids) == 120


def test_the_configuration_is_passed_on():
    task = reasoning_gym_task("chain_sum", 5, 0, config={"min_terms": 2, "max_terms": 2})
    assert task.test is None
    assert {decode_entry(entry)["metadata"]["num_terms"] for entry in task.train["entry"]} == {2}


def test_worked_examples_stand_before_the_question():
    task = reasoning_gym_task("chain_sum", 2, 0, system_prompt="", examples=[["1 + 1 =", r"\boxed{2}"]])
    for row in task.train:
        assert row["prompt"][:2] == [
            {"role": "user", "content": "1 + 1 ="},
            {"role": "assistant", "content": r"\boxed{2}"},
        ]
        assert row["prompt"][2]["role"] == "user"
        assert len(row["prompt"]) == 3


def test_part_of_a_point_is_wrong():
    """chain_sum's scorer gives 0.5 where the right answer stands inside one of twice its length."""
    task = reasoning_gym_task("chain_sum", 1, 0, config={"min_digits": 3, "max_digits": 3})
    row = task.train[0]
    assert task.grade(rf"\boxed{{{row['answer']}}}", row)
    assert not task.grade(rf"\boxed{{{row['answer']} {row['answer']}}}", row)
    assert not task.grade(rf"\boxed{{{row['answer']}}} or \boxed{{0}}", row)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (r"\text{The box}", "The box"),
        (r"$\frac{1}{2}$", "1/2"),
        (r"3 \times 4 \cdot 5", "3 * 4 * 5"),
        ("a b", "a b"),
    ],
)
def test_latex_around_plain_text_is_taken_away(given, text):
    assert plain(given) == text


def test_latex_answers_are_right_too():
    task = reasoning_gym_task("fraction_simplification", 1, 0, config={"styles": ["plain"]})
    top, bottom = task.train[0]["answer"].split("/")
    assert task.grade(rf"\boxed{{\dfrac{{{top}}}{{{bottom}}}}}", task.train[0])


def test_data_sets_without_one_right_answer_are_scored_all_the_same():
    task = reasoning_gym_task("graph_color", 1, 0)
    row = task.train[0]
    check_dataset(task.train)
    assert row["answer"] == SCORED
    assert not task.grade(rf"\boxed{{{SCORED}}}", row)
    # Colour greedily; ten colours are enough for its graphs of ten vertices.
    puzzle = decode_entry(row["entry"])["metadata"]["puzzle"]
    colors: dict = {}
    for vertex in puzzle["vertices"]:
        taken = {colors.get(b if a == vertex else a) for a, b in puzzle["edges"] if vertex in (a, b)}
        colors[vertex] = min(set(puzzle["color_options"]) - taken)
    answer = ", ".join(f'"{vertex}": {color}' for vertex, color in colors.items())
    assert task.grade(rf"\boxed{{{{{answer}}}}}", row)


@pytest.mark.parametrize("junk", ["", "(" * 10_000, "9" * 10_000, "\x00", "__import__('nothing')", "[" * 500, "{}"])
@pytest.mark.parametrize("name", ["countdown", "rearc", "simple_equations", "graph_color"])
def test_junk_is_wrong_and_breaks_nothing(name, junk):
    task = reasoning_gym_task(name, 1, 0)
    assert task.grade(rf"\boxed{{{junk}}}", task.train[0]) is False


def test_the_grader_is_picklable_and_small():
    task = reasoning_gym_task("chain_sum", 1, 0)
    copy = pickle.loads(pickle.dumps(task.grade))
    assert copy == task.grade == ReasoningGymGrader("chain_sum")
    assert copy(rf"\boxed{{{task.train[0]['answer']}}}", task.train[0])


def test_entries_survive_json():
    entry = {"answer": None, "metadata": {"a": [(1, 2), {"b": ("x",)}], "c": {"__tuple__": 1, "d": 2}}}
    assert decode_entry(encode_entry(entry)) == entry


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "chainsum"}, r"no data set 'chainsum', did you mean chain_sum"),
        ({"dataset": "zzzz"}, r"no data set 'zzzz'; it has: .*chain_sum"),
        ({"dataset": "chain_sum", "config": {"terms": 2}}, r"refuses config .*terms"),
        ({"dataset": "chain_sum", "config": {"min_terms": 9, "max_terms": 2}}, "refuses config"),
        ({"dataset": "chain_sum", "config": {"seed": 2}}, "set 'seed' by the task's options"),
        (
            {"dataset": "chain_sum", "examples": ["1 + 1 ="]},
            "an example is a pair of a question and a completion",
        ),
        ({"dataset": "chain_sum", "train_size": 0}, "train_size must be at least 1"),
        (
            {"dataset": "coin_flip", "train_size": 5000, "config": {"min_trials": 3, "max_trials": 3}},
            "ask for fewer",
        ),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        reasoning_gym_task(**arguments)


def test_without_the_package_the_command_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym.factory", None)
    from meds_rl.tasks.reasoning_gym import _generator

    _generator.cache_clear()
    with pytest.raises(ImportError, match=r'pip install "meds-rl\[gym\]"'):
        reasoning_gym_task("chain_sum", 1, 0)


@pytest.mark.parametrize("name", ["coin_flip", "game_of_life_halting", "complex_arithmetic"])
def test_what_a_scorer_wrongly_accepts_is_wrong(name):
    """Theirs give a whole point to the first digits of the right number, to any text, and to NaN."""
    task = reasoning_gym_task(name, train_size=8, test_size=0)
    for row in task.train:
        assert task.grade(rf"\boxed{{{row['answer']}}}", row)
        for answer in ("nan", "nan+nanj", "no idea", row["answer"][:1] if row["answer"][1:] else "2"):
            assert not task.grade(rf"\boxed{{{answer}}}", row), answer


def test_nan_is_only_a_part_of_a_right_word():
    assert may_be_right("spell_backward", "banana", {"answer": "x"})
    assert may_be_right("zebra_puzzles", "Nan", {"answer": "Nan"})
    assert not may_be_right("chain_sum", "-nan", {"answer": "5"})


def test_a_mixture_of_data_sets():
    parts = [{"name": "coin_flip", "weight": 1}, {"name": "chain_sum", "weight": 2, "config": {"max_terms": 2}}]
    task = reasoning_gym_task("composite", train_size=8, test_size=2, config={"datasets": parts})
    sources = {decode_entry(row["entry"])["metadata"]["source_dataset"] for row in task.train}
    assert sources == {"coin_flip", "chain_sum"}
    for row in task.train:
        assert task.grade(rf"\boxed{{{row['answer']}}}", row)
        assert not task.grade(r"\boxed{-77777}", row)


@pytest.mark.parametrize("parts", [["coin_flip"], 3, [{"name": "coin_flip"}], [{"name": "none", "weight": 1}]])
def test_a_mixture_that_cannot_be(parts):
    with pytest.raises(ValueError, match="reasoning_gym:composite refuses config"):
        reasoning_gym_task("composite", config={"datasets": parts})
