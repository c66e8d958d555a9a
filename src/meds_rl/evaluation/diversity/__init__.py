"""How varied a set of completions is. One measure a file; each works on plain Python values or numpy arrays."""

from meds_rl.evaluation.diversity.answer_entropy import answer_entropy
from meds_rl.evaluation.diversity.distinct_answers import distinct_answers, repeated_share
from meds_rl.evaluation.diversity.eigenvalue_ratio import top1_eigenvalue_ratio

__all__ = ["answer_entropy", "distinct_answers", "repeated_share", "top1_eigenvalue_ratio"]
