"""Reads the problem and its tests from a row of HumanEval, MBPP, LiveCodeBench, or your own data set."""

from __future__ import annotations

import ast
import builtins
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

LEETCODE = """
from bisect import *
from collections import *
from functools import *
from heapq import *
from itertools import *
from math import *
from typing import *
import bisect, collections, functools, heapq, itertools, math, operator, random, re, string
"""
"""Imports that LeetCode gives to a program that completes its class Solution."""

NUMBERS = "from math import inf, nan"
"""For numbers out of JSON: it may have Infinity and NaN, which Python writes as inf and nan."""


@dataclass(frozen=True)
class ProgramTests:
    """The tests of one problem: either `tests`, which call functions, or `inputs`.

    Attributes:
        before: Python that runs before the program, in its namespace: the imports and helpers of the problem.
        start: the beginning of a function that a program may continue; "" if there is none.
        tests, functions, prelude: as in `sandbox.Calls`.
        inputs: pairs of standard input and the right output.
    """

    before: str = ""
    start: str = ""
    tests: Sequence[str] = ()
    functions: Mapping[str, str] = field(default_factory=dict)
    prelude: str = ""
    inputs: Sequence[Sequence[str]] = ()

    def to_json(self) -> str:
        """The tests as text, for a column of the data set."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> ProgramTests:
        """The tests that `to_json` wrote."""
        return cls(**json.loads(text))


Found = tuple[Any, ProgramTests]
"""A prompt (a text, or chat messages) and its tests."""


def find_layout(columns: Iterable[str]) -> Callable[[Mapping[str, Any]], Found] | None:
    """The function that reads a row with these columns; None if they hold no tests."""
    return next((read for needed, read in LAYOUTS.items() if set(needed.split()) <= set(columns)), None)


# ---- The layouts. ValueError, without the file's name, for a row that cannot be read.


def read_humaneval(row: Mapping[str, Any]) -> Found:
    """`prompt` begins a function, `test` has a function check(candidate), `entry_point` is the function's name."""
    prompt, name = row["prompt"], row["entry_point"]
    started = _parsed(prompt) or _parsed(f"{prompt}\n    pass")
    function = _function(started, name)
    if started is None or function is None:
        raise ValueError(f"the prompt does not begin a function {name}")
    tree = _parsed(row["test"])
    check = _function(tree, "check")
    if tree is None or check is None or not check.args.args:
        raise ValueError("the test has no function check(candidate)")
    others = [statement for statement in tree.body if statement is not check]
    tests = ProgramTests(
        before=_text(one for one in started.body if one is not function),
        start=prompt if prompt.endswith("\n") else f"{prompt}\n",
        tests=split_tests(check.body),
        functions={check.args.args[0].arg: name, name: name},
        prelude=_text([*started.body, *others]),
    )
    return f"Complete this function:\n\n```python\n{prompt.strip()}\n```", tests


def read_mbpp(row: Mapping[str, Any]) -> Found:
    """`text` or `prompt` is the problem. `test_list` has lines with `assert`, which the prompt shows, as in the paper.

    `test_setup_code` (or `test_imports`) runs before them. `challenge_test_list` is not used, as in published results.
    """
    imports = row.get("test_imports") or ()
    setup = row.get("test_setup_code") or (imports if isinstance(imports, str) else "\n".join(imports))
    asked, shown = row.get("text") or row.get("prompt"), "\n".join(row["test_list"])
    if not asked:
        raise ValueError("there is no text")
    text = f"{asked}\n\nThe program must pass these tests:\n\n```python\n{shown}\n```"
    return text, _of_asserts(row["test_list"], setup)


def read_livecodebench(row: Mapping[str, Any]) -> Found:
    """`question_content`, and `public_test_cases` as JSON; with `starter_code` and the `func_name` in `metadata`.

    `private_test_cases` are not used: they are pickled, and unpickling can run any code.
    """
    cases = _json(row["public_test_cases"], "public_test_cases")
    if not cases:
        raise ValueError("public_test_cases has no test")
    if cases[0]["testtype"] == "stdin":
        text = f"{row['question_content']}\n\nThe program reads standard input and writes standard output."
        return text, ProgramTests(inputs=_inputs(cases))
    name = (_json(row.get("metadata") or "{}", "metadata")).get("func_name")
    if not name:
        raise ValueError("metadata has no func_name")
    starter = row.get("starter_code") or ""
    path = f"Solution.{name}" if "class Solution" in starter else name
    tests = [
        _assertion([_json(line, "input") for line in case["input"].splitlines() if line.strip()], case["output"])
        for case in cases
    ]
    text = f"{row['question_content']}\n\nBegin with:\n\n```python\n{starter.rstrip()}\n```"
    return text, ProgramTests(before=LEETCODE, tests=tests, functions={"candidate": path}, prelude=NUMBERS)


