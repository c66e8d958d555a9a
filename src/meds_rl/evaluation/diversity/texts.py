"""How varied the wording of completions is: distinct-n, self-BLEU, and the Vendi score (also of fingerprints)."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.evaluation.diversity.eigenvalues import finite_rows

Tokenizer: TypeAlias = Literal["13a", "intl", "char"]
"""How sacrebleu splits a text into words."""

NEEDS_SACREBLEU = 'self-BLEU needs sacrebleu: pip install "meds-rl[eval]" (in a clone: pip install -e ".[eval]")'

MAX_COMPLETIONS, MAX_WORDS = 16, 1000
_CHARACTERS_A_WORD = 20  # longer texts are cut first: a text without spaces may be one word of megabytes

# A run of letters and digits, or any other single character that is no space: `\frac{1}{2}` is \ frac { 1 } { 2 }.
_WORD = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[str]:
    """Runs of letters and digits, and every other character that is no space; case is kept.

    Example:
        >>> words(r"So 12 + 3 = \\boxed{15}.")
        ['So', '12', '+', '3', '=', '\\\\', 'boxed', '{', '15', '}', '.']
    """
    return _WORD.findall(text)


def _ngrams(tokens: list[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))


def subsample(num: int, at_most: int, rng: np.random.Generator | None) -> Sequence[int]:
    """Indices below `num`, ascending: all, or `at_most` drawn without replacement (ValueError without `rng`)."""
    if num <= at_most:
        return list(range(num))
    if rng is None:
        what = f"of {num} completions {at_most} are to be drawn"
        raise ValueError(f"{what}: pass rng, for example numpy.random.default_rng(0)")
    drawn: list[int] = np.sort(rng.choice(num, size=at_most, replace=False)).tolist()
    return drawn


def distinct_n(texts: Iterable[str], n: int) -> float:
    """Different n-grams over all n-grams of the texts together (after Li et al. 2016, arXiv 1510.03055, section 5.3).

    Li et al. divide by the number of words, which is the same for n = 1; over n-grams the maximum is 1. n-grams do not
    cross texts; words are those of `words`. It falls with the amount of text, so compare sets of similar length. It
    measures wording, not reasoning.

    From above 0 to 1; NaN if no text has n words. ValueError for n below 1.

    Example:
        >>> distinct_n(["a b a b", "a b"], 2)  # a b, b a, a b, a b: 2 of 4
        0.5
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more, got {n}")
    grams = [gram for text in texts for gram in _ngrams(words(text), n)]
    return len(set(grams)) / len(grams) if grams else math.nan


def self_bleu(
    texts: Sequence[str],
    *,
    tokenize: Tokenizer = "13a",
    max_completions: int = MAX_COMPLETIONS,
    max_words: int = MAX_WORDS,
    rng: np.random.Generator | None = None,
) -> float:
    """Mean BLEU of each text against all others as references (Zhu et al. 2018, arXiv 1802.01886, Texygen).

    BLEU is sacrebleu's for sentences, divided by 100: n-grams up to 4 (fewer for shorter texts), exponential smoothing.
    From 0 (nothing shared) to 1 (all the same): lower is more diverse. It grows with the number of texts, so compare
    sets of equal size.

    Args:
        texts: The completions of one problem.
        tokenize: sacrebleu's "13a" (words between spaces, punctuation apart), "intl" (any script's punctuation apart)
            or "char" (each character a word): use "char" for Chinese and Japanese, which have no spaces.
        max_completions: Of more texts this many are drawn without replacement.
        max_words: Words read of each text, and 20 times as many characters.
        rng: Draws; needed only for more than `max_completions` texts.

    Returns:
        The mean over texts with words; NaN for fewer than two of these.

    Example:
        >>> self_bleu(["a b c d e"] * 3), self_bleu(["a b c d", "e f g h"]) < 0.2, self_bleu(["a", ""])
        (1.0, True, nan)
    """
    if max_completions < 2 or max_words < 1:
        got = f"got {max_completions} and {max_words}"
        raise ValueError(f"max_completions must be 2 or more and max_words 1 or more, {got}")
    if tokenize not in ("13a", "intl", "char"):
        raise ValueError(f'tokenize must be "13a", "intl" or "char", got {tokenize!r}')
    texts = [text for text in texts if text.strip()]
    if len(texts) < 2:
        return math.nan
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise ImportError(NEEDS_SACREBLEU) from error
    tokenizer = BLEU(tokenize=tokenize).tokenizer
    drawn = [texts[row] for row in subsample(len(texts), max_completions, rng)]
    # Tokenised once, not once for every reference. force: sacrebleu logs no advice about tokenised texts.
    cut = [text.strip()[: _CHARACTERS_A_WORD * max_words] for text in drawn]
    read = [" ".join(tokenizer(text).split()[:max_words]) for text in cut]
    bleu = BLEU(tokenize="none", effective_order=True, force=True)
    scores = [bleu.sentence_score(read[i], read[:i] + read[i + 1 :]).score for i in range(len(read))]
    return min(1.0, math.fsum(scores) / len(scores) / 100)


