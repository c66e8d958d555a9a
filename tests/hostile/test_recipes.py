"""Hostile recipes: refused in one sentence before anything is made, or accepted with values of the right types."""

import inspect
import json
import math
import os
import random
import tempfile
import warnings
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from meds_rl.engines.trl.config import check_arguments
from meds_rl.train.recipe import KINDS, Recipe, field_names, load_recipe
from meds_rl.train.run import train

pytestmark = pytest.mark.hostile

SHIPPED = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
HINTS = {name: hint for kind in KINDS for name, hint in get_type_hints(kind).items() if name in field_names()}
LIVE = ("env", "hub_token", "push_to_hub")
"""Fields that reach out of the recipe, which `train` is not asked about."""

FIXED = {
    "task": "pocket",
    "task_options": "null",
    "eval_by": "null",
    "model_name_or_path": "pocket",
    "use_cpu": "true",
    "bf16": "false",
    "num_generations": "8",
    "per_device_train_batch_size": "16",
    "gradient_accumulation_steps": "1",
    "max_completion_length": "96",
    "steps_per_generation": "null",
    "generation_batch_size": "null",
    "use_vllm": "false",
    "report_to": "none",
    "disable_tqdm": "true",
    "answer_marker": "boxed",
    "reward_funcs": "null",
    "correctness": "null",
}
"""What lets a recipe run on any machine, without a network."""

BIG = "9" * 400
LAUGHS = "[&a [x,x,x,x,x,x,x,x], &b [*a,*a,*a,*a,*a,*a,*a,*a], &c [*b,*b,*b,*b,*b,*b,*b,*b], [*c,*c,*c,*c,*c,*c,*c]]"
PLAIN = [
    *("", "~", "null", "true", "false", "no", "yes", "on", "0", "1", "2", "-1", "-0.0", "0.5", "1.5", "1e-3", "1e400"),
    *("3", "7", "8", "16", "64", "1000000", "4294967296", "9223372036854775808", BIG, "0x" + "f" * 5000, "0o17", "0b1"),
    *(".nan", ".inf", "-.inf", "nan", "inf", "1_000", "1:30", "1" + ":1" * 30_000, "1e-400", "2024-01-01", "''"),
    *("x", "'1'", "'1.5'", "'true'", "'nan'", "'{\"a\": 1}'", "'[1]'", "'{'", "'None'", "'" + "[" * 100_000 + "'"),
    *("[]", "{}", "[x]", "['x', 1]", "[1, 2]", "[0.2, 0.9]", "[[[[1]]]]", "{a: 1}", "{1: 2}", "{a: {b: [c]}}"),
    *("[.nan, 1]", "[null]", "[" * 20 + "]" * 20, "[" * 100 + "]" * 100, "{a: " * 31 + "1" + "}" * 31),
    *("!!python/object/apply:os.system ['touch MADE']", "!!python/name:os.system", "!!int ''", "!!int x", "!!float ''"),
    *("!!float '1e3'", "!!bool x", "!!binary aGk=", "!!binary '***'", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1]"),
    *("!!timestamp x", "!!null x", "!!str 1", "!x 1", "!!map [1]", "!!seq {a: 1}", "&a 1", "*a", "&a [*a]", LAUGHS),
    *("{<<: {a: 1}}", "{<<: [{a: 1}, {b: 2}]}", "{<<: 1}", "{[1]: 2}", "{{a: 1}: 2}", "{null: 1}", "{a: 1, a: 2}"),
    *('"\\0"', '"a\\nb"', '"\\x1b[2J"', '"\\ud800"', '"\\u202e"', '"' + "x" * 70_000 + '"', "|\n  a\n  b", ">\n  a"),
    *("os.system", "[os.system]", "os.no_such", "no.such.module", "json.decoder", ".x", "x.", "..", "builtins.print"),
    *("'os.sy\\0stem'", '"os.\\0"', '"o\\ns.system"', "'a b.c'", "/no/such/folder", "/dev/null", "~nobody/x"),
]
"""Values as YAML has them."""

ENUMS = ["linear", "cosine", "adamw_torch", "sgd", "no", "steps", "epoch", "best", "meds", "dapo", "paper", "group"]
OUTSIDE = ["--", "-h", "-x", "--config", "--no_use_cpu", "--help", "@x", "--=1", "--seed=", "stray", "--env"]
"""Command lines that name no field."""


def hostile_recipe(rng: random.Random) -> tuple[bytes, list[str], list[str]]:
    """A recipe's bytes, its overrides, and the fields of which the refusal must name one; none for a bad file."""
    text = rng.choice(SHIPPED).read_text()
    fixed = dict(FIXED)
    names = rng.choices(sorted({*HINTS, *given_in(text)} - {*LIVE}), k=rng.choice([1, 1, 1, 2, 3]))
    kind = rng.randrange(10)
    overrides: list[str] = []
    if kind < 5:  # a field of any value, in the place of its own line
        for name in names:
            fixed.pop(name, None)
            text = without(text, name) + f"{name}: {value(rng)}\n"
    elif kind < 8:
        for name in names:
            fixed.pop(name, None)
            given = rng.choice([value(rng), *ENUMS]).replace("\n", " ")
            overrides += rng.choice([[f"--{name}", given], [f"--{name}={given}"], [f"--{name}", given, given]])
    elif kind < 9:
        text, names = broken(rng, text), []
    else:
        name = near_miss(rng, names[0])
        names = [name.strip().split(":")[0]]
        text += f"{name}: 1\n" if rng.random() < 0.5 else ""
        overrides = [] if f"{name}: 1\n" in text else [rng.choice([f"--{name}", *OUTSIDE]), "1"]
        names = [] if not overrides or overrides[0] in OUTSIDE else names
    # Overrides win over the file, so that what the file has of a mutated field stays as it is.
    line = [part for name, given in fixed.items() for part in (f"--{name}", given)]
    return text.encode("utf-8", "surrogatepass"), [*line, *overrides], names