def read_own(row: Mapping[str, Any]) -> Found:
    """`prompt` (a text or chat messages) and `tests`: lines with `assert`, or mappings with `input` and `output`.

    With an `entry_point`, the input is the list of the function's arguments; without one, input and output are the
    program's standard input and output. Tests may also be JSON text.
    """
    tests, name = row["tests"], row.get("entry_point") or ""
    tests = _json(tests, "tests") if isinstance(tests, str) else tests
    if not isinstance(tests, list) or not tests:
        raise ValueError("tests must be a list of at least one test")
    if all(isinstance(test, str) for test in tests):
        return row["prompt"], _of_asserts(tests, "", name)
    if not all(isinstance(test, Mapping) and {"input", "output"} <= test.keys() for test in tests):
        raise ValueError("tests must be lines with assert, or mappings with input and output")
    if name:
        calls = [_assertion(_as_list(test["input"]), json.dumps(test["output"])) for test in tests]
        return row["prompt"], ProgramTests(tests=calls, functions={"candidate": name}, prelude=NUMBERS)
    return row["prompt"], ProgramTests(inputs=_inputs(tests))


LAYOUTS: dict[str, Callable[[Mapping[str, Any]], Found]] = {
    "prompt test entry_point": read_humaneval,
    "test_list": read_mbpp,
    "question_content public_test_cases": read_livecodebench,
    "prompt tests": read_own,
}
"""Columns -> the function that reads such a row; the first that fits."""


# ---- Their parts.


def split_tests(body: Sequence[ast.stmt]) -> list[str]:
    """The tests of a test function: one text for each statement that asserts, with the statements before it.

    A loop with its asserts is one test. An assert of a constant is left out. Calls after the last assert are one more
    test, because a helper may assert.

    >>> split_tests(ast.parse("assert True\\nx = 1\\nassert f(x) == 2\\nfor i in range(3): assert f(i)").body)
    ['x = 1\\nassert f(x) == 2', 'for i in range(3):\\n    assert f(i)']
    """
    tests: list[str] = []
    waiting: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, ast.Assert) and isinstance(statement.test, ast.Constant) and statement.test.value:
            continue
        waiting.append(statement)
        defines = isinstance(statement, ast.FunctionDef | ast.ClassDef)
        if not defines and any(isinstance(node, ast.Assert) for node in ast.walk(statement)):
            tests.append(_text(waiting))
            waiting = []
    if any(isinstance(node, ast.Call) for statement in waiting for node in ast.walk(statement)):
        tests.append(_text(waiting))
    return tests


def _text(statements: Iterable[ast.stmt]) -> str:
    return ast.unparse(ast.Module(list(statements), []))


def _of_asserts(lines: Sequence[str], setup: str, name: str = "") -> ProgramTests:
    """Tests from lines with assert, which call the program's functions by their names: those that nothing else defines.

    If there are none, the program redefines a function of Python's: MBPP's problem 126 is `sum`. Modules that are used
    without an import (problem 596) are imported, as a right program may have none of it.
    """
    trees = [_parsed(text) for text in (setup, *lines)]
    broken = next((text for text, tree in zip((setup, *lines), trees, strict=True) if tree is None), None)
    if broken is not None:
        raise ValueError(f"a test is not Python: {broken[:80]!r}")
    nodes = [node for tree in trees if tree is not None for node in ast.walk(tree)]
    used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    unknown = used - set(_defined(nodes)) - set(dir(builtins))
    modules = unknown & {_base(node) for node in nodes} & sys.stdlib_module_names
    names = sorted((unknown - modules) | ({name} if name else set()) or _called(nodes) & set(dir(builtins)))
    if not names:
        raise ValueError("the tests call no function of the program")
    prelude = "\n".join([*(f"import {module}" for module in sorted(modules)), setup])
    return ProgramTests(tests=list(lines), functions={one: one for one in names}, prelude=prelude)


def _called(nodes: Iterable[ast.AST]) -> set[str]:
    return {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def _base(node: ast.AST) -> str:
    """The name before the dot of `math.pi`; "" for another node."""
    return node.value.id if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) else ""


def _defined(nodes: Iterable[ast.AST]) -> Iterable[str]:
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
        elif isinstance(node, ast.arg):
            yield node.arg


def _assertion(arguments: Sequence[Any], output: str) -> str:
    return f"assert candidate({', '.join(map(repr, arguments))}) == {_json(output, 'output')!r}"


def _inputs(tests: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Standard inputs and outputs; numbers as texts."""
    pairs = [(test["input"], test["output"]) for test in tests]
    for value in (one for pair in pairs for one in pair):
        if not isinstance(value, str | int | float):
            raise ValueError(
                f"standard input and output are texts, got {type(value).__name__} {repr(value)[:80]}; for a "
                "function's arguments and value, name it in entry_point"
            )
    return [(str(given), str(right)) for given, right in pairs]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} is not JSON: {error}") from None


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: it is nested too deeply
        return None


def _function(tree: ast.Module | None, name: str) -> ast.FunctionDef | None:
    functions = [one for one in tree.body if isinstance(one, ast.FunctionDef)] if tree is not None else []
    return next((one for one in functions if one.name == name), None)
