"""Wrong-answer entropy: how evenly a problem's wrong completions spread over different wrong answers."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence


def answer_entropy(answers: Sequence[Hashable], *, normalize: bool = False) -> float:
    """Shannon entropy of the answers given to one problem, in nats: H = -sum_a p_a ln p_a (Shannon 1948).

    p_a is the share of the completions that answer a. Give the answers of the wrong completions only, for how varied
    the errors are; None, for "no answer", is an answer like any other. H is from 0 (one answer) to ln n (n different
    ones); exp(H) is the effective number of answers. It rises with errors that are mere noise just as with errors
    that explore, and a problem with few wrong completions cannot have much of it.

    Args:
        answers: n answers, equal where they are the same.
        normalize: H / ln n instead, from 0 to 1: what n completions could have had at most.

    Returns:
        The entropy. NaN where it says nothing: without completions, and normalised also for a single one.

    Example:
        >>> round(answer_entropy(["60", "60", "7", None]), 4)  # .5 ln 2 + 2 (.25 ln 4)
        1.0397
        >>> round(answer_entropy(["60", "60", "7", None], normalize=True), 4)  # / ln 4
        0.75
        >>> answer_entropy(["60"]), answer_entropy([])
        (0.0, nan)
    """
    n = len(answers)
    if n == 0 or (normalize and n == 1):
        return math.nan
    # p ln(1/p) and not -p ln p: a single answer has 0.0, not -0.0.
    entropy = math.fsum(count / n * math.log(n / count) for count in Counter(answers).values())
    return min(1.0, entropy / math.log(n)) if normalize else entropy  # rounding may pass 1 by 2e-16
