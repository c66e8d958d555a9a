"""The paper's theorem on finite outcome spaces, exactly: what the penalty does to reward and to diversity.

Statements and counterexamples: lab/evidence/theorem.md. It needs numpy only, and no training imports it.
"""

from meds_lab.theory.comparison import Comparison, compare
from meds_lab.theory.diversity import (
    EntropySplit,
    entropy,
    entropy_slope,
    oppositely_ordered,
    order_horizon,
    similarly_ordered,
    split_entropy,
)
from meds_lab.theory.update import kl_update, log_kl_update

__all__ = [
    "Comparison",
    "EntropySplit",
    "compare",
    "entropy",
    "entropy_slope",
    "kl_update",
    "log_kl_update",
    "oppositely_ordered",
    "order_horizon",
    "similarly_ordered",
    "split_entropy",
]
