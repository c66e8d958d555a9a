"""Groups wrong completions by the states of a given model (`WorkingStates`), for rollouts of any trainer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.report.completions import read_texts
from meds_rl.report.source import RunData
from meds_rl.report.workings import Workings, within_prompts

MAX_COMPLETIONS = 2_000
"""The model reads this many wrong completions, of the prompts that have the most."""

MAX_TOKENS = 4_096
"""A prompt and completion with more tokens in all are left out."""

BATCH = 8
"""Completions in a forward pass."""

EPSILON = 0.2
"""`cluster_selection_epsilon` of the preset "recommended"."""


def read_states(run: RunData, model: Any, tokenizer: Any, show_progress: bool = False) -> Workings:
    """Run a model over a run's wrong completions, and cluster their `WorkingStates` prompt by prompt.

    Args:
        run: the run.
        model, tokenizer: a causal language model and its tokenizer, preferably the one that made the completions.
        show_progress: whether a progress bar is shown.
    """
    rows = _chosen(run)
    completions = dict(read_texts(run, "completion", rows.tolist()))
    prompts = dict(read_texts(run, "prompt", list(completions)))
    rows = np.array(sorted(prompts), dtype=np.int64)
    answers = run.rollouts["answer"].to_numpy()[rows]
    vectors = _vectors(
        model,
        tokenizer,
        [prompts[row] or "" for row in rows.tolist()],
        [completions[row] or "" for row in rows.tolist()],
        answers.tolist(),
        show_progress,
    )
    prompt_ids = run.rollouts["prompt_id"].to_numpy()[rows]
    groups = within_prompts(prompt_ids, lambda places: vectors[places], EPSILON)
    names = [_name(answers[groups == group].tolist()) for group in range(int(groups.max(initial=-1)) + 1)]
    return Workings(
        by="states",
        rows=rows,
        groups=groups,
        names=names,
        meanings=[""] * len(names),
        num_wrong=len(run.wrong),
        over_prompts=False,
        note=f"The model read {len(rows):,} of {len(run.wrong):,} wrong completions.",
    )


def _chosen(run: RunData) -> NDArray[np.int64]:
    """The rows of all wrong completions of the prompts with the most, up to `MAX_COMPLETIONS`; at least one prompt."""
    prompt_ids = run.rollouts["prompt_id"].to_numpy()[run.wrong]
    chosen: list[NDArray[np.int64]] = []
    room = MAX_COMPLETIONS
    for prompt, count in Counter(prompt_ids.tolist()).most_common():
        if chosen and count > room:
            break
        chosen.append(run.wrong[prompt_ids == prompt][-MAX_COMPLETIONS:])
        room -= count
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.int64)


def _vectors(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    completions: Sequence[str],
    answers: Sequence[str | None],
    show_progress: bool,
) -> NDArray[np.float64]:
    """(n, D) unit vectors; a row of NaN for a completion with fewer than two tokens or with too many."""
    from tqdm.auto import tqdm

    from meds_rl.evaluation.sampling import encode
    from meds_rl.fingerprint import AnswerPosition, WorkingStates, answer_finder, extract

    asked = {prompt: encode(tokenizer, _messages(prompt)) for prompt in set(prompts)}
    prompt_ids = [asked[prompt] for prompt in prompts]
    ids = [list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in completions]
    places: list[AnswerPosition | None] = []
    for tokens, prompt, answer in zip(ids, prompt_ids, answers, strict=True):
        fits = len(tokens) > 1 and len(tokens) + len(prompt) <= MAX_TOKENS
        found = answer_finder(lambda _, answer=answer: answer)(tokens, tokenizer) if fits and answer else None
        last = AnswerPosition(len(tokens) - 2, tokens[-1]) if fits else None
        places.append(found or last)
    parts = []
    bar = range(0, len(ids), BATCH)
    for start in tqdm(bar, desc="reading states", disable=None if show_progress else True, leave=False):
        part = slice(start, start + BATCH)
        parts.append(extract(model, WorkingStates(), prompt_ids[part], ids[part], places[part], batch_size=BATCH))
    vectors = np.concatenate(parts).astype(np.float64) if parts else np.zeros((0, 1))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(lengths > 0, vectors / lengths, np.nan)


def _messages(prompt: str) -> Any:
    """The chat messages of a prompt that is their JSON; any other text unchanged."""
    if not prompt.startswith("[{"):
        return prompt
    try:
        return json.loads(prompt)
    except (ValueError, RecursionError):
        return prompt


def _name(answers: Sequence[str | None]) -> str:
    """The most frequent answers of a group."""
    common = Counter("no answer" if answer is None else str(answer) for answer in answers).most_common(3)
    return "answers " + ", ".join(answer for answer, _ in common)
