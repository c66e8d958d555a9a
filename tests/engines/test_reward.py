"""RepeatedErrorPenalty in a loop of one's own: its penalties, its folder, and what it refuses."""

import json
import math
import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from filelock import FileLock, Timeout
from hypothesis import given as given_by
from hypothesis import settings
from hypothesis import strategies as st

from meds_rl import ErrorMemory, RepeatedErrorPenalty, RewardShaper
from meds_rl.cli.main import main
from meds_rl.fingerprint.text import answer_vectors
from meds_rl.memory import MemoryFileError, equal_vectors
from meds_rl.rollouts import RunFolder, RunFolderError
from meds_rl.tasks.base import prompt_id


def batch(*answers: str | None, prompt: str = "6 * 7 = ?", right: str = "42") -> dict:
    """A group: one completion an answer, None for no answer."""
    texts = ["no idea" if answer is None else f"it is \\boxed{{{answer}}}" for answer in answers]
    return {"prompts": [prompt] * len(answers), "completions": texts, "right": [answer == right for answer in answers]}


def both(*groups: dict) -> dict:
    return {name: [value for group in groups for value in group[name]] for name in groups[0]}


def at(step: int, max_steps: int = 10) -> SimpleNamespace:
    """What TRL passes as `trainer_state`."""
    return SimpleNamespace(global_step=step, max_steps=max_steps)


def warnings_of(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "meds_rl"]


# ---- The penalties ----


def test_each_answer_is_counted_exactly():
    penalty = RepeatedErrorPenalty("right", alpha=0.1, beta=0.15)
    assert penalty(**batch("42", "13", "13", "7")) == [0.0] * 4
    # 13 was seen twice: .1 ln 3; 7 once: .1 ln 2; 8 never.
    got = penalty(**batch("42", "13", "7", "8", "13"))
    assert got == pytest.approx([0, -0.1 * math.log(3), -0.1 * math.log(2), 0, -0.1 * math.log(3)])
    assert penalty(**batch("42", "13"))[1] == -0.15  # four times: .1 ln 5 = .161 is above beta
    assert all(type(value) is float for value in got)


def test_no_answer_is_an_error_of_its_own_unless_it_is_free():
    for no_answer, expected in (("cluster", -0.1 * math.log(2)), ("free", 0.0)):
        penalty = RepeatedErrorPenalty("right", no_answer=no_answer)
        penalty(**batch("42", None))
        assert penalty(**batch("42", None)) == pytest.approx([0, expected])


def test_a_watcher_remembers_groups_that_are_all_wrong():
    assert RepeatedErrorPenalty("right").shaper.all_wrong == "skip"
    assert RepeatedErrorPenalty("right", alpha=0.0).shaper.all_wrong == "shape"
    assert RepeatedErrorPenalty("right", alpha=0, all_wrong="skip").shaper.all_wrong == "skip"


def test_a_penalty_that_leaves_most_groups_out_says_so_once(caplog):
    """33 groups, of which one has a right answer: 97 % are left out."""
    penalty = RepeatedErrorPenalty("right", answer_finder="hashes")
    prompts = [f"p{number}" for number in range(33) for _ in range(2)]
    for _ in range(2):
        penalty(prompts=prompts, completions=["#### 1", "#### 2"] * 33, right=[1] + [0] * 65)
    warnings = [record.message for record in caplog.records if "no right answer" in record.message]
    assert len(warnings) == 1
    assert warnings[0].startswith("97 % of the groups so far have no right answer.")
    assert 'all_wrong="shape" includes them' in warnings[0]


def test_groups_that_are_all_wrong():
    skipped, shaped = RepeatedErrorPenalty("right"), RepeatedErrorPenalty("right", all_wrong="shape")
    for penalty in (skipped, shaped):
        penalty(**batch("13", "13"))
    assert skipped(**batch("13", "13")) == [0.0, 0.0]
    assert shaped(**batch("13", "13")) == pytest.approx([-0.1 * math.log(3)] * 2)


