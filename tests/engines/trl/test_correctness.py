"""Which reward function says right or wrong: named, found, or missing, and what is said about it."""

import logging

import numpy as np
import pytest
import torch
from accelerate import PartialState

from meds_rl.engines.trl import MEDSTrainer
from meds_rl.engines.trl.batch import Batch, rollout_columns, warn_of_first_batch
from meds_rl.engines.trl.correctness import Correctness, as_list, find_columns
from meds_rl.rollouts import RunFolder

from .conftest import even_length, third_token, train

NAN = float("nan")


@pytest.fixture(autouse=True)
def _accelerate():
    """Its loggers want to know which process they are in."""
    PartialState(cpu=True)


def make(names=("format", "accuracy"), chosen=None, above=None, required=False) -> Correctness:
    return Correctness(dict(enumerate(names)), chosen, above, required=required)


def test_the_first_function_that_returns_a_number_grades_a_row():
    correctness = make(("a", "b", "c"), chosen=[2, 0])
    rewards = torch.tensor([[0.0, 9.0, 1.0], [1.0, 9.0, NAN], [NAN, 9.0, NAN]])
    correctness.decide(rewards)
    assert correctness.grades(rewards)[:2].tolist() == [1.0, 1.0]
    assert torch.isnan(correctness.grades(rewards)[2])
    assert correctness.is_correct(rewards).tolist() == [True, True, False]


def test_a_single_function_of_0_and_1_needs_no_word(caplog):
    correctness = make(("accuracy",), required=True)
    correctness.decide(torch.tensor([[0.0], [1.0], [NAN]]))
    assert correctness.columns == [0]
    assert not caplog.records


def test_the_only_binary_function_is_taken_with_a_warning(caplog):
    correctness = make(required=True)
    correctness.decide(torch.tensor([[0.5, 0.0], [1.0, 1.0]]))
    assert correctness.columns == [1]
    assert "only 'accuracy' returned nothing but 0 and 1 in the first batch" in caplog.text
    assert "MEDSTrainer(correctness='accuracy')" in caplog.text


@pytest.mark.parametrize(
    ("names", "above", "rows", "said"),
    [
        (("format", "accuracy"), None, [[1.0, 0.0]], "several of them returned nothing but 0 and 1. Name it"),
        (("format", "accuracy"), None, [[0.5, 7.0]], "none of them returned nothing but 0 and 1. Name it"),
        (("accuracy",), None, [[-1.0], [1.0]], "it returned -1, and not only 0 and 1. Set correct_above"),
        (("length",), None, [[5.0], [12.0], [7.0], [3.0]], "it returned 3, 5, 7, and not only 0 and 1"),
    ],
)
def test_where_nothing_says_right_or_wrong(caplog, names, above, rows, said):
    watching = make(names, above=above)
    watching.decide(torch.tensor(rows))
    assert not watching.known
    assert said in caplog.text
    assert "a memory only watches" in caplog.text
    assert not watching.is_correct(torch.tensor(rows)).any()
    with pytest.raises(ValueError, match="This method and its settings need it"):
        make(names, above=above, required=True).decide(torch.tensor(rows))


def test_a_task_that_is_not_in_the_first_batch_is_graded_later(caplog):
    correctness = make(("a", "b"), chosen=[0, 1], required=True)
    correctness.decide(torch.tensor([[1.0, NAN], [0.0, NAN]]))
    assert correctness.columns == [0, 1]
    later = torch.tensor([[NAN, 1.0], [NAN, 0.0]])
    correctness.decide(later)
    assert correctness.is_correct(later).tolist() == [True, False]
    assert not caplog.records


def test_a_first_batch_without_any_verdict_is_said_and_later_ones_count(caplog):
    correctness = make(("accuracy",))
    nothing, later = torch.tensor([[NAN], [NAN]]), torch.tensor([[1.0], [0.0]])
    correctness.decide(nothing)
    correctness.decide(nothing)
    assert torch.isnan(correctness.grades(nothing)).all()
    correctness.decide(later)
    assert correctness.is_correct(later).tolist() == [True, False]
    said = "No completion of the first batch got a number from 'accuracy': none counts as right or wrong."
    assert [said in record.getMessage() for record in caplog.records] == [True]


