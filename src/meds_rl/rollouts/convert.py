"""Turns the rollouts of another program into a run folder, with bounded memory.

The completions wait in a file on disk. Only after the last row it is known which reward says right or wrong, how
answers are marked, and in which order the rows were sampled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meds_rl.files import write_atomically
from meds_rl.labels import NO_MEMORY, NOT_SCORED
from meds_rl.rollouts.collect import Collector, ReadOptions
from meds_rl.rollouts.dumps import Dump
from meds_rl.rollouts.folder import SOURCE_FILE, RunFolder
from meds_rl.rollouts.grading import Numbers
from meds_rl.rollouts.messages import id_of_prompt
from meds_rl.rollouts.notes import notes
from meds_rl.rollouts.settle import Settled, check, settle
from meds_rl.rollouts.table import rollout_schema

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_A_FILE, CHARACTERS_A_FILE = 16_384, 64_000_000
"""Most rows and characters of a file of the run folder."""

MAX_REWARDS = 8
"""Rewards whose course is kept."""

MAX_TOKENS = 2**40
"""A larger number of tokens counts as unknown."""


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
    """Converts a dump into a run folder. Files that the other program writes later can be added (`meds watch`).

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
        self._written: Settled | None = None
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
        """Write the rows added since the last call, or all rows again if the new ones change what was decided."""
        check(self._collector, self._dump, self._options)
        settled = settle(self._collector, self._dump, self._options)
        before = self._written
        if before is not None and not settled.continues(before):
            self.run.drop_rollouts_from(0)
            before, self._num_files = None, 0
        begin = 0 if before is None else len(before.order)
        self._num_files = _write_rollouts(self._collector, settled, begin, self._num_files, self.run, self._spools)
        self._written = settled
        source = {
            "path": str(self._dump.path),
            "name": self._dump.name,
            "notes": notes(self._collector, settled, self._dump),
            "is_evaluation": self._collector.format is not None and self._collector.format.is_evaluation,
            "golds": _golds(self._collector),
            "rewards": _rewards(self._collector, settled),
        }
        write_atomically(self.run.path / SOURCE_FILE, json.dumps(source).encode())

    def close(self) -> None:
        """Delete the completions that wait on disk."""
        for spool in self._spools:
            spool.unlink()


def _write_rollouts(
    collector: Collector, settled: Settled, begin: int, num_files: int, run: RunFolder, spools: Sequence[Path]
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


def _golds(collector: Collector) -> dict[str, str]:
    """Prompt id -> right answer, of the prompts whose files name one."""
    texts = list(collector.prompts)
    return {id_of_prompt(texts[place]): gold for place, gold in collector.golds.items() if gold is not None}


def _rewards(collector: Collector, settled: Settled) -> dict[str, list[tuple[int, float]]]:
    """Name -> steps and means, of the rewards that are parts of the total, if there are several."""
    rewards = dict(islice(collector.rows.rewards.items(), MAX_REWARDS))
    if collector.format is None or not collector.format.sums_all or len(rewards) < 2:
        return {}
    steps, place = np.unique(settled.steps, return_inverse=True)
    found = {}
    for name, values in rewards.items():
        known = np.isfinite(values[settled.order])
        sums = np.bincount(place[known], weights=values[settled.order][known], minlength=len(steps))
        counts = np.bincount(place[known], minlength=len(steps))
        means = zip(steps.tolist(), sums.tolist(), counts.tolist(), strict=True)
        found[name] = [(step, total / count) for step, total, count in means if count]
    return found


def _sizes(collector: Collector) -> Numbers:
    """(N,) characters of each row: the prompt is written with each of its completions."""
    lengths = np.array([len(prompt) for prompt in collector.prompts], dtype=np.float64)
    return collector.rows.number("size") + lengths[collector.rows.number("prompt").astype(np.int64)]


def _files(settled: Settled, sizes: Numbers, start: int) -> Iterator[tuple[int, int]]:
    """The first row of each file and the one after its last: whole batches, unless one is too large for a file."""
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

    def __init__(self, collector: Collector, settled: Settled) -> None:
        import pyarrow as pa

        rows, order = collector.rows, settled.order
        texts = list(collector.prompts)
        self._prompts = pa.array(texts, pa.large_string())
        self._ids = pa.array([id_of_prompt(text) for text in texts], pa.string())
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
        without_memory: dict[str, Any] = {
            "strategy": pa.nulls(n, pa.string()),
            "cluster": [NOT_SCORED] * n,
            "cluster_size": [0.0] * n,
            "penalty": [0.0] * n,
            "reason": [NO_MEMORY] * n,
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
            **without_memory,
        }
        schema = rollout_schema()
        return pa.table({name: found[name] for name in schema.names}).cast(schema)
