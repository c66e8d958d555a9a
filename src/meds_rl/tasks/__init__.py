"""Problems to train on: prompts, gold answers and a grader.

Nothing heavy is imported before a task is loaded.
"""

from meds_rl.tasks.base import Task, check_dataset, load_task, prompt_id

__all__ = ["Task", "check_dataset", "load_task", "prompt_id"]
