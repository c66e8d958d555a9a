"""Problems to train on: prompts, gold answers and a grader, by name.

Nothing heavy is imported before a task is loaded.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from meds_rl.tasks.base import Task, check_dataset, prompt_id

__all__ = ["Task", "check_dataset", "load_task", "prompt_id"]

TASK_NAMES = ("pocket", "reasoning_gym:<dataset>", "math")


def load_task(name: str, **options: Any) -> Task:
    """Load a task by name: "pocket", "reasoning_gym:<dataset>" or "math".

    The `options` go to the task's own function: `pocket_task`, `reasoning_gym_task` or `math_task`.

    Raises:
        ValueError: unknown name or option; the message lists what is allowed.
        ImportError: a package that the task needs is missing; the message holds the pip command.
    """
    family, _, dataset = name.partition(":")
    make_task: Callable[..., Task]
    if name == "pocket":
        from meds_rl.tasks.pocket import pocket_task as make_task
    elif name == "math":
        from meds_rl.tasks.mathematics import math_task as make_task
    elif family == "reasoning_gym" and dataset:
        from meds_rl.tasks.reasoning_gym import reasoning_gym_task

        return _call(reasoning_gym_task, name, options, dataset)
    else:
        raise ValueError(f"unknown task {name!r}{_did_you_mean(family)}; allowed: {', '.join(TASK_NAMES)}")
    return _call(make_task, name, options)


def _did_you_mean(family: str) -> str:
    if family == "reasoning_gym":
        return ": name one of its data sets, such as reasoning_gym:basic_arithmetic"
    close = difflib.get_close_matches(family, [known.partition(":")[0] for known in TASK_NAMES], n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _call(make_task: Callable[..., Task], name: str, options: Mapping[str, Any], *first: Any) -> Task:
    """Call a task's function; an unknown option raises an error that names the recipe's option."""
    allowed = list(inspect.signature(make_task).parameters)[len(first) :]
    unknown = [option for option in options if option not in allowed]
    if unknown:
        raise ValueError(f"task {name!r} has no option {unknown[0]!r}; allowed: {', '.join(allowed)}")
    return make_task(*first, **options)
