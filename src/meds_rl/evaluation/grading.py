"""The name under which `meds_rl.engines.verl.reward` imports the grader."""

from meds_rl.tasks.grader import Grader

__all__ = ["Grader"]
