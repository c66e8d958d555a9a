r"""Varies the wording of a program: names, comments, separators, split numbers, operations that undo each other.

The wording does not depend on the bug, so counting the texts of programs does not count bugs.

>>> print(write((Operation("rev"), Operation("add", 3)), random.Random(10)))
a program
```python
nums.rev()  # one more
nums.add(2); nums.add(1)
```
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from meds_lab.tasks.programs.language import ARITHMETIC, LIST_OPERATIONS, Operation, Program

VARIABLES = ("x", "y", "a", "data", "nums", "items")
_UNDOING = (("rev", "rev"), ("swap", "swap"), ("left", "right"), ("right", "left"), ("dup", "drop"))
_BEFORE = ("let us see", "here it is", "this should do", "a program", "okay", "the pairs look alike", "try this")
_AFTER = ("done", "that is all", "i think this works", "please check")
_COMMENTS = ("first", "then", "so far so good", "next", "on we go", "hmm", "now this", "one more")
_SPLIT, _UNDO, _PASS, _COMMENT, _FILLER, _SEMICOLON = 0.3, 0.3, 0.1, 0.2, 0.5, 0.3


def write(program: Program, rng: random.Random) -> str:
    """A completion with this program."""
    variable = rng.choice(VARIABLES)
    before = f"{rng.choice(_BEFORE)}\n" if rng.random() < _FILLER else ""
    after = f"\n{rng.choice(_AFTER)}" if rng.random() < _FILLER else ""
    lines = [f"{variable}.{one}" for one in longer(program, rng)]
    while rng.random() < _PASS:
        lines.insert(rng.randrange(len(lines) + 1), "pass")
    return f"{before}```python\n{_joined(lines, rng)}```{after}"


def write_plainly(program: Program) -> str:
    """The shortest completion with this program."""
    return "```python\n" + "".join(f"x.{one}\n" for one in program) + "```"


def longer(program: Program, rng: random.Random) -> list[Operation]:
    """A program that does the same, perhaps with more operations."""
    found: list[Operation] = []
    for one in program:
        found += _split(one, rng) if one.name in ARITHMETIC and one.k > 1 and rng.random() < _SPLIT else [one]
    if rng.random() < _UNDO:
        at = rng.randrange(len(found) + 1)
        found[at:at] = [Operation(name) for name in rng.choice(_UNDOING)]
    return found


def _split(one: Operation, rng: random.Random) -> list[Operation]:
    part = rng.randrange(1, one.k)
    return [Operation(one.name, part), Operation(one.name, one.k - part)]


def _joined(lines: Sequence[str], rng: random.Random) -> str:
    text = ""
    for line in lines:
        if rng.random() < _COMMENT:
            text += f"{line}  # {rng.choice(_COMMENTS)}\n"
        else:
            text += line + ("; " if rng.random() < _SEMICOLON else "\n")
    return text.removesuffix("; ") + ("\n" if text.endswith("; ") else "")


def all_texts() -> list[str]:
    """Short texts with every token of every completion and prompt."""
    calls = [f"{name}.{one}()" for name in VARIABLES for one in LIST_OPERATIONS]
    numbers = [f"{name}({k})" for name in (f"x.{one}" for one in ARITHMETIC) for k in range(10)]
    comments = [f"x.rev()  # {one}\n" for one in _COMMENTS]
    words = [f"{one}\n" for one in _BEFORE] + [f"\n{one}" for one in _AFTER]
    return ["```python\n", "pass\n", "x.rev(); pass; ", "```", "```\n", "1 -> 2\n", *calls, *numbers, *comments, *words]