ROW = st.tuples(st.sampled_from("xyz"), st.sampled_from(["1", "2", "12", None]), st.sampled_from([True, False, None]))
BATCHES = st.lists(st.lists(ROW, min_size=1, max_size=12), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given_by(batches=BATCHES, all_wrong=st.sampled_from(["skip", "shape"]), no_answer=st.sampled_from(["cluster", "free"]))
def test_they_are_those_of_the_reward_shaper_to_the_last_bit(batches, all_wrong, no_answer):
    ours = RepeatedErrorPenalty("right", all_wrong=all_wrong, no_answer=no_answer)
    shaper = RewardShaper(memory=ErrorMemory(equal_vectors), all_wrong=all_wrong, no_answer=no_answer, max_distance=0)
    for rows in batches:
        texts = ["?" if answer is None else f"\\boxed{{{answer}}}" for _, answer, _ in rows]
        got = ours(prompts=[row[0] for row in rows], completions=texts, right=[row[2] for row in rows])
        graded = [row for row in rows if row[2] is not None]
        shaped = shaper.shape(
            np.array([float(row[2]) for row in graded]),
            prompt_ids=[prompt_id(row[0]) for row in graded],
            features=answer_vectors([row[1] for row in graded]),
            is_correct=np.array([row[2] for row in graded], dtype=bool),
        )
        assert [value is None for value in got] == [row[2] is None for row in rows]
        assert [-value for value in got if value is not None] == shaped.penalties.tolist()


def test_a_fingerprint_of_ones_own_gets_texts_answers_and_columns():
    calls = []

    def angle(prompts, completions, answers, degrees, **columns):
        calls.append((prompts, completions, answers, sorted(columns)))
        return [[math.cos(math.radians(one)), math.sin(math.radians(one))] for one in degrees]

    penalty = RepeatedErrorPenalty("right", fingerprint=angle)
    chat = [[{"role": "assistant", "content": "so \\boxed{1}"}]] * 5
    question = [{"role": "user", "content": "?"}]
    rows = {"prompts": [question] * 5, "completions": chat, "right": [1, 0, 0, 0, 0], "trainer_state": at(0)}
    penalty(**rows, degrees=[0, 10, 11, 90, 91])
    got = penalty(**rows, degrees=[0, 10.5, 50, 90, 10.4])
    # Two pairs are two clusters of 2: .1 ln 3. 50 degrees is farther than .25 from all: 39 degrees are .67.
    assert got == pytest.approx([0, -0.1 * math.log(3), 0, -0.1 * math.log(3), -0.1 * math.log(3)])
    assert calls[0] == ([question] * 5, ["so \\boxed{1}"] * 5, ["1"] * 5, ["right"])


def test_reasoning_that_a_trainer_has_taken_out_of_the_content_is_part_of_the_text():
    message = {"role": "assistant", "reasoning_content": "3 * 4 is 13. ", "content": "\\boxed{13}"}
    seen = []
    penalty = RepeatedErrorPenalty("right", fingerprint=lambda completions, **_: seen.extend(completions) or [[1.0]])
    penalty(prompts=["p"], completions=[[message]], right=[0])
    assert seen == ["3 * 4 is 13. \\boxed{13}"]


@pytest.mark.parametrize(("name", "same"), [("steps", True), ("text", False)])
def test_workings_are_compared_by_their_steps_or_their_wording(name, same):
    penalty = RepeatedErrorPenalty("right", fingerprint=name)
    rows = {"prompts": ["what is 7 + 3 * 4?"] * 3, "right": [1, 0, 0]}
    penalty(**rows, completions=["\\boxed{19}", "7 + 3 = 10, 10 * 4 = 40 \\boxed{40}", "7 + 3 = 10, 10 * 4 = 40"])
    again = penalty(**rows, completions=["\\boxed{19}", "3 plus 7 is 10; 4 times 10 gives 40", "4 - 3 = 1, 7 - 1 = 6"])
    # Two with the same steps are remembered: .1 ln 3, however it is worded. Other steps are new.
    assert again == pytest.approx([0, -0.1 * math.log(3) if same else 0, 0])


PLAYED = {
    "prompts": ["p"] * 6,
    "completions": ["a", "b", "c", "d", "e", "f"],
    "right": [1, 0, 0, 0, 0, 0],
    "outcome": [("ok", "ok"), ("ok", "IndexError"), ("ok", "IndexError"), "lost", "lost", None],
}


def right_of(completions, right, log_extra, **_):
    """Logs what became of each completion."""
    ends = dict(zip(PLAYED["completions"], PLAYED["outcome"], strict=True))
    log_extra("outcome", [ends[text] for text in completions])
    return right


@pytest.mark.parametrize("logged", [False, True])
def test_outcomes_come_from_a_column_or_from_what_correctness_logs(tmp_path, logged):
    penalty = RepeatedErrorPenalty(right_of if logged else "right", fingerprint="outcome", folder=tmp_path)
    given = {name: values for name, values in PLAYED.items() if not (logged and name == "outcome")}
    assert penalty(**given) == [0.0] * 6
    # Each of the two kinds of errors was seen twice, and a completion without an outcome once: .1 ln 3 and .1 ln 2.
    twice, once = -0.1 * math.log(3), -0.1 * math.log(2)
    assert penalty(**given) == pytest.approx([0.0, twice, twice, twice, twice, once])
    penalty.close()
    texts = RunFolder(tmp_path).rollouts()["outcome"].tolist()[:5]
    assert texts == ["ok, ok", "ok, IndexError", "ok, IndexError", "lost", "lost"]
    again = RepeatedErrorPenalty(right_of if logged else "right", fingerprint="outcome", folder=tmp_path)
    # Now four times .1 ln 5, and twice .1 ln 3.
    assert again(**given) == pytest.approx([0.0] + [-0.1 * math.log(5)] * 4 + [twice])


def test_outcomes_that_are_missing_or_a_column_of_the_data_set(tmp_path):
    penalty = RepeatedErrorPenalty("right", fingerprint="outcome")
    with pytest.raises(ValueError, match="needs outcomes: a column outcome, or a correctness that logs them"):
        penalty(prompts=["p"], completions=["a"], right=[0])
    with pytest.raises(TypeError, match="an outcome must be hashable"):
        penalty(prompts=["p"], completions=["a"], right=[0], outcome=[["lost"]])
    watcher = RepeatedErrorPenalty("right", folder=tmp_path)
    watcher(prompts=["p"], completions=["a"], right=[0], outcome=[{"of": "the data"}], trainer_state=at(0))
    watcher.close()
    assert RunFolder(tmp_path).rollouts()["outcome"].isna().all()


def test_something_else_that_is_logged_as_outcome(tmp_path):
    def logs(completions, log_extra, **_):
        log_extra("outcome", [{"of": "the user"}] * len(completions))
        return [0.0] * len(completions)

    given = {"prompts": ["p"], "completions": ["a"], "log_extra": lambda *_: None}
    watcher = RepeatedErrorPenalty(logs, alpha=0, folder=tmp_path)
    watcher(**given, trainer_state=at(0))
    watcher.close()
    assert RunFolder(tmp_path).rollouts()["outcome"].isna().all()
    with pytest.raises(TypeError, match="an outcome must be hashable"):
        RepeatedErrorPenalty(logs, fingerprint="outcome")(**given)


def test_a_prompt_is_known_by_its_id_or_its_content():
    penalty = RepeatedErrorPenalty("right")
    penalty(**both(batch("42", "13", prompt="a"), batch("42", "13", prompt="b")))
    assert penalty.memory.prompt_ids == sorted([prompt_id("a"), prompt_id("b")])
    named = RepeatedErrorPenalty("right")
    named(**both(batch("42", "13", prompt="a"), batch("42", "13", prompt="b")), prompt_id=[7, 7, 7, 7])
    assert named.memory.prompt_ids == ["7"], "as in the rollouts"
    assert len(named.memory) == 2


def test_a_start_with_a_given_memory_and_back_from_a_file(tmp_path):
    first = RepeatedErrorPenalty("right")
    first(**batch("42", "13"))
    first.save(tmp_path / "memory")
    given = RepeatedErrorPenalty("right", memory=ErrorMemory.load(tmp_path / "memory", equal_vectors))
    loaded = RepeatedErrorPenalty("right")
    loaded.load(tmp_path / "memory")
    assert given(**batch("42", "13")) == loaded(**batch("42", "13")) == pytest.approx([0, -0.1 * math.log(2)])


def test_a_pickled_copy_goes_on_by_itself():
    first = RepeatedErrorPenalty("right")
    first(**batch("42", "13"))
    copy = pickle.loads(pickle.dumps(first))
    assert copy(**batch("42", "13")) == first(**batch("42", "13"))
    copy(**batch("42", "13"))
    assert (len(first.memory), len(copy.memory)) == (2, 3)


def test_a_call_a_group_has_the_penalties_of_a_call_a_batch():
    by_group, by_batch = RepeatedErrorPenalty("right"), RepeatedErrorPenalty("right")
    for answers in (("42", "1", "1"), ("42", "1", "2"), ("42", "2", None)):
        groups = [batch(*answers, prompt=prompt) for prompt in "abc"]
        assert [value for group in groups for value in by_group(**group)] == by_batch(**both(*groups))


def test_threads_take_turns():
    penalty = RepeatedErrorPenalty("right")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: penalty(**batch("42", "13", prompt=str(number % 4))), range(40)))
    assert (penalty.memory.step, len(penalty.memory)) == (40, 40)
    assert penalty(**batch("42", "13", prompt="0"))[1] == -0.2  # ten times


