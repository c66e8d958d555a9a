"""Cuts a completion into words, for the measures that look at its wording."""

import re

# A run of letters and digits, or any other single character that is no space: `\frac{1}{2}` is \ frac { 1 } { 2 }.
_WORD = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[str]:
    """Runs of letters and digits, and every other character that is no space by itself; case is kept.

    Example:
        >>> words(r"So 12 + 3 = \\boxed{15}.")
        ['So', '12', '+', '3', '=', '\\\\', 'boxed', '{', '15', '}', '.']
    """
    return _WORD.findall(text)


def ngrams(tokens: list[str], n: int) -> list[tuple[str, ...]]:
    """The n-grams in order; none where there are fewer than n words.

    Example:
        >>> ngrams(["a", "b", "c"], 2)
        [('a', 'b'), ('b', 'c')]
    """
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))
