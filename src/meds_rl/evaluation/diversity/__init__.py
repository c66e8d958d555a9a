"""How varied a set of completions is: plain functions of Python values or numpy arrays."""

from meds_rl.evaluation.diversity.answers import answer_entropy, cluster_entropy, distinct_answers, repeated_share
from meds_rl.evaluation.diversity.eigenvalues import top1_eigenvalue_ratio
from meds_rl.evaluation.diversity.texts import (
    distinct_n,
    self_bleu,
    vendi_score,
    vendi_score_of_kernel,
    vendi_score_of_texts,
)

__all__ = [
    "answer_entropy",
    "cluster_entropy",
    "distinct_answers",
    "distinct_n",
    "repeated_share",
    "self_bleu",
    "top1_eigenvalue_ratio",
    "vendi_score",
    "vendi_score_of_kernel",
    "vendi_score_of_texts",
]