# ---- Right or wrong ----


def test_a_reward_function_gets_the_same_arguments_and_logs_nothing_twice():
    logged = []

    def grade(prompts, completions, solution, log_metric, log_extra, **columns):
        log_metric("mine", 1.0)
        log_extra("mine", [1] * len(prompts))
        assert columns["completion_ids"] == [[1, 2], [3]]
        return [float(f"{{{gold}}}" in text) for text, gold in zip(completions, solution, strict=True)]

    penalty = RepeatedErrorPenalty(grade)
    given = {"prompts": ["p"] * 2, "completions": ["\\boxed{1}", "\\boxed{2}"], "completion_ids": [[1, 2], [3]]}
    logs = {name: lambda name, _: logged.append(name) for name in ("log_metric", "log_extra")}
    penalty(**given, solution=["1", "1"], **logs)
    assert "mine" not in logged
    assert {"meds_answer", "meds_cluster", "meds_times_seen", "meds/share_wrong_seen"} <= set(logged)


def test_what_is_logged():
    metrics, extra = {}, {}
    penalty = RepeatedErrorPenalty("right")
    groups = both(batch("42", "13", "13", prompt="a"), batch("1", "2", "2", prompt="b"), batch("42", "42", prompt="c"))
    penalty(**groups)
    penalty(**groups, log_metric=metrics.__setitem__, log_extra=extra.__setitem__)
    assert metrics["meds/share_wrong_seen"] == 1.0  # the two 13; b is all wrong and skipped
    assert metrics["pass/all_wrong_share"] == pytest.approx(1 / 3)
    assert metrics["diversity/distinct_wrong"] == pytest.approx((1 + 2 + 0) / 3)
    assert metrics["meds/live_modes"] == 1.0
    assert metrics["meds/memory_size"] == 4
    assert metrics["pass/pass@3"] == pytest.approx(2 / 3)
    assert extra["meds_answer"] == ["42", "13", "13", "1", "2", "2", "42", "42"]
    assert extra["meds_times_seen"] == [0, 2, 2, 0, 0, 0, 0, 0]
    assert extra["meds_cluster"] == [-4, 0, 0, -4, -4, -4, -4, -4]


