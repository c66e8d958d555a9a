"""Turns the rollouts of another program into a run folder, with bounded memory.

The completions wait in a file on disk. Only after the last row it is known which reward says right or wrong, how
answers are marked, and in which order the rows were sampled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.files import write_atomically
from meds_rl.rollouts.answers import GUESSES
from meds_rl.rollouts.blocks import Damage
from meds_rl.rollouts.collect import GRADES, OWN, Collector, ReadOptions
from meds_rl.rollouts.compare import Comparison, compare
from meds_rl.rollouts.dumps import ACCEPTED, Dump
from meds_rl.rollouts.folder import SOURCE_FILE, RunFolder
from meds_rl.rollouts.formats import FORMATS, listed
from meds_rl.rollouts.grading import Grading, Numbers, grade
from meds_rl.rollouts.messages import id_of_prompt
from meds_rl.rollouts.table import RunFolderError, rollout_schema

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_A_FILE, CHARACTERS_A_FILE = 16_384, 64_000_000
"""Most rows and characters of a file of the run folder."""

LEAST_ANSWERS = 0.1
"""A marker is used if at least this fraction of the completions has it."""

LEAST_GUESSED = 0.5
"""A guess that finds fewer answers is none."""

MAX_TOKENS = 2**40
"""A larger length is none."""

MAX_NAMED = 3
"""Most files that a note names."""


class NotRecognisedError(RunFolderError):
    """The format of the files is not recognised."""


def convert(dump: Dump, options: ReadOptions, folder: Path, *, show_progress: bool = False) -> RunFolder:
    """Write the rollouts of a dump into a run folder.

    Args:
        dump: what another program saved.
        options: what the user says about it.
        folder: the run folder, which is made.
        show_progress: whether a progress bar is shown.

    Returns:
        The run folder; `RunFolder.source` says what was recognised.

    Raises:
        NotRecognisedError: nothing is recognised.
        RunFolderError: something needed is missing.
        ValueError: an option is wrong.
    """
    conversion = Conversion(dump, options, folder)
    conversion.add(dump.files, show_progress)
    conversion.write()
    conversion.close()
    return conversion.run


class Conversion:
    """Converts a dump into a run folder. Files that the other program writes later can be added.

    Args:
        dump, options, folder: as in `convert`.

    Attributes:
        run: the run folder.
    """

    def __init__(self, dump: Dump, options: ReadOptions, folder: Path) -> None:
        options.check()
        self.run = RunFolder(folder)
        self.run.rollouts_path.mkdir(parents=True)
        self._dump, self._options = dump, options
        self._collector = Collector(dump, options)
        self._spools: list[Path] = []
        self._written: _Settled | None = None
        self._num_files = 0

    def add(self, files: Sequence[Path], show_progress: bool = False) -> None:
        """Read files of the dump, each once."""
        import pyarrow as pa

        spool = self.run.path / f"texts-{len(self._spools)}.arrow"
        schema = pa.schema([("completion", pa.large_string())])
        with spool.open("wb") as file, pa.ipc.new_file(file, schema) as writer:

            def keep(texts: Sequence[str]) -> None:
                writer.write_batch(pa.record_batch([pa.array(texts, pa.large_string())], schema=schema))

            self._collector.read(files, keep, show_progress)
        self._spools.append(spool)

    def write(self) -> None:
        """Write what was added since the last time; everything again if that changes what was written."""
        _check(self._collector, self._dump, self._options)
        settled = _settle(self._collector, self._dump, self._options)
        before = self._written
        if before is not None and not settled.continues(before):
            self.run.drop_rollouts_from(0)
            before, self._num_files = None, 0
        begin = 0 if before is None else len(before.order)
        self._num_files = _write_rollouts(self._collector, settled, begin, self._num_files, self.run, self._spools)
        self._written = settled
        sentence = _sentence(self._collector, settled, self._dump)
        notes = [*_no_answers(self._collector, settled), sentence, *_notes(self._collector, settled)]
        source = {"path": str(self._dump.path), "name": self._dump.name, "notes": notes}
        write_atomically(self.run.path / SOURCE_FILE, json.dumps(source).encode())

    def close(self) -> None:
        """Delete the completions that wait on disk."""
        for spool in self._spools:
            spool.unlink()


@dataclass(frozen=True)
class _Settled:
    """What is decided after the last row.

    Attributes:
        order: (n,) the rows that are kept, in the order of training.
        steps, generations: (n,) in this order.
        grading: of all N rows.
        answers: the key of the answers that are used, in `Collected.answers`; None without answers.
        answer_share: of the completions that have one.
        has_steps: whether the dump says at which step completions were sampled.
        filter: the one that is read of several; empty without several.
        comparison: of what the program did not grade.
    """

    order: NDArray[np.int64]
    steps: NDArray[np.int64]
    generations: NDArray[np.int64]
    grading: Grading
    answers: str | None
    answer_share: float
    has_steps: bool
    filter: str
    comparison: Comparison

    def continues(self, before: _Settled) -> bool:
        """Whether what was written stays right: nothing has another meaning, and only later batches were added."""
        n = len(before.order)
        if n == len(self.order):
            return np.array_equal(self.order, before.order) and self._meaning == before._meaning
        later = n == 0 or self.steps[n] > before.steps[-1]
        return bool(later) and self._meaning == before._meaning and np.array_equal(self.order[:n], before.order)

    @property
    def _meaning(self) -> tuple[Any, ...]:
        return self.grading.sentence, self.answers, self.filter, self.comparison.used.files


def _check(collector: Collector, dump: Dump, options: ReadOptions) -> None:
    if collector.format is None:
        raise NotRecognisedError(_unrecognised(collector, dump))
    if not len(collector.rows):
        raise RunFolderError(
            f"{dump.path} holds no completion; rows without a prompt, a completion or a step: {collector.incomplete:,}."
        )
    if not collector.rows.rewards:
        raise RunFolderError(
            f"{dump.path}: no column says right or wrong; the columns are {listed(collector.names)}. "
            "Name one with --reward."
        )
    name = options.columns.get("reward", next(iter(collector.rows.rewards)))
    if "reward" in collector.unread and not np.isfinite(collector.rows.rewards[name]).any():
        words = ", ".join(("true", "false", *GRADES))
        raise RunFolderError(
            f"{dump.path}: {name} has no numbers, but {collector.unread['reward']}. A reward is a number, or one of "
            f"{words}. Name another column with --reward."
        )


def _unrecognised(collector: Collector, dump: Dump) -> str:
    known = ", ".join(dict.fromkeys(each.name for each in FORMATS))
    ask = f"Name the columns with --prompt, --completion and --reward. Recognised without: {known}."
    for path, names in collector.others.items():
        return f"{path} is not recognised; its columns are {listed(names)}. {ask}"
    whys = [damage.why for damage in collector.damages.values() if damage.why]
    bad = sum(damage.lines for damage in collector.damages.values())
    lines = [f"lines that are no rows: {bad:,}"] if bad else []
    return f"{dump.path} holds no rows: {'; '.join([*whys[:1], *lines]) or 'it is empty'}. Accepted is {ACCEPTED}."


def _settle(collector: Collector, dump: Dump, options: ReadOptions) -> _Settled:
    """What is known with the filter that read most answers, or with the next whose grades the comparison confirms."""
    names = _filters(collector) if len(collector.filters) > 1 else [""]
    first = _settle_filter(collector, dump, options, names[0])
    if not first.comparison.refused.completions:
        return first
    for name in names[1:]:
        with suppress(RunFolderError):
            other = _settle_filter(collector, dump, options, name)
            if not other.comparison.refused.completions:
                return other
    return first


def _settle_filter(collector: Collector, dump: Dump, options: ReadOptions, name: str) -> _Settled:
    rows, answers = collector.rows, collector.rows.answers
    kept = ~np.isin(rows.number("file"), list(collector.repeated))
    if name:
        kept &= rows.number("filter") == collector.filters[name]
    places = np.flatnonzero(kept)
    rewards = {each: np.where(kept, values, np.nan) for each, values in rows.rewards.items()}
    try:
        grading = grade(rewards, collector.grade, collector.total, options.correct_above)
    except RunFolderError as error:
        raise RunFolderError(f"{dump.path}: {error}") from None
    steps = rows.number("step")[places]
    has_steps = bool(np.isfinite(steps).any())
    whole = np.where(np.isfinite(steps), steps, 0).astype(np.int64)
    order = np.argsort(whole, kind="stable")
    has_answer = {label: np.array(found.is_valid()) for label, found in answers.items()}
    shares = {label: float(has[places].mean()) for label, has in has_answer.items()}
    rest = kept & (rows.number("reference") >= 0) & np.isnan(grading.is_correct)
    shares_of_rest = {label: float(has[rest].mean()) if rest.any() else 1.0 for label, has in has_answer.items()}
    label = _which_answers(shares, shares_of_rest, options)
    comparison = _compare(collector, grading, label, kept)
    return _Settled(
        order=places[order],
        steps=whole[order],
        generations=np.unique(whole[order], return_inverse=True)[1].astype(np.int64),
        grading=comparison.complete(grading),
        answers=label,
        answer_share=0.0 if label is None else shares[label],
        has_steps=has_steps,
        filter=name,
        comparison=comparison,
    )


def _filters(collector: Collector) -> list[str]:
    """The filters, the one that read most answers first."""
    places = collector.rows.number("filter").astype(np.int64)
    has_answer = np.array(collector.rows.answers[OWN].is_valid())
    counts = np.bincount(places[has_answer], minlength=len(collector.filters))
    return [name for name, place in sorted(collector.filters.items(), key=lambda item: -counts[item[1]])]


def _which_answers(shares: dict[str, float], shares_of_rest: dict[str, float], options: ReadOptions) -> str | None:
    """The file's own, where it has them; else those of the marker or pattern that most completions have; else guesses.

    Args:
        shares: how they are found -> share of the completions that have one.
        shares_of_rest: the same of the completions that are compared with the reference.
        options: what the user says.
    """
    asked = options.answer_marker is not None or options.answer_pattern is not None
    found = {label: share for label, share in shares.items() if label not in (OWN, *GUESSES)}
    best = max(found, key=lambda label: found[label], default=OWN)
    is_marked = found.get(best, 0.0) >= LEAST_ANSWERS
    guess = next((label for label in GUESSES if shares.get(label, 0.0) >= LEAST_GUESSED), None)
    if guess is not None and not is_marked:
        best, is_marked = guess, True
    if "answer" in options.columns:
        return OWN
    if asked or (is_marked and shares_of_rest[OWN] == 0):  # the file has only those of completions that it grades
        return best
    if shares[OWN] >= LEAST_ANSWERS or (shares_of_rest[OWN] == 0 < shares[OWN]):
        return OWN
    return best if is_marked else None


def _compare(collector: Collector, grading: Grading, label: str | None, kept: NDArray[np.bool_]) -> Comparison:
    """Compare the completions that are kept with the references."""
    rows = collector.rows
    numbers = {name: rows.number(name) for name in ("reference", "file", "document", "figure", "k")}
    numbers["reference"] = np.where(kept, numbers["reference"], -1)
    answers = [None] * len(kept) if label is None or not collector.references else rows.answers[label].to_pylist()
    return compare(grading.is_correct, answers, list(collector.references), numbers)


# ---- What is written


def _write_rollouts(
    collector: Collector, settled: _Settled, begin: int, num_files: int, run: RunFolder, spools: Sequence[Path]
) -> int:
    """Write the rows from place `begin` on; return how many files there are then."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = _Columns(collector, settled)
    with ExitStack() as stack:
        texts = _Texts([stack.enter_context(pa.memory_map(str(spool))) for spool in spools])
        for start, stop in _files(settled, _sizes(collector), begin):
            table = columns.table(start, stop, texts.take(settled.order[start:stop]))
            # Not synced to disk, unlike a training's: the folder lives as long as the command.
            with (run.rollouts_path / f"generation-{num_files:06d}.parquet").open("wb") as file:
                pq.write_table(table, file, use_dictionary=["prompt_id", "prompt", "reason"])
            num_files += 1
    return num_files


