"""Which answers a scorer of reasoning-gym may see: some hand the model's text to Python's `eval`, or to sympy."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from typing import Any

MAX_CHARACTERS = 5_000
"""Longest answer that is evaluated: the data sets' own have a few hundred characters."""

PLAIN_OR_LITERAL = frozenset({"binary_matrix", "n_queens", "spiral_matrix", "string_insertion"})
"""Their scorers call `eval` on what is not the right text itself, in the hope of a list."""

ARITHMETIC = frozenset({"countdown", "puzzle24"})
"""Their scorers have sympy evaluate the answer; the questions ask for numbers, + - * / and parentheses."""

ALGEBRA = frozenset({"intermediate_integration", "polynomial_multiplication", "simple_integration"})
"""Their scorers have sympy evaluate the answer, which holds variables and functions."""

FUNCTIONS = re.compile(
    r"[Aa]bs|a?(?:sin|cos|tan|cot|sec|csc)h?|atan2|sqrt|exp|log|ln|sign|erf|pi|oo|Integral"
)
"""Names that an answer in ALGEBRA may hold besides single letters and the problem's own variables.

`Integral` stands in the data set's own answers where sympy found no integral.
"""

NOT_VARIABLES = frozenset("NOQS")
"""Single letters that sympy takes for something else; S evaluates what it is given."""

_WORDS = re.compile(r"(?!.*__)[\w\s]*", re.ASCII | re.DOTALL)
_ARITHMETIC = re.compile(r"(?!.*\*\s*\*)[\d+\-*/().\s]*", re.ASCII | re.DOTALL)
_ALGEBRA = re.compile(r"(?!.*(?:__|\.\s*[A-Za-z_]))[\w+\-*/(),.\s]*", re.ASCII | re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def is_harmless(dataset: str, answer: str, entry: Mapping[str, Any]) -> bool:
    """Whether the scorer of a data set may see an answer: what it would evaluate must be what the problem asks for.

    A list of what is allowed, not of what is forbidden. Answers to data sets whose scorers evaluate nothing are always
    harmless. `composite` hands an answer on to the data set that the entry is of.

    Example:
        >>> is_harmless("countdown", "6*(98 - 54) - 34", {})
        True
        >>> is_harmless("countdown", '__import__("os").getcwd()', {})
        False
        >>> is_harmless("chain_sum", '__import__("os").getcwd()', {})  # compared as text
        True
    """
    metadata = entry.get("metadata") or {}
    name = str(metadata.get("source_dataset")) if dataset == "composite" else dataset
    if name not in PLAIN_OR_LITERAL | ARITHMETIC | ALGEBRA:
        return True
    if len(answer) > MAX_CHARACTERS:
        return False
    if name in PLAIN_OR_LITERAL:
        return _WORDS.fullmatch(answer) is not None or _is_literal(answer)
    if name in ARITHMETIC:
        return _ARITHMETIC.fullmatch(answer) is not None
    return _ALGEBRA.fullmatch(answer) is not None and all(_allowed_names(answer, metadata))


def _is_literal(answer: str) -> bool:
    try:
        ast.literal_eval(answer)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return False
    return True


def _allowed_names(answer: str, metadata: Mapping[str, Any]) -> Iterable[bool]:
    variables = {str(name) for name in (metadata.get("variable"), *(metadata.get("variables") or ()))}
    for name in _NAME.findall(answer):
        is_letter = len(name) == 1 and name not in NOT_VARIABLES
        yield is_letter or name in variables or FUNCTIONS.fullmatch(name) is not None
