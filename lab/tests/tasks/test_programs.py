"""The pocket of code: the language, the planted bugs, verdicts, wordings, and a training on a tiny untrained model."""

import copy
import json
import random
from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest

from meds_lab.tasks.programs import wording
from meds_lab.tasks.programs.bugs import BUGS, NAMES, NO_PROGRAM, OTHER, RIGHT, bug, forms
from meds_lab.tasks.programs.language import MOST_OPERATIONS, Operation, normal, read, run
from meds_lab.tasks.programs.task import RESERVED, _effect, grade, problems, programs, programs_task
from meds_lab.tasks.programs.warmup import PIECE, POLICIES, Texts, shares, training
from meds_lab.tasks.tokenizer import tokenizer_of
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.fingerprint import outcome_vectors
from meds_rl.fingerprint.outcome import outcome_text
from meds_rl.tasks import Verdict
from meds_rl.tasks.grading import AccuracyReward

ROW = {"answer": "x.rev()\nx.add(3)\nx.left()", "tests": '[["1234", "3217"], ["0589", "8502"]]'}


def fenced(*lines):
    return "```python\n" + "\n".join(lines) + "\n```"


def program(text):
    return read(fenced(*text.split()))


@pytest.mark.parametrize(
    ("operation", "made"),
    [
        ("rev()", "4321"),
        ("left()", "2341"),
        ("right()", "4123"),
        ("swap()", "2134"),
        ("drop()", "123"),
        ("dup()", "12344"),
        ("add(9)", "0234"),
        ("sub(3)", "8234"),
    ],
)
def test_what_each_operation_does(operation, made):
    assert "".join(map(str, run(program(f"x.{operation}"), (1, 2, 3, 4)))) == made


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("turn it round", None),
        (fenced("x.rev() x"), ("SyntaxError",) * 2),
        (fenced("x.turn()"), ("NameError",) * 2),
        (fenced("x.add()"), ("NameError",) * 2),
        (fenced("x.rev(1)"), ("NameError",) * 2),
        (fenced("x.add(True)"), ("NameError",) * 2),
        (fenced("import os", "os.remove('x')"), ("NameError",) * 2),
        (fenced(*["x.drop()"] * 4, "x.left()"), ("IndexError",) * 2),
        (fenced(*["x.dup()"] * (MOST_OPERATIONS + 1)), ("OverflowError",) * 2),
        (fenced("x.\0rev()"), ("SyntaxError",) * 2),
        # rev, add 3, left of 1234: 4321, 7321, 3217. Without left: 7321; on 0589: 9850, 2850.
        (fenced("x.rev()", "x.add(3)"), ("got 7321", "wrong")),
        (fenced("x.rev()", "x.left()", "x.right()", "x.add(3)", "x.left()"), ("ok", "ok")),
    ],
)
def test_the_verdict_says_what_each_test_did(text, outcome):
    assert grade(text, ROW) == Verdict(outcome == ("ok", "ok"), outcome)


def test_the_last_program_counts():
    assert grade(fenced("x.rev()") + "\nno:\n" + fenced("x.rev()", "x.add(3)", "x.left()"), ROW)


def test_each_bug_tells_itself_in_the_program():
    written = {
        RIGHT: ("rev() add(3) left()", "swap() swap() rev() add(1) add(2) left()"),
        "reversed order": ("left() add(3) rev()",),
        "off by one": ("rev() add(2) left()", "rev() add(1) add(3) left()"),
        "wrong sign": ("rev() sub(3) left()", "rev() sub(1) sub(2) left()"),
        "last left out": ("rev() add(3)", "rev() add(3) dup() drop()"),
        "first left out": ("add(3) left()",),
        "similar operation": ("swap() add(3) left()", "rev() add(3) right()"),
        OTHER: ("dup()", "rev() add(3) left() dup()", "turn()"),
    }
    for name, texts in written.items():
        for text in texts:
            completion = fenced(*(f"x.{one}" for one in text.split()))
            assert bug(completion, ROW) == name, text
            assert bool(grade(completion, ROW)) == (name == RIGHT)
    assert bug("no idea", ROW) == NO_PROGRAM


def test_no_bug_is_right_and_no_other_program_is():
    for length, count in ((2, 48), (3, 168)):
        assert len(programs(length)) == count
        assert len({_effect(one) for one in programs(length)}) == count
        for one in programs(length):
            assert all(_effect(form) != _effect(one) for name in BUGS for form in forms(name, one))


def test_free_wordings_keep_the_program():
    rng = random.Random(0)
    texts = Counter()
    for problem in problems("hard")[:40]:
        for name in (RIGHT, *BUGS):
            for form in forms(name, problem.program):
                text = wording.write(form, rng)
                assert normal(read(text)) == normal(form)
                texts[text] += 1
    # The same bug of the same problem is hardly ever written twice alike.
    one = problems("hard")[0].program
    assert len({wording.write(one, rng) for _ in range(100)}) > 80


