"""Hostile recipes: refused in one sentence before anything is made, or accepted with values of the right types."""

import inspect
import io
import json
import math
import os
import random
import socket
import sys
import tempfile
import warnings
from contextlib import redirect_stdout
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from meds_rl.cli.main import _sentence
from meds_rl.engines.trl.config import check_arguments
from meds_rl.report.text import printable
from meds_rl.train.recipe import KINDS, Recipe, field_names, load_recipe
from meds_rl.train.run import train

pytestmark = pytest.mark.hostile

SHIPPED = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
HINTS = {name: hint for kind in KINDS for name, hint in get_type_hints(kind).items() if name in field_names()}
LIVE = ("env", "hub_token", "push_to_hub", "ddp_backend")
"""Fields that reach out of this process."""

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
    *(
        "!!float '1e3'",
        "!!bool x",
        "!!binary aGk=",
        "!!binary '***'",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!!pairs [a: 1]",
    ),
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
            text = without(text, name) + f"{name}: {value(rng, name)}\n"
    elif kind < 8:
        for name in names:
            fixed.pop(name, None)
            given = rng.choice([value(rng, name), value(rng, name), rng.choice(ENUMS)]).replace("\n", " ")
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


def value(rng: random.Random, name: str) -> str:
    return rng.choice(PLAIN) if rng.random() < 0.7 else likely(rng, HINTS.get(name, str))


