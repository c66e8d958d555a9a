"""Rivals and controls, one file each. A grid names a file: ``rival: nsr``."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, cast


def rival_names() -> list[str]:
    """The names that a grid may give."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def trainer_of(name: str | None, options: Mapping[str, Any] | None = None) -> Callable[..., Any]:
    """What makes the trainer of a rival, called like `MEDSTrainer`; without a name `MEDSTrainer` itself.

    Args:
        name: a file in this folder, which defines ``trainer(*args, OPTIONS, **kwargs)``.
        options: keyword arguments of its ``trainer``.

    Raises:
        ValueError: there is no such rival, or it has no such option.
    """
    if name is None:
        if options:
            raise ValueError(f"rival_options {dict(options)!r} without a rival")
        from meds_rl.engines.trl import MEDSTrainer

        return MEDSTrainer
    if name not in rival_names():
        raise ValueError(f"there is no rival {name!r}; there are: {', '.join(rival_names())}")
    trainer = importlib.import_module(f"{__name__}.{name}").trainer
    kinds = inspect.signature(trainer).parameters.values()
    known = [one.name for one in kinds if one.kind is inspect.Parameter.KEYWORD_ONLY]
    unknown = [option for option in options or {} if option not in known]
    if unknown:
        raise ValueError(f"rival {name!r} has no option {unknown[0]!r}; it has: {', '.join(known) or 'none'}")
    return cast(Callable[..., Any], functools.partial(trainer, **(options or {})))
