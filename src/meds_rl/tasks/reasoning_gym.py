"""Any data set of reasoning-gym as a task: generated problems, graded by the data set's own scorer."""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from meds_rl.tasks.base import Task, prompt_id
from meds_rl.tasks.mathematics import SYSTEM_PROMPT

Message: TypeAlias = dict[str, str]

RIGHT_FROM = 1.0
"""The score that makes a completion right. Some data sets give parts of a point for near misses; those are wrong."""

SCORED = "(any answer that scores 1)"
"""The column `answer` of data sets without a single right answer."""

TEST_SEED_DISTANCE = 1_000_003
"""Item i of seed s is made from s + i, so a test seed near the training seed would repeat training items."""

ATTEMPTS_PER_ROW = 10

# ---- Which answers a scorer may see: some scorers pass the model's text to Python's `eval` or to sympy.

MAX_CHARACTERS = 5_000
"""Longest answer that is evaluated: the data sets' own have a few hundred characters."""

PLAIN_OR_LITERAL = frozenset({"binary_matrix", "n_queens", "spiral_matrix", "string_insertion"})
"""Their scorers call `eval` on answers that differ from the right text."""

ARITHMETIC = frozenset({"countdown", "puzzle24"})
"""Their scorers evaluate the answer with sympy; the questions ask for numbers, + - * / and parentheses."""

ALGEBRA = frozenset({"intermediate_integration", "polynomial_multiplication", "simple_integration"})
"""Their scorers evaluate the answer with sympy; it has variables and functions."""

FUNCTIONS = re.compile(r"[Aa]bs|a?(?:sin|cos|tan|cot|sec|csc)h?|atan2|sqrt|exp|log|ln|sign|erf|pi|oo|Integral")
"""Names allowed in ALGEBRA besides single letters and the problem's variables; `Integral` is in some gold answers."""

NOT_VARIABLES = frozenset("NOQS")
"""Single letters that sympy reads as something else; S evaluates its argument."""

