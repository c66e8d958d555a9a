"""Grading in a process: a completion that hangs, dies or eats the memory counts as wrong and stops nothing."""

import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from meds_rl.tasks import Task, Verdict, load_task
from meds_rl.tasks.grader import Grader
from meds_rl.tasks.grading import AccuracyReward, MathGrader

from .graders import grade, play

ROW = {"answer": "7"}


def reward(limit=1.0, **options) -> AccuracyReward:
    return AccuracyReward(Task("planted", None, None, grade, **{"grade_in": "process", **options}), limit=limit)


def test_here_and_in_a_process_it_is_the_same():
    jobs = [("7", ROW), ("8", ROW)]
    with Grader(grade, grade_in=None) as here, Grader(grade, grade_in="process") as there:
        assert here(jobs) == there(jobs) == [True, False]
        assert there.num_ended == 0


@pytest.mark.parametrize("where", [None, "process"])
def test_verdicts_come_back_as_they_are(where):
    with Grader(play, grade_in=where) as grader:
        graded = grader([("7", ROW), ("timeout", ROW), ("tests", ROW)])
    assert graded == [
        Verdict(True, "lost by 7"),
        Verdict(False, "lost by timeout"),
        Verdict(False, ("ok", "IndexError")),
    ]


def test_an_outcome_that_no_process_can_send():
    with (
        Grader(play, grade_in="process") as grader,
        pytest.raises(TypeError, match="make it of text, numbers and tuples"),
    ):
        grader([("lock", ROW)])


def test_a_long_outcome_is_sent_as_the_beginning_of_its_text():
    with Grader(play, grade_in="process") as grader:
        (verdict,) = grader([("long", ROW)])  # pickled, 2 bytes for each of two million items
    assert verdict == Verdict(False, str(("x",) * 1000)[:1000])


def test_what_hangs_or_dies_is_wrong_and_the_rest_is_graded():
    with Grader(grade, grade_in="process", limit=1.0) as grader:
        jobs = [(text, ROW) for text in ("7", "hang", "7", "die", "7", "memory")]
        assert grader(jobs) == [True, False, True, False, True, False]
        assert grader.num_ended == 2  # the grader itself answered for the memory


def test_a_bug_in_a_grader_is_not_hidden():
    with Grader(grade, grade_in="process") as grader:
        with pytest.raises(KeyError, match="no such column"):
            grader([("bug", ROW), ("7", ROW)])
        assert grader([("8", ROW)]) == [False]  # not what was left of the batch before


def test_what_a_grader_prints_is_no_answer():
    with Grader(grade, grade_in="process") as grader:
        assert grader([("print", ROW), ("7", ROW)]) == [False, True]


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_copies_grade_in_a_process_of_their_own():
    grader = Grader(grade, grade_in="process")
    assert grader([("7", ROW)]) == [True]
    mine = grader._worker.pid
    copy = pickle.loads(pickle.dumps(grader))
    assert copy([("7", ROW)]) == [True]
    assert copy._worker.pid != mine
    child = os.fork()
    if child == 0:
        os._exit(grader([("7", ROW), ("8", ROW)]) != [True, False] or grader._worker.pid == mine)
    assert os.waitpid(child, 0)[1] == 0
    assert grader([("7", ROW)]) == [True]
    assert grader._worker.pid == mine


def test_a_process_that_was_killed_between_batches_is_replaced():
    with Grader(grade, grade_in="process") as grader:
        assert grader([("7", ROW)]) == [True]
        grader._worker.kill()
        grader._worker.wait()
        assert grader([("7", ROW)]) == [True]
        assert grader.num_ended == 0


def test_a_process_that_cannot_start_is_an_error_and_not_a_wrong_answer(monkeypatch):
    monkeypatch.setattr("meds_rl.tasks.grader._WORKER", "raise SystemExit(1)")
    with pytest.raises(ChildProcessError, match="process that grades pocket ended before its first reply"):
        Grader(grade, grade_in="process", name="pocket")([("7", ROW)])


