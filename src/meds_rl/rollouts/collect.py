"""Reads all files of a dump once. Completions go to disk; numbers and answers stay in memory until all are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.files import encodable
from meds_rl.rollouts.answers import GUESSES, Search, searches
from meds_rl.rollouts.blocks import Block, Damage, read_blocks
from meds_rl.rollouts.compare import Reference
from meds_rl.rollouts.dumps import Dump, step_in_name
from meds_rl.rollouts.formats import Format, overridden, plain, recognise, why_not
from meds_rl.rollouts.grading import Numbers
from meds_rl.rollouts.messages import completion_text, prompt_text
from meds_rl.rollouts.rows import GRADE_WORDS, Rows, Values, answer_of, is_empty, numbers_of, outcome_of
from meds_rl.rollouts.table import MAX_STEP, RunFolderError

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("prompt", "completion", "reward", "step", "answer", "group")
"""What the user can name a column for."""

LEAST_COPIED = 8
"""A file is a copy of an earlier one if it has the same rows, and at least so many different ones."""

OWN = ""
"""The key of the answers that the file has in a column, beside the markers and patterns that are searched."""

LONGEST_GOLD = 400
"""Characters of a right answer that are kept."""

BAD_STEP = -1.0
"""The step of a row that has none, in a file whose other rows have one: such a row is left out."""

NUMBERS = ("prompt", "file", "filter", "size", "step", "length", "advantage", "reference", "document", "figure", "k")


@dataclass(frozen=True)
class ReadOptions:
    """The user's options for rollouts of another program.

    Attributes:
        columns: prompt, completion, reward, step, answer or group -> the column that has it.
        answer_marker: how answers are marked: boxed, answer_tag, hashes, code, or the text before them ("Answer:").
        answer_pattern: a regular expression of RE2 for the answer (`answers.by_pattern`).
        correct_above: a completion with a larger reward is right.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    answer_marker: str | None = None
    answer_pattern: str | None = None
    correct_above: float | None = None

    def check(self) -> None:
        """ValueError for an unknown name, marker or pattern."""
        unknown = sorted(set(self.columns) - set(COLUMNS))
        if unknown:
            raise ValueError(f"columns are named for {', '.join(COLUMNS)}; got {', '.join(unknown)}.")
        if self.correct_above is not None and not np.isfinite(self.correct_above):
            raise ValueError(f"--correct-above must be a finite number; got {self.correct_above}.")
        if "answer" in self.columns and (self.answer_marker or self.answer_pattern):
            raise ValueError("Give --answer, or --answer-marker or --answer-pattern, not both.")
        searches(self.answer_marker, self.answer_pattern)

    @property
    def is_empty(self) -> bool:
        """Whether the user says nothing."""
        return self == ReadOptions()


