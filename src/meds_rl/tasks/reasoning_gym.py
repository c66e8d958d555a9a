"""Any data set of reasoning-gym as a task: generated problems, graded by the data set's own scorer."""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from meds_rl.tasks.base import Task, prompt_id

# ---- Which answers a scorer of reasoning-gym may see: some hand the model's text to Python's `eval`, or to sympy.

MAX_CHARACTERS = 5_000
"""Longest answer that is evaluated: the data sets' own have a few hundred characters."""

PLAIN_OR_LITERAL = frozenset({"binary_matrix", "n_queens", "spiral_matrix", "string_insertion"})
"""Their scorers call `eval` on what is not the right text itself, in the hope of a list."""

ARITHMETIC = frozenset({"countdown", "puzzle24"})
"""Their scorers have sympy evaluate the answer; the questions ask for numbers, + - * / and parentheses."""

ALGEBRA = frozenset({"intermediate_integration", "polynomial_multiplication", "simple_integration"})
"""Their scorers have sympy evaluate the answer, which holds variables and functions."""

FUNCTIONS = re.compile(
    r"[Aa]bs|a?(?:sin|cos|tan|cot|sec|csc)h?|atan2|sqrt|exp|log|ln|sign|erf|pi|oo|Integral"
)
"""Names that an answer in ALGEBRA may hold besides single letters and the problem's own variables.

`Integral` stands in the data set's own answers where sympy found no integral.
"""

NOT_VARIABLES = frozenset("NOQS")
"""Single letters that sympy takes for something else; S evaluates what it is given."""

