"""Programs as a task: the layouts of known data sets, which program of a completion runs, and the verdict."""

import json
import pickle
import threading

import pytest

from meds_rl.tasks import Verdict, load_task
from meds_rl.tasks import code as code_module
from meds_rl.tasks import grader as grader_module
from meds_rl.tasks.code import SYSTEM_PROMPT, load_programs
from meds_rl.tasks.code_tests import NUMBERS, ProgramTests
from meds_rl.tasks.grader import Grader
from meds_rl.tasks.grading import AccuracyReward

from .conftest import needs_bwrap

HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": "from typing import List\n\ndef half(x):\n    return x / 2\n\n\ndef total(xs: List[int]) -> int:\n"
    '    """ Add the numbers.\n    >>> total([1, 2])\n    3\n    """\n',
    "entry_point": "total",
    "canonical_solution": "    return sum(xs)\n",
    "test": "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    assert True, 'good'\n    xs = [1, 2]\n"
    "    assert candidate(xs) == 3\n    for n in range(3):\n        assert candidate([n]) == n\n"
    "    assert half(total([2, 2])) == 2\n",
}
MBPP = {
    "task_id": 1,
    "text": "Write a function to add.",
    "code": "def add(a, b): return a + b",
    "test_list": [
        "assert add(1, 2) == 3",
        "assert math.isclose(add(.1, .2), .3)",
        "assert set(add([1], [2])) == {1, 2}",
    ],
    "test_setup_code": "import math",
    "challenge_test_list": [],
}
SANITIZED = {
    "source_file": "x",
    "task_id": 1,
    "prompt": "Write a function to add.",
    "code": "def add(a, b): return a + b",
    "test_imports": ["import math"],
    "test_list": MBPP["test_list"],
}
LIVE = {
    "question_title": "Sum",
    "question_content": "Print the sum.",
    "starter_code": "",
    "metadata": "{}",
    "private_test_cases": "gASV",
    "public_test_cases": json.dumps(
        [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}, {"input": "2 2", "output": "4", "testtype": "stdin"}]
    ),
}
LEETCODE = {
    **LIVE,
    "starter_code": "class Solution:\n    def add(self, xs: List[int], y: int) -> List[int]:\n        ",
    "metadata": '{"func_name": "add"}',
    "public_test_cases": json.dumps([{"input": "[1, 2]\n3", "output": "[4, 5]", "testtype": "functional"}]),
}

SUM = "```python\ndef total(xs: List[int]) -> int:\n    return sum(xs)\n```"


