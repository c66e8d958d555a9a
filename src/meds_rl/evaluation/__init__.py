"""What completions show about a policy. Knows no trainer."""

from meds_rl.evaluation.agreement import (
    Agreement,
    adjusted_rand,
    agreement,
    agreement_percentage,
    purity,
    splits,
    v_measure,
)
from meds_rl.evaluation.agreement_by_prompt import agreement_by_chance, agreement_by_prompt, agreement_over_training
from meds_rl.evaluation.majority import maj_at_k
from meds_rl.evaluation.paired import PairedDifference, PerProblem, paired_difference
from meds_rl.evaluation.pass_at_k import pass_at_k

__all__ = [
    "Agreement",
    "PairedDifference",
    "PerProblem",
    "adjusted_rand",
    "agreement",
    "agreement_by_chance",
    "agreement_by_prompt",
    "agreement_over_training",
    "agreement_percentage",
    "maj_at_k",
    "paired_difference",
    "pass_at_k",
    "purity",
    "splits",
    "v_measure",
]