@pytest.mark.long
def test_a_script_without_a_main_guard_runs_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from meds_rl.tasks.grader import Grader\nfrom meds_rl.tasks.grading import MathGrader\nprint('once')\n"
        r"print(Grader(MathGrader(), grade_in='process')([(r'\boxed{7.0}', {'answer': '7'})]))"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["once", "[True]"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_process_ends_with_its_parent_even_while_it_hangs(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from tests.tasks.graders import grade\nfrom meds_rl.tasks.grader import Grader\n"
        "grader = Grader(grade, grade_in='process', limit=2.0)\ngrader([('7', {'answer': '7'})])\n"
        "print(grader._worker.pid, flush=True)\ngrader([('hang', {'answer': '7'})])\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    end = time.monotonic() + 30.0
    while _runs(worker):
        assert time.monotonic() < end
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.long
def test_a_tower_of_powers_does_not_stop_math_verify():
    with Grader(MathGrader(), grade_in="process") as grader:
        jobs = [(rf"so \boxed{{{answer}}}", ROW) for answer in ("9^{9^{9^9}}", "7.0", "8")]
        assert grader(jobs) == [False, True, False]


# ---- As the reward of a training.


def test_the_reward_counts_what_hangs_and_warns_once(caplog):
    counts = []

    def log_metric(name, value):
        counts.append((name, value))

    accuracy = reward()
    with caplog.at_level(logging.WARNING, "meds_rl"):
        for texts in (["7", "8"], ["hang", "7"], ["7", "die", "hang"]):
            accuracy(texts, answer=["7"] * len(texts), log_metric=log_metric, completion_ids=[[1]] * len(texts))
    assert counts == [("grader/timeouts", 0.0), ("grader/timeouts", 1.0), ("grader/timeouts", 2.0)]
    (record,) = caplog.records
    assert record.getMessage() == (
        "planted: grading an answer took longer than 1 s (or crashed); it counts as wrong: ...'hang'. "
        "Later ones are only counted."
    )


def test_the_tenth_answer_that_hangs_is_warned_of_again(caplog):
    grader = Grader(grade, grade_in="process", name="planted")
    for _ in range(12):
        grader._count_ended("hang")
    first, tenth = (record.getMessage() for record in caplog.records)
    assert first.startswith("planted: grading an answer took longer than 10 s")
    assert tenth == (
        "planted: 10 answers so far took longer than 10 s (or crashed). Each delays its batch by this time and by the "
        "start of a process, one after the other."
    )


def test_the_reward_of_a_task_that_cannot_hang_starts_no_process():
    accuracy = reward(grade_in=None)
    assert accuracy(["7", "8"], answer=["7", "7"], log_metric=pytest.fail) == [1.0, 0.0]
    assert accuracy._grader._worker is None


def test_the_reward_is_picklable_after_it_graded():
    accuracy = reward()
    assert accuracy(["7"], answer=["7"]) == [1.0]
    assert pickle.loads(pickle.dumps(accuracy))(["7", "8"], answer=["7", "7"]) == [1.0, 0.0]


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        "polynomial_multiplication",
        pytest.param("simple_integration", marks=pytest.mark.long),
        pytest.param("intermediate_integration", marks=pytest.mark.long),
    ],
)
def test_a_tower_of_powers_freezes_no_training(name):
    """reasoning-gym's scorer hands the answer to sympy, which no alarm interrupts."""
    task = load_task(f"reasoning_gym:{name}", train_size=1, test_size=0)
    accuracy = AccuracyReward(task, limit=3.0)
    texts = [rf"\boxed{{{task.train[0]['answer']}}}", r"\boxed{9**9**9}", r"\boxed{0}"]
    columns = {column: [task.train[0][column]] * 3 for column in task.train.column_names}
    assert accuracy(texts, **columns) == [1.0, 0.0, 0.0]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(accuracy, texts, **columns).result() == [1.0, 0.0, 0.0]


@pytest.mark.long
def test_math_answers_are_graded_with_a_limit_off_the_main_thread():
    accuracy = AccuracyReward(Task("math", None, None, MathGrader(), grade_in="process"), limit=3.0)
    texts = [r"\boxed{\frac12}", r"\boxed{9^{9^{9^{9}}}}", r"\boxed{0.5}"]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(accuracy, texts, answer=["0.5"] * 3).result() == [1.0, 0.0, 1.0]
