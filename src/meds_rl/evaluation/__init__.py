"""What completions show about a policy. Knows no trainer."""

from meds_rl.evaluation.agreement import Agreement, adjusted_rand, agreement, purity, splits
from meds_rl.evaluation.pass_at_k import pass_at_k

__all__ = ["Agreement", "adjusted_rand", "agreement", "pass_at_k", "purity", "splits"]