class Collected:
    """N completions of a dump, in the order of its files.

    `number` gives each of `NUMBERS`: places of prompt, file and filter, characters of the completion, step, length and
    advantage, which are NaN where they are not known, and those of `compare`.

    Attributes:
        rewards: name -> (N,) values.
        answers: how they were found -> N answers.
        groups: N names of groups, null where there is none.
        outcomes: N texts of outcomes, null where there is none.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, list[Numbers]] = {name: [] for name in NUMBERS}
        self._rewards: list[tuple[int, dict[str, Numbers]]] = []
        self._answers: dict[str, list[Any]] = {}
        self._groups: list[Any] = []
        self._outcomes: list[Any] = []

    def add(
        self,
        numbers: Mapping[str, Numbers],
        rewards: dict[str, Numbers],
        answers: Mapping[str, Values],
        groups: Values,
        outcomes: Values,
    ) -> None:
        """Add n rows."""
        import pyarrow as pa

        for name, values in numbers.items():
            self._numbers[name].append(values)
        self._rewards.append((len(numbers["prompt"]), rewards))
        for label, found in answers.items():
            self._answers.setdefault(label, []).append(pa.array(found, pa.string()))
        self._groups.append(pa.array(groups, pa.string()))
        self._outcomes.append(pa.array(outcomes, pa.string()))

    def __len__(self) -> int:
        """N."""
        return sum(num for num, _ in self._rewards)

    def number(self, name: str) -> Numbers:
        """(N,) one of `NUMBERS`."""
        return np.concatenate([*self._numbers[name], np.zeros(0)])

    @property
    def rewards(self) -> dict[str, Numbers]:
        """Name -> (N,) values, NaN where a file has no such reward."""
        names = dict.fromkeys(name for _, rewards in self._rewards for name in rewards)
        return {
            name: np.concatenate([rewards.get(name, np.full(num, np.nan)) for num, rewards in self._rewards])
            for name in names
        }

    @property
    def answers(self) -> dict[str, pa.ChunkedArray]:
        """How they were found -> N answers."""
        import pyarrow as pa

        return {label: pa.chunked_array(parts, pa.string()) for label, parts in self._answers.items()}

    @property
    def groups(self) -> pa.ChunkedArray:
        """N names of groups."""
        import pyarrow as pa

        return pa.chunked_array(self._groups, pa.string())

    @property
    def outcomes(self) -> pa.ChunkedArray:
        """N texts of outcomes."""
        import pyarrow as pa

        return pa.chunked_array(self._outcomes, pa.string())


class Collector:
    """Collects the rows of a dump.

    Args:
        dump: the files.
        options: what the user says about them.

    Attributes:
        rows: what was collected.
        prompts, filters, references: each once, in the order of the places in `rows`.
        golds: place of a prompt -> its right answer; None if the files name several.
        format: of the files that are read; None before the first.
        names: the columns of the first file that is read.
        files: those that are read.
        grade, total: the names of the rewards that say right or wrong, and that are the reward, if the format says so.
        damages: of each file, what was left out.
        others: files of another format or of none, with their columns.
        repeated: numbers of the files that repeat an earlier one.
        words: name of a reward -> words in it, and the numbers that they are read as.
        unread: "reward" or "step" -> the first value that could not be read as a number.
        incomplete: rows without a completion, a prompt or a step.
    """

    def __init__(self, dump: Dump, options: ReadOptions) -> None:
        self._dump, self._options = dump, options
        self._searches: Mapping[str, Search] = (
            {} if "answer" in options.columns else searches(options.answer_marker, options.answer_pattern)
        )
        asked = {"answer"} & set(options.columns) or options.answer_marker or options.answer_pattern
        self._guesses: Mapping[str, Search] = {} if asked else GUESSES
        self._text_hashes: list[int] = []  # of the completions of the file that is being read
        self._last_text_hashes: list[int] = []
        self._row_hashes: list[int] = []  # of its prompts, steps and completions
        self._file_hashes: set[int] = set()  # of the rows of each file before
        self.rows = Collected()
        self.prompts: dict[str, int] = {}
        self.golds: dict[int, str | None] = {}
        self.filters: dict[str, int] = {}
        self.references: dict[tuple[str, ...], int] = {}
        self.format: Format | None = None
        self.names: list[str] = []
        self.files: list[Path] = []
        self.grade = self.total = ""
        self.damages: dict[Path, Damage] = {}
        self.others: dict[Path, list[str]] = {}
        self.repeated: set[int] = set()
        self.words: dict[str, dict[str, float]] = {}
        self.unread: dict[str, str] = {}
        self.incomplete = self._num_documents = 0

    def read(self, files: Sequence[Path], keep: Callable[[Sequence[str]], None], show_progress: bool = False) -> None:
        """Read files of the dump.

        Args:
            files: each once.
            keep: called with the texts of the completions, block by block.
            show_progress: whether a progress bar is shown.

        Raises:
            RunFolderError: a file is no regular one, or has no column that the user names.
        """
        from tqdm.auto import tqdm

        sizes = [_size_of(path) for path in files]
        name = "".join(letter if letter.isprintable() else " " for letter in encodable(self._dump.name))  # no escapes
        with tqdm(
            total=sum(sizes), desc=name, unit="B", unit_scale=True, disable=None if show_progress else True, leave=False
        ) as bar:
            for path, size in zip(files, sizes, strict=True):
                done = 0
                for share in self._read_file(path, keep):
                    bar.update(int(share * size) - done)
                    done = int(share * size)

    def _read_file(self, path: Path, keep: Callable[[Sequence[str]], None]) -> Iterator[float]:
        """Read one file; after each block comes the share of the file that was read."""
        damage = self.damages.setdefault(path, Damage())
        format_ = None
        for block in read_blocks(path, damage, self._wanted):
            if block.num_rows and format_ is None:
                format_ = self._begin(block, path)
                if format_ is None:
                    self.others[path] = list(block.names)
                    return
            if block.num_rows and format_ is not None:
                keep(self._add(overridden(block, format_.read(block), self._options.columns), path))
            yield block.share
        if format_ is not None:
            self._end(format_)

    def _wanted(self, names: Sequence[str]) -> list[str]:
        found = recognise(names) or plain(self._options.columns, names)
        return list(names) if found is None else found.wanted(names)

    def _begin(self, block: Block, path: Path) -> Format | None:
        """The format of a file, by its first block; None if it is not recognised, or is not that of the first file."""
        found = recognise(block.names) or plain(self._options.columns, block.names)
        if found is None or (self.format is not None and found.name != self.format.name):
            return None
        why = why_not(block, found, self._options.columns)
        if why:
            raise RunFolderError(f"{path} {why}.")
        if self.format is None:
            self.format, self.names = found, list(block.names)
        self.files.append(path)
        return found

    def _end(self, format_: Format) -> None:
        # A policy that has collapsed may write the same again: only different completions show a batch logged twice.
        varied = 2 * len(set(self._text_hashes)) > len(self._text_hashes)
        is_logged_again = format_.logs_again and varied and self._text_hashes == self._last_text_hashes
        content = hash(tuple(self._row_hashes))
        is_copy = len(set(self._row_hashes)) >= LEAST_COPIED and content in self._file_hashes
        if is_logged_again or is_copy:
            self.repeated.add(len(self.files) - 1)
        self._file_hashes.add(content)
        self._last_text_hashes, self._text_hashes, self._row_hashes = self._text_hashes, [], []

    def _add(self, rows: Rows, path: Path) -> list[str]:
        """Collect the rows of a block that are complete; returns the texts of their completions."""
        num = len(rows.completions)
        if not num:  # multiple choice, which has none
            return []
        self.grade, self.total = self.grade or rows.grade, self.total or rows.total
        if self.grade and self.format and not self.format.numbered and self.grade not in rows.rewards:
            rows.rewards[self.grade] = rows.rewards.get(rows.grade, [])  # another task of the evaluation
        texts = [completion_text(completion) for completion in rows.completions]
        groups = [None if group is None else encodable(str(group)) for group in rows.groups] or [None] * num
        prompts = self._places(rows.prompts or [None if group is None else f"group {group}" for group in groups])
        self._keep_golds(prompts.tolist(), rows.golds)
        steps = self._steps(rows, path, num)
        complete = (prompts >= 0) & (steps != BAD_STEP) & np.array([text is not None for text in texts], dtype=bool)
        self.incomplete += num - int(complete.sum())
        kept = [text for text in compress(texts, complete) if text is not None]
        shown = [text for text, _ in kept]
        self._text_hashes += map(hash, shown)
        known = np.nan_to_num(steps[complete], nan=BAD_STEP)  # nan has no hash of its own
        self._row_hashes += map(hash, zip(prompts[complete].tolist(), known.tolist(), shown, strict=True))
        numbers = {
            "prompt": prompts,
            "step": steps,
            "length": numbers_of(rows.lengths, num),
            "advantage": numbers_of(rows.advantages, num),
            "file": np.full(num, len(self.files) - 1),
            "filter": self._filter_places(rows.filters, num),
            **self._reference_numbers(rows.references, num),
        }
        self.rows.add(
            {name: values[complete].astype(np.float64) for name, values in numbers.items()}
            | {"size": np.array([len(text) for text in shown], dtype=np.float64)},
            {name: self._grades(name, values, num)[complete] for name, values in rows.rewards.items()},
            self._answers(rows.answers, [written for _, written in kept], complete),
            list(compress(groups, complete)),
            list(compress(map(outcome_of, rows.outcomes or [None] * num), complete)),
        )
        return shown

    def _grades(self, name: str, values: Values, num: int) -> Numbers:
        """The values of a reward as numbers; words such as "correct" and "wrong" are 1 and 0."""
        texts = {value for value in values if isinstance(value, str)}
        words = {text: GRADE_WORDS[word] for text in texts if (word := text.strip().lower()) in GRADE_WORDS}
        self.words.setdefault(name, {}).update(words)
        read = [words.get(value, value) if isinstance(value, str) else value for value in values] if words else values
        return self._read_numbers("reward", read, num)

    def _places(self, prompts: Values) -> NDArray[np.int64]:
        """The place of each prompt among the different ones; -1 for none."""
        known = self.prompts
        places = []
        for prompt in prompts:
            text = prompt if isinstance(prompt, str) and prompt in known else prompt_text(prompt)
            places.append(-1 if text is None else known.setdefault(text, len(known)))
        return np.array(places, dtype=np.int64)

    def _keep_golds(self, prompts: Sequence[int], golds: Values) -> None:
        pairs = zip(prompts, golds or [None] * len(prompts), strict=True)
        plain_golds = ((place, gold if isinstance(gold, str | int | float) else None) for place, gold in pairs)
        for place, gold in dict.fromkeys(plain_golds):  # each once: the completions of a prompt share it
            text = answer_of(gold)
            if text is not None and place >= 0:
                short = text if len(text) <= LONGEST_GOLD else text[:LONGEST_GOLD] + "…"
                if self.golds.setdefault(place, short) != short:  # it is no right answer of a prompt
                    self.golds[place] = None

    def _filter_places(self, filters: Values, num: int) -> NDArray[np.int64]:
        known = self.filters
        return np.array([known.setdefault(str(name), len(known)) for name in filters or [""] * num], dtype=np.int64)

    def _reference_numbers(self, references: Sequence[Reference | None], num: int) -> dict[str, Numbers]:
        """The numbers of `compare`."""
        known, begin = self.references, self._num_documents
        documents = numbers_of([each and each.document for each in references], num)
        self._num_documents += 1 + int(np.nanmax(documents, initial=-1))
        places = [-1 if each is None else known.setdefault(each.answers, len(known)) for each in references]
        return {
            "reference": np.array(places or [-1] * num, dtype=np.float64),
            "document": begin + documents,
            "figure": numbers_of([each and each.figure for each in references], num),
            "k": numbers_of([each and each.k for each in references], num),
        }

    def _steps(self, rows: Rows, path: Path, num: int) -> Numbers:
        """The step of each row, as the program counts.

        NaN if nothing says it, `BAD_STEP` where a row has none while others have one.
        """
        steps = self._read_numbers("step", rows.steps, num)
        if "step" in self.unread and "step" in self._options.columns:
            raise RunFolderError(f"{path}: --step {self._options.columns['step']}: {self.unread['step']} is no number.")
        if np.isnan(steps).all():
            named = (
                None if self.format is not None and not self.format.numbered else step_in_name(path, self._dump.path)
            )
            return np.full(num, np.nan if named is None else float(named))
        good = np.isfinite(steps) & (steps >= 0) & (steps <= MAX_STEP) & (steps == np.floor(steps))
        return np.where(good, steps, BAD_STEP)

    def _read_numbers(self, what: str, values: Values, num: int) -> Numbers:
        """The values as numbers (`numbers_of`); `unread` keeps the first that is something else."""
        numbers = numbers_of(values, num)
        if values and what not in self.unread and np.isnan(numbers).any():
            pairs = zip(values, numbers.tolist(), strict=True)
            other = next((value for value, number in pairs if number != number and not is_empty(value)), None)
            if other is not None:
                self.unread[what] = repr(other[:40]) if isinstance(other, str) else f"a {type(other).__name__}"
        return numbers

    def _answers(self, own: Values, written: Sequence[str], complete: NDArray[np.bool_]) -> dict[str, Values]:
        given = own or [None] * len(complete)
        found: dict[str, Values] = {OWN: [answer_of(value) for value in compress(given, complete)]}
        found |= {label: search(written) for label, search in self._searches.items()}
        nothing = [None] * len(written)  # a block in which most answers are there is not searched further
        known = max(sum(answer is not None for answer in answers) for answers in found.values())
        is_open = 2 * known < len(written)
        return found | {label: guess(written) if is_open else nothing for label, guess in self._guesses.items()}


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it is gone
        return 0