def test_live_modes_are_those_of_the_last_three_visits():
    metrics = {}
    penalty = RepeatedErrorPenalty("right")
    for answers in (("42", "1"), ("42", "2", "2"), ("42", None), ("42", "3")):
        penalty(**batch(*answers), log_metric=metrics.__setitem__)
    assert metrics["meds/live_modes"] == 3  # 2, no answer, 3


def test_grades_above_a_bound_and_grades_that_are_none():
    penalty = RepeatedErrorPenalty("score", correct_above=0.8, all_wrong="shape")
    given = {"prompts": ["p"] * 3, "completions": ["\\boxed{1}"] * 3}
    assert penalty(**given, score=[0.9, 0.8, None]) == [0.0, 0.0, None]
    assert len(penalty.memory) == 1


def test_other_grades_than_0_and_1_are_refused_at_first_and_warned_of_later(caplog):
    text = r"grades other than 0 and 1, such as 0.3\. Set correct_above"
    given = {"prompts": ["p"] * 2, "completions": ["\\boxed{1}"] * 2}
    with pytest.raises(ValueError, match=text):
        RepeatedErrorPenalty("score")(**given, score=[1, 0.3])
    penalty = RepeatedErrorPenalty("score")
    penalty(**given, score=[1, 0])
    assert penalty(**given, score=[1, 0.3]) == pytest.approx([0, -0.1 * math.log(2)])
    penalty(**given, score=[1, 0.3])
    assert len(warnings_of(caplog)) == 1
    assert "0.3" in warnings_of(caplog)[0]


def test_first_completions_that_look_wrong_are_warned_of_once(caplog):
    penalty = RepeatedErrorPenalty("right")
    for _ in range(7):
        penalty(**batch(*[None] * 4))
    assert warnings_of(caplog) == [], "28 completions are too few"
    for _ in range(2):
        penalty(**batch(*[None] * 4))
    first, second = warnings_of(caplog)
    assert "Only 0 of the first 32 completions have an answer" in first
    assert "answer_finder" in first
    assert second == "All first 32 graded completions are wrong. Check correctness and correct_above."


def test_a_first_group_that_is_all_wrong_is_no_sign_of_a_wrong_setting(caplog):
    penalty = RepeatedErrorPenalty("right")
    for answers in (["13"] * 16, ["42"] * 16):
        penalty(**batch(*answers))
    assert warnings_of(caplog) == []


