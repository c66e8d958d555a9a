"""Self-BLEU: how much of each completion's wording is found in the others."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np

from meds_rl.evaluation.diversity.subsample import subsample

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
