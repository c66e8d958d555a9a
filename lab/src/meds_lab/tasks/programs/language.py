r"""A small language, written as Python: a program applies operations to a list of digits, one after the other.

The eight operations: ``rev`` reverses the list, ``left`` moves the first digit to the end, ``right`` the last one to
the front, ``swap`` exchanges the first two, ``drop`` removes the last digit, ``dup`` repeats it, and ``add(k)`` and
``sub(k)`` change the first digit modulo 10. Programs have no loops, so they always end.

>>> program = read("```python\nx.rev()\nx.add(3)  # and so on\n```")
>>> run(program, (1, 2, 3, 9))
(2, 3, 2, 1)
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from meds_rl.fingerprint.code import find_program, parse

Digits: TypeAlias = tuple[int, ...]

LIST_OPERATIONS = ("rev", "left", "right", "swap", "drop", "dup")
ARITHMETIC = ("add", "sub")
MOST_OPERATIONS = 24
"""Longer programs are not run: `dup` must not fill the memory."""

_UNDONE = {("rev", "rev"), ("swap", "swap"), ("left", "right"), ("right", "left"), ("dup", "drop")}


class Operation(NamedTuple):
    """One operation; `k` is 0 where it takes no number."""

    name: str
    k: int = 0

    def __str__(self) -> str:
        return f"{self.name}({self.k})" if self.name in ARITHMETIC else f"{self.name}()"


Program: TypeAlias = tuple[Operation, ...]


def read(completion: str) -> Program:
    """The operations of a completion's program.

    Raises:
        LookupError: there is no program.
        SyntaxError: it is not Python.
        NameError: a statement is not one of the eight operations.
        OverflowError: there are more than `MOST_OPERATIONS`.
    """
    text = find_program(completion)
    if text is None:
        raise LookupError("no program")
    tree = parse(text)
    if tree is None:
        raise SyntaxError("not Python")
    program = tuple(_operation(statement) for statement in tree.body if not isinstance(statement, ast.Pass))
    if len(program) > MOST_OPERATIONS:
        raise OverflowError(f"{len(program)} operations; at most {MOST_OPERATIONS} are run")
    return program


def _operation(statement: ast.stmt) -> Operation:
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        raise NameError(f"not an operation: {ast.unparse(statement)}")
    given = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    name, numbers = call.func.attr, [k for k in given if type(k) is int]
    wanted = 1 if name in ARITHMETIC else 0
    if name not in (*LIST_OPERATIONS, *ARITHMETIC) or not len(numbers) == len(call.args) == wanted:
        raise NameError(f"not an operation: {ast.unparse(statement)}")
    return Operation(name, *numbers)


def run(program: Iterable[Operation], digits: Sequence[int]) -> Digits:
    """What a program makes of a list; IndexError where an operation needs more digits than there are."""
    values = list(digits)
    for name, k in program:
        if name == "rev":
            values.reverse()
        elif name == "left":
            values.append(values.pop(0))
        elif name == "right":
            values.insert(0, values.pop())
        elif name == "swap":
            values[0], values[1] = values[1], values[0]
        elif name == "drop":
            values.pop()
        elif name == "dup":
            values.append(values[-1])
        else:
            values[0] = (values[0] + (k if name == "add" else -k)) % 10
    return tuple(values)


def normal(program: Iterable[Operation]) -> Program:
    """The program without operations that undo each other, and with neighbouring numbers added up.

    >>> add, sub, rev, swap = Operation("add", 2), Operation("sub", 4), Operation("rev"), Operation("swap")
    >>> [str(one) for one in normal([add, rev, rev, add, swap, sub])]
    ['add(4)', 'swap()', 'add(6)']
    """
    kept: list[Operation] = []
    for name, k in program:
        one = Operation("add", (k if name == "add" else -k) % 10) if name in ARITHMETIC else Operation(name)
        before = kept[-1] if kept else None
        if before is not None and (before.name, one.name) in _UNDONE:
            kept.pop()
        elif before is not None and before.name == one.name == "add":
            total = (before.k + one.k) % 10
            kept[-1:] = [Operation("add", total)] if total else []
        elif one != Operation("add", 0):
            kept.append(one)
    return tuple(kept)
