import json
import subprocess
import sys

import pytest

from meds_rl.tasks import load_task, prompt_id
from meds_rl.tasks.pocket import STRATEGIES, pocket_task


def test_the_default_task():
    task = load_task("pocket")
    assert task.name == "pocket"
    assert task.answer_marker == "boxed"
    assert task.test is not None
    assert (len(task.train), len(task.test)) == (48, 36)
    assert sorted(task.train["difficulty"]) == ["easy"] * 16 + ["hard"] * 32
    assert sorted(task.test["difficulty"]) == ["easy"] * 12 + ["hard"] * 24
    assert not set(task.train["prompt_id"]) & set(task.test["prompt_id"])
    assert len(set(task.train["prompt_id"])) == 48


def test_rows():
    row = pocket_task().train[0]
    assert row["prompt"] == "what is 7 + 5 * 4 + 3?"
    assert row["prompt_id"] == prompt_id(row["prompt"])
    assert row["answer"] == "30"
    assert json.loads(row["wrong_answers"]) == {
        "left_to_right": "51",  # (7 + 5) * 4 + 3
        "right_to_left": "42",  # 7 + 5 * 7
        "additions_first": "84",  # 12 * 7
        "drop_last": "48",  # 12 * 4
        "drop_first": "23",  # 20 + 3
        "misread_sign": "11",  # 2 * 4 + 3
        "misread_times": "19",  # 7 + 5 + 4 + 3
    }


def test_any_part_of_the_training_set_is_mixed():
    difficulties = pocket_task().train["difficulty"]
    for start in range(0, 48, 6):
        assert sorted(difficulties[start : start + 6]) == ["easy"] * 2 + ["hard"] * 4


def test_it_is_the_same_every_time_and_a_larger_one_contains_a_smaller_one():
    small, again, large = pocket_task(), pocket_task(), pocket_task(train_hard=100, train_easy=50)
    assert small.train.to_list() == again.train.to_list()
    assert set(small.train["prompt"]) < set(large.train["prompt"])
    assert small.test is not None
    assert large.test is not None
    assert small.test.to_list() == large.test.to_list()


def test_its_functions_read_its_rows():
    task = pocket_task(train_hard=1, train_easy=0, test_hard=0, test_easy=0)
    assert task.test is None
    completion = "5 times 4 is 20; 7 + 20 = 27, 27 + 3 = 30. \\boxed{30}"
    assert task.grade(completion, task.train[0])
    assert task.strategy is not None
    assert task.strategy(completion, task.train[0]) in STRATEGIES


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"train_hard": -1}, "train_hard must be at least 0, got -1"),
        ({"train_hard": 0, "train_easy": 0}, "nothing to train on"),
        ({"train_hard": 180}, r"train_hard \+ test_hard must be at most 192, got 180 \+ 24"),
    ],
)
def test_bad_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        pocket_task(**sizes)


def test_importing_it_imports_nothing_heavy():
    heavy = "{'torch', 'trl', 'transformers', 'datasets', 'tokenizers'}"
    code = f"import meds_rl.tasks.pocket, sys; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