async def asynchronous(**_):
    return []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"correctness": 1}, TypeError, "correctness must be a reward function or the name of a column; got 1"),
        ({"correctness": asynchronous}, TypeError, "must return grades, not a coroutine"),
        (
            {"fingerprint": "states"},
            ValueError,
            "fingerprint must be one of 'answer', 'steps', 'text', 'outcome', got 'states'",
        ),
        (
            {"fingerprint": 3},
            TypeError,
            "fingerprint must be 'answer', 'steps', 'text', 'outcome' or a function; got 3",
        ),
        ({"answer_finder": "box"}, ValueError, "box"),
        ({"alpha": -1.0}, ValueError, "alpha must be finite and 0 or more"),
        ({"all_wrong": "drop"}, ValueError, "all_wrong must be one of"),
        ({"correct_above": "high"}, TypeError, "correct_above must be a number or None"),
        ({"memory": {}}, TypeError, "memory must be an ErrorMemory"),
    ],
)
def test_arguments_that_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        RepeatedErrorPenalty(**{"correctness": "right", **arguments})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"right": [True]}, ValueError, "right must have one value for each of the 2 prompts; got 1"),
        ({"completions": ["a"]}, ValueError, "completions must have one value for each of the 2 prompts; got 1"),
        ({"completions": ["a", 5]}, TypeError, "completions must be texts or lists of chat messages; got int in row 1"),
        ({"completions": ["a", None]}, TypeError, "got NoneType in row 1"),
        (
            {"prompts": ["6 * 7", None]},
            TypeError,
            "prompts must be texts or lists of chat messages; got NoneType in row 1",
        ),
        ({"right": None}, TypeError, "correctness must give 2 grades, one for each completion; got None"),
        ({"right": [0, 10**400]}, ValueError, "grades of at most 1e.100; got an integer of 1329 bits in row 1"),
        ({"right": ["yes", "no"]}, TypeError, "correctness must give numbers, True, False or None; got 'yes' in row 0"),
    ],
)
def test_batches_that_are_refused_change_nothing(changes, error, message):
    penalty = RepeatedErrorPenalty("right")
    with pytest.raises(error, match=message):
        penalty(**{**batch("42", "13"), **changes})
    assert penalty.memory.step == 0


def test_parts_of_a_message_may_be_plain_text():
    # Some loops write content as a list of texts: these parts have no type.
    penalty = RepeatedErrorPenalty("right", answer_finder="hashes")
    chat = [{"role": "assistant", "content": ["#### ", {"type": "text", "text": "13"}, None]}]
    for expected in ([0.0, 0.0], [-0.1 * math.log(2), 0.0]):
        rewards = penalty([[{"role": "user", "content": ["6 * 7"]}]] * 2, [chat, "#### 42"], right=[0, 1])
        assert rewards == pytest.approx(expected)


def test_a_column_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ValueError, match=r"correctness='accuracy' is no column; the columns are: right\."):
        RepeatedErrorPenalty("accuracy")(**batch("42"))
    with pytest.raises(ValueError, match="correctness must give 2 grades, one for each completion; got 3"):
        RepeatedErrorPenalty(lambda **_: [1, 0, 0])(**batch("42", "13"))


# ---- The folder ----


def content(folder: Path) -> dict[str, bytes]:
    """Rollouts and memory of a run, byte for byte."""
    files = [*folder.glob("rollouts/*.parquet"), *folder.glob("*.safetensors")]
    return {path.name: path.read_bytes() for path in files}