_WORDS = re.compile(r"(?!.*__)[\w\s]*", re.ASCII | re.DOTALL)
_ARITHMETIC = re.compile(r"(?!.*\*\s*\*)[\d+\-*/().\s]*", re.ASCII | re.DOTALL)
_ALGEBRA = re.compile(r"(?!.*(?:__|\.\s*[A-Za-z_]))[\w+\-*/(),.\s]*", re.ASCII | re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def is_harmless(dataset: str, answer: str, entry: Mapping[str, Any]) -> bool:
    """Whether the scorer of a data set may see an answer: what it would evaluate must be what the problem asks for.

    A list of what is allowed, not of what is forbidden. Answers to data sets whose scorers evaluate nothing are always
    harmless. `composite` hands an answer on to the data set that the entry is of.

    Example:
        >>> is_harmless("countdown", "6*(98 - 54) - 34", {})
        True
        >>> is_harmless("countdown", '__import__("os").getcwd()', {})
        False
        >>> is_harmless("chain_sum", '__import__("os").getcwd()', {})  # compared as text
        True
    """
    metadata = entry.get("metadata") or {}
    name = str(metadata.get("source_dataset")) if dataset == "composite" else dataset
    if name not in PLAIN_OR_LITERAL | ARITHMETIC | ALGEBRA:
        return True
    if len(answer) > MAX_CHARACTERS:
        return False
    if name in PLAIN_OR_LITERAL:
        return _WORDS.fullmatch(answer) is not None or _is_literal(answer)
    if name in ARITHMETIC:
        return _ARITHMETIC.fullmatch(answer) is not None
    return _ALGEBRA.fullmatch(answer) is not None and all(_allowed_names(answer, metadata))


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


if TYPE_CHECKING:
    from datasets import Dataset

Message: TypeAlias = dict[str, str]

SYSTEM_PROMPT = r"Please reason step by step, and put your final answer within \boxed{}."

RIGHT_FROM = 1.0
"""A completion is right if `score_answer` gives it at least this much.

The data sets give parts of a point for near misses, such as an answer inside a longer text; those are wrong
here.
"""

SCORED = "(any answer that scores 1)"
"""Stands in the column `answer` of data sets that have no single right answer to name."""

TEST_SEED_DISTANCE = 1_000_003
"""Item i of seed s is made from s + i, so a test seed near the training seed would repeat training items."""

ATTEMPTS_PER_ROW = 10


def reasoning_gym_task(
    dataset: str,
    train_size: int = 500,
    test_size: int = 100,
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    system_prompt: str = SYSTEM_PROMPT,
    examples: Sequence[Sequence[str]] = (),
) -> Task:
    r"""Problems of one reasoning-gym data set, the same ones for the same arguments.

    Prompts are chat messages that ask for the final answer in ``\boxed{}``. All prompts are different, and no
    test prompt is a training prompt. The column `entry` holds what the data set's scorer needs, as JSON.

    Args:
        dataset: its name in reasoning-gym, such as "basic_arithmetic".
        train_size: number of training prompts.
        test_size: number of test prompts; 0 for none.
        seed: of the training prompts, and by that of the test prompts.
        config: options of the data set itself, such as `{"max_terms": 3}` (not its `seed` and `size`).
        system_prompt: the first message; empty for none.
        examples: worked examples, pairs of a question and a good completion, that stand before the question as
            earlier turns. Very small models do not box their answers without.

    Raises:
        ImportError: reasoning-gym is not installed.
        ValueError: unknown data set (with near names), refused option, or too few different problems.
    """
    options = dict(config or {})
    if train_size < 1 or test_size < 0:
        raise ValueError(
            f"train_size must be at least 1 and test_size at least 0, got {train_size}, {test_size}"
        )
    for reserved in {"seed", "size"} & set(options):
        raise ValueError(
            f"set {reserved!r} by the task's options seed, train_size and test_size, not in config"
        )
    opening = _opening(system_prompt, examples)
    seen: set[str] = set()
    train = _rows(dataset, options, seed, train_size, opening, seen)
    test = _rows(dataset, options, seed + TEST_SEED_DISTANCE, test_size, opening, seen)
    return Task(
        name=f"reasoning_gym:{dataset}",
        train=_to_dataset(train),
        test=_to_dataset(test) if test else None,
        grade=ReasoningGymGrader(dataset, json.dumps(options, sort_keys=True)),
        grade_may_hang=True,  # some scorers have sympy evaluate the answer
    )


@dataclass(frozen=True)
class ReasoningGymGrader:
    r"""The data set's own `score_answer` on the last ``\boxed{}``, in the form of `Task.grade`. Picklable.

    The answer is tried as it stands and, if that is wrong, without LaTeX around it (``\text{}``, ``\frac``,
    dollar signs): the scorers expect plain text, models write LaTeX. A completion without a box, or one that
    makes the scorer raise, is wrong. Some scorers evaluate the answer as Python or with sympy, which can run any
    code: an answer that is more than such a problem asks for is wrong, and the scorer never sees it (`harmless`).
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
        candidates = (
            text for text in (answer.strip(), plain(answer)) if is_harmless(self.dataset, text, entry)
        )
        return any(_is_right(scorer, candidate, entry) for candidate in candidates)


def _is_right(scorer: Any, answer: str, entry: Mapping[str, Any]) -> bool:
    try:
        return bool(scorer.score_answer(answer, entry) >= RIGHT_FROM)
    except Exception:  # the answer is a model's text: whatever a scorer cannot read is a wrong answer
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
    for entry in _entries(name, options, seed, attempts):
        if len(rows) == size:
            break
        row = _row(entry, opening)
        if row["prompt_id"] not in seen:
            seen.add(row["prompt_id"])
            rows.append(row)
    if len(rows) < size:
        raise ValueError(
            f"reasoning_gym:{name} gave {len(rows)} different new problems in {attempts} attempts, {size} "
            f"were asked for: ask for fewer, or widen the data set by config"
        )
    return rows


def _entries(name: str, options: Mapping[str, Any], seed: int, count: int) -> Iterator[Mapping[str, Any]]:
    if count:
        generator = _generator(name, json.dumps(options, sort_keys=True), seed, count)
        for index in range(count):
            yield generator[index]


def _opening(system_prompt: str, examples: Sequence[Sequence[str]]) -> list[Message]:
    messages = [{"role": "system", "content": system_prompt}] if system_prompt else []
    for example in examples:
        if isinstance(example, str) or len(example) != 2:
            raise ValueError(f"an example is a pair of a question and a completion, got {example!r}")
        messages.append({"role": "user", "content": example[0]})
        messages.append({"role": "assistant", "content": example[1]})
    return messages


def _row(entry: Mapping[str, Any], opening: list[Message]) -> dict[str, Any]:
    prompt = [*opening, {"role": "user", "content": entry["question"].strip()}]
    answer = entry["answer"]
    return {
        "prompt": prompt,
        "prompt_id": prompt_id(prompt),
        "answer": SCORED if answer is None or not str(answer).strip() else str(answer),
        "entry": encode_entry(entry),
    }


def _to_dataset(rows: Sequence[Mapping[str, Any]]) -> Dataset:
    from datasets import Dataset

    return Dataset.from_list([dict(row) for row in rows])


@lru_cache(maxsize=64)
def _generator(name: str, config: str, seed: int, size: int) -> Any:
    try:
        from reasoning_gym.factory import DATASETS, create_dataset
    except ImportError as error:
        raise ImportError('reasoning_gym tasks need reasoning-gym: pip install "meds-rl[gym]"') from error
    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, n=3)
        hint = f", did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(
            f"reasoning-gym has no data set {name!r}{hint}; it has: {', '.join(sorted(DATASETS))}"
        )
    try:
        return create_dataset(name, seed=seed, size=size, **json.loads(config))
    except (TypeError, ValueError, AssertionError) as error:
        raise ValueError(f"reasoning_gym:{name} refuses config {config}: {error}") from error


def encode_entry(entry: Mapping[str, Any]) -> str:
    """A reasoning-gym entry as JSON; tuples are marked, as some scorers compare with them.

    >>> decode_entry(encode_entry({"answer": "1", "metadata": {"grid": ((1, 2), (3, 4))}}))
    {'answer': '1', 'metadata': {'grid': ((1, 2), (3, 4))}}
    """
    return json.dumps(_mark_tuples(entry), default=_plain_value, ensure_ascii=False)


def decode_entry(text: str) -> dict[str, Any]:
    """What `encode_entry` wrote."""
    entry: dict[str, Any] = json.loads(text, object_hook=_unmark_tuples)
    return entry


def _mark_tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _mark_tuples(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return {"__tuple__": [_mark_tuples(item) for item in value]}
    if isinstance(value, list):
        return [_mark_tuples(item) for item in value]
    return value


def _unmark_tuples(value: dict[str, Any]) -> Any:
    return tuple(value["__tuple__"]) if set(value) == {"__tuple__"} else value


def _plain_value(value: Any) -> Any:
    """numpy's values as Python's, sets as lists; what remains is only of use to the generator: its text."""
    import numpy as np

    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    return str(value)