def _sizes(collector: Collector) -> Numbers:
    """(N,) characters of each row: the prompt is written with each of its completions."""
    lengths = np.array([len(prompt) for prompt in collector.prompts], dtype=np.float64)
    return collector.rows.number("size") + lengths[collector.rows.number("prompt").astype(np.int64)]


def _files(settled: _Settled, sizes: Numbers, start: int) -> Iterator[tuple[int, int]]:
    """Where the files begin and end: with a batch, as long as one fits into a file."""
    num = len(settled.order)
    ends = np.append(np.flatnonzero(np.diff(settled.generations)) + 1, num)
    characters = np.concatenate([[0], np.cumsum(sizes[settled.order])])
    while start < num:
        full = int(np.searchsorted(characters, characters[start] + CHARACTERS_A_FILE))
        most = max(start + 1, min(start + ROWS_A_FILE, full, num))
        place = int(np.searchsorted(ends, most, side="right")) - 1
        stop = int(ends[place]) if place >= 0 and ends[place] > start else most
        yield start, stop
        start = stop


class _Texts:
    """The texts of the completions, in files on disk.

    Args:
        files: what `Conversion.add` wrote.
    """

    def __init__(self, files: Sequence[Any]) -> None:
        import pyarrow as pa

        readers = [pa.ipc.open_file(file) for file in files]
        self._batches = [reader.get_batch(number) for reader in readers for number in range(reader.num_record_batches)]
        self._starts = np.concatenate([[0], np.cumsum([batch.num_rows for batch in self._batches])])

    def take(self, rows: NDArray[np.int64]) -> pa.Array:
        """The texts of these rows, in this order."""
        import pyarrow as pa

        batches = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(batches, kind="stable")
        parts = [
            self._batches[batch].column(0).take(pa.array(rows[batches == batch] - self._starts[batch]))
            for batch in np.unique(batches).tolist()
        ]
        joined = pa.concat_arrays(parts)
        back = np.empty(len(rows), dtype=np.int64)
        back[order] = np.arange(len(rows))
        return joined if np.array_equal(order, np.arange(len(rows))) else joined.take(pa.array(back))