def given_in(text: str) -> list[str]:
    return [line.split(":")[0] for line in text.splitlines() if line[:1].isalpha() and ":" in line]


def without(text: str, name: str) -> str:
    """The recipe without a field and the lines below it."""
    kept, drops = [], False
    for line in text.splitlines(keepends=True):
        drops = line.startswith(f"{name}:") or (drops and line.startswith((" ", "\n")))
        if not drops:
            kept.append(line)
    return "".join(kept)


def value(rng: random.Random) -> str:
    if rng.random() < 0.15:
        return rng.choice([str(rng.randint(-5, 300)), f"{rng.uniform(-1, 3):.3g}", rng.choice(ENUMS)])
    return rng.choice(PLAIN)


def near_miss(rng: random.Random, name: str) -> str:
    letters = list(name)
    place = rng.randrange(len(letters))
    letters[place] = rng.choice(["", "x", "-", letters[place].upper(), letters[place] * 2, "\u0435"])
    return "".join(letters) or "x"


def broken(rng: random.Random, text: str) -> str:
    place = rng.randrange(len(text))
    return rng.choice(
        [
            text[:place],
            text[:place] + rng.choice(["\t", "\0", "\x85", "\ufffe", "\ud800", "%", "@", "`", "{", "]", ": :"]) + text[place:],
            "\ufeff" + text,
            text.replace("\n", "\r\n"),
            text.replace("\n", "\r"),
            text.replace(": ", ":\t"),
            text + "\n---\n" + text,
            text + text,
            text + "seed: 1\nseed: 2\n",
            "",
            "null",
            "- a\n- b\n",
            "x" * 100_000,
            "# " + "x" * 1_000_000 + "\n" + text,
            "[" * 3000,
            "1: 2\n" + text,
            "<<: {seed: 3}\n" + text,
            "<<: &a {seed: 3}\nx: *a\n" + text,
            "? [a]\n: 1\n" + text,
            "%YAML 9.9\n---\n" + text,
            "".join(rng.sample(text, len(text))),
        ]
    )


# ---- What is expected.


class Reached(Exception):
    """All checks before the trainer is made have passed."""


def reached(model: Any, functions: Any, args: Any, dataset: Any, **rest: Any) -> Any:
    check_arguments(functions, args, dataset, {})
    raise Reached


def judge(folder: Path, recipe: Path, overrides: list[str], names: list[str]) -> str:
    """What became of a recipe; an AssertionError if it is mishandled."""
    before, environment = sorted(folder.rglob("*")), dict(os.environ)
    output = folder / "run"
    line = overrides if any(name.startswith("--output_dir") for name in overrides) else ["--output_dir", str(output), *overrides]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TRL's, of fields that it will drop
            loaded = load_recipe(recipe, line)
            train(loaded, trainer=reached)
        raise AssertionError("it was trained")
    except Reached:
        verdict = "accepted"
        check_types(loaded)
    except (ValueError, TypeError, OSError, ImportError) as error:
        verdict = type(error).__name__
        check_sentence(str(error), names)
        assert type(error) not in (UnicodeDecodeError, UnicodeEncodeError, json.JSONDecodeError), repr(error)
    assert sorted(folder.rglob("*")) == before
    assert dict(os.environ) == environment
    return verdict


def check_sentence(text: str, names: list[str]) -> None:
    assert text.strip(), "no words"
    assert len(text) < 3000, f"{len(text)} characters"
    assert not names or any(name in text for name in [*names, "recipe.yaml cannot be read: "]), f"names none of {names}: {text}"


def check_types(recipe: Recipe) -> None:
    values = {**vars(recipe.run), **vars(recipe.model), **vars(recipe.training)}
    for name in recipe.given:
        name = name.removeprefix("no_") if name not in HINTS else name
        if name in HINTS and name not in ("scale_rewards",):
            assert fits(values[name], HINTS[name]), f"{name}: {values[name]!r} is no {HINTS[name]}"
            assert not isinstance(values[name], float) or math.isfinite(values[name]), f"{name} is {values[name]}"


def fits(given: Any, hint: Any) -> bool:
    """Whether a value has a type: whole numbers are floats, and names of an enum are its values."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(fits(given, one) for one in args)
    if origin is Literal:
        return given in args and type(given) in {type(one) for one in args}
    if origin is list:
        return isinstance(given, list) and all(fits(one, args[0]) for one in given)
    if origin is dict:
        return isinstance(given, dict) and all(fits(k, args[0]) and fits(v, args[1]) for k, v in given.items())
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return isinstance(given, hint) or given in [one.value for one in hint]
    if hint is float:
        return type(given) in (int, float)
    return type(given) is hint or (hint not in (bool, int) and isinstance(given, hint))


def trial(seed: int) -> str:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, overrides, names = hostile_recipe(rng)
        path = folder / "recipe.yaml"
        path.write_bytes(data)
        os.chdir(folder)
        return judge(folder, path, overrides, names)


def test_recipes(campaign):
    campaign("recipes for meds train", trial, 1_800, seconds=20, gigabytes=2)
