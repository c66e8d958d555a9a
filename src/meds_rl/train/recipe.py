"""Reads a recipe: a YAML file, overridden on the command line, into checked dataclasses (TRL's parser conventions)."""

import difflib
import json
import logging
import math
import os
import re
import reprlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import reduce
from operator import or_
from pathlib import Path
from types import GenericAlias, NoneType, UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from huggingface_hub.dataclasses import type_validator
from trl import ModelConfig, TrlParser

from meds_rl.engines.settings import PRESETS, name_in
from meds_rl.engines.trl.config import MEDSConfig
from meds_rl.files import load_yaml

logger = logging.getLogger("meds_rl")


@dataclass
class RunArguments:
    """What to train on and how to evaluate it; everything else is ``MEDSConfig`` and TRL's ``ModelConfig``.

    The fields are described by their help, which ``docs/start-trl.md`` lists too.
    """

    task: str = field(default="", metadata={"help": "pocket, reasoning_gym:<dataset>, math, code, or an import path."})
    task_options: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Options of the task, a mapping (JSON on the command line)."}
    )
    reward_funcs: list[str] | None = field(
        default=None,
        metadata={"help": "Import paths of TRL reward functions, instead of the task's grader."},
    )
    correctness: list[str] | None = field(
        default=None,
        metadata={"help": "What says right or wrong: import paths of functions, or names of reward functions."},
    )
    eval_samples: int = field(
        default=0, metadata={"help": "Samples per problem of each evaluation; 0 for no evaluations."}
    )
    eval_every: int = field(
        default=0, metadata={"help": "Optimiser steps between evaluations in training; 0 for only before and after."}
    )
    eval_k: int | None = field(default=None, metadata={"help": "k of pass@k. Default: eval_samples."})
    eval_problems: int = field(default=64, metadata={"help": "Most problems of each split."})
    eval_by: str | None = field(default=None, metadata={"help": "Column of the task to split the figures by."})
    eval_before_from: str | None = field(
        default=None,
        metadata={"help": "Run folder with the same model and evaluation; its evaluation before training is copied."},
    )
    num_threads: int | None = field(default=None, metadata={"help": "CPU threads of torch. Default: torch's own."})

    def __post_init__(self) -> None:
        for name in ("reward_funcs", "correctness"):  # YAML may give one path as text
            given: Any = getattr(self, name)
            setattr(self, name, [given] if isinstance(given, str) else given)
        self.task = str(self.task)  # YAML reads some names as numbers
        if not self.task:
            raise ValueError("A recipe needs a task: pocket, reasoning_gym:<dataset>, math, code, or an import path.")
        if isinstance(self.task_options, str):
            try:
                self.task_options = json.loads(self.task_options)
            except (ValueError, RecursionError) as error:
                given = reprlib.repr(self.task_options)
                raise ValueError(f"task_options must be a JSON mapping; got {given} ({error}).") from None
        if self.task_options is not None and not isinstance(self.task_options, dict):
            raise ValueError(f"task_options must be a mapping; got {reprlib.repr(self.task_options)}.")
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


KINDS = (RunArguments, MEDSConfig, ModelConfig)

LONGEST_ERROR = 1000
"""Characters of an error of TRL or transformers, which have whole values in them."""


class RecipeError(ValueError):
    """A recipe cannot be read, has a field that does not exist, or a value of the wrong type or out of bounds."""


class _Parser(TrlParser):
    """TRL's parser that checks the ``given`` fields and raises errors of one sentence, without lines of usage."""

    given: Iterable[str] = ()
    nulls: Iterable[str] = ()  # given as "null" on the command line

    def error(self, message: str) -> NoReturn:
        raise RecipeError(message)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Check here: every value is converted by now, and no dataclass is made yet."""
        found, rest = super().parse_known_args(args, namespace)
        for name in self.nulls:
            setattr(found, name, None)
        hints = {name: hint for kind in KINDS for name, hint in get_type_hints(kind).items()}
        for name in self.given:
            if name in found:
                setattr(found, name, _checked(name, getattr(found, name), hints[name]))
        return found, rest


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and the ``--field value`` pairs that override it; the value ``null`` is None, as in YAML.

    Raises:
        RecipeError: no such file, not a YAML mapping, an unknown field, a value of the wrong type or out of bounds.
        ValueError: values that are not allowed together, or by ``MEDSConfig`` or TRL.
    """
    path = find_recipe(path)
    given = _read_yaml(path)
    _check_names(given)
    overridden = _pairs(overrides)
    _check_names([name.removeprefix("no_") for name in overridden])
    everything = given | overridden
    parser = _Parser(KINDS, add_help=False)
    _check_numbers_of_values(parser, overridden)
    parser.given = [name.removeprefix("no_") for name in everything]
    parser.nulls = [name for name, value in overridden.items() if value == "null"]
    arguments = ["--config", str(path), *_without(overrides, parser.nulls)]
    try:
        run, training, model = parser.parse_args_and_config(arguments)
    except (ValueError, TypeError, OSError) as error:
        raise _naming_a_field(error, everything) from None
    lora = sorted(name for name in everything if name.startswith("lora_"))
    _warn_of_mixed_preset(given, overridden)
    if lora and "use_peft" not in everything:
        raise RecipeError(f"{', '.join(lora)} does nothing without use_peft: true.")
    return Recipe(run, training, model, everything)