def jsonl(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def verdicts(tmp_path):
    """The verdict on a completion of the only problem of a row."""

    def verdict(row, completion, **options):
        task = load_task("code", path=jsonl(tmp_path / "rows.jsonl", row), **options)
        return task.grade(completion, task.train[0])

    return verdict


def found_in(tmp_path, row) -> tuple[str, ProgramTests]:
    (loaded,) = load_programs(jsonl(tmp_path / "rows.jsonl", row))
    system, user = loaded["prompt"]
    assert system == {"role": "system", "content": SYSTEM_PROMPT}
    return user["content"], ProgramTests.from_json(loaded["tests"])


def again(tests: ProgramTests) -> ProgramTests:
    """With lists, as it comes out of a data set."""
    return ProgramTests.from_json(tests.to_json())


# ---- Layouts.


def test_humaneval_is_split_at_its_asserts(tmp_path):
    asked, tests = found_in(tmp_path, HUMANEVAL)
    assert asked.startswith("Complete this function:\n\n```python\nfrom typing import List\n\ndef half(x):")
    assert tests.tests == [
        "xs = [1, 2]\nassert candidate(xs) == 3",
        "for n in range(3):\n    assert candidate([n]) == n",
        "assert half(total([2, 2])) == 2",
    ]
    assert tests.functions == {"candidate": "total", "total": "total"}
    assert tests.before == "from typing import List\n\ndef half(x):\n    return x / 2"


def test_humaneval_with_a_helper_that_asserts_is_one_test(tmp_path):
    loop = "for x, y in [([1], 1)]:\n    same(candidate(x), y)"
    check = "def check(candidate):\n" + "".join(f"    {line}\n" for line in loop.splitlines())
    _, tests = found_in(tmp_path, {**HUMANEVAL, "test": f"def same(a, b):\n    assert a == b\n\n{check}"})
    assert tests.tests == [loop]


@pytest.mark.parametrize("row", [MBPP, SANITIZED])
def test_mbpp_shows_its_tests_and_calls_what_they_name(tmp_path, row):
    asked, tests = found_in(tmp_path, row)
    assert asked.startswith(
        "Write a function to add.\n\nThe program must pass these tests:\n\n```python\nassert add(1, 2) == 3"
    )
    assert tests.functions == {"add": "add"}
    assert (tests.prelude, len(tests.tests)) == ("import math", 3)


def test_a_function_named_as_a_builtin_and_modules_that_only_the_tests_need(tmp_path):
    _, tests = found_in(tmp_path, {**MBPP, "test_list": ["assert sum(10, 15) == 6"], "test_setup_code": ""})  # 126
    assert (tests.functions, tests.prelude) == ({"sum": "sum"}, "")
    _, tests = found_in(tmp_path, {**MBPP, "test_list": ["assert size(1) == sys.getsizeof(1)"], "test_setup_code": ""})
    assert (tests.functions, tests.prelude) == ({"size": "size"}, "import sys\n")
    _, tests = found_in(tmp_path, {**SANITIZED, "test_imports": "import math"})
    assert tests == found_in(tmp_path, MBPP)[1]


def test_livecodebench_reads_and_writes_or_completes_a_class(tmp_path):
    asked, tests = found_in(tmp_path, LIVE)
    assert asked == "Print the sum.\n\nThe program reads standard input and writes standard output."
    assert tests.inputs == [["1 2\n", "3\n"], ["2 2", "4"]]
    asked, tests = found_in(tmp_path, LEETCODE)
    assert asked.endswith(
        "Begin with:\n\n```python\nclass Solution:\n    def add(self, xs: List[int], y: int) -> List[int]:\n```"
    )
    assert tests.tests == ["assert candidate([1, 2], 3) == [4, 5]"]
    assert tests.functions == {"candidate": "Solution.add"}


def test_tests_of_ones_own(tmp_path):
    own = {"prompt": "Double it.", "tests": ["assert double(2) == 4"]}
    assert found_in(tmp_path, own) == (
        "Double it.",
        again(ProgramTests(tests=["assert double(2) == 4"], functions={"double": "double"})),
    )
    pairs = {"prompt": "Double it.", "entry_point": "double", "tests": [{"input": [2], "output": 4}]}
    expected = again(
        ProgramTests(tests=["assert candidate(2) == 4"], functions={"candidate": "double"}, prelude=NUMBERS)
    )
    assert found_in(tmp_path, pairs)[1] == expected
    assert found_in(tmp_path, {**pairs, "tests": '[{"input": 2, "output": 4}]'})[1] == expected
    script = {"prompt": "Double it.", "tests": [{"input": "2", "output": "4"}]}
    assert found_in(tmp_path, script)[1] == again(ProgramTests(inputs=[("2", "4")]))
    chat = [{"role": "user", "content": "Double it."}]
    (row, *others) = load_programs(jsonl(tmp_path / "chat.jsonl", *[{**own, "prompt": chat}] * 2))
    assert (row["prompt"], others) == (chat, [])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": "x", "answer": "3"},
            r"has no tests: it needs the columns prompt, test, entry_point; or test_list; or .*found: prompt, answer",
        ),
        ({"prompt": "x", "tests": []}, "row 0: tests must be a list of at least one test"),
        ({"prompt": "x", "tests": "[1"}, "row 0: tests is not JSON"),
        ({"prompt": "x", "tests": ["assert f(1"]}, r"row 0: a test is not Python: 'assert f\(1'"),
        ({"prompt": "x", "tests": ["assert [].x == 0"]}, "row 0: the tests call no function of the program"),
        (
            {"prompt": "x", "tests": ["assert f() == 1" + "+1" * 20_000]},
            r"row 0: a test is not Python: 'assert f\(\) == 1",
        ),
        (
            {"prompt": "x", "tests": [{"input": None, "output": "1"}]},
            "row 0: standard input and output .* got NoneType",
        ),
        ({"prompt": "x", "tests": [{"input": [1], "output": "1"}]}, r"got list \[1\]; for a function's .* entry_point"),
        ({**HUMANEVAL, "test": None}, "row 0 is not as read_humaneval needs it: TypeError"),
        ({**MBPP, "text": None}, "row 0: there is no text"),
        ({**LIVE, "public_test_cases": "[" * 100_000}, "row 0: public_test_cases is not JSON"),
        ({**LIVE, "public_test_cases": '[{"input": "1"}]'}, "row 0 is not as read_livecodebench needs it: KeyError"),
        ({"prompt": "x", "tests": [{"input": "1"}]}, "row 0: tests must be lines with assert, or mappings"),
        ({"prompt": " ", "tests": ["assert f()"]}, "empty prompt in 1 row"),
        ({**HUMANEVAL, "entry_point": "sum"}, "row 0: the prompt does not begin a function sum"),
        ({**HUMANEVAL, "test": "assert total([]) == 0"}, r"row 0: the test has no function check\(candidate\)"),
        ({**HUMANEVAL, "test": "def check(candidate): pass"}, "row 0: there is no test"),
        ({**LIVE, "public_test_cases": "[]"}, "row 0: public_test_cases has no test"),
        ({**LEETCODE, "metadata": "{}"}, "row 0: metadata has no func_name"),
        ({"prompt": "x", "tests": ["assert f() == " + repr("x" * 2**20)]}, "row 0: the tests are larger than 1 MiB"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        load_programs(jsonl(tmp_path / "rows.jsonl", row))


def test_it_is_refused_without_data_and_without_a_sandbox(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="needs the option 'path'"):
        load_task("code")

    def refuse():
        raise OSError("apt-get install bubblewrap")

    monkeypatch.setattr(code_module, "check_sandbox", refuse)
    with pytest.raises(OSError, match="apt-get install bubblewrap"):
        load_task("code", path=jsonl(tmp_path / "rows.jsonl", MBPP))


# ---- Verdicts.


@needs_bwrap
@pytest.mark.parametrize(
    ("completion", "outcome"),
    [
        (SUM, ("ok", "ok", "ok")),  # without the prompt's import
        (HUMANEVAL["prompt"] + HUMANEVAL["canonical_solution"], ("ok", "ok", "ok")),
        (HUMANEVAL["canonical_solution"], ("ok", "ok", "ok")),  # a base model continues the prompt
        # the first test gives 2 for 3; [n] gives 1 for n = 0; 2 for [2, 2], whose half is 1
        (f"First\n{SUM}\nno, better:\n```python\ndef total(xs): return len(xs)\n```", ("got 2", "wrong", "wrong")),
        ("```python\ndef add(xs): return sum(xs)\n```", ("NameError",) * 3),
        ("```python\ndef total(xs): return sum(xs\n```", ("SyntaxError",) * 3),
        ("```python\ndef total(xs): return xs[1]\n```", ("got 2", "IndexError", "wrong")),
        ("I do not know.", None),
        (f"```python\ntotal = sum  # {'x' * 100_000}\n```", None),  # too long
    ],
)
def test_verdicts(verdicts, completion, outcome):
    assert verdicts(HUMANEVAL, completion) == Verdict(outcome == ("ok",) * 3, outcome)


@needs_bwrap
def test_verdicts_of_the_other_layouts(verdicts):
    add = "```python\ndef add(a, b):\n    return a + b\n```"
    assert verdicts(MBPP, add) == verdicts(SANITIZED, add) == Verdict(True, ("ok",) * 3)
    assert verdicts(LIVE, "```python\nprint(sum(map(int, input().split())))\n```") == Verdict(True, ("ok", "ok"))
    assert verdicts(LIVE, "```python\nprint(3)\n```") == Verdict(False, ("ok", "got 3"))
    solution = f"```python\n{LEETCODE['starter_code']}return [x + y for x in xs]\n```"
    assert verdicts(LEETCODE, solution) == Verdict(True, ("ok",))


@needs_bwrap
def test_numbers_of_json_that_python_writes_otherwise(verdicts):
    row = {"prompt": "x", "entry_point": "f", "tests": '[{"input": [Infinity], "output": -Infinity}]'}
    assert verdicts(row, "```python\ndef f(x):\n    return -x\n```") == Verdict(True, ("ok",))


@needs_bwrap
def test_limits_are_options(verdicts):
    forever = "```python\ndef add(a, b):\n    while True: pass\n```"
    assert verdicts(MBPP, forever, test_seconds=0.2, seconds=0.3).outcome[0] == "timeout"
    with pytest.raises(ValueError, match="test_seconds must be above 0"):
        verdicts(MBPP, forever, test_seconds=3, seconds=2)


@needs_bwrap
def test_a_batch_is_graded_side_by_side_as_a_reward(tmp_path):
    task = load_task("code", path=jsonl(tmp_path / "rows.jsonl", HUMANEVAL))
    assert task.answer_marker == "code"
    logged = {}
    reward = pickle.loads(pickle.dumps(AccuracyReward(task)))
    wrong = "```python\ndef total(xs): return 0\n```"
    tests = task.train[0]["tests"]
    assert reward([SUM, wrong, "?"], log_extra=logged.__setitem__, tests=[tests] * 3) == [1.0, 0.0, 0.0]
    assert logged == {"outcome": [("ok", "ok", "ok"), ("got 0", "wrong", "wrong"), None]}


def test_a_grader_in_threads_keeps_the_order_and_raises(monkeypatch):
    monkeypatch.setattr(grader_module, "_num_cores", lambda: 2)
    together = threading.Barrier(2, timeout=30)

    def meet(completion, row):
        together.wait()  # goes on only when two are graded at once
        return completion == row["answer"]

    grader = Grader(meet, grade_in="threads")
    assert grader([(text, {"answer": "a"}) for text in "abaa"]) == [True, False, True, True]
    with pytest.raises(KeyError, match="answer"):
        grader([("a", {}), ("a", {})])
