"""What completions show about a policy. Knows no trainer."""

from meds_rl.evaluation.pass_at_k import pass_at_k

__all__ = ["pass_at_k"]