_WORDS = re.compile(r"(?!.*__)[\w\s]*", re.ASCII | re.DOTALL)
_ARITHMETIC = re.compile(r"(?!.*\*\s*\*)[\d+\-*/().\s]*", re.ASCII | re.DOTALL)
_ALGEBRA = re.compile(r"(?!.*(?:__|\.\s*[A-Za-z_]))[\w+\-*/(),.\s]*", re.ASCII | re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def is_harmless(dataset: str, answer: str, entry: Mapping[str, Any]) -> bool:
    """Whether a data set's scorer may see an answer: it may evaluate only what the problem asks for.

    This is a list of allowed answers. Answers to data sets whose scorers evaluate nothing are always harmless. An entry
    of `composite` is judged by the data set that it came from.

    Example:
        >>> is_harmless("countdown", "6*(98 - 54) - 34", {})
        True
        >>> is_harmless("countdown", '__import__("os").getcwd()', {})
        False
        >>> is_harmless("chain_sum", '__import__("os").getcwd()', {})  # compared as text
        True
    """
    metadata = entry.get("metadata") or {}
    name = _source(dataset, entry)
    if name not in PLAIN_OR_LITERAL | ARITHMETIC | ALGEBRA:
        return True
    if len(answer) > MAX_CHARACTERS:
        return False
    if name in PLAIN_OR_LITERAL:
        return _WORDS.fullmatch(answer) is not None or _is_literal(answer)
    if name in ARITHMETIC:
        return _ARITHMETIC.fullmatch(answer) is not None
    return _ALGEBRA.fullmatch(answer) is not None and all(_allowed_names(answer, metadata))


def _source(dataset: str, entry: Mapping[str, Any]) -> str:
    """The data set that an entry of `composite` came from; every other data set itself."""
    return str((entry.get("metadata") or {}).get("source_dataset")) if dataset == "composite" else dataset


# ---- Which answers some scorers wrongly give a whole point.

TOO_KIND = frozenset({"coin_flip", "game_of_life_halting"})
"""Their scorers accept the first digits of the right number (0 for 0.25), or any text."""

_NOT_A_NUMBER = re.compile(r"(?<![a-z])nan(?![a-ik-z])", re.IGNORECASE)  # and `nanj`
_TOLERANCE = 1e-4  # that of coin_flip's scorer


def may_be_right(dataset: str, answer: str, entry: Mapping[str, Any]) -> bool:
    """Whether an answer may be right if the scorer says so.

    NaN is as far from every number as `min(1.0, nan)` says: it has a whole point.

    Example:
        >>> may_be_right("coin_flip", "0", {"answer": "0.25"}), may_be_right("coin_flip", "1/4", {"answer": "0.25"})
        (False, True)
        >>> may_be_right("complex_arithmetic", "nan", {"answer": "1 + 2i"})
        False
    """
    gold = str(entry.get("answer"))
    if _NOT_A_NUMBER.search(answer) and not _NOT_A_NUMBER.search(gold):
        return False
    if _source(dataset, entry) not in TOO_KIND or answer.strip().lower() == gold.strip().lower():
        return True
    given, right = _number(answer), _number(gold)
    return given is not None and right is not None and abs(given - right) <= _TOLERANCE


def _number(text: str) -> float | None:
    above, _, below = text.replace(",", "").partition("/")
    try:
        return float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        return None


def _is_literal(answer: str) -> bool:
    try:
        ast.literal_eval(answer)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return False
    return True


def _allowed_names(answer: str, metadata: Mapping[str, Any]) -> Iterable[bool]:
    variables = {str(name) for name in (metadata.get("variable"), *(metadata.get("variables") or ()))}
    for name in _NAME.findall(answer):
        is_letter = len(name) == 1 and name not in NOT_VARIABLES
        yield is_letter or name in variables or FUNCTIONS.fullmatch(name) is not None


def reasoning_gym_task(
    dataset: str,
    train_size: int = 500,
    test_size: int = 100,
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    system_prompt: str = SYSTEM_PROMPT,
    examples: Sequence[Sequence[str]] = (),
) -> Task:
    r"""Generated problems of one reasoning-gym data set, the same ones for the same arguments.

    Prompts are chat messages that ask for the final answer in ``\boxed{}``. All prompts are different, and no test
    prompt is a training prompt. The column `entry` has what the data set's scorer needs, as JSON.

    Args:
        dataset: its name in reasoning-gym, such as "basic_arithmetic".
        train_size: number of training prompts.
        test_size: number of test prompts; 0 for none.
        seed: of training and test prompts.
        config: options of the data set, such as `{"max_terms": 3}` (not its `seed` and `size`).
        system_prompt: the first message; empty for none.
        examples: pairs of a question and a good completion, put before the question as earlier turns. Very small models
            need them to box their answers.

    ValueError for an unknown data set, a refused option, or too few different problems.
    """
    options = dict(config or {})
    if train_size < 1 or test_size < 0:
        raise ValueError(f"train_size must be at least 1 and test_size at least 0, got {train_size}, {test_size}")
    for reserved in {"seed", "size"} & set(options):
        raise ValueError(f"set {reserved!r} by the task's options seed, train_size and test_size, not in config")
    opening = _opening(system_prompt, examples)
    seen: set[str] = set()
    train = _rows(dataset, options, seed, train_size, opening, seen)
    test = _rows(dataset, options, seed + TEST_SEED_DISTANCE, test_size, opening, seen)
    from datasets import Dataset

    return Task(
        name=f"reasoning_gym:{dataset}",
        train=Dataset.from_list(train),
        test=Dataset.from_list(test) if test else None,
        grade=ReasoningGymGrader(dataset, json.dumps(options, sort_keys=True)),
        grade_in="process",  # some scorers use sympy
    )


@dataclass(frozen=True)
class ReasoningGymGrader:
    r"""The data set's own `score_answer` on the last ``\boxed{}``, in the form of `Task.grade`. Picklable.

    The answer is scored unchanged and, if that is wrong, without LaTeX (``\text{}``, ``\frac``, dollar signs), as the
    scorers expect plain text and models write LaTeX. A completion is wrong if it has no box, if the scorer raises an
    error, if the scorer could run code in it (`is_harmless`), or if the scorer would wrongly accept it
    (`may_be_right`).
    """

    dataset: str
    config: str = "{}"

    def __call__(self, completion: str, row: Mapping[str, Any]) -> bool:
        from meds_rl.fingerprint.answer import extract_answer

        answer = extract_answer(completion, "boxed")
        if answer is None:
            return False
        scorer = _generator(self.dataset, self.config, seed=0, size=1)
        entry = decode_entry(row["entry"])
        return any(
            is_harmless(self.dataset, text, entry)
            and may_be_right(self.dataset, text, entry)
            and _is_right(scorer, text, entry)
            for text in (answer.strip(), plain(answer))
        )


def _is_right(scorer: Any, answer: str, entry: Mapping[str, Any]) -> bool:
    try:
        return bool(scorer.score_answer(answer, entry) >= RIGHT_FROM)
    except Exception:  # an answer that the scorer cannot read is wrong
        return False


def plain(answer: str) -> str:
    r"""The answer without the LaTeX that models wrap around plain text.

    >>> plain(r"$\text{The box}$"), plain(r"\dfrac{3}{4}")
    ('The box', '3/4')
    """
    answer = answer.strip().strip("$").strip()
    answer = re.sub(r"\\(?:text|mathrm|texttt)\{([^{}]*)\}", r"\1", answer)
    answer = re.sub(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}", r"\1/\2", answer)
    return answer.replace(r"\times", "*").replace(r"\cdot", "*").strip()


def _rows(
    name: str, options: Mapping[str, Any], seed: int, size: int, opening: list[Message], seen: set[str]
) -> list[dict[str, Any]]:
    """`size` rows with prompts that are not in `seen`; adds them to `seen`."""
    rows: list[dict[str, Any]] = []
    attempts = size * ATTEMPTS_PER_ROW
    generator = _generator(name, json.dumps(options, sort_keys=True), seed, attempts) if size else []
    for index in range(attempts):
        if len(rows) == size:
            break
        entry = generator[index]
        prompt = [*opening, {"role": "user", "content": entry["question"].strip()}]
        key, answer = prompt_id(prompt), entry["answer"]
        if key not in seen:
            seen.add(key)
            answer = SCORED if answer is None or not str(answer).strip() else str(answer)
            rows.append({"prompt": prompt, "prompt_id": key, "answer": answer, "entry": encode_entry(entry)})
    if len(rows) < size:
        raise ValueError(
            f"reasoning_gym:{name} gave {len(rows)} different new problems in {attempts} attempts, {size} "
            f"were asked for: ask for fewer, or widen the data set by config"
        )
    return rows


def _opening(system_prompt: str, examples: Sequence[Sequence[str]]) -> list[Message]:
    messages = [{"role": "system", "content": system_prompt}] if system_prompt else []
    for example in examples:
        if isinstance(example, str) or len(example) != 2:
            raise ValueError(f"an example is a pair of a question and a completion, got {example!r}")
        messages.append({"role": "user", "content": example[0]})
        messages.append({"role": "assistant", "content": example[1]})
    return messages


@lru_cache(maxsize=64)
def _generator(name: str, config: str, seed: int, size: int) -> Any:
    try:
        from reasoning_gym.factory import DATASETS, create_dataset
    except ImportError as error:
        raise ImportError('reasoning_gym tasks need reasoning-gym: pip install "meds-rl[gym]"') from error
    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, n=3)
        hint = f", did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"reasoning-gym has no data set {name!r}{hint}; it has: {', '.join(sorted(DATASETS))}")
    try:
        return create_dataset(name, seed=seed, size=size, **_options(name, json.loads(config)))
    except (TypeError, ValueError, AssertionError, AttributeError) as error:
        raise ValueError(f"reasoning_gym:{name} refuses config {config}: {error}") from error


