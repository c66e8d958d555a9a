"""distinct-n: how many of the n-grams in a set of completions are different ones."""

import math
from collections.abc import Iterable

from meds_rl.evaluation.diversity.words import ngrams, words


def distinct_n(texts: Iterable[str], n: int) -> float:
    """Different n-grams over all n-grams of the texts together (after Li et al. 2016, arXiv 1510.03055, section 5.3).

    Li et al. divide by the number of words instead of n-grams, which is the same for n = 1 and for long texts; over
    n-grams the highest value is 1: no n-gram comes twice. n-grams do not run from one text into the next; words are
    those of `words`. It falls as there is more text (a language has only so many words), so compare sets of about equal
    length. It sees wording, not thoughts: a sum worked out in two ways shares most of its words.

    Args:
        texts: The completions, of one problem as a rule.
        n: 1 or more.

    Returns:
        From above 0 to 1; NaN if no text has n words.

    Raises:
        ValueError: n below 1.

    Example:
        >>> distinct_n(["a b a b", "a b"], 2)  # a b, b a, a b, a b: 2 of 4
        0.5
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more, got {n}")
    different: set[tuple[str, ...]] = set()
    total = 0
    for text in texts:
        grams = ngrams(words(text), n)
        different.update(grams)
        total += len(grams)
    return len(different) / total if total else math.nan
