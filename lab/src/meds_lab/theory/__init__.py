"""The paper's theorem on finite outcome spaces, exactly: what the penalty does to reward and to diversity.

Statement, proofs and counterexamples: lab/evidence/theorem.md. Numpy only; nothing in training imports it.
"""

from meds_lab.theory.clusters import EntropySplit, split_entropy
from meds_lab.theory.comparison import Comparison, compare
from meds_lab.theory.diversity import entropy, entropy_slope, order_horizon
from meds_lab.theory.ordering import oppositely_ordered, similarly_ordered
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
