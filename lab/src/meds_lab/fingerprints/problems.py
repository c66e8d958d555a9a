"""Small sums of two and three operations, as bare expressions and as stories; several ways lead to most answers.

`PROBLEMS` are asked as they are. `SUMS` are asked for the same answer worked out differently: each after worked
examples that add in another order and in other words, four orders in two wordings. What the model did is then looked at
under the prompt that `PROBLEMS` have too, as if it had come to it by itself.

Strategy labels are read out of the working: see `reasoning_labels`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

INSTRUCTION = "Solve the problem step by step. Write one equation a line, then the answer in \\boxed{}."
EXAMPLES = (
    ("What is 9 * 3 + 5?", "9 * 3 = 27\n27 + 5 = 32\n\\boxed{32}"),
    (
        "Anna has 20 apples. She gives away 4 apples and sells half of the rest. How many are left?",
        "First take away the apples she gives away: 20 - 4 = 16\nThen she sells half: 16 / 2 = 8\n\\boxed{8}",
    ),
)
PROBLEMS = (
    "What is 7 + 8 * 3?",
    "What is 6 * 4 + 6 * 3?",
    "What is (12 + 8) * 5?",
    "What is 45 - 18 / 3?",
    "What is 9 + 14 + 6?",
    "What is 20 - 3 * 4 + 5?",
    "What is 30 - 7 - 8?",
    "A box holds 12 red pens and 8 blue pens. How many pens are in 5 boxes?",
    "Tom buys 3 books at 14 dollars each. He has a coupon of 9 dollars. How much does he pay?",
    "A class has 15 boys and 13 girls. 6 of them are ill. How many are at school?",
    "A baker sells 60 rolls at 2 dollars each and 40 cakes at 3 dollars each. How much money does he get?",
    "Sara has 50 dollars. She buys 3 shirts at 11 dollars each. How much money is left?",
    "A bus has 18 people. At the first stop 5 get off and 9 get on. How many are on the bus now?",
    "There are 4 shelves with 6 jars each. 2 jars on each shelf are empty. How many jars are full?",
    "A farmer has 24 eggs. He uses 6 eggs and packs the rest in boxes of 3. How many boxes does he fill?",
    "Ben runs 5 miles on each of 3 days and 7 miles on one more day. How many miles does he run?",
)


# Temperatures and seeds, of the problems as they are and of the sums.
SETTINGS = ((0.7, 0), (1.0, 0), (0.7, 1), (1.0, 1))
SUM_SETTINGS = ((0.7, 0),)
SUMS = (
    (3, 5, 2, 6),
    (4, 1, 7, 2),
    (6, 2, 5, 3),
    (2, 7, 3, 4),
    (5, 4, 1, 8),
    (1, 6, 4, 3),
    (7, 3, 2, 5),
    (4, 6, 5, 1),
)
SUM_EXAMPLES = ((2, 4, 3, 7), (6, 1, 5, 4))
# Places of the four numbers, and of the results (4 is the first equation's): which two are added, equation by equation.
ORDERS: Mapping[str, Sequence[tuple[int, int]]] = {
    "from the left": ((0, 1), (4, 2), (5, 3)),
    "from the right": ((3, 2), (4, 1), (5, 0)),
    "neighbours": ((0, 1), (2, 3), (4, 5)),
    "from outside": ((0, 3), (1, 2), (4, 5)),
}
WORDINGS: Mapping[str, tuple[str, str]] = {
    "equations": ("{}\n{}\n{}", "\n\\boxed{{{}}}"),
    "sentences": (
        "First I take {} and keep that. Next I have {} so far. All together {} is what I get.",
        " So the answer is \\boxed{{{}}}",
    ),
}


class Asked(NamedTuple):
    """What is sampled: a problem, after worked examples of some kind.

    Attributes:
        problem: its number.
        style: of the worked examples; "" for those of `EXAMPLES`.
        chat: what the model is asked.
        shown: under what its states are taken.
    """

    problem: int
    style: str
    chat: list[dict[str, str]]
    shown: list[dict[str, str]]


def asked_as_is() -> list[Asked]:
    """`PROBLEMS`, each once."""
    chats = [messages(problem) for problem in PROBLEMS]
    return [Asked(number, "", chat, chat) for number, chat in enumerate(chats)]


def asked_in_styles() -> list[Asked]:
    """`SUMS`, each in four orders and two wordings."""
    asked = []
    for (number, numbers), order, wording in product(enumerate(SUMS), ORDERS, WORDINGS):
        examples = [(_sum_of(example), sum_working(example, order, wording)) for example in SUM_EXAMPLES]
        problem = _sum_of(numbers)
        asked.append(Asked(number, f"{order}, {wording}", messages(problem, examples), messages(problem)))
    return asked


def _sum_of(numbers: Sequence[int]) -> str:
    return f"What is {' + '.join(map(str, numbers))}?"


def sum_working(numbers: Sequence[int], order: str, wording: str) -> str:
    """A right working of a sum of four numbers.

    >>> sum_working((2, 4, 3, 7), "from outside", "equations").splitlines()
    ['2 + 7 = 9', '4 + 3 = 7', '9 + 7 = 16', '\\\\boxed{16}']
    """
    values, written = list(numbers), []
    for left, right in ORDERS[order]:
        values.append(values[left] + values[right])
        written.append(f"{values[left]} + {values[right]} = {values[-1]}")
    working, answer = WORDINGS[wording]
    return working.format(*written) + answer.format(values[-1])


def messages(problem: str, examples: Sequence[tuple[str, str]] = EXAMPLES) -> list[dict[str, str]]:
    """The chat: worked examples, then the problem."""
    chat = []
    for question, answer in examples:
        chat.append({"role": "user", "content": f"{INSTRUCTION}\n{question}"})
        chat.append({"role": "assistant", "content": answer})
    return [*chat, {"role": "user", "content": f"{INSTRUCTION}\n{problem}"}]
