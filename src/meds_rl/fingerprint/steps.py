r"""Reads the steps of a completion from its text. What is copied from the prompt is replaced by its role there.

The *working* is the text before the final answer. The numbers of the prompt are named a, b, c, ... in their order, the
results of the steps x, y, z, ...; any other number stays. So two workings that compute alike have the same steps,
whatever their numbers and words:

>>> read_steps("what is 7 + 3 * 4 - 2?", "7 plus 3 is 10, so 10 times 4 gives 40\nthen 40 - 2 = 38. \\boxed{38}").name
'a+b=x, x*c=y, y-d=z'
>>> read_steps("what is 6 + 5 * 2 - 8?", "5 and 6 makes 11; multiply 2 by 11 = 22. take 8 from 22 = 14").name
'a+b=x, x*c=y, y-d=z'

The sign of a step is the operation that gives the written result, which shows a misread sign. If no operation gives it,
the sign is the written one, and the step is marked with "≠":

>>> read_steps("what is 4 - 7 + 2?", "the sum of 4 and 7 is 11; 11 + 2 = 14").name
'a+b=x, x+c≠y'

An equation of which a part is not understood, such as a root, is no step. A Python program is read as its statements,
with names replaced (`read_code`). Text without numbers is read as the prompt's names in each sentence (`read_copied`).

`step_vectors` are the fingerprints of ``fingerprint: steps``. They need no model and no torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meds_rl.fingerprint.arithmetic import read_arithmetic
from meds_rl.fingerprint.code import read_code
from meds_rl.fingerprint.copied import read_copied
from meds_rl.fingerprint.roles import Working

__all__ = ["Working", "question", "read_steps", "step_vectors", "vectors_of"]

Prompt: TypeAlias = str | Sequence[Mapping[str, Any]]
"""A text, or chat messages (or their JSON)."""

NUM_FEATURES = 128

MAX_CHARACTERS = 20_000
"""Characters that are read of a completion, from its beginning, and of a prompt, from its end."""

_ANSWER_BEGINS = ("\\boxed{", "<answer>", "####")


def read_steps(prompt: Prompt | None, completion: str) -> Working | None:
    """Read the steps of a completion.

    Args:
        prompt: text or chat messages, of which the user's last one counts. None: unknown, so no number has a role.
        completion: as text. Only its first `MAX_CHARACTERS` are read.

    Returns:
        The steps; None if none can be read.
    """
    asked = question(prompt)
    text = completion[:MAX_CHARACTERS]
    if "```" in text or "def " in text:
        program = read_code(text)
        if program is not None:
            return program
    cut = max(text.rfind(mark) for mark in _ANSWER_BEGINS)
    working = text[:cut] if cut >= 0 else text
    return read_arithmetic(asked, working, may_be_cut=cut < 0) or read_copied(asked, working)


def question(prompt: Prompt | None) -> str:
    """What a prompt asks: its last `MAX_CHARACTERS`; of chat messages, those of the user's last one.

    >>> question('[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}]')
    '1 + 1?'
    """
    if prompt is None:
        return ""
    if not isinstance(prompt, str):
        return _last_of_user(prompt)[-MAX_CHARACTERS:]
    return _question(prompt) if prompt.startswith("[{") else prompt[-MAX_CHARACTERS:]


@lru_cache(maxsize=4096)
def _question(prompt: str) -> str:
    try:
        messages = json.loads(prompt)
    except (ValueError, RecursionError):
        return prompt[-MAX_CHARACTERS:]
    return _last_of_user(messages)[-MAX_CHARACTERS:]


def _last_of_user(messages: Any) -> str:
    shown = [one for one in messages if isinstance(one, Mapping)]
    asked = [one for one in shown if one.get("role") == "user"] or shown
    content = asked[-1].get("content") if asked else ""
    if isinstance(content, Sequence) and not isinstance(content, str):
        content = " ".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    return str(content or "")


def step_vectors(
    prompts: Sequence[Prompt | None], completions: Sequence[str], num_features: int = NUM_FEATURES
) -> NDArray[np.float32]:
    """Fingerprints of the steps: unit vectors (B, D) float32, a row of NaN where no step can be read.

    Completions with the same steps have the same vector, and completions that share many steps are near. Without a
    common step the cosine is 0 on average, with a deviation of 1 / sqrt(D).

    Args:
        prompts: B prompts.
        completions: B texts.
        num_features: D, a multiple of 64.

    Raises:
        ValueError: the lengths differ, or D is no multiple of 64.

    Example:
        >>> prompts = ["what is 7 + 3 * 4?", "what is 2 + 5 * 6?", "what is 2 + 5 * 6?"]
        >>> vectors = step_vectors(prompts, ["7 + 3 = 10, 10 * 4 = 40", "2 + 5 = 7. 7 * 6 is 42", "5 * 6 = 30"])
        >>> (vectors @ vectors.T).round(1).tolist()[0][:2]
        [1.0, 1.0]
    """
    if len(prompts) != len(completions):
        raise ValueError(f"there must be as many completions as prompts, {len(prompts)}; got {len(completions)}")
    return vectors_of(map(read_steps, prompts, completions), num_features)


def vectors_of(workings: Iterable[Working | None], num_features: int = NUM_FEATURES) -> NDArray[np.float32]:
    """`step_vectors` of workings that `read_steps` has read."""
    parts = [() if working is None else working.parts for working in workings]
    counts = np.array([len(one) for one in parts], dtype=np.int64)
    vectors = np.full((len(parts), num_features), np.nan, dtype=np.float32)
    rows = np.flatnonzero(counts)
    if len(rows):
        hashes = np.fromiter((number for one in parts for number in one), dtype=np.uint64, count=int(counts.sum()))
        starts = np.concatenate([[0], np.cumsum(counts[rows])[:-1]])
        sums = np.add.reduceat(signs(hashes, num_features), starts, axis=0, dtype=np.float32)
        sums[~sums.any(axis=1), 0] = 1.0  # a sum of 0 has no direction; this is rare
        vectors[rows] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return vectors


def signs(hashes: NDArray[np.uint64], num_features: int) -> NDArray[np.int8]:
    """(n, D) random signs, 1 or -1, from n hashes: the bits of further hashes of each (splitmix64).

    Raises:
        ValueError: D is no multiple of 64.
    """
    if num_features < 64 or num_features % 64:
        raise ValueError(f"num_features must be a multiple of 64; got {num_features}")
    columns = []
    with np.errstate(over="ignore"):
        for word in range(num_features // 64):
            x = hashes + np.uint64(0x9E3779B97F4A7C15 * (word + 1) % 2**64)
            x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            x ^= x >> np.uint64(31)
            columns.append(np.unpackbits(x.astype("<u8").view(np.uint8).reshape(-1, 8), axis=1))
    return np.concatenate(columns, axis=1).astype(np.int8) * np.int8(2) - np.int8(1)  # int8 also for n = 0
