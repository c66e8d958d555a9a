"""A prompt's name, the checks of a data set, and finding a task by name."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from meds_rl.tasks import Task, check_dataset, load_task, prompt_id

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}]


def test_prompt_id_is_the_hash_of_the_content():
    # printf '"2 + 2 = ?"' | sha256sum: the quotes are part of it, as the content is hashed as JSON.
    assert prompt_id("2 + 2 = ?") == "0cb9d415cc67f282"
    assert len(prompt_id("2 + 2 = ?")) == 16
    assert set(prompt_id("2 + 2 = ?")) <= set("0123456789abcdef")


def test_prompt_id_survives_arrow_and_json():
    stored = Dataset.from_list([{"prompt": CHAT}, {"prompt": [{**CHAT[1], "name": "x"}]}])[0]["prompt"]
    assert stored != CHAT  # Arrow has added name=None
    assert prompt_id(stored) == prompt_id(CHAT) == prompt_id(json.loads(json.dumps(CHAT)))


def test_prompt_id_tells_text_from_chat_and_roles_apart():
    ids = {
        prompt_id("1 + 1?"),
        prompt_id(CHAT),
        prompt_id(CHAT[1:]),
        prompt_id([{**CHAT[1], "role": "tool"}]),
    }
    assert len(ids) == 4


@given(st.text(), st.text())
def test_different_texts_have_different_ids(a, b):
    assert (prompt_id(a) == prompt_id(b)) == (a == b)


@pytest.mark.parametrize(("bad", "error"), [(3, TypeError), ([], ValueError), (["hi"], TypeError), (None, TypeError)])
def test_what_is_no_prompt_has_no_id(bad, error):
    with pytest.raises(error, match="chat message"):
        prompt_id(bad)


def test_a_good_data_set_passes():
    check_dataset(Dataset.from_dict({"prompt": ["1 + 1?"], "answer": ["2"]}))
    check_dataset(Dataset.from_dict({"prompt": [CHAT]}), ["prompt"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"question": ["a"], "answer": ["b"]},
            r"no column 'prompt'; needed: prompt, answer; found: question, answer",
        ),
        ({"prompt": ["a"]}, r"no column 'answer'; needed: prompt, answer; found: prompt"),
        ({}, r"no column 'prompt' and no column 'answer'.*found: no columns"),
        ({"prompt": [], "answer": []}, r"mine is empty: 0 rows"),
        ({"prompt": ["a", " ", "b"], "answer": ["1", "2", "3"]}, r"empty prompt in 1 row\(s\): 1"),
        ({"prompt": ["a", None], "answer": ["1", "2"]}, r"empty prompt in 1 row\(s\): 1"),
        ({"prompt": [CHAT, CHAT[:1]], "answer": ["1", "2"]}, r"empty prompt in 1 row\(s\): 1"),
        ({"prompt": ["a"] * 7, "answer": [None] * 7}, r"no answer in 7 row\(s\): 0, 1, 2, 3, 4, \.\.\."),
    ],
)
def test_bad_data_sets_are_refused_in_words(columns, message):
    with pytest.raises(ValueError, match=message):
        check_dataset(Dataset.from_dict(columns), name="mine")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "poket",
            r"unknown task 'poket', did you mean 'pocket'\?; allowed: pocket, reasoning_gym:<dataset>, math",
        ),
        ("maths", r"did you mean 'math'\?"),
        ("reasoning-gym:chain_sum", r"did you mean 'reasoning_gym'\?"),
        ("reasoning_gym", r"name one of its data sets"),
        ("chess", r"unknown task 'chess'; allowed: pocket, reasoning_gym:<dataset>, math"),
    ],
)
def test_unknown_tasks_are_refused_with_what_is_allowed(name, message):
    with pytest.raises(ValueError, match=message):
        load_task(name)


def two_sums(size=2, **columns):
    rows = [{"prompt": f"{n} + 1?", "prompt_id": str(n), "answer": str(n + 1), **columns} for n in range(size)]
    return Task("sums", Dataset.from_list(rows), None, grade=bool)


def test_a_task_by_import_path_gets_its_options(monkeypatch):
    monkeypatch.setitem(sys.modules, "own_tasks", SimpleNamespace(two_sums=two_sums, size=3, other=lambda: 3))
    task = load_task("own_tasks.two_sums", size=3, level="easy")
    assert task.train["answer"] == ["1", "2", "3"]
    assert task.train["level"] == ["easy"] * 3
    for name, message in (
        ("own_tasks.three_sums", r"'own_tasks.three_sums' cannot be imported"),
        ("own_tasks.size", r"'own_tasks.size' is not a function but int"),
        ("own_tasks.other", r"'own_tasks.other' must return a Task; it returned int"),
    ):
        with pytest.raises(ValueError, match=message):
            load_task(name)


def test_unknown_options_are_refused_with_what_is_allowed():
    with pytest.raises(ValueError, match=r"task 'math' has no option 'pfad'; allowed: path, test_path, system_prompt"):
        load_task("math", pfad="x.parquet")
    with pytest.raises(ValueError, match=r"no option 'sead'; allowed: train_size, test_size, seed, config"):
        load_task("reasoning_gym:chain_sum", sead=1)


def test_load_task_finds_a_reasoning_gym_data_set():
    task = load_task("reasoning_gym:chain_sum", train_size=3, test_size=2)
    assert isinstance(task, Task)
    assert (task.name, len(task.train), len(task.test)) == ("reasoning_gym:chain_sum", 3, 2)


def test_importing_tasks_stays_light():
    heavy = {"torch", "trl", "transformers", "datasets", "pandas", "pyarrow", "reasoning_gym", "math_verify"}
    code = f"import meds_rl.tasks.mathematics, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("pocket", {"train_hard": 1.5}, "the option 'train_hard' of task 'pocket' must be int; got 1.5"),
        ("pocket", {"train_hard": True}, "the option 'train_hard' of task 'pocket' must be int; got True"),
        ("os.system", {}, "task 'os.system' needs the option 'command'"),
        ("builtins.dict", {}, "task 'builtins.dict': no signature"),
        ("..x.y", {}, r"'\.\.x\.y' cannot be imported"),
    ],
)
def test_options_of_another_type_and_functions_that_cannot_be_asked(name, options, said):
    with pytest.raises(ValueError, match=said):
        load_task(name, **options)
