"""Small sums of two and three operations, as bare expressions and as stories; several ways lead to most answers.

Strategy labels are read out of the working: see `reasoning_labels`.
"""

from __future__ import annotations

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


def messages(problem: str) -> list[dict[str, str]]:
    """The chat: two worked examples, then the problem."""
    chat = []
    for question, answer in EXAMPLES:
        chat.append({"role": "user", "content": f"{INSTRUCTION}\n{question}"})
        chat.append({"role": "assistant", "content": answer})
    return [*chat, {"role": "user", "content": f"{INSTRUCTION}\n{problem}"}]
