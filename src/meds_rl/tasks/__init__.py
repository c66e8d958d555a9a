"""Problems to train on: prompts, gold answers and a grader, by name.

Nothing heavy is imported before a task is loaded.
"""

import difflib
import inspect
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from meds_rl.tasks.base import Task, Verdict, check_dataset, import_function, prompt_id

__all__ = ["Task", "Verdict", "check_dataset", "load_task", "prompt_id"]

TASK_NAMES = ("pocket", "reasoning_gym:<dataset>", "math", "code", "<package.module.function>")


def load_task(name: str, **options: Any) -> Task:
    """Load a task by name: "pocket", "reasoning_gym:<dataset>", "math", "code", or the import path of a function.

    The `options` go to the task's function: `pocket_task`, `reasoning_gym_task`, `math_task`, `code_task`, or yours.

    ValueError for an unknown name or option, with those allowed; ImportError, with the pip command, for a package that
    is missing; OSError for "code" where bubblewrap, which runs the programs, does not work.
    """
    family, _, dataset = name.partition(":")
    make_task: Callable[..., Task]
    arguments: list[str] = []
    if name == "pocket":
        from meds_rl.tasks.pocket import pocket_task as make_task
    elif name == "math":
        from meds_rl.tasks.mathematics import math_task as make_task
    elif name == "code":
        from meds_rl.tasks.code import code_task as make_task
    elif family == "reasoning_gym" and dataset:
        from meds_rl.tasks.reasoning_gym import reasoning_gym_task as make_task

        arguments = [dataset]
    elif "." in family:
        make_task = import_function(family)
    else:
        raise ValueError(f"unknown task {name!r}{_did_you_mean(family)}; allowed: {', '.join(TASK_NAMES)}")
    _check_options(name, options, _parameters(name, make_task)[len(arguments) :])
    task = make_task(*arguments, **options)
    if not isinstance(task, Task):
        raise ValueError(f"the function {name!r} must return a Task; it returned {type(task).__name__}")
    return task


def _parameters(name: str, function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function, eval_str=True).parameters.values())
    except (ValueError, TypeError, NameError) as error:
        raise ValueError(f"task {name!r}: {error}") from None


def _check_options(name: str, options: Mapping[str, Any], parameters: Sequence[inspect.Parameter]) -> None:
    allowed = [one.name for one in parameters]
    unknown = [option for option in options if option not in allowed]
    if unknown and all(one.kind is not inspect.Parameter.VAR_KEYWORD for one in parameters):
        raise ValueError(f"task {name!r} has no option {unknown[0]!r}; allowed: {', '.join(allowed)}")
    for one in parameters:
        is_needed = one.default is one.empty and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
        if is_needed and one.name not in options:
            raise ValueError(f"task {name!r} needs the option {one.name!r}")
        wanted = _PLAIN.get(one.annotation, (object,))
        if one.name in options and type(options[one.name]) not in wanted and wanted != (object,):
            raise ValueError(
                f"the option {one.name!r} of task {name!r} must be {one.annotation.__name__}; "
                f"got {reprlib.repr(options[one.name])}"
            )


_PLAIN: dict[Any, tuple[type, ...]] = {int: (int,), float: (int, float), bool: (bool,), str: (str,)}
"""Annotations that are checked, and what they take."""


def _did_you_mean(family: str) -> str:
    if family == "reasoning_gym":
        return ": name one of its data sets, such as reasoning_gym:basic_arithmetic"
    close = difflib.get_close_matches(family, [known.partition(":")[0] for known in TASK_NAMES], n=1)
    return f", did you mean {close[0]!r}?" if close else ""