def _options(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """The options as the data set takes them: `composite` has objects for its data sets."""
    if name != "composite" or "datasets" not in config:
        return config
    from reasoning_gym.composite import DatasetSpec

    return {**config, "datasets": [DatasetSpec(**{"config": {}, **spec}) for spec in config["datasets"]]}


def encode_entry(entry: Mapping[str, Any]) -> str:
    """A reasoning-gym entry as JSON; tuples are marked, as some scorers need them.

    >>> decode_entry(encode_entry({"answer": "1", "metadata": {"grid": ((1, 2), (3, 4))}}))
    {'answer': '1', 'metadata': {'grid': ((1, 2), (3, 4))}}
    """
    return json.dumps(_mark_tuples(entry), default=_plain_value, ensure_ascii=False)


def decode_entry(text: str) -> dict[str, Any]:
    """What `encode_entry` wrote."""
    entry: dict[str, Any] = json.loads(
        text, object_hook=lambda value: tuple(value["__tuple__"]) if set(value) == {"__tuple__"} else value
    )
    return entry


def _mark_tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _mark_tuples(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return {"__tuple__": [_mark_tuples(item) for item in value]}
    if isinstance(value, list):
        return [_mark_tuples(item) for item in value]
    return value


def _plain_value(value: Any) -> Any:
    """For JSON: numpy's values as Python's, sets as lists, all else as text (only the generator needs it)."""
    import numpy as np

    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    return str(value)
