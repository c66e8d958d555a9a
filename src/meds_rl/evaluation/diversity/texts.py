"""Self-BLEU: how much of each completion's wording is found in the others."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

# ---- Draws rows where all would be too many.


def subsample(num: int, at_most: int, rng: np.random.Generator | None) -> Sequence[int]:
    """Numbers of the rows to use, ascending: all of them if there are at most so many, else a draw without replacement.

    Raises:
        ValueError: There are more, and no generator was given to draw with.

    Example:
        >>> subsample(3, 5, None)
        [0, 1, 2]
        >>> len(subsample(100, 5, np.random.default_rng(0)))
        5
    """
    if num <= at_most:
        return list(range(num))
    if rng is None:
        raise ValueError(
            f"of {num} completions {at_most} are to be drawn: pass rng, for example numpy.random.default_rng(0)"
        )
    drawn: list[int] = np.sort(rng.choice(num, size=at_most, replace=False)).tolist()
    return drawn


Tokenizer: TypeAlias = Literal["13a", "intl", "char"]
"""How sacrebleu cuts a text into words."""

MAX_COMPLETIONS = 16
MAX_WORDS = 1000
_CHARACTERS_A_WORD = 20
"""What is longer on average is cut before it is tokenised: a text without spaces may be one word of megabytes."""


def self_bleu(
    texts: Sequence[str],
    *,
    tokenize: Tokenizer = "13a",
    max_completions: int = MAX_COMPLETIONS,
    max_words: int = MAX_WORDS,
    rng: np.random.Generator | None = None,
) -> float:
    """Mean BLEU of each text against all others as references (Zhu et al. 2018, arXiv 1802.01886, Texygen).

    BLEU is sacrebleu's for sentences: n-grams up to 4 (fewer for texts of fewer words), exponential smoothing, here
    over 100. From 0 (nothing shared) to 1 (all the same): lower is more diverse. With more texts there is more to
    find again, so compare sets of equal size. The cost grows with the square of the texts: two bounds hold it.

    Args:
        texts: The completions of one problem.
        tokenize: sacrebleu's "13a" (its default: words between spaces, punctuation apart), "intl" (any script's
            punctuation apart) or "char" (each character a word). Chinese and Japanese have no spaces: with "13a" a
            whole clause is one word, and two texts seem to share nothing; take "char".
        max_completions: Of more texts so many are drawn without replacement.
        max_words: Of a longer text the first so many words are read, and no more than 20 times as many characters.
        rng: Draws them; needed only where there are more.

    Returns:
        The mean over texts with words; NaN for fewer than two of these.

    Raises:
        ImportError: sacrebleu is missing.
        ValueError: More texts than `max_completions` and no `rng`, a bound below 1 (texts: 2), or an unknown tokenizer.

    Example:
        >>> self_bleu(["a b c d e"] * 3), self_bleu(["a b c d", "e f g h"]) < 0.2, self_bleu(["a", ""])
        (1.0, True, nan)
    """
    if max_completions < 2 or max_words < 1:
        raise ValueError(
            f"max_completions must be 2 or more and max_words 1 or more, got {max_completions} and {max_words}"
        )
    if tokenize not in ("13a", "intl", "char"):
        raise ValueError(f'tokenize must be "13a", "intl" or "char", got {tokenize!r}')
    texts = [text for text in texts if text.strip()]
    if len(texts) < 2:
        return math.nan
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise ImportError('self-BLEU needs sacrebleu: pip install "meds-rl[eval]"') from error
    tokenizer = BLEU(tokenize=tokenize).tokenizer
    drawn = [texts[row] for row in subsample(len(texts), max_completions, rng)]
    read = [_beginning(text, max_words, tokenizer) for text in drawn]
    # Tokenised once, not once for each text that it is a reference of. force: no advice about that in the log.
    bleu = BLEU(tokenize="none", effective_order=True, force=True)
    scores = [bleu.sentence_score(read[i], read[:i] + read[i + 1 :]).score for i in range(len(read))]
    return min(1.0, math.fsum(scores) / len(scores) / 100)


def _beginning(text: str, max_words: int, tokenizer: Callable[[str], str]) -> str:
    cut = text.strip()[: _CHARACTERS_A_WORD * max_words]
    return " ".join(tokenizer(cut).split()[:max_words])


# ---- Cuts a completion into words, for the measures that look at its wording.

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


# ---- distinct-n: how many of the n-grams in a set of completions are different ones.


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


# ---- Vendi score: the effective number of different completions.


def vendi_score(features: ArrayLike) -> float:
    """exp(-sum_i lambda_i ln lambda_i), lambda the eigenvalues of K / n (Friedman and Dieng 2023, arXiv 2210.02410).

    K is the cosine similarity of the n fingerprints, as they are: they are not centred, so vectors that share a large
    mean are all alike. From 1 (all point one way) to min(n, D). It cannot exceed n: compare sets of equal size.

    Args:
        features: (n, D) finite; rows of NaN (completions without an answer) and zero vectors (no direction) are
            left out.

    Returns:
        The score; NaN without vectors.

    Raises:
        ValueError: Not (n, D), infinite, or a row that is NaN in part.

    Example:
        >>> round(vendi_score([[1, 0], [0, 3], [2, 0], [0, 1]]), 6)  # two directions, equally often
        2.0
        >>> round(vendi_score([[1, 1], [2, 2]]), 6)
        1.0
    """
    vectors = np.asarray(features, dtype=np.float64)
    if vectors.shape == (0,):  # [] has no fingerprints, of whatever width
        vectors = vectors.reshape(0, 0)
    if vectors.ndim != 2:
        raise ValueError(f"features must be (n, D), got shape {vectors.shape}")
    vectors = vectors[~np.isnan(vectors).all(axis=1)] if vectors.size else vectors[:0]
    if not np.isfinite(vectors).all():
        raise ValueError("a fingerprint must be finite throughout, or NaN throughout if there is none")
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    vectors = vectors[largest > 0] / largest[largest > 0, None]  # squares neither overflow nor vanish
    if not len(vectors):
        return math.nan
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    smaller = (
        unit @ unit.T if unit.shape[0] <= unit.shape[1] else unit.T @ unit
    )  # equal eigenvalues but for zeros
    return vendi_score_of_kernel(smaller, num=len(unit))


def vendi_score_of_texts(texts: Sequence[str], max_n: int = 4) -> float:
    """The Vendi score of texts by their wording: K is the cosine of n-gram counts, averaged over n = 1 .. max_n.

    The n-gram kernel of Friedman and Dieng (2023, section on text); words are those of `words`. A text of fewer than n
    words is, for that n, one n-gram of all its words.

    Args:
        texts: n completions of one problem. Memory and time grow with n^2 and n^3: some hundreds are quick.
        max_n: 1 or more.

    Returns:
        From 1 to n; NaN without texts.

    Raises:
        ValueError: max_n below 1.

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
    """The Vendi score of a similarity matrix of your own.

    Args:
        kernel: (n, n) symmetric, positive semi-definite, ones on the diagonal.
        num: n, where the kernel is a smaller matrix with the same eigenvalues other than 0.

    Example:
        >>> round(vendi_score_of_kernel([[1, 0.5], [0.5, 1]]), 4)  # eigenvalues 3/4 and 1/4
        1.7548
    """
    matrix = np.asarray(kernel, dtype=np.float64)
    values = np.linalg.eigvalsh(matrix / (len(matrix) if num is None else num))
    values = values[values > 0]  # 0 ln 0 = 0; below 0 there is rounding only
    return float(np.exp(-(values * np.log(values)).sum()))


def _ngram_kernel(tokens: list[list[str]], n: int) -> NDArray[np.float64]:
    from scipy.sparse import csr_matrix

    numbers: dict[tuple[str, ...], int] = {}
    rows, columns = [], []
    for row, text in enumerate(tokens):
        for gram in ngrams(text, n) or [tuple(text)]:
            rows.append(row)
            columns.append(numbers.setdefault(gram, len(numbers)))
    counts = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(tokens), len(numbers)))
    dot: NDArray[np.float64] = (counts @ counts.T).toarray()
    lengths = np.sqrt(np.diagonal(dot))
    return np.asarray(dot / np.outer(lengths, lengths))
