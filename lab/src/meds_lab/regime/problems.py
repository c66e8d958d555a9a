"""The 128 problems: three data sets of reasoning-gym with short workings, and four worked examples for each set.

Six data sets were tried, with 16 samples of six problems each. Required were 5 to 70 % right samples, and at least 80 %
readable ones: a boxed answer and steps that can be read, within 48 tokens. Shares of samples, right and readable:

    chain_sum, 2 or 3 terms          .13   .98
    products, 1 or 2 digits          .17   .85
    lcm, up to 12                    .11   .92
    basic_arithmetic, 2 or 3 terms   .16   .92   like chain_sum, so left out
    chain_sum, 3 terms               .02   .98
    basic_arithmetic, 3 terms        .01   .94
    leg_counting, 2 animals          .01   .56
    simple_equations, 2 terms        .02   .71

The choice did not use lambda, the habit or the number of errors, and no single problem was chosen or left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from meds_rl.evaluation.problems import Problem, problems_of, select
from meds_rl.evaluation.sampling import SamplingSettings
from meds_rl.tasks import load_task

# As in recipes/smollm2.yaml: at temperature 1 too many of this model's completions have no answer.
SETTINGS = SamplingSettings(max_new_tokens=48, temperature=0.7)


class Set(NamedTuple):
    """A data set of reasoning-gym.

    Attributes:
        size: number of problems.
        config: its options.
        question: its prompt, with {} for what is asked.
        examples: what is asked -> the steps, for each worked example.
    """

    size: int
    config: Mapping[str, Any]
    question: str
    examples: Mapping[str, Sequence[str]]


SETS = {
    "chain_sum": Set(
        43,
        {"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 1},
        "State the final answer to the following arithmetic problem: {} =",
        {
            "3 + 5 - 2": ["3 + 5 = 8", "8 - 2 = 6"],
            "9 - 4 + 7": ["9 - 4 = 5", "5 + 7 = 12"],
            "2 - 8 + 1": ["2 - 8 = -6", "-6 + 1 = -5"],
            "6 + 0 + 9": ["6 + 0 = 6", "6 + 9 = 15"],
        },
    ),
    "products": Set(
        43,
        {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2},
        "Solve the following multiplication: {}. Give only the result as your final answer.",
        {
            "14 * 6": ["10 * 6 = 60", "4 * 6 = 24", "60 + 24 = 84"],
            "7 * 35": ["7 * 30 = 210", "7 * 5 = 35", "210 + 35 = 245"],
            "52 * 3": ["50 * 3 = 150", "2 * 3 = 6", "150 + 6 = 156"],
            "9 * 8": ["9 * 8 = 72"],
        },
    ),
    "lcm": Set(
        42,
        {"min_numbers": 2, "max_numbers": 2, "min_value": 2, "max_value": 12},
        "Find the Least Common Multiple (LCM) of these numbers: {}",
        {
            "4, 6": ["4 * 3 = 12", "6 * 2 = 12"],
            "10, 3": ["10 * 3 = 30", "3 * 10 = 30"],
            "5, 10": ["5 * 2 = 10", "10 * 1 = 10"],
            "8, 12": ["8 * 3 = 24", "12 * 2 = 24"],
        },
    ),
}


def problems() -> list[Problem]:
    """The 128 problems, the same ones every time."""
    return [problem for name in SETS for problem in _problems(name)]


def _problems(name: str) -> list[Problem]:
    size, config, question, examples = SETS[name]
    shown = {question.format(asked): working(steps) for asked, steps in examples.items()}
    task = load_task(
        f"reasoning_gym:{name}",
        train_size=size + len(shown),  # some of them may be worked examples
        test_size=0,
        config=dict(config),
        system_prompt="",
        examples=list(shown.items()),
    )
    return [one for one in select(problems_of(task)) if one.row["prompt"][-1]["content"] not in shown][:size]


def working(steps: Sequence[str]) -> str:
    r"""A worked example's completion.

    >>> working(["3 + 5 = 8", "8 - 2 = 6"])
    '3 + 5 = 8 and 8 - 2 = 6. The answer is \\boxed{6}.'
    """
    return f"{' and '.join(steps)}. The answer is \\boxed{{{steps[-1].split('= ')[-1]}}}."
