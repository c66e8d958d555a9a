"""Reads a recipe: a YAML file, overridden on the command line, into checked dataclasses (TRL's parser conventions)."""

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

import yaml
from trl import ModelConfig, TrlParser

from meds_rl.engines.trl.config import MEDSConfig


@dataclass
class RunArguments:
    """What to train on and how to evaluate it; everything else is ``MEDSConfig`` and TRL's ``ModelConfig``.

    The fields are described by their help, which ``docs/start-trl.md`` lists too.
    """

    task: str = field(default="", metadata={"help": "pocket, reasoning_gym:<dataset> or math."})
    task_options: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Options of the task, a mapping (JSON on the command line)."}
    )
    reward_funcs: list[str] | None = field(
        default=None,
        metadata={
            "help": "Import paths of TRL reward functions, instead of the task's grader; the first says right or wrong."
        },
    )
    eval_samples: int = field(
        default=0, metadata={"help": "Samples per problem of each evaluation; 0 for no evaluations."}
    )
    eval_every: int = field(
        default=0, metadata={"help": "Optimiser steps between evaluations in training; 0 for only before and after."}
    )
    eval_k: int | None = field(default=None, metadata={"help": "k of pass@k. Default: eval_samples."})
    eval_problems: int = field(default=64, metadata={"help": "At most so many problems of each split."})
    eval_by: str | None = field(default=None, metadata={"help": "Column of the task to split the figures by."})
    eval_before_from: str | None = field(
        default=None,
        metadata={"help": "Run folder with the same model and evaluation; its evaluation before training is copied."},
    )
    num_threads: int | None = field(default=None, metadata={"help": "CPU threads of torch. Default: torch's own."})

    def __post_init__(self) -> None:
        if self.num_threads is not None and self.num_threads < 1:
            raise ValueError(f"num_threads must be at least 1; got {self.num_threads}.")
        given: Any = self.reward_funcs  # YAML may give one path as text
        self.reward_funcs = [given] if isinstance(given, str) else given
        self.task = str(self.task)  # YAML reads some names as numbers
        if not self.task:
            raise ValueError("A recipe needs a task: pocket, reasoning_gym:<dataset> or math.")
        if isinstance(self.task_options, str):
            try:
                self.task_options = json.loads(self.task_options)
            except json.JSONDecodeError as error:
                raise ValueError(f"task_options must be a JSON mapping; got {self.task_options!r} ({error}).") from None
        if self.task_options is not None and not isinstance(self.task_options, dict):
            raise ValueError(f"task_options must be a mapping; got {self.task_options!r}.")
        for name, least in {"eval_samples": 0, "eval_every": 0, "eval_problems": 1}.items():
            if not isinstance(value := getattr(self, name), int):
                raise ValueError(f"{name} must be a whole number; got {value!r}.")
            if value < least:
                raise ValueError(f"{name} must be at least {least}; got {value}.")
        if self.eval_k is not None and self.eval_samples and not 1 <= self.eval_k <= self.eval_samples:
            raise ValueError(f"eval_k must be in 1..eval_samples ({self.eval_samples}); got {self.eval_k}.")

    @property
    def options(self) -> dict[str, Any]:
        """The task's options; an empty mapping if none are given."""
        return self.task_options if isinstance(self.task_options, dict) else {}


@dataclass
class Recipe:
    """A resolved recipe; ``given`` has the fields that the user gave."""

    run: RunArguments
    training: MEDSConfig
    model: ModelConfig
    given: dict[str, Any]


class RecipeError(ValueError):
    """A recipe cannot be read, or has a field that does not exist."""


class _Parser(TrlParser):
    """TRL's parser with one sentence about a wrong value instead of 600 lines of usage."""

    def error(self, message: str) -> NoReturn:
        raise RecipeError(message)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and the ``--field value`` pairs that override it.

    Raises:
        RecipeError: no such file, not a YAML mapping, an unknown field, a value of the wrong kind.
        ValueError: a value that is not allowed.
    """
    path = find_recipe(path)
    given = _read_yaml(path)
    _check_names(given)
    overridden = _pairs(overrides)
    _check_names([name.removeprefix("no_") for name in overridden])
    parser = _Parser((RunArguments, MEDSConfig, ModelConfig))
    run, training, model = parser.parse_args_and_config(["--config", str(path), *overrides])
    everything = given | overridden
    lora = sorted(name for name in everything if name.startswith("lora_"))
    if lora and "use_peft" not in everything:
        raise RecipeError(f"{', '.join(lora)} does nothing without use_peft: true.")
    return Recipe(run, training, model, everything)


def field_names() -> list[str]:
    """Every field that a recipe may have."""
    names = {f.name for kind in (RunArguments, MEDSConfig, ModelConfig) for f in fields(kind) if f.init}
    return sorted(names | {"env"})


def find_recipe(path: str | Path) -> Path:
    """The recipe at ``path``, or the shipped one of that name ("pocket.yaml", "recipes/pocket.yaml").

    Raises:
        RecipeError: there is neither.
    """
    package = Path(__file__).parents[1]  # in a wheel; in an editable install the recipes are in the clone
    shipped = package / "_recipes" if (package / "_recipes").is_dir() else package.parents[1] / "recipes"
    if Path(path).is_file():
        return Path(path)
    if str(Path(path).parent) in (".", "recipes") and (shipped / Path(path).name).is_file():
        return shipped / Path(path).name
    names = ", ".join(sorted(file.name for file in shipped.glob("*.yaml"))) or "none"
    raise RecipeError(f"There is no recipe at {path}. Shipped recipes: {names}.")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise RecipeError(f"{path} must be a YAML mapping of fields to values.")
    return content


def _check_names(names: Iterable[str]) -> None:
    known = field_names()
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3)
            hint = f"Did you mean {' or '.join(close)}?" if close else "docs/settings.md lists them."
            raise RecipeError(f"Unknown field {name!r}. {hint}")


def _pairs(overrides: Sequence[str]) -> dict[str, Any]:
    """The command line's fields: name -> value, a list of values, or True for none."""
    pairs: dict[str, list[str]] = {}
    values: list[str] = []
    for token in overrides:
        if token.startswith("--"):
            name, _, value = token[2:].partition("=")
            values = pairs[name.replace("-", "_")] = [value] if value else []
        else:
            values.append(token)
    return {name: values[0] if len(values) == 1 else values or True for name, values in pairs.items()}