class _Columns:
    """The columns of the rollouts, without the completions, in the order of training.

    Args:
        collector, settled: what is known of the dump.
    """

    def __init__(self, collector: Collector, settled: _Settled) -> None:
        import pyarrow as pa

        rows, order = collector.rows, settled.order
        names = list(collector.prompts)
        self._prompts = pa.array(names, pa.large_string())
        self._ids = pa.array([id_of_prompt(name) for name in names], pa.string())
        self._prompt = rows.number("prompt")[order].astype(np.int64)
        self._settled = settled
        self._correct = settled.grading.is_correct[order]
        self._reward = settled.grading.rewards[order]
        self._length, self._advantage = rows.number("length")[order], rows.number("advantage")[order]
        taken = pa.array(order)
        self._answers = None if settled.answers is None else rows.answers[settled.answers].combine_chunks().take(taken)
        self._groups = rows.groups.combine_chunks().take(taken)
        self._outcomes = rows.outcomes.combine_chunks().take(taken)

    def table(self, start: int, stop: int, completions: pa.Array) -> pa.Table:
        """Rows `start` to `stop` as a table of rollouts."""
        import pyarrow as pa

        n = stop - start
        prompts = pa.array(self._prompt[start:stop])
        graded = np.isfinite(self._correct[start:stop])
        rewards = pa.array(self._reward[start:stop], from_pandas=True)
        nothing: dict[str, Any] = {
            "strategy": pa.nulls(n, pa.string()),
            "cluster": [-4] * n,
            "cluster_size": [0.0] * n,
            "penalty": [0.0] * n,
            "reason": ["no_memory"] * n,
            "memory_id": [-1] * n,
            "in_loss": [True] * n,
            "replaced": pa.nulls(n, pa.bool_()),
        }
        length = self._length[start:stop]
        length = np.where((length > 0) & (length <= MAX_TOKENS), length, 0)
        found = {
            "step": self._settled.steps[start:stop],
            "generation": self._settled.generations[start:stop],
            "prompt_id": self._ids.take(prompts),
            "prompt": self._prompts.take(prompts),
            "completion": completions,
            "num_tokens": pa.array(length.astype(np.int64), mask=length == 0),
            "reward": rewards,
            "shaped_reward": rewards,
            "advantage": pa.array(self._advantage[start:stop], from_pandas=True),
            "is_correct": pa.array(self._correct[start:stop] == 1, mask=~graded),
            "answer": pa.nulls(n, pa.string()) if self._answers is None else self._answers.slice(start, n),
            "group_id": self._groups.slice(start, n),
            "outcome": self._outcomes.slice(start, n),
            **nothing,
        }
        schema = rollout_schema()
        return pa.table({name: found[name] for name in schema.names}).cast(schema)


