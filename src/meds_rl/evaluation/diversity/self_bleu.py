"""Self-BLEU: how much of each completion's wording is found in the others."""

import math
from collections.abc import Sequence

import numpy as np

from meds_rl.evaluation.diversity.subsample import subsample

MAX_COMPLETIONS = 16
MAX_WORDS = 1000


def self_bleu(
    texts: Sequence[str],
    *,
    max_completions: int = MAX_COMPLETIONS,
    max_words: int = MAX_WORDS,
    rng: np.random.Generator | None = None,
) -> float:
    """Mean BLEU of each text against all others as references (Zhu et al. 2018, arXiv 1802.01886, Texygen).

    BLEU is sacrebleu's for sentences: n-grams up to 4 (fewer for texts of fewer words), exponential smoothing,
    tokenizer 13a, here over 100. From 0 (nothing shared) to 1 (all the same): lower is more diverse. With more texts
    there is more to find again, so compare sets of equal size. The cost grows with the square of the texts: two
    bounds hold it.

    Args:
        texts: The completions of one problem.
        max_completions: Of more texts so many are drawn without replacement.
        max_words: Of a longer text the first so many words (between spaces) are read.
        rng: Draws them; needed only where there are more.

    Returns:
        The mean; NaN for fewer than two texts. A text without words scores 0 against others.

    Raises:
        ImportError: sacrebleu is missing.
        ValueError: More texts than `max_completions` and no `rng`, or a bound below 1 (texts: 2).

    Example:
        >>> self_bleu(["a b c d e"] * 3), self_bleu(["a b c d", "e f g h"]) < 0.2, self_bleu(["a"])
        (1.0, True, nan)
    """
    if max_completions < 2 or max_words < 1:
        raise ValueError(
            f"max_completions must be 2 or more and max_words 1 or more, got {max_completions} and {max_words}"
        )
    if len(texts) < 2:
        return math.nan
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise ImportError('self-BLEU needs sacrebleu: pip install "meds-rl[eval]"') from error
    drawn = [texts[row] for row in subsample(len(texts), max_completions, rng)]
    read = [_beginning(text, max_words) for text in drawn]
    bleu = BLEU(effective_order=True, force=True)  # force: no advice about tokenized text in the log
    scores = [bleu.sentence_score(read[i], read[:i] + read[i + 1 :]).score for i in range(len(read))]
    return min(1.0, math.fsum(scores) / len(scores) / 100)


def _beginning(text: str, max_words: int) -> str:
    return " ".join(text.split(maxsplit=max_words)[:max_words])
