"""How varied a set of completions is. One measure a file; each works on plain Python values or numpy arrays."""

from meds_rl.evaluation.diversity.answer_entropy import answer_entropy
from meds_rl.evaluation.diversity.cluster_entropy import cluster_entropy
from meds_rl.evaluation.diversity.distinct_answers import distinct_answers, repeated_share
from meds_rl.evaluation.diversity.distinct_n import distinct_n
from meds_rl.evaluation.diversity.eigenvalue_ratio import top1_eigenvalue_ratio
from meds_rl.evaluation.diversity.self_bleu import self_bleu
from meds_rl.evaluation.diversity.vendi import vendi_score, vendi_score_of_kernel, vendi_score_of_texts

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
