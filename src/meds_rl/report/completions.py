"""The completions that errors and maps refer to, each once; texts only up to a total length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meds_rl.labels import NO_MEMORY, NOT_GRADED
from meds_rl.report.outcomes import in_words
from meds_rl.report.source import RunData
from meds_rl.report.text import Template, finite, prompt_words, shortened, template_of
from meds_rl.rollouts.table import RunFolderError, read_batch
from meds_rl.shaping.penalty import penalty
from meds_rl.shaping.result import explanation

MAX_CHARACTERS = 64_000_000
"""Total length of all texts of completions."""

TEMPLATE_FILES = 4
"""Files whose prompts are compared to find what all have in common."""

_OTHER_REASONS = {NO_MEMORY: "this run has no memory of past errors", NOT_GRADED: "no reward function graded it"}

REPLACED = " A recalled right completion took its place in the update."

COPIED = (
    *("step", "is_correct", "reward", "shaped_reward", "advantage", "penalty"),
    *("cluster", "cluster_size", "reason", "strategy", "num_tokens"),
)
"""Columns copied from the rollouts."""


class Completions:
    """Numbers the completions that are referred to, and builds their table.

    Args:
        runs: the runs of the report, each at its number.
    """

    def __init__(self, runs: Sequence[RunData]) -> None:
        self._runs = runs
        self._places: dict[tuple[int, int], int] = {}
        self._prompts: dict[str, int] = {}
        self._asked: list[tuple[int, int]] = []

    def place(self, run: RunData, row: int) -> int:
        """The completion's place in the table."""
        self.prompt(run, row)
        return self._places.setdefault((run.id, row), len(self._places))

    def prompt(self, run: RunData, row: int) -> int:
        """The place in the list of prompts of a completion's prompt."""
        prompt_id = str(run.rollouts["prompt_id"].iat[row])
        if prompt_id not in self._prompts:
            self._prompts[prompt_id] = len(self._prompts)
            self._asked.append((run.id, row))
        return self._prompts[prompt_id]

    def prompts(self, golds: Mapping[str, str]) -> list[dict[str, Any]]:
        """The prompts: id, text, the question in words, and the right answer if ``golds`` has one for the id.

        The words are without what the run's prompts have in common.

        Where the text cannot be read, the id takes its place.
        """
        texts = self._texts("prompt", self._asked)
        templates = {run: prompt_template(self._runs[run]) for run, _ in self._asked}
        rows = []
        for name, asked in zip(self._prompts, self._asked, strict=True):
            text = texts.get(asked) or name
            words = templates[asked[0]].question(prompt_words(text))
            rows.append({"id": name, "text": text, "words": words, "gold": golds.get(name)})
        return rows

    def table(self, max_characters: int) -> tuple[dict[str, list[Any]], list[str]]:
        """The columns, and notes.

        Texts are kept in the order in which completions were referred to. Beyond ``max_characters`` a completion has
        no text (None): a text is kept in full or not at all.
        """
        order = list(self._places)
        texts = self._texts("completion", order)
        rows = self._rows(order)
        columns: dict[str, list[Any]] = {
            name: [] for name in ("run", "prompt", "text", "answer", "outcome", *COPIED, "why")
        }
        spent = left_out = 0
        for place in order:
            row, text, run = rows[place], texts.get(place), self._runs[place[0]]
            fits = text is None or spent + len(text) <= max_characters
            spent += len(text) if fits and text is not None else 0
            left_out += not fits
            shown = {
                "run": place[0],
                "prompt": self._prompts[row.prompt_id],
                "text": text if fits else None,
                "answer": None if row.answer is None else shortened(str(row.answer)),
                "outcome": None if row.outcome is None else shortened(in_words(row.outcome, run.has_tests)),
                **{name: getattr(row, name) for name in COPIED},
                "why": why(run, row) + (REPLACED if row.replaced else ""),
            }
            for name, column in columns.items():
                column.append(shown[name])
        notes = []
        if left_out:
            notes.append(
                f"The texts of {left_out:,} of {len(order):,} completions are left out: all would be more than "
                f"{max_characters:,} characters. The rollouts have them."
            )
        return columns, notes

    def _rows(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Any]:
        return {
            (run, number): row
            for run, numbers in _by_run(places)
            for number, row in zip(numbers, self._runs[run].rollouts.iloc[numbers].itertuples(index=False), strict=True)
        }

    def _texts(self, column: str, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], str]:
        return {
            (run, row): text for run, rows in _by_run(wanted) for row, text in read_texts(self._runs[run], column, rows)
        }


def why(run: RunData, row: Any) -> str:
    """One sentence: why the completion has its penalty, with the formula."""
    words = _reason(row)
    sentence = words[0].upper() + words[1:] + "."
    if row.reason == NO_MEMORY:
        return sentence
    if row.penalty == 0:
        return f"{sentence} No penalty."
    alpha, beta, size = (run.recipe.number("meds_alpha"), run.recipe.number("meds_beta"), finite(row.cluster_size))
    if alpha is None or beta is None or size is None or min(alpha, beta, size) < 0:
        return f"{sentence} Penalty {row.penalty:.4f}."
    formula = f"min({alpha:g} ln({size:g} + 1), {beta:g})"
    # Show the formula only if it gives the penalty: a resumed run may have changed alpha.
    holds = abs(float(penalty([size], alpha, beta)[0]) - row.penalty) < 1e-9
    return f"{sentence} Penalty {row.penalty:.4f}{' = ' + formula if holds else ''}."


def _reason(row: Any) -> str:
    if row.reason in _OTHER_REASONS:
        return _OTHER_REASONS[row.reason]
    try:
        return explanation(row.reason, int(row.cluster), float(row.cluster_size))
    except ValueError:
        return f"the reason is not known to this version: {row.reason}"


def prompt_template(run: RunData) -> Template:
    """What the prompts of a run have in common (`template_of`), by those of a few files."""
    every = max(1, len(run.files) // TEMPLATE_FILES)
    tables = [_column(run, path, "prompt") for path, _ in run.files[::every]]
    return template_of(text for table in tables if table is not None for text in table.unique().to_pylist() if text)


def read_texts(run: RunData, column: str, rows: Iterable[int]) -> Iterator[tuple[int, str]]:
    """A text column of some rollouts, read file by file because all texts may not fit into memory.

    A file that cannot be read is left out and named in the run's notes.
    """
    wanted = np.array(sorted(set(rows)), dtype=np.int64)
    begin = 0
    for path, num_rows in run.files:
        here = wanted[(wanted >= begin) & (wanted < begin + num_rows)]
        if len(here):
            texts = _column(run, path, column)
            if texts is not None and len(texts) == num_rows:
                yield from zip(here.tolist(), texts.take(here - begin).to_pylist(), strict=True)
        begin += num_rows


def _column(run: RunData, path: Path, column: str) -> Any:
    try:
        return read_batch(path, [column])[column]
    except RunFolderError as error:
        note = f"Texts are left out: {error}"
        if note not in run.notes:
            run.notes.append(note)
        return None


def _by_run(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, list[int]]]:
    rows: dict[int, list[int]] = {}
    for run, row in pairs:
        rows.setdefault(run, []).append(row)
    return list(rows.items())
