"""Evaluations in the files of other harnesses, for those who have tools that read them."""

from meds_rl.evaluation.export.lighteval import write_lighteval
from meds_rl.evaluation.export.lm_eval import write_lm_eval

__all__ = ["write_lighteval", "write_lm_eval"]
