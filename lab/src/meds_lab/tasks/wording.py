"""Free wording: the same steps in very many texts.

A wording is drawn without a look at the problem, the strategy or the answer. It says in which phrases the
arithmetic is put, with which filler, and where lines are broken. A working of two steps says one of them again,
so that there is as much arithmetic in every text. So neither the words nor the length nor the number of lines
tell the strategy; only the steps do.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from meds_rl.tasks.pocket.expression import MINUS, PLUS, TIMES, Step

# As many as the longest working has steps.
_N_LINES = 3

# One row a phrase, one column an operator; the phrases of a row have equally many tokens.
_PHRASES = (
    {PLUS: "{x} + {y} = {z}", MINUS: "{x} - {y} = {z}", TIMES: "{x} * {y} = {z}"},
    {PLUS: "{x} + {y} is {z}", MINUS: "{x} - {y} is {z}", TIMES: "{x} * {y} is {z}"},
    {PLUS: "{x} plus {y} is {z}", MINUS: "{x} minus {y} is {z}", TIMES: "{x} times {y} is {z}"},
    {PLUS: "{x} plus {y} gives {z}", MINUS: "{x} minus {y} gives {z}", TIMES: "{x} times {y} gives {z}"},
    {PLUS: "{x} + {y} makes {z}", MINUS: "{x} - {y} makes {z}", TIMES: "{x} * {y} makes {z}"},
    {PLUS: "{x} plus {y} equals {z}", MINUS: "{x} minus {y} equals {z}", TIMES: "{x} times {y} equals {z}"},
    {
        PLUS: "adding {x} and {y} gives {z}",
        MINUS: "subtracting {y} from {x} gives {z}",
        TIMES: "multiplying {x} by {y} gives {z}",
    },
    {PLUS: "add {x} and {y} = {z}", MINUS: "take {y} from {x} = {z}", TIMES: "multiply {x} by {y} = {z}"},
    {
        PLUS: "the sum of {x} and {y} is {z}",
        MINUS: "the difference of {x} and {y} is {z}",
        TIMES: "the product of {x} and {y} is {z}",
    },
)
_FIRST_LEADS = ("", "", "first ", "to begin ", "well ")
_LATER_LEADS = ("", "", "then ", "next ", "so ", "now ", "after that ")
_BREAKS = (". ", "; ", "\n", ".\n", ", ")
_FILLERS = (
    "okay",
    "let us see",
    "let me think",
    "step by step",
    "going on",
    "keep going",
    "this is fine",
    "one by one",
    "slow and steady",
    "hmm",
    "so far so good",
    "nothing hard here",
)
_CLOSINGS = (
    "",
    "the answer is ",
    "so the answer is ",
    "this leaves ",
    "the result is ",
    "answer: ",
    "final: ",
)
_GIVING_UP = ("", "not sure", "i stop here")


@dataclass(frozen=True)
class Line:
    """How one line of arithmetic is worded. Where it repeats a step, `again` in [0, 1) picks which."""

    lead: str
    phrase: int
    is_swapped: bool
    end: str
    again: float


@dataclass(frozen=True)
class Wording:
    """How a whole working is worded: its lines, the filler before each line (or after the last), its end."""

    lines: tuple[Line, ...]
    repeats: tuple[float, ...]
    fillers: tuple[str, ...]
    closing: str
    has_answer: bool


def draw_wording(rng: random.Random, no_answer_share: float = 0.0) -> Wording:
    """Draw a wording, knowing nothing of what is to be said."""
    lines = tuple(_draw_line(rng, is_first=line == 0) for line in range(_N_LINES))
    has_answer = rng.random() >= no_answer_share
    closing = rng.choice(_CLOSINGS) if has_answer else rng.choice(_GIVING_UP)
    return Wording(
        lines=lines,
        repeats=tuple(rng.random() for _ in lines[1:]),
        fillers=tuple(_draw_filler(rng) for _ in range(_N_LINES + 1)),
        closing=closing,
        has_answer=has_answer,
    )


def plain_wording(rng: random.Random) -> Wording:
    """Return the barest wording: three lines of symbols, then the box. Only what is repeated is drawn."""
    lines = tuple(Line(lead="", phrase=0, is_swapped=False, end="\n", again=rng.random()) for _ in range(_N_LINES))
    repeats = tuple(rng.random() for _ in lines[1:])
    return Wording(lines, repeats, fillers=("",) * (_N_LINES + 1), closing="", has_answer=True)


def write(steps: Sequence[Step], wording: Wording, answer: int | None = None) -> str:
    r"""Return the completion that takes `steps` in this wording, and answers with the last result or `answer`.

    >>> wording = draw_wording(random.Random(1))
    >>> print(write([Step(3, "*", 4, 12), Step(7, "+", 12, 19), Step(19, "-", 2, 17)], wording).strip())
    okay. 3 * 4 is 12.
    next adding 7 and 12 gives 19. after that subtracting 2 from 19 gives 17. this is fine; final: \boxed{17}
    """
    said = _order_of_lines(len(steps), wording)
    text = "\n"
    for line, index, filler in zip(wording.lines, said, wording.fillers, strict=False):
        text += filler + line.lead + _phrase(steps[index], line) + line.end
    text += wording.fillers[-1] + wording.closing
    answer = steps[-1].result if answer is None else answer
    return f"{text}\\boxed{{{answer}}}" if wording.has_answer else text.rstrip(" ")


def all_phrases() -> list[str]:
    """Return every phrase, filled in with one-digit numbers."""
    return [phrase.format(x=1, y=2, z=3) for row in _PHRASES for phrase in row.values()]


def all_texts() -> list[str]:
    """Return short texts that hold every word and sign of every wording in its place."""
    lines = [f"{phrase}{end}" for phrase in all_phrases() for end in _BREAKS]
    fillers = [f"{filler}{end}" for filler in _FILLERS for end in _BREAKS]
    ends = [f"1{end.rstrip(' ')}" for end in _BREAKS]
    return [*lines, *fillers, *ends, *_FIRST_LEADS, *_LATER_LEADS, *_CLOSINGS, *_GIVING_UP]


def _draw_line(rng: random.Random, *, is_first: bool) -> Line:
    return Line(
        lead=rng.choice(_FIRST_LEADS if is_first else _LATER_LEADS),
        phrase=rng.randrange(len(_PHRASES)),
        is_swapped=rng.random() < 0.15,
        end=rng.choice(_BREAKS),
        again=rng.random(),
    )


def _draw_filler(rng: random.Random) -> str:
    if rng.random() < 0.7:
        return ""
    return rng.choice(_FILLERS) + rng.choice(_BREAKS)


def _order_of_lines(n_steps: int, wording: Wording) -> list[int]:
    """Return which step each line says: all in order, some again if there are more lines than steps."""
    n_lines = len(wording.lines)
    ranked = sorted(range(1, n_lines), key=lambda line: wording.repeats[line - 1])
    repeating = set(ranked[: n_lines - n_steps])
    said: list[int] = []
    done = 0
    for index, line in enumerate(wording.lines):
        if index in repeating:
            said.append(int(line.again * done))
        else:
            said.append(done)
            done += 1
    return said


def _phrase(step: Step, line: Line) -> str:
    x, y = step.left, step.right
    if line.is_swapped and step.op != MINUS:
        x, y = y, x
    return _PHRASES[line.phrase][step.op].format(x=x, y=y, z=step.result)