def test_the_tokenizer_has_every_text():
    tokenizer = tokenizer_of(wording.all_texts(), PIECE)
    draw = Texts(0, "plain")
    held_out = {problem.prompt for kind in ("hard", "easy") for problem in problems(kind)}
    for is_plain in [False] * 300 + [True] * 50:
        prompt, completion = draw(is_plain)
        ids = tokenizer(prompt + completion)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == prompt + completion
        assert tokenizer(prompt)["input_ids"] + tokenizer(completion)["input_ids"] == ids
        assert prompt not in held_out


def test_the_task_has_both_kinds_and_no_problem_twice():
    task = programs_task(train_hard=6, train_easy=2, test_hard=3, test_easy=1)
    assert (len(task.train), len(task.test)) == (8, 4)
    assert not {*task.train["prompt"]} & {*task.test["prompt"]}
    for row in task.train:
        right = fenced(*row["answer"].splitlines())
        assert grade(right, row).outcome == ("ok",) * 6
        assert task.strategy(right, row) in task.correct_strategies
        # The shown pairs are the first tests.
        assert row["prompt"] == "".join(f"{given} -> {made}\n" for given, made in json.loads(row["tests"])[:2])
    with pytest.raises(ValueError, match=f"train_hard \\+ test_hard must lie in 0 to {RESERVED}, got 190 \\+ 3"):
        programs_task(train_hard=190, test_hard=3)


def test_policies_are_shares_of_one():
    for policy in POLICIES:
        assert sum(shares(policy)) == pytest.approx(1)
    # .97 of the programs are wrong, .8 of those have the habit.
    assert shares("order")[1] == pytest.approx(0.97 * 0.8)
    with pytest.raises(ValueError, match="policy 'order' needs a base"):
        training("order", 0)


def test_one_bug_can_have_two_outcomes_and_an_outcome_is_of_one_prompt():
    one, other = (problem.row("hard") for problem in problems("hard")[:2])

    def outcome(name, row, form=0):
        lines = (f"x.{operation}" for operation in forms(name, read(fenced(*row["answer"].splitlines())))[form])
        return grade(fenced(*lines), row).outcome

    vectors = outcome_vectors([outcome("off by one", one), outcome("off by one", one, 1), outcome("off by one", other)])
    # The first item says what came out, all later ones are "wrong".
    assert vectors[0] @ vectors[1] < 0.999
    assert vectors[0] @ vectors[2] < 0.999


def test_operations_are_written_as_they_are_read():
    assert read(fenced(f"y.{Operation('sub', 4)}", f"y.{Operation('dup')}")) == (Operation("sub", 4), Operation("dup"))


def test_three_steps_are_deterministic():
    found = [list(training("plain", 0, steps=3)) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0][0] > found[0][-1] - 1


@pytest.fixture(scope="module")
def beginner():
    """A model that has learned to write programs, not which."""
    begun = training("plain", 0, steps=40)
    begun.config = replace(begun.config, batch_size=8, plain_share=1.0, warmup_steps=5)
    list(begun)
    return begun


@pytest.mark.parametrize("fingerprint", ["outcome", "steps", "text", "working_states"])
def test_the_task_trains_with_the_recommended_memory(fingerprint, beginner, tmp_path):
    task = programs_task(train_hard=4, train_easy=0, test_hard=0, test_easy=0)
    args = MEDSConfig(
        str(tmp_path / "run"),
        method="meds",
        preset="recommended",
        fingerprint=fingerprint,
        answer_marker=task.answer_marker,
        max_steps=2,
        per_device_train_batch_size=32,
        num_generations=8,
        max_completion_length=48,
        overlong_buffer=8,
        max_generation_batches=1,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
    )
    trainer = MEDSTrainer(
        copy.deepcopy(beginner.model),
        AccuracyReward(task),
        args,
        task.train,
        processing_class=beginner.tokenizer,
        strategy=task.strategy,
    )
    trainer.train()
    rows = pd.concat(pd.read_parquet(file) for file in sorted((tmp_path / "run" / "rollouts").glob("*.parquet")))
    asked = {row["prompt"]: row for row in task.train}
    first = rows.iloc[0]
    assert first["outcome"] == outcome_text(grade(first["completion"], asked[first["prompt"]]).outcome)
    assert rows["strategy"].isin((*NAMES, OTHER, NO_PROGRAM)).all()
    assert rows["answer"].str.contains(".", regex=False).any()
    assert (rows["memory_id"] >= 0).any()