def _warn_of_mixed_preset(given: dict[str, Any], overridden: dict[str, Any]) -> None:
    """Warn if the command line asks for a preset and the recipe itself sets fields of the preset otherwise."""
    preset = PRESETS.get(str(overridden.get("preset")), {})
    fields_of_preset = {name_in("trl", name): value for name, value in preset.items()}
    kept = [name for name in given if name not in overridden and fields_of_preset.get(name, given[name]) != given[name]]
    if kept:
        logger.warning(
            "--preset %s does not change what the recipe sets itself: %s. Delete these lines for the preset's values.",
            overridden["preset"],
            ", ".join(f"{name}: {given[name]}" for name in kept),
        )


def field_names() -> list[str]:
    """Every field that a recipe may have."""
    names = {f.name for kind in KINDS for f in fields(kind) if f.init}
    return sorted(names | {"env"})


def find_recipe(path: str | Path) -> Path:
    """The recipe at ``path``, or the shipped one of that name ("pocket.yaml", "recipes/pocket.yaml").

    Raises:
        RecipeError: there is neither.
    """
    package = Path(__file__).parents[1]  # in a wheel; in an editable install the recipes are in the clone
    shipped = package / "_recipes" if (package / "_recipes").is_dir() else package.parents[1] / "recipes"
    if os.path.isfile(path):  # noqa: PTH113 - no error for what is no path
        return Path(path)
    if str(Path(path).parent) in (".", "recipes") and os.path.isfile(shipped / Path(path).name):  # noqa: PTH113
        return shipped / Path(path).name
    names = ", ".join(sorted(file.name for file in shipped.glob("*.yaml"))) or "none"
    raise RecipeError(f"There is no recipe at {path}. Shipped recipes: {names}.")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError(f"{path} cannot be read: {error}") from None
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


# ---- The values.

_BOUNDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "more than 0 and finite": (
        lambda value: 0 < value < math.inf,
        "temperature num_train_epochs logging_steps save_steps eval_steps repetition_penalty",
    ),
    "at least 0 and finite": (
        lambda value: 0 <= value < math.inf,
        "learning_rate warmup_steps weight_decay max_grad_norm adam_epsilon eval_samples eval_every "
        "dataloader_num_workers",
    ),
    "at least 1": (
        lambda value: value >= 1,
        "per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps generation_batch_size "
        "steps_per_generation num_generations_eval max_completion_length num_iterations num_threads eval_k "
        "eval_problems vllm_tensor_parallel_size ref_model_sync_steps lora_r lora_alpha",
    ),
    "at least 2": (lambda value: value >= 2, "num_generations"),
    "-1 or at least 1": (lambda value: value == -1 or value >= 1, "max_steps"),
    "more than 0 and at most 1": (lambda value: 0 < value <= 1, "top_p vllm_gpu_memory_utilization"),
    "in 0..1": (lambda value: 0 <= value <= 1, "min_p adam_beta1 adam_beta2 lora_dropout top_entropy_quantile"),
    "in 0..4294967295": (lambda value: 0 <= value < 2**32, "seed data_seed"),
}
"""What a number must be -> its check, and the fields. Those of MEDS are in ``meds_rl.engines.settings``."""

_ALSO: dict[str, Any] = {"scale_rewards": bool, "fsdp": bool | list[str]}
"""What fields take beside their annotations."""

_CHOICES = {one.name: one.metadata.get("choices") for kind in KINDS for one in fields(kind)}

_FILES = ("accelerator_config", "fsdp_config", "deepspeed")
"""Fields whose mapping may be in a file."""

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", dict: "a mapping", NoneType: "null"}


