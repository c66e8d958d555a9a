"""The planted bugs, and which of them a completion has.

A bug changes the operations of the right program. Some bugs have several forms, so one bug may give several outputs.
Different bugs may give the same output.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from meds_lab.tasks.programs.language import ARITHMETIC, Operation, Program, normal, read

RIGHT = "right"
BUGS = ("reversed order", "off by one", "wrong sign", "last left out", "first left out", "similar operation")
NAMES = (RIGHT, *BUGS)
OTHER, NO_PROGRAM = "other", "no program"

_SIMILAR = {"rev": "swap", "swap": "rev", "left": "right", "right": "left", "drop": "dup", "dup": "drop"}
_TURNED = {"add": "sub", "sub": "add"}


@cache
def forms(name: str, program: Program) -> tuple[Program, ...]:
    """Every program that has this bug, or is right.

    >>> program = Operation("rev"), Operation("add", 3)
    >>> [[str(one) for one in form] for form in forms("off by one", program)]
    [['rev()', 'add(2)'], ['rev()', 'add(4)']]
    >>> [[str(one) for one in form] for form in forms("similar operation", program)]
    [['swap()', 'add(3)']]

    Raises:
        ValueError: there is no such bug.
    """
    if name == RIGHT:
        return (program,)
    if name == "reversed order":
        return (program[::-1],)
    if name == "last left out":
        return (program[:-1],)
    if name == "first left out":
        return (program[1:],)
    if name == "off by one":
        return tuple(
            _changed(program, at, Operation(one.name, one.k + by))
            for at, one in enumerate(program)
            if one.name in ARITHMETIC
            for by in (-1, 1)
        )
    if name == "wrong sign":
        turned = [(at, Operation(_TURNED[one.name], one.k)) for at, one in enumerate(program) if one.name in ARITHMETIC]
    elif name == "similar operation":
        turned = [(at, Operation(_SIMILAR[one.name])) for at, one in enumerate(program) if one.name in _SIMILAR]
    else:
        raise ValueError(f"unknown bug {name!r}; there are: {', '.join(BUGS)}")
    return tuple(_changed(program, at, one) for at, one in turned)


def _changed(program: Program, at: int, one: Operation) -> Program:
    return (*program[:at], one, *program[at + 1 :])


def bug(completion: str, row: Mapping[str, Any]) -> str:
    """Which of `NAMES` the program of a completion has, however it is written; "other" or "no program".

    Args:
        completion: as text.
        row: of the task; `answer` is the right program. If a program is a form of two bugs, the first of `BUGS` counts.
    """
    try:
        written = normal(read(completion))
    except LookupError:
        return NO_PROGRAM
    except (SyntaxError, NameError, OverflowError):
        return OTHER
    return _named(read(f"```\n{row['answer']}\n```")).get(written, OTHER)


@cache
def _named(program: Program) -> Mapping[Program, str]:
    """Name of each normal form."""
    return {normal(form): name for name in reversed(NAMES) for form in forms(name, program)}