def likely(rng: random.Random, hint: Any) -> str:
    """A value of about the right type."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return likely(rng, rng.choice(args))
    if origin is Literal:
        return json.dumps(rng.choice(args))
    if origin is list:
        return f"[{', '.join(likely(rng, args[0]) for _ in range(rng.randrange(3)))}]"
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return json.dumps(rng.choice(list(hint)).value)
    numbers = {bool: rng.choice(["true", "false"]), int: str(rng.randint(-3, 40)), float: f"{rng.uniform(-0.5, 2):.3g}"}
    return numbers.get(hint, rng.choice(["x", "null", "{a: 1}", "{}", *ENUMS]))


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
            text[:place]
            + rng.choice(["\t", "\0", "\x85", "\ufffe", "\ud800", "%", "@", "`", "{", "]", ": :"])
            + text[place:],
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


class Reached(Exception):  # noqa: N818 - no error
    """All checks before the trainer is made have passed."""


def reached(_model: Any, functions: Any, args: Any, dataset: Any, **_: Any) -> Any:
    check_arguments(functions, args, dataset, {})
    raise Reached


TRAINER: Any = reached


def judge(folder: Path, recipe: Path, overrides: list[str], names: list[str]) -> str:
    """What became of a recipe; an AssertionError if it is mishandled."""
    before, environment = sorted(folder.rglob("*")), dict(os.environ)
    line = overrides if "output_dir" in [*names, *overrides] else ["--output_dir", str(folder / "run"), *overrides]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TRL's, of fields that it will drop
            loaded = load_recipe(recipe, line)
            with redirect_stdout(io.StringIO()):
                train(loaded, trainer=TRAINER)
        raise AssertionError("it was trained")
    except Reached:
        verdict = "accepted"
        check_types(loaded)
    except (ValueError, TypeError, OSError, ImportError) as error:
        verdict = type(error).__name__
        check_sentence(printable(_sentence(error, "meds train")), names)
        assert type(error) not in (  # noqa: PT017
            UnicodeDecodeError,
            UnicodeEncodeError,
            json.JSONDecodeError,
        ), repr(error)
    assert sorted(folder.rglob("*")) == before
    assert dict(os.environ) == environment
    return verdict


def check_sentence(text: str, names: list[str]) -> None:
    assert text.strip(), "no words"
    assert len(text) < 3000, f"{len(text)} characters"
    assert not names or any(name in text for name in [*names, "recipe.yaml cannot be read: "]), (
        f"names none of {names}: {text}"
    )


def check_types(recipe: Recipe) -> None:
    values = {**vars(recipe.run), **vars(recipe.model), **vars(recipe.training)}
    for name in recipe.given:
        name = name.removeprefix("no_") if name not in HINTS else name
        if name in HINTS and name not in ("scale_rewards", "accelerator_config"):  # the last becomes an object
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
    campaign("recipes for meds train", trial, 1_700, seconds=20, gigabytes=2)


# ---- Fields that name code, files and folders.

MODULES = {
    "empty": "",
    "returns": "def none(): pass\ndef one(a): return a\nnumber = 1\nclass Thing: pass\nraises = property()\n",
    "missing": "import no_such_module_at_all\ndef f(): pass\n",
    "own_error": "raise ValueError('mine')\n",
}
CODE = [
    *(
        "os.system",
        "os.getcwd",
        "os.no_such",
        "os",
        "no.such.module",
        "json.decoder",
        "builtins.dict",
        "builtins.print",
    ),
    *(
        "builtins.type",
        ".x",
        "..x.y",
        "x.",
        ".",
        "..",
        "o\0s.system",
        "os.sys\0tem",
        "os\n.system",
        "os.\x1b[2J",
        "os.\ud800",
    ),
    *("\u202eos.system", "a b.c", "x" * 70_000 + ".y", "x." * 2_000 + "y", "empty.f", "returns.none", "returns.one"),
    *(
        "returns.number",
        "returns.Thing",
        "returns.raises",
        "missing.f",
        "own_error.f",
        "pocket:",
        "pocket:x",
        "pocket.x",
    ),
    *(
        "reasoning_gym:",
        "reasoning_gym:no_such",
        "reasoning_gym:\0",
        "reasoning_gym:../x",
        "Pocket",
        "pockets",
        "math",
        "code",
    ),
]
OPTIONS = [
    *(
        "{}",
        "null",
        "{x: 1}",
        "{a: 1}",
        "{'': 1}",
        "{self: 1}",
        "{name: pocket}",
        "{train_hard: -1}",
        "{train_hard: 1.5}",
    ),
    *(
        "{train_hard: x}",
        "{train_hard: 0, train_easy: 0}",
        "{train_hard: 10000000000}",
        "{test_hard: [1]}",
        "{path: /dev/null}",
    ),
    *(
        "{path: 1}",
        "{path: FIFO}",
        "{path: .}",
        "{path: 'a\0b'}",
        "{train_size: -1}",
        "{seed: .inf}",
        "{config: {a: 1}}",
    ),
]
PLACES = [
    "FILE",
    "FIFO",
    "FILE/x",
    "LOOP",
    "LOOP/x",
    "SHUT/x",
    "FULL",
    "/dev/null",
    "/dev/null/x",
    "/proc/x",
    "/proc/1/x",
    "",
]
PLACES += ["a\0b", "x" * 300, "x/" * 3_000, "\ud800", "a\nb", "\x1b[2J", ".", "..", "/", "~nobody/x", "SOCKET"]


def trial_of_paths(seed: int) -> str:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        for module, text in MODULES.items():
            (folder / f"{module}.py").write_text(text)
        (folder / "FILE").write_text("x")
        os.mkfifo(folder / "FIFO")
        (folder / "LOOP").symlink_to("LOOP")
        (folder / "FULL").mkdir()
        (folder / "FULL" / "x").write_text("x")
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("SOCKET")
        names, lines = [], ["eval_by: null"]
        field = rng.choice(
            ["task", "task", "reward_funcs", "correctness", "output_dir", "eval_before_from", "resume_from_checkpoint"]
        )
        path = rng.choice(CODE if field in ("task", "reward_funcs", "correctness") else PLACES)
        names += [field] if path else []
        lines.append(f"{field}: {json.dumps(path)}")
        if field != "task":
            lines.append("task: pocket")
        if field == "task" or rng.random() < 0.2:
            names.append("task")
            lines.append(f"task_options: {rng.choice(OPTIONS)}")
        text = "".join(f"{line}\n" for line in lines)
        kept = without(without(without(SHIPPED_POCKET, field), "task"), "eval_by")
        recipe = folder / "recipe.yaml"
        recipe.write_text(kept + text)
        for module in MODULES:
            sys.modules.pop(module, None)
        output = [] if field == "output_dir" else ["--output_dir", str(folder / "run")]
        return judge(folder, recipe, output, names)


SHIPPED_POCKET = (Path(__file__).parents[2] / "recipes" / "pocket.yaml").read_text()


def test_paths_in_recipes(campaign):
    campaign("recipes that name code, files and folders", trial_of_paths, 300, seconds=30, gigabytes=2)
