"""What completions show about a policy. Knows no trainer."""

from meds_rl.evaluation.agreement import Agreement, adjusted_rand, agreement, purity, splits
from meds_rl.evaluation.majority import maj_at_k
from meds_rl.evaluation.pass_at_k import pass_at_k

__all__ = ["Agreement", "adjusted_rand", "agreement", "maj_at_k", "pass_at_k", "purity", "splits"]