def test_the_folder_is_a_run_that_report_and_watch_read(tmp_path, capsys):
    run = tmp_path / "run"
    penalty = RepeatedErrorPenalty("right", folder=run)
    for step in range(3):
        penalty(**batch("42", "13", None), completion_ids=[[1], [1, 2], []], trainer_state=at(step))
    penalty.close()
    rollouts = RunFolder(run).rollouts()
    assert rollouts["step"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert rollouts["answer"].fillna("-").tolist() == ["42", "13", "-"] * 3
    assert rollouts["reward"].tolist() == [1.0, 0.0, 0.0] * 3
    assert rollouts["cluster_size"].tolist() == [0, 0, 0, 0, 1, 1, 0, 2, 2]
    assert rollouts["shaped_reward"].tolist() == pytest.approx((rollouts["reward"] - rollouts["penalty"]).tolist())
    assert rollouts["num_tokens"].tolist() == [1, 2, 0] * 3
    assert rollouts["memory_id"].tolist() == [-1, 0, 1, -1, 2, 3, -1, 4, 5]
    assert [row["step"] for row in RunFolder(run).metrics()] == [1, 2, 3]
    assert len(ErrorMemory.load(run / "memory.safetensors")) == 6
    assert main(["report", str(run)]) == 0
    assert main(["watch", str(run), "--once"]) == 0
    shown = capsys.readouterr().out
    assert "step 3 of 10" in shown
    assert "6 of 9 completions wrong" in shown


def test_rows_without_a_grade_are_neither_right_nor_wrong_in_the_rollouts(tmp_path):
    penalty = RepeatedErrorPenalty("right", folder=tmp_path)
    penalty(**{**batch("42", "13", "7"), "right": [1, 0, None]})
    rollouts = RunFolder(tmp_path).rollouts()
    assert rollouts["reason"].tolist() == ["not_target", "unseen", "not_graded"]
    assert rollouts["reward"].isna().tolist() == [False, False, True]


def test_texts_that_are_no_utf_8_are_written(tmp_path):
    penalty = RepeatedErrorPenalty("right", folder=tmp_path)
    penalty(**batch("42", "\ud800", "\x00\u202e", prompt="\udfff"))
    assert RunFolder(tmp_path).rollouts()["answer"].tolist() == ["42", "?", "\x00\u202e"]


def test_a_loop_that_is_started_again_continues(tmp_path):
    whole, again = tmp_path / "whole", tmp_path / "again"
    penalty = RepeatedErrorPenalty("right", folder=whole)
    got = [penalty(**batch("42", "13", "7")) for _ in range(4)]
    penalty.close()
    for part in (slice(0, 1), slice(1, 4)):
        penalty = RepeatedErrorPenalty("right", folder=again)
        assert [penalty(**batch("42", "13", "7")) for _ in got[part]] == got[part]
        penalty.close()
    assert content(again) == content(whole)


def test_a_pickled_copy_opens_the_folder_in_another_process(tmp_path):
    (tmp_path / "penalty").write_bytes(pickle.dumps(RepeatedErrorPenalty("right", folder=tmp_path / "run")))
    code = (
        "import pickle, sys; penalty = pickle.load(open(sys.argv[1], 'rb'));"
        f"[penalty(**{batch('42', '13')!r}) for _ in range(2)]"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "penalty")], check=True)
    assert RunFolder(tmp_path / "run").rollouts()["cluster_size"].tolist() == [0, 0, 0, 1]


KILLED = """
import os, signal, sys
from meds_rl import RepeatedErrorPenalty
from meds_rl.rollouts import RunFolder
name, folder, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
penalty = RepeatedErrorPenalty("right", folder=folder)
original, count = getattr(RunFolder, "write_rollouts"), 0
def write(run, *arguments):
    global count
    count += 1
    if name == "before the rollouts" and count == calls:
        os.kill(os.getpid(), signal.SIGKILL)
    original(run, *arguments)
    if name == "before the metrics" and count == calls:
        os.kill(os.getpid(), signal.SIGKILL)
RunFolder.write_rollouts = write
while True:
    penalty(prompts=["p"] * 3, completions=["\\\\boxed{1}", "\\\\boxed{2}", "none"], right=[1, 0, 0])
"""


@pytest.mark.parametrize(("name", "lost"), [("before the rollouts", 1), ("before the metrics", 0)])
@pytest.mark.parametrize("calls", [1, 3])
def test_a_kill_loses_at_most_the_batch_in_progress(tmp_path, name, lost, calls):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    done = subprocess.run([sys.executable, "-c", KILLED, name, str(killed), str(calls)], check=False)
    assert done.returncode == -signal.SIGKILL
    rows = {"prompts": ["p"] * 3, "completions": ["\\boxed{1}", "\\boxed{2}", "none"], "right": [1, 0, 0]}
    for folder, count in ((whole, calls + 2), (killed, 2 + lost)):
        penalty = RepeatedErrorPenalty("right", folder=folder)
        for _ in range(count):
            penalty(**rows)
        penalty.close()
    assert content(killed) == content(whole)


def test_a_trainer_that_resumes_gets_the_memory_of_its_step(tmp_path, caplog):
    answers = [("42", "1"), ("42", "2", "2"), ("42", None), ("42", "1")]
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    penalty = RepeatedErrorPenalty("right", folder=whole)
    for step, given in enumerate(answers):
        penalty(**batch(*given), trainer_state=at(step))
    penalty.close()
    first = RepeatedErrorPenalty("right", folder=resumed)
    for step, given in enumerate([*answers[:2], ("42", "9"), ("42", "9")]):
        first(**batch(*given), trainer_state=at(step))
    first.close()
    assert warnings_of(caplog) == []
    second = RepeatedErrorPenalty("right", folder=resumed)
    for step, given in list(enumerate(answers))[2:]:
        second(**batch(*given), trainer_state=at(step))
    second.close()
    assert content(resumed) == content(whole)
    assert [row["step"] for row in RunFolder(resumed).metrics()] == [1, 2, 3, 4]
    assert warnings_of(caplog) == [
        f"The trainer resumes at step 2: the memory and {resumed} forget the 2 batches that came after it."
    ]