# ---- What is said


def _sentence(collector: Collector, settled: _Settled, dump: Dump) -> str:
    """What was recognised, in one or two sentences."""
    num_files, num = collector.num_files - len(collector.repeated), len(settled.order)
    num_prompts = len(np.unique(collector.rows.number("prompt")[settled.order]))
    name = "" if collector.format is None else collector.format.name
    place = f"{dump.name}/" if dump.path.is_dir() else dump.name
    batches = len(np.unique(settled.generations))
    when = f" in {_many(batches, 'batch', 'batches')}" if settled.has_steps else ""
    return (
        f"{place}: {name}, {_many(num_files, 'file')}, {_many(num, 'completion')} of {_many(num_prompts, 'prompt')}"
        f"{when}. {settled.grading.sentence}{_answers_sentence(settled)}"
    )


def _no_answers(collector: Collector, settled: _Settled) -> list[str]:
    """The note that comes first if neither answers nor outcomes were found: figures by answer then mean nothing."""
    outcomes = collector.rows.outcomes
    if settled.answer_share or outcomes.null_count < len(outcomes):
        return []
    return ["No answers were found: name them with --answer-marker, --answer-pattern or --answer."]


def _answers_sentence(settled: _Settled) -> str:
    if settled.answers is None:
        return ""
    where = "as the file has them" if settled.answers == OWN else settled.answers
    return f" Answers: {where}, in {100 * settled.answer_share:.0f} % of the completions."