def test_what_has_no_grade_yet_is_not_remembered_as_wrong(model_path, dataset, make_config):
    def later(completion_ids, trainer_state, **_):
        return [None if trainer_state.global_step == 0 else float(sum(ids) % 2) for ids in completion_ids]

    args = make_config(method="trl", max_steps=2)
    trainer = train(model_path, dataset, args, halves, correctness=later)
    rollouts = rollouts_of(args)
    assert (rollouts.loc[rollouts["generation"] == 0, "reason"] == "not_graded").all()
    assert trainer._correctness.known
    assert len(trainer.memory) > 0


def test_correct_above_makes_any_single_reward_a_verdict(caplog):
    correctness = make(("accuracy",), above=0.0, required=True)
    rewards = torch.tensor([[-1.0], [1.0], [0.0]])
    correctness.decide(rewards)
    assert correctness.is_correct(rewards).tolist() == [False, True, False]
    assert not caplog.records


def test_values_that_are_no_longer_0_or_1_are_warned_of_once(caplog):
    correctness = make(("accuracy",))
    correctness.decide(torch.tensor([[0.0], [1.0]]))
    for _ in range(3):
        correctness.decide(torch.tensor([[0.25], [1.0]]))
    assert caplog.text.count("now returned 0.25. More than 0.5 counts as right; set correct_above") == 1


def test_the_choice_outlives_a_resume_unless_the_user_names_another():
    first = make()
    first.decide(torch.tensor([[0.5, 1.0]]))
    both_binary = torch.tensor([[1.0, 1.0]])
    resumed, named, renamed = make(), make(chosen=[0]), make(("style", "accurate"))
    for correctness in (resumed, named, renamed):
        correctness.load_state_dict(first.state_dict())
        correctness.decide(both_binary)
    assert (resumed.columns, named.columns, renamed.columns) == ([1], [0], [])
    make().load_state_dict({})  # of a checkpoint without a choice
    watching = make()
    watching.load_state_dict({"correctness": []})
    watching.decide(torch.tensor([[0.5, 1.0]]))
    assert watching.columns == [], "the memory goes on watching"


def test_functions_are_found_by_themselves_and_by_name():
    functions = [even_length, print]
    names = {0: "even_length", 1: "print"}
    assert find_columns(as_list(print), functions, names) == [1]
    assert find_columns(as_list(["print", even_length]), functions, names) == [1, 0]
    with pytest.raises(
        ValueError, match="one of the reward functions 'even_length', 'print', or a function; got 'pass'"
    ):
        find_columns(["pass"], functions, names)


def test_a_name_that_two_functions_have_is_refused(caplog):
    first, second = (lambda: 0), (lambda: 1)
    names = {0: "<lambda>", 1: "<lambda>", 2: "<lambda>"}
    assert find_columns([second], [first, second, second], names) == [1]
    with pytest.raises(ValueError, match="3 reward functions are named '<lambda>': give correctness the function"):
        find_columns(["<lambda>"], [first, second, second], names)
    assert find_columns(["print"], [print, print], {0: "print", 1: "print"}) == [0], "the same function twice"
    make(("<lambda>", "<lambda>")).decide(torch.tensor([[0.5, 0.0]]))
    assert "Confirm it with MEDSTrainer(correctness=the function itself)" in caplog.text


def test_what_names_no_function_is_refused():
    with pytest.raises(TypeError, match="a reward function, its name, or a list of them; got 3"):
        as_list(3)


# ---- in training ----


def formatted(completion_ids, **_):
    """A reward for the form: most completions have it."""
    return [float(len(ids) > 1) for ids in completion_ids]


def halves(completion_ids, **_):
    return [0.5 for _ in completion_ids]


def rollouts_of(args):
    return RunFolder(args.output_dir).rollouts()


def warnings_of(caplog) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "meds_rl" and r.levelno >= logging.WARNING]


@pytest.mark.parametrize("correctness", [even_length, "even_length"])
def test_accuracy_may_come_second(model_path, dataset, make_config, correctness):
    args = make_config(dynamic_sampling=False)
    train(model_path, dataset, args, [formatted, even_length], correctness=correctness)
    rollouts = rollouts_of(args)
    even = rollouts["reward"] - (rollouts["num_tokens"] > 1)
    assert (rollouts["is_correct"] == (even == 1)).all()
    assert rollouts["is_correct"].nunique() == 2