def test_several_batches_of_a_step_are_no_resume(tmp_path):
    penalty = RepeatedErrorPenalty("right", folder=tmp_path)
    for step in (0, 0, 1, 1):
        penalty(**batch("42", "13"), trainer_state=at(step))
    assert len(penalty.memory) == 4
    penalty.close()
    resumed = RepeatedErrorPenalty("right", folder=tmp_path)
    resumed(**batch("42", "13"), trainer_state=at(1))
    assert len(resumed.memory) == 3
    assert RunFolder(tmp_path).rollouts(["step"])["step"].tolist() == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("closed", [True, False], ids=["again later", "again in the same process"])
def test_a_trainer_that_starts_again_gets_a_run_of_its_own(tmp_path, caplog, closed):
    first = RepeatedErrorPenalty("right", folder=tmp_path)
    for step in range(2):
        first(**batch("42", "13"), trainer_state=at(step))
    if closed:
        first.close()
    second = RepeatedErrorPenalty("right", folder=tmp_path) if closed else first
    for step in range(2):
        second(**batch("42", "13"), trainer_state=at(step))
    new = RunFolder(tmp_path / "run-2")
    assert new.rollouts()["cluster_size"].tolist() == [0, 0, 0, 1]
    assert new.environment()["output_dir"] == ".."
    assert "this run goes to" in warnings_of(caplog)[0]
    second.close()
    assert RunFolder(tmp_path).rollouts()["step"].tolist() == [0, 0, 1, 1]
    assert [ErrorMemory.load(path / "memory.safetensors").step for path in (tmp_path, new.path)] == [2, 2]
    third = RepeatedErrorPenalty("right", folder=tmp_path)
    third(**batch("42", "13"), trainer_state=at(2))  # resumes the newest
    assert new.rollouts()["step"].tolist() == [0, 0, 1, 1, 2, 2]


def test_a_large_memory_is_written_now_and_then_and_made_again_from_the_rollouts(tmp_path, monkeypatch):
    monkeypatch.setattr("meds_rl.engines.reward_folder.CHEAP_SECONDS", 0.0)
    monkeypatch.setattr("meds_rl.engines.reward_folder.TIMES_ITS_COST", 1e9)
    groups = [
        both(batch("42", "13", None, prompt=p), {**batch("1", "2", prompt="b"), "right": [True, None]}) for p in "aab"
    ]
    whole, killed = (RepeatedErrorPenalty("right", folder=tmp_path / name) for name in ("whole", "killed"))
    for penalty in (whole, killed):
        for group in groups:
            penalty(**group)
    late = ErrorMemory.load(tmp_path / "killed" / "memory.safetensors")
    assert (late.step, killed.memory.step) == (1, 3)
    whole.close()
    assert ErrorMemory.load(tmp_path / "whole" / "memory.safetensors").step == 3
    killed._open_folder._lock.release()  # what a killed process leaves
    killed._open_folder._lock = None
    again = RepeatedErrorPenalty("right", folder=tmp_path / "killed")
    expected = whole(**groups[0])
    assert again(**groups[0]) == expected
    again.close()
    whole.close()
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def test_outcomes_are_remembered_again_from_the_rollouts(tmp_path, monkeypatch):
    monkeypatch.setattr("meds_rl.engines.reward_folder.CHEAP_SECONDS", 0.0)
    monkeypatch.setattr("meds_rl.engines.reward_folder.TIMES_ITS_COST", 1e9)
    killed = RepeatedErrorPenalty("right", fingerprint="outcome", folder=tmp_path)
    for _ in range(3):
        killed(**PLAYED)
    assert ErrorMemory.load(tmp_path / "memory.safetensors").step == 1
    killed._open_folder._lock.release()  # what a killed process leaves
    killed._open_folder._lock = None
    again = RepeatedErrorPenalty("right", fingerprint="outcome", folder=tmp_path)
    # Six times: .1 ln 7, and three times .1 ln 4.
    assert again(**PLAYED) == pytest.approx([0.0] + [-0.1 * math.log(7)] * 4 + [-0.1 * math.log(4)])