def _checked(name: str, value: Any, hint: Any) -> Any:
    """A field's value; a RecipeError if it has the wrong type or is out of bounds."""
    if hint in (str, str | None) and type(value) in (int, float):
        value = str(value)  # YAML reads some names as numbers
    hint = hint | _ALSO[name] if name in _ALSO else hint
    try:
        type_validator(name, value, _accepted(hint))
    except TypeError:
        raise RecipeError(f"{name} must be {_words(hint)}; got {reprlib.repr(value)}.") from None
    allowed = _CHOICES.get(name)
    if allowed is not None and value is not None and value not in allowed:  # argparse checks the command line alone
        raise RecipeError(f"{name} must be one of {', '.join(map(str, allowed))}; got {reprlib.repr(value)}.")
    if isinstance(value, str):
        _check_text(name, value)
    if isinstance(value, str) and "dict" in str(hint):
        _check_mapping(name, value)
    if isinstance(value, str) and not _takes_text(hint):
        value = [value]  # YAML may give one text instead of a list
    bounds = [(words, holds) for words, (holds, names) in _BOUNDS.items() if name in names.split()]
    bounds.append(("a number below 2**63", lambda number: not 2**63 <= abs(number) < math.inf))
    bounds.append(("finite", math.isfinite))
    for number in value if isinstance(value, list) else [value]:
        for words, holds in bounds if isinstance(number, int | float) else ():
            if not holds(number):
                raise RecipeError(f"{name} must be {words}; got {reprlib.repr(value)}.")
    return value


def _check_text(name: str, text: str) -> None:
    """Refuse a text that can be no path and no part of a file: with half a character, or with NUL."""
    try:
        is_text = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        is_text = False
    if not is_text:
        raise RecipeError(f"{name} must be text without NUL and without half characters; got {reprlib.repr(text)}.")


def _check_mapping(name: str, text: str) -> None:
    """Refuse a text for a mapping that is no JSON object; some settings may be the path of a file."""
    if name in _FILES and not text.startswith("{"):
        if not Path(text).is_file():
            raise RecipeError(f"{name} must be a mapping, or a JSON file; got {reprlib.repr(text)}.")
        return
    try:
        is_mapping = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        is_mapping = False
    if not is_mapping:
        raise RecipeError(f"{name} must be a mapping; got {reprlib.repr(text)}.")


def _takes_text(hint: Any) -> bool:
    """Whether a field's value may be a text."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return str in kinds or not any(get_origin(one) is list for one in kinds)


def _accepted(hint: Any) -> Any:
    """The annotation, and what the parser takes: whole numbers for floats, one text for a list, values of enums."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return reduce(or_, map(_accepted, args))
    if origin is list:
        listed: Any = GenericAlias(list, (_accepted(args[0]),))
        return listed | str if args[0] is str else listed
    if hint is float or (origin is None and isinstance(hint, type) and issubclass(hint, Enum)):
        return hint | (int if hint is float else str)
    return hint


def _words(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_words, args)))
    if origin is Literal:
        return f"one of {', '.join(map(repr, args))}"
    if origin is list:
        return f"a list, each {_words(args[0])}"
    return _WORDS.get(origin or hint, "text")  # an enum's values are text


def _without(overrides: Sequence[str], names: Iterable[str]) -> list[str]:
    """The command line without some fields and their values."""
    kept, drops = [], False
    for token in overrides:
        if token.startswith("--"):
            drops = token[2:].partition("=")[0].replace("-", "_") in names
        if not drops:
            kept.append(token)
    return kept


def _naming_a_field(error: Exception, given: dict[str, Any]) -> RecipeError:
    """An error of TRL or transformers, shortened; where it names none of the given fields, with those of the value."""
    text = " ".join(str(error).split())
    shown = {name: re.escape(" ".join(str(value).split())) for name, value in given.items()}
    blamed = [name for name, value in shown.items() if value and re.search(rf"(?<!\w){value}(?!\w)", text)]
    text = text if len(text) <= LONGEST_ERROR else f"{text[: LONGEST_ERROR // 2]} … {text[-LONGEST_ERROR // 2 :]}"
    return RecipeError(text if not blamed or any(name in text for name in given) else f"{', '.join(blamed)}: {text}")


def _check_numbers_of_values(parser: _Parser, overridden: dict[str, Any]) -> None:
    takes_several = {action.dest for action in parser._actions if action.nargs in ("*", "+")}
    for name, value in overridden.items():
        if isinstance(value, list) and name.removeprefix("no_") not in takes_several:
            raise RecipeError(f"{name} takes one value; got {reprlib.repr(value)}.")


def _pairs(overrides: Sequence[str]) -> dict[str, Any]:
    """The command line's fields: name -> value, a list of values, or True for none.

    Raises:
        RecipeError: a value before the first field.
    """
    if overrides and not overrides[0].startswith("--"):
        raise RecipeError(f"{overrides[0]!r} belongs to no field; give --field value.")
    pairs: dict[str, list[str]] = {}
    values: list[str] = []
    for token in overrides:
        if token.startswith("--"):
            name, _, value = token[2:].partition("=")
            values = pairs[name.replace("-", "_")] = [value] if value else []
        else:
            values.append(token)
    return {name: values[0] if len(values) == 1 else values or True for name, values in pairs.items()}