def test_a_function_that_is_no_reward_may_say_right_or_wrong(model_path, dataset, make_config):
    args = make_config(dynamic_sampling=False)
    trainer = train(model_path, dataset, args, halves, correctness=even_length)
    rollouts = rollouts_of(args)
    assert (rollouts["reward"] == 0.5).all()
    assert rollouts["is_correct"].nunique() == 2
    logged = [row["rewards/even_length/mean"] for row in trainer.state.log_history if "loss" in row]
    assert logged == pytest.approx(rollouts.groupby("generation")["is_correct"].mean().tolist())


def test_an_empty_list_names_nothing_and_a_generator_is_read_once(model_path, dataset, make_config, caplog):
    for given, columns in (([], [0]), ((one for one in [formatted]), [1])):
        caplog.clear()
        args = make_config(method="trl", max_steps=1)
        trainer = train(model_path, dataset, args, even_length, correctness=given)
        assert trainer._correctness.columns == columns
        assert not [said for said in warnings_of(caplog) if "only" in said]


def test_two_binary_functions_are_watched_or_refused(model_path, dataset, make_config, caplog):
    both = [formatted, even_length]
    args = make_config(method="trl")
    trainer = train(model_path, dataset, args, both)
    assert [said for said in warnings_of(caplog) if "several of them" in said]
    rollouts = rollouts_of(args)
    assert rollout_columns(trainer._batch, 0, 0, np.zeros(16))["is_correct"] == [None] * 16, "unknown"
    assert (rollouts["penalty"] == 0).all()
    assert (rollouts["memory_id"] >= 0).all(), "all of them are remembered"
    for method in ("meds", "dapo"):
        with pytest.raises(ValueError, match="Which of the reward functions 'formatted', 'even_length' says right"):
            train(model_path, dataset, make_config(method=method), both)


def test_a_resumed_run_keeps_the_choice(model_path, dataset, make_config):
    def later_binary(completion_ids, trainer_state, **_):
        return [0.5 if trainer_state.global_step < 2 else 1.0 for _ in completion_ids]

    args = make_config(method="trl", max_steps=2, save_strategy="steps", save_steps=2)
    train(model_path, dataset, args, [later_binary, even_length])
    args = make_config(method="trl", max_steps=3, output_dir=args.output_dir)
    resumed = MEDSTrainer(model_path, [later_binary, even_length], args, dataset, answer_finder=third_token)
    resumed.train(resume_from_checkpoint=f"{args.output_dir}/checkpoint-2")
    assert resumed._correctness.columns == [1]


@pytest.mark.parametrize(
    ("reward", "finder", "said"),
    [
        (
            lambda completion_ids, **_: [1.0] * len(completion_ids),
            third_token,
            "16 graded completions of the first batch are right: there is no error to remember",
        ),
        (
            lambda completion_ids, **_: [0.0] * len(completion_ids),
            third_token,
            "16 graded completions of the first batch are wrong: there is nothing right to learn from",
        ),
        (even_length, None, "0 of 16 completions of the first batch have an answer"),
    ],
)
def test_a_first_batch_that_cannot_be_meant(model_path, dataset, make_config, caplog, reward, finder, said):
    args = make_config(method="trl", max_steps=2)
    MEDSTrainer(model_path, reward, args, dataset, answer_finder=finder).train()
    assert len(warnings_of(caplog)) == 1
    assert said in warnings_of(caplog)[0]
    if finder is None:
        assert "Set answer_marker" in caplog.text
        assert "answer_finder" in caplog.text


def test_the_warning_offers_a_marker_that_finds_the_answers(caplog):
    texts = ["2 + 3 = 5. Answer: 5", "2 + 3 = 6. Answer: 6.", "So 5"]
    batch = Batch(
        ["a"] * 3, ["2 + 3?"] * 3, texts, [None] * 3, [9] * 3, [None] * 3, np.zeros(3), np.arange(3) == 0,
        np.ones(3, dtype=bool), group_size=3,
    )  # fmt: skip
    warn_of_first_batch(batch, reads_answers=True)
    assert "Set answer_marker='Answer:' in MEDSConfig, which finds an answer in 2 of them" in caplog.text


def test_a_batch_without_a_grade_decides_nothing():
    correctness = Correctness({0: "accuracy"}, None, None, required=True)
    correctness.decide(torch.full((4, 1), torch.nan))
    assert correctness.columns is None
    assert not correctness.known
    correctness.decide(torch.tensor([[0.0], [1.0]]))
    assert correctness.columns == [0]
