"""How varied the answers of a problem's wrong completions are: entropies, distinct answers, repeated errors."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from numpy.typing import ArrayLike

from meds_rl.evaluation.agreement import Noise, partition


def answer_entropy(answers: Sequence[Hashable], *, normalize: bool = False) -> float:
    """Shannon entropy of the answers to one problem, in nats: H = -sum_a p_a ln p_a (Shannon 1948).

    p_a is the fraction of completions that answer a; None, for "no answer", is an answer, too. Pass the answers of the
    wrong completions to measure how varied the errors are. H is from 0 (one answer) to ln n; exp(H) is the effective
    number of answers. Random slips raise it as exploration does, and few completions cannot have much of it.

    With `normalize` it is H / ln n, from 0 to 1. NaN without completions, and normalised also for a single one.

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
    # p ln(1/p) instead of -p ln p: a single answer has 0.0, not -0.0.
    entropy = math.fsum(count / n * math.log(n / count) for count in Counter(answers).values())
    return min(1.0, entropy / math.log(n)) if normalize else entropy  # rounding may exceed 1 by 2e-16


def cluster_entropy(clusters: ArrayLike, *, noise: Noise = "group", normalize: bool = False) -> float:
    """Shannon entropy of the cluster labels of one problem, in nats: -sum_c p_c ln p_c, from 0 to ln n.

    It measures errors only as far as the clusters are the errors (see `agreement`), and it grows with the number of
    completions that were clustered.

    Args:
        clusters: (n,) integers; -1 for no cluster. -2, "no answer", is a cluster, too.
        noise: whether completions without a cluster are one "group", as in the authors' release, or each "alone".
        normalize: as in `answer_entropy`, also for what is NaN.

    Example:
        >>> round(cluster_entropy([0, 0, 1, 1]), 4)  # ln 2
        0.6931
        >>> round(cluster_entropy([0, 0, -1, -1], noise="alone"), 4)  # .5 ln 2 + 2 (.25 ln 4)
        1.0397
    """
    return answer_entropy(partition(clusters, noise).tolist(), normalize=normalize)


def distinct_answers(answers: Sequence[Hashable]) -> int:
    """Number of different answers of one problem's (wrong) completions; None, for "no answer", is one of them.

    It grows with n: compare equal numbers of completions.
    """
    return len(set(answers))


def repeated_share(problems: Iterable[Sequence[Hashable]]) -> float:
    """Fraction of wrong completions that repeat a wrong answer to the same problem.

    1 - (sum over problems of distinct answers) / (sum over problems of completions): 0 if no wrong answer comes twice,
    up to 1 - 1/n if n completions give one answer, NaN without any. `problems` has each problem's wrong answers.

    Example:
        >>> repeated_share([["60", "60", "7", None], ["5"], []])  # 5 wrong completions, 4 distinct
        0.2
    """
    given = list(problems)
    num = sum(map(len, given))
    return (num - sum(map(distinct_answers, given))) / num if num else math.nan