def vendi_score(features: ArrayLike) -> float:
    """exp(-sum_i lambda_i ln lambda_i), lambda the eigenvalues of K / n (Friedman and Dieng 2023, arXiv 2210.02410).

    K is the cosine similarity of the n fingerprints, which are not centred. The effective number of different
    completions, from 1 (all point one way) to min(n, D): compare sets of equal size.

    `features` is (n, D); rows of NaN (completions without an answer) and zero vectors are left out. NaN without
    vectors; ValueError for other shapes, infinite values, or a row that is partly NaN.

    Example:
        >>> round(vendi_score([[1, 0], [0, 3], [2, 0], [0, 1]]), 6)  # two directions, equally often
        2.0
        >>> round(vendi_score([[1, 1], [2, 2]]), 6)
        1.0
    """
    vectors, _ = finite_rows(features)
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    vectors = vectors[largest > 0] / largest[largest > 0, None]  # squares neither overflow nor vanish
    if not len(vectors):
        return math.nan
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    # The smaller of the two products; they have the same eigenvalues other than 0.
    smaller = unit @ unit.T if unit.shape[0] <= unit.shape[1] else unit.T @ unit
    return vendi_score_of_kernel(smaller, num=len(unit))


def vendi_score_of_texts(texts: Sequence[str], max_n: int = 4) -> float:
    """The Vendi score of texts by their wording: K is the cosine of n-gram counts, averaged over n = 1 .. max_n.

    The n-gram kernel of Friedman and Dieng (2023, section on text); words are those of `words`. A text of fewer than n
    words counts as one n-gram of all its words.

    From 1 to n for n texts; NaN without texts. Memory and time grow with n^2 and n^3.

    Example:
        >>> round(vendi_score_of_texts(["a b c d", "a b c d", "e f g h"]), 4)  # shares 2/3 and 1/3: 3 / 2^(2/3)
        1.8899
    """
    if max_n < 1:
        raise ValueError(f"max_n must be 1 or more, got {max_n}")
    if not texts:
        return math.nan
    tokens = [words(text) for text in texts]
    kernel = sum(_ngram_kernel(tokens, n) for n in range(1, max_n + 1)) / max_n
    return vendi_score_of_kernel(kernel)


def vendi_score_of_kernel(kernel: ArrayLike, num: int | None = None) -> float:
    """The Vendi score of your own similarity matrix.

    Args:
        kernel: (n, n) symmetric, positive semi-definite, ones on the diagonal.
        num: n, if the kernel is a smaller matrix with the same eigenvalues other than 0.

    Example:
        >>> round(vendi_score_of_kernel([[1, 0.5], [0.5, 1]]), 4)  # eigenvalues 3/4 and 1/4
        1.7548
    """
    matrix = np.asarray(kernel, dtype=np.float64)
    values = np.linalg.eigvalsh(matrix / (len(matrix) if num is None else num))
    values = values[values > 0]  # 0 ln 0 = 0; negative ones are rounding
    return float(np.exp(-(values * np.log(values)).sum()))


def _ngram_kernel(tokens: list[list[str]], n: int) -> NDArray[np.float64]:
    from scipy.sparse import csr_matrix

    numbers: dict[tuple[str, ...], int] = {}
    rows, columns = [], []
    for row, text in enumerate(tokens):
        for gram in _ngrams(text, n) or [tuple(text)]:
            rows.append(row)
            columns.append(numbers.setdefault(gram, len(numbers)))
    counts = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(tokens), len(numbers)))
    dot: NDArray[np.float64] = (counts @ counts.T).toarray()
    lengths = np.sqrt(np.diagonal(dot))
    return np.asarray(dot / np.outer(lengths, lengths))
