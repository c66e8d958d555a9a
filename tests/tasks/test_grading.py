"""Right and wrong answers, hostile ones, and the reward function that TRL calls."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from datasets import Dataset

from meds_rl.tasks import Task, Verdict
from meds_rl.tasks.grading import AccuracyReward, FunctionGrader, MathGrader, bare, math_grade

SAME = [  # given, gold
    (r"\frac12", r"\frac{1}{2}"),
    ("0.5", r"\frac{1}{2}"),
    ("1/2", r"\dfrac{1}{2}"),
    (r"1\frac12", r"\frac32"),
    (r"50\%", r"\frac12"),
    (r"\{1, 2\}", r"\{2,1\}"),
    ("1,2", "2, 1"),
    ("(1,2]", "(1, 2]"),
    (r"x \in (1,2]", "(1,2]"),
    (r"(-\infty, 3)", r"(-\infty,3)"),
    ("east", r"\text{east}"),
    (r"\text{(A)}", "A"),
    ("034", "34"),
    ("1,000", "1000"),
    ("x = 5", "5"),
    (r"5\text{ cm}", "5"),
    (r"2\sqrt{3}", r"\sqrt{12}"),
    ("x^2+2x+1", "(x+1)^2"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    ("10^6", "1000000"),
    ("34", "$34$"),
    ("34", r"\boxed{34}"),
    (r"\undefinedcommand{7}", r"\undefinedcommand{7}"),  # what cannot be parsed is compared as text
]
DIFFERENT = [
    ("33", "34"),
    ("-3", "3"),
    (r"\frac{1}{3}", "0.33"),
    ("[1,2]", "(1,2]"),
    ("(1,2)", "(2,1)"),
    (r"\{1,2\}", r"\{1,2,3\}"),
    (r"\text{west}", r"\text{east}"),
    ("tsae", r"\text{east}"),  # the same letters: no product of symbols
    ("3", "3.0000001"),
    ("3.14", r"\pi"),
    (r"\frac{1}{", r"\frac12"),
    (r"\frac{}{}", "0"),
    (" ", "0"),
    (r"\sqrt{", "2"),
    ("7", r"\frac{"),  # a gold answer that cannot be parsed: nothing but the same text is right
    ("9" * 10_000, "3"),
    ("(" * 5_000, "3"),
    ("3" + " " * 10_000 + "x", "3"),
    ("\x00\ud83d", "3"),
]


@pytest.mark.parametrize(("given", "gold"), SAME)
def test_equal_answers_are_right(given, gold):
    assert math_grade(rf"Thus we get $\boxed{{{given}}}$.", gold) is True


@pytest.mark.parametrize(("given", "gold"), DIFFERENT)
def test_different_answers_are_wrong(given, gold):
    assert math_grade(rf"Thus we get \boxed{{{given}}}.", gold) is False


@pytest.mark.parametrize(
    "completion",
    [
        "",
        "The answer is 7.",
        "$7$",
        r"\boxed{}",
        r"\boxed{7",
        r"\boxed{8} and \boxed{",
        r"\boxed{7} no, \boxed{8}",
        "7" * 10_000,
    ],
)
def test_only_the_last_filled_box_counts(completion):
    assert math_grade(completion, "7") is False


def test_other_markers():
    assert math_grade("<answer>0.5</answer>", r"\frac12", "answer_tag")
    assert math_grade("so\n#### 1,200\n", "1200", "hashes")
    assert not math_grade(r"\boxed{7}", "7", "hashes")
    with pytest.raises(ValueError, match="marker"):
        math_grade("7", "7", "box")


def test_bare():
    assert [bare(text) for text in ("$7$", r"\boxed{7}", r"\$7", r"$\$7$", "$", "$$", r"\boxed{1},\boxed{2}")] == [
        "7",
        "7",
        r"\$7",
        r"\$7",
        "$",
        "$$",
        r"\boxed{1},\boxed{2}",
    ]


def test_off_the_main_thread_right_answers_stay_right():
    """math-verify with its time-outs on answers False to everything there."""
    table = [(given, gold, True) for given, gold in SAME[:12]] + [(given, gold, False) for given, gold in DIFFERENT[:8]]
    with ThreadPoolExecutor(1) as pool:
        graded = list(pool.map(lambda row: math_grade(rf"\boxed{{{row[0]}}}", row[1]), table))
    assert threading.current_thread() is threading.main_thread()
    assert graded == [right for _, _, right in table]


def test_a_tower_of_powers_is_stopped(monkeypatch):
    monkeypatch.setattr("meds_rl.tasks.grading.TIMEOUT_SECONDS", 1)
    assert math_grade(r"\boxed{9^{9^{9^{9}}}}", "387420489") is False


@pytest.fixture
def task():
    return Task(name="t", train=Dataset.from_dict({"prompt": ["p"]}), test=None, grade=MathGrader())


def test_reward_of_text_and_of_chats(task):
    reward = AccuracyReward(task)
    texts = [r"\boxed{1}", r"\boxed{2}", "2"]
    chats = [[{"role": "assistant", "content": text}] for text in texts]
    # As TRL calls it: columns as lists, and things that are no columns.
    given = {"prompts": ["p"] * 3, "answer": ["1", "1", "2"], "trainer_state": object(), "log_metric": print}
    assert reward(texts, **given) == [1.0, 0.0, 0.0]
    assert reward(completions=chats, **given) == [1.0, 0.0, 0.0]
    assert reward.__name__ == "accuracy"


def test_reward_of_unusual_messages(task):
    parts = [
        {
            "role": "assistant",
            "content": [{"type": "text", "text": r"\box"}, {"type": "text", "text": "ed{1}"}],
        }
    ]
    tool_call = [{"role": "assistant", "content": None}]
    after_tool = [
        *tool_call,
        {"role": "tool", "content": "1"},
        {"role": "assistant", "content": r"\boxed{1}"},
    ]
    assert AccuracyReward(task)([parts, tool_call, [], after_tool], answer=["1"] * 4) == [1.0, 0.0, 0.0, 1.0]


def lost(completion, row):
    return Verdict(True) if completion == row["answer"] else Verdict(False, ("ok", f"got {completion}"))


def test_the_outcomes_of_verdicts_are_logged():
    logged = []
    reward = AccuracyReward(Task("game", None, None, lost))
    given = {"answer": ["1", "1"], "log_extra": lambda name, values: logged.append((name, values))}
    assert reward(["1", "2"], **given) == [1.0, 0.0]
    reward(["1", "1"], **given)  # the column is there again, as TRL's table of completions needs it
    assert logged == [("outcome", [None, ("ok", "got 2")]), ("outcome", [None, None])]
    assert reward(["1", "2"], answer=["1", "1"]) == [1.0, 0.0]


def test_a_reward_function_that_logs_outcomes_gives_verdicts():
    def played(completions, log_extra, **_):
        log_extra("outcome", [f"lost by {completions[0]}"])
        return [0.0]

    row = {"prompt": "p"}
    assert FunctionGrader([played], 0.5)("timeout", row) == Verdict(False, "lost by timeout")
    assert FunctionGrader([lambda **_: [1.0]], 0.5)("timeout", row) is True


def test_reward_is_picklable_without_the_data(task):
    reward = AccuracyReward(task)
    copy = pickle.loads(pickle.dumps(reward))
    assert copy([r"\boxed{0.5}"], answer=[r"\frac12"]) == [1.0]
    assert len(pickle.dumps(reward)) < 300


def test_reward_refuses_columns_of_another_length(task):
    with pytest.raises(ValueError, match="column 'answer' has 1 rows, there are 2 completions"):
        AccuracyReward(task)(["a", "b"], answer=["1"])


def test_trl_takes_it_as_a_reward_function(task):
    """TRL's own reward on the column `solution` agrees on the plain cases."""
    rewards = pytest.importorskip("trl.rewards")
    chats = [[{"role": "assistant", "content": rf"\boxed{{{given}}}"}] for given in (r"\frac{1}{2}", "3")]
    theirs = rewards.accuracy_reward(chats, solution=[r"\boxed{0.5}", r"\boxed{4}"])
    assert AccuracyReward(task)(chats, answer=["0.5", "4"]) == theirs == [1.0, 0.0]
