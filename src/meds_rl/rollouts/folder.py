"""The run folder: all files that a training leaves behind, and the only place where tools read them.

::

    RUN/
      recipe.yaml           what was run, all fields resolved
      environment.json      versions, seed, commit, schema version, where the checkpoints are
      metrics.jsonl         one row a log: step and figures
      rollouts/             one parquet file a generation batch (rollouts/table.py)
      checkpoint-N/         Hugging Face checkpoints, each with its memory.safetensors
      memory.safetensors    the memory at the end
      evaluation/           before, step-000010, after: samples (parquet, rollouts/samples.py) and figures (JSON)
      model/                the trained model of `meds train`
      run-2/, run-3/        later trainings of a script in the same output_dir; their checkpoints are in RUN, too

Every file is written whole or not at all, so the folder of a killed run can be read.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_rl.files import write_atomically
from meds_rl.rollouts.samples import step_of
from meds_rl.rollouts.table import (
    OPTIONAL,
    ROLLOUT_COLUMNS,
    SCHEMA_VERSION,
    RunFolderError,
    numbered,
    read_batch,
    read_metrics,
    rollout_schema,
)

if TYPE_CHECKING:
    import pandas as pd

MEMORY_FILE = "memory.safetensors"
STATE_FILE = "meds_state.json"
"""In a checkpoint: how far generation was, and the run folder that the checkpoint belongs to."""
TRAINER_STATE_FILE = "trainer_state.json"
"""In a checkpoint: Hugging Face writes it last."""
SOURCE_FILE = "source.json"
"""In a folder made from the rollouts of another program: where they are, what was recognised, and right answers."""

_NUMBERED_RUN = re.compile(r"run-([0-9]+)")
_CHECKPOINT = re.compile(r"checkpoint-([0-9]+)")


class RunFolder:
    """One run on disk.

    Args:
        path: the folder. It need not exist; writing creates it.

    Attributes:
        path: the folder.
        rollouts_path: folder of the rollouts' parquet files.
        metrics_path: ``metrics.jsonl``.
        evaluation_path: folder of the evaluations before, in and after training.
        environment_path: ``environment.json``.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.rollouts_path = self.path / "rollouts"
        self.metrics_path = self.path / "metrics.jsonl"
        self.evaluation_path = self.path / "evaluation"
        self.environment_path = self.path / "environment.json"

    def write_environment(self, environment: Mapping[str, Any], suffix: str = "") -> None:
        """Write ``environment{suffix}.json``, with the schema version added."""
        text = json.dumps({"schema_version": SCHEMA_VERSION, **environment}, indent=2)
        write_atomically(self.path / f"environment{suffix}.json", text.encode())

    def write_rollouts(self, generation: int, columns: Mapping[str, Any]) -> None:
        """Write the rollouts of one generation batch.

        Args:
            generation: number of the batch, from 0; a batch written twice (after a resume) replaces the first.
            columns: every column of :data:`~meds_rl.rollouts.table.ROLLOUT_COLUMNS`, N values each; without those of
                `OPTIONAL` they are null.

        Raises:
            ValueError: a column is missing or unknown.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        difference = sorted((set(columns) ^ set(ROLLOUT_COLUMNS)) - (set(OPTIONAL) - set(columns)))
        if difference:
            raise ValueError(f"rollouts have the columns {list(ROLLOUT_COLUMNS)}; missing or unknown: {difference}.")
        nulls = dict.fromkeys(OPTIONAL, [None] * len(columns["step"]))
        table = pa.table({name: {**nulls, **columns}[name] for name in ROLLOUT_COLUMNS}, schema=rollout_schema())
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        write_atomically(self.rollouts_path / f"generation-{generation:06d}.parquet", sink.getvalue())

    def drop_rollouts_from(self, generation: int) -> None:
        """Delete the rollouts of batch ``generation`` and later: a resumed run samples them again."""
        for number, path in self.rollout_files():
            if number >= generation:
                path.unlink()

    def generations_before(self, step: int) -> int:
        """The number of batches that were generated before optimiser step ``step``."""
        files = list(self.rollout_files())
        return next(
            (number for number, path in files if read_batch(path, ["step"])["step"][0].as_py() >= step), len(files)
        )

    def drop_metrics_after(self, step: int) -> None:
        """Keep the metrics up to optimiser step ``step``: a resumed run logs the later ones again."""
        if self.metrics_path.is_file():
            self._write_metrics([row for row in self.metrics() if row["step"] <= step])

    def keep_metrics(self, count: int) -> None:
        """Keep the first rows of the metrics, and no line that a kill cut off."""
        if self.metrics_path.is_file():
            self._write_metrics(self.metrics()[:count])

    def _write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        write_atomically(self.metrics_path, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def has_rollouts(self) -> bool:
        """Whether rollouts were written."""
        return any(self.rollout_files())

    def rollout_files(self) -> Iterator[tuple[int, Path]]:
        """The rollouts' files, each with the number of its generation batch, in the order of training."""
        return numbered(self.rollouts_path, "generation")

    def rollouts(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """All rollouts, in the order of training; empty (with its columns) where none were written.

        Args:
            columns: Only these, which saves reading the texts; all by default.

        Raises:
            RunFolderError: the folder is not a run, or of a newer schema, or a file of rollouts cannot be read.
        """
        import pyarrow as pa

        self.check()
        tables = [read_batch(path, columns) for _, path in self.rollout_files()]
        table = pa.concat_tables(tables) if tables else rollout_schema(columns).empty_table()
        frame: pd.DataFrame = table.to_pandas()
        return frame

    def metrics(self) -> list[dict[str, Any]]:
        """All logged rows. A line that is not a row, such as one that a kill cut off, is left out."""
        return read_metrics(self.metrics_path)[0] if self.metrics_path.is_file() else []

    def evaluations(self) -> list[tuple[int, Path]]:
        """Each evaluation's optimiser step and file of samples (`read_samples`), in order.

        The evaluation before training has step 0, the one after it the last step. The figures are in a file of the
        same name that ends in ``.json``.
        """
        found = dict(numbered(self.evaluation_path, "step"))
        before, after = (self.evaluation_path / f"{when}.parquet" for when in ("before", "after"))
        if after.is_file():
            found[self._last_step(after, found)] = after
        if before.is_file():
            found[0] = before
        return sorted(found.items())

    def drop_evaluations_after(self, step: int) -> None:
        """Delete the evaluations after optimiser step ``step``: a resumed run repeats them.

        The one after training is kept if it is of this step, as an evaluation in training, unless there is one.
        """
        after = self.evaluation_path / "after.parquet"
        kept = self.evaluation_path / f"step-{step:06d}.parquet"
        if after.is_file() and step_of(after) == step and not kept.is_file():
            # A kill may have come before the figures were written, or between these two moves.
            if after.with_suffix(".json").is_file():
                after.with_suffix(".json").replace(kept.with_suffix(".json"))
            if kept.with_suffix(".json").is_file():
                after.replace(kept)
        later = [path for number, path in numbered(self.evaluation_path, "step") if number > step]
        for path in (*later, after):
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)

    def _last_step(self, after: Path, in_training: Mapping[int, Path]) -> int:
        """The step in the file's metadata; without one, the last step that was logged."""
        step = step_of(after)
        if step is not None:
            return max(1, step)
        logged = max((row["step"] for row in self.metrics()), default=0)
        return max([1, logged, *in_training])  # also right where the metrics were lost

    def environment(self) -> dict[str, Any]:
        """The content of ``environment.json``; empty where there is none."""
        if not self.environment_path.is_file():
            return {}
        try:
            environment = json.loads(self.environment_path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise RunFolderError(f"{self.environment_path} is not JSON: {error}") from None
        if not isinstance(environment, dict):
            raise RunFolderError(f"{self.environment_path} must hold a JSON object; got {type(environment).__name__}.")
        return environment

    @property
    def source(self) -> dict[str, Any] | None:
        """What is known of the other program's rollouts (`SOURCE_FILE`); None for a run.

        ``path``, ``name``, ``notes``, ``is_evaluation``, ``golds``: prompt id -> right answer, and ``rewards``: name ->
        steps and means, if there are several.
        """
        return read_json(self.path / SOURCE_FILE)

    @property
    def output_dir(self) -> Path:
        """Where the trainer saves checkpoints: the run folder, or the one that a numbered run is in."""
        place = (read_json(self.environment_path) or {}).get("output_dir", ".")
        return Path(os.path.normpath(self.path / place)) if isinstance(place, str) else self.path

    def checkpoints(self) -> list[Path]:
        """The whole checkpoints of this run, in the order of their steps; a killed run may leave a part of one."""
        return [folder for folder in self._checkpoints() if read_json(folder / TRAINER_STATE_FILE) is not None]

    def _checkpoints(self) -> list[Path]:
        """The checkpoints of this run; those in the same place that belong to another run are left out."""
        found = ((_CHECKPOINT.fullmatch(path.name), path) for path in self.output_dir.glob("checkpoint-*"))
        steps = sorted((int(match[1]), path) for match, path in found if match)
        return [path for _, path in steps if run_of(path).resolve() == self.path.resolve()]

    def memory_path(self) -> Path | None:
        """The memory written last, at the end of the run or in a checkpoint; None where there is none."""
        files = [self.path / MEMORY_FILE, *(folder / MEMORY_FILE for folder in self._checkpoints())]
        files = [path for path in files if path.is_file()]
        return max(files, key=lambda path: path.stat().st_mtime_ns, default=None)

    def has_begun(self) -> bool:
        """Whether a training has left anything here that another one must not overwrite."""
        if self.metrics_path.exists() or self.has_rollouts() or any(self.evaluation_path.glob("*.parquet")):
            return True
        return (self.path / "recipe.yaml").exists() and not self.environment_path.exists()  # the user's own file

    def numbered_runs(self) -> dict[int, RunFolder]:
        """The runs ``run-2``, ``run-3``, ... in this folder, by number, in order."""
        found = ((_NUMBERED_RUN.fullmatch(path.name), path) for path in self.path.glob("run-*"))
        numbers = sorted((int(match[1]), path) for match, path in found if match)
        runs = {number: RunFolder(path) for number, path in numbers}
        return {number: run for number, run in runs.items() if run.environment_path.is_file() or run.has_begun()}

    def written_last(self) -> RunFolder:
        """This run or the numbered run in it, whichever training wrote last."""
        return max((self, *self.numbered_runs().values()), key=RunFolder._written)

    def _written(self) -> int:
        """When metrics, environment or rollouts were written last, in nanoseconds; 0 where there are none."""
        files = (self.metrics_path, *self.path.glob("environment*.json"), self.rollouts_path)
        return max((path.stat().st_mtime_ns for path in files if path.exists()), default=0)

    def check(self) -> None:
        """Check that the folder is a run this version can read.

        Raises:
            RunFolderError: it does not exist, is not a run, or is of a newer schema.
        """
        if not self.path.is_dir():
            raise RunFolderError(f"There is no run folder at {self.path}.")
        known = (self.environment_path, self.metrics_path, self.rollouts_path)
        if not any(path.exists() for path in known) and self.memory_path() is None:
            names = ", ".join(path.name for path in known)
            raise RunFolderError(f"{self.path} is not a run folder: it has none of {names}, {MEMORY_FILE}.")
        version = self.environment().get("schema_version", SCHEMA_VERSION)
        if not isinstance(version, int):
            raise RunFolderError(f"{self.environment_path}: schema_version must be a whole number; got {version!r}.")
        if version > SCHEMA_VERSION:
            raise RunFolderError(
                f"{self.path} has schema version {version}; this meds-rl reads up to {SCHEMA_VERSION}. Upgrade meds-rl."
            )


def run_of(checkpoint: Path) -> Path:
    """The run folder that a checkpoint belongs to; the folder that it is in if the checkpoint names no other."""
    name = (read_json(checkpoint / STATE_FILE) or {}).get("run", ".")
    return checkpoint.parent / name if isinstance(name, str) else checkpoint.parent


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is none, or only a part of one that a killed process wrote."""
    if not path.is_file():  # a FIFO would wait for ever
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