def test_a_memory_of_a_function_that_lacks_batches_is_not_continued(tmp_path):
    options = {"fingerprint": lambda answers, **_: answer_vectors(answers), "folder": tmp_path}
    penalty = RepeatedErrorPenalty("right", **options)
    penalty(**batch("42", "13"))
    early = (tmp_path / "memory.safetensors").read_bytes()
    penalty(**batch("42", "13"))
    penalty.close()
    (tmp_path / "memory.safetensors").write_bytes(early)
    with pytest.raises(RunFolderError, match="lacks the last 1 batches of the rollouts"):
        RepeatedErrorPenalty("right", **options)(**batch("42"))


def test_a_run_of_another_kind_is_refused(tmp_path):
    penalty = RepeatedErrorPenalty("right", folder=tmp_path)
    penalty(**batch("42", "13"))
    penalty.close()
    before = content(tmp_path)
    other = RepeatedErrorPenalty("right", answer_finder="hashes", folder=tmp_path)
    with pytest.raises(FileExistsError, match=r"'boxed'.*this one has .*'hashes'.*Nothing was changed"):
        other(**batch("42"))
    (tmp_path / "environment.json").write_text("{}")
    with pytest.raises(FileExistsError, match="has a run with no RepeatedErrorPenalty"):
        RepeatedErrorPenalty("right", folder=tmp_path)(**batch("42"))
    assert content(tmp_path) == before


def test_another_process_that_writes_is_refused(tmp_path):
    with (
        FileLock(tmp_path / ".lock"),
        pytest.raises(FileExistsError, match=r"Another training writes to .* name another folder"),
    ):
        RepeatedErrorPenalty("right", folder=tmp_path)(**batch("42"))


def test_a_forked_process_neither_writes_nor_releases_the_folder(tmp_path, monkeypatch):
    penalty = RepeatedErrorPenalty("right", folder=tmp_path)
    penalty(**batch("42", "13"))
    with monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: 1)
        with pytest.raises(RuntimeError, match="is written by the process that this one was forked from"):
            penalty(**batch("42", "13"))
        penalty._open_folder.close()
    with pytest.raises(Timeout):
        FileLock(tmp_path / ".lock").acquire(timeout=0)
    assert len(RunFolder(tmp_path).rollouts()) == 2


def test_in_one_process_the_newer_penalty_takes_the_folder_over(tmp_path):
    first, second = (RepeatedErrorPenalty("right", folder=tmp_path) for _ in range(2))
    first(**batch("42", "13"))
    second(**batch("42", "13"))
    with pytest.raises(RuntimeError, match="Another RepeatedErrorPenalty of this process writes to"):
        first(**batch("42", "13"))
    assert RunFolder(tmp_path).rollouts()["cluster_size"].tolist() == [0, 0, 0, 1]


def test_rollouts_without_their_memory_are_not_continued(tmp_path):
    penalty = RepeatedErrorPenalty("right", folder=tmp_path)
    penalty(**batch("42", "13"))
    penalty.close()
    early = (tmp_path / "memory.safetensors").read_bytes()
    (tmp_path / "memory.safetensors").write_bytes(early[:-1])
    with pytest.raises(MemoryFileError):
        RepeatedErrorPenalty("right", folder=tmp_path)(**batch("42"))
    (tmp_path / "memory.safetensors").unlink()
    with pytest.raises(RunFolderError, match=r"has rollouts and no memory\.safetensors"):
        RepeatedErrorPenalty("right", folder=tmp_path)(**batch("42"))


def test_the_recipe_names_the_settings(tmp_path):
    RepeatedErrorPenalty("right", alpha=0.0, folder=tmp_path)(**batch("42", "13"), trainer_state=at(0, 50))
    head, _, body = (tmp_path / "recipe.yaml").read_text().partition("\n")
    assert head.startswith("#")
    assert json.loads(body) == {
        "meds_alpha": 0.0,
        "meds_beta": 0.2,
        "meds_all_wrong": "shape",
        "meds_no_answer": "cluster",
        "meds_max_distance": 0.0,
        "num_generations": 2,
        "max_steps": 50,
        "fingerprint": "answer",
        "answer_finder": "boxed",
    }


def test_it_needs_no_torch(tmp_path):
    code = f"""
import sys
class NotInstalled:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "transformers", "trl", "accelerate", "datasets", "pandas"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, NotInstalled())
from meds_rl import RepeatedErrorPenalty
penalty = RepeatedErrorPenalty("right", folder={str(tmp_path)!r})
print([penalty(**{batch("42", "13")!r}) for _ in range(2)])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[[0.0, 0.0], [0.0, -0.06931471805599453]]"


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("meds_rl.engines.reward.find_spec", lambda name: None if name == "pyarrow" else object())
    with pytest.raises(ImportError, match=r'a folder needs pyarrow: pip install "meds-rl\[report\]"'):
        RepeatedErrorPenalty("right", folder=tmp_path)