def _notes(collector: Collector, settled: _Settled) -> list[str]:
    graded = np.isfinite(settled.grading.is_correct[settled.order])
    others = [f"{path.name} ({listed(names, 5)})" for path, names in collector.others.items()]
    notes = [
        _many_left_out(collector.incomplete, "row", "without a prompt, a completion or a step"),
        _many_left_out(len(collector.repeated), "file", "with the same completions as an earlier one"),
        *_words(collector),
        *settled.comparison.notes(),
        f"Not graded, neither right nor wrong: {_many(int((~graded).sum()), 'completion')}{_such(collector, 'reward')}."
        if not graded.all()
        else "",
        f"Filters: {', '.join(collector.filters)}; {settled.filter} is read, {_why_filter(collector, settled)}."
        if settled.filter
        else "",
        f"Files left out, as they are of another format: {'; '.join(others[:MAX_NAMED])}." if others else "",
        ""
        if settled.has_steps
        else f"Nothing says when the completions were sampled: all are shown as one batch{_such(collector, 'step')}.",
        *_damages(collector.damages),
    ]
    return [note for note in notes if note]


def _words(collector: Collector) -> Iterator[str]:
    """How words in the place of rewards are read."""
    for name, words in collector.words.items():
        if words:
            read = [f"“{word}” as {value:g}" for word, value in sorted(words.items())]
            yield f"{name} has words, which are read as numbers: {', '.join(read[:MAX_NAMED])}."


def _why_filter(collector: Collector, settled: _Settled) -> str:
    fullest = settled.filter == _filters(collector)[0]
    return "which found the most answers" if fullest else "whose grades the comparison confirms"


def _such(collector: Collector, what: str) -> str:
    """What stands in the place of a number."""
    return f"; a {what} is {collector.unread[what]}, which is no number" if what in collector.unread else ""


def _damages(damages: dict[Path, Damage]) -> Iterator[str]:
    bad = {path: damage for path, damage in damages.items() if damage.lines}
    if bad:
        path, damage = next(iter(bad.items()))
        first = f", first in line {damage.first:,} of {path.name}" if damage.first else f" in {path.name}"
        yield f"{_many(sum(each.lines for each in bad.values()), 'line')} left out, as they are no rows{first}."
    whys = [damage.why for damage in damages.values() if damage.why]
    if whys:
        yield f"{_many(len(whys), 'file')} cannot be read to the end: {' '.join(whys[:MAX_NAMED])}"


def _many_left_out(count: int, what: str, why: str) -> str:
    return f"Left out: {_many(count, what)} {why}." if count else ""


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count:,} {one if count == 1 else several or one + 's'}"
