"""The pocket task: small arithmetic with planted error strategies, and a tiny model that makes these errors.

Nothing heavy is imported before a task or a model is loaded.
"""

from meds_rl.tasks.pocket.model import checkpoint_path, load_pocket_model
from meds_rl.tasks.pocket.reading import grade, is_exact_trace, strategy
from meds_rl.tasks.pocket.strategies import CORRECT, STRATEGIES, WRONG
from meds_rl.tasks.pocket.task import pocket_task

__all__ = [
    "CORRECT",
    "STRATEGIES",
    "WRONG",
    "checkpoint_path",
    "grade",
    "is_exact_trace",
    "load_pocket_model",
    "pocket_task",
    "strategy",
]
