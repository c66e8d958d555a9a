"""Opens run folders and the rollouts of other programs alike."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from meds_rl.rollouts.collect import ReadOptions
from meds_rl.rollouts.convert import convert
from meds_rl.rollouts.dumps import Dump, find_sources
from meds_rl.rollouts.evaluations import without_evaluations, write_evaluations
from meds_rl.rollouts.folder import RunFolder
from meds_rl.rollouts.settle import NotRecognisedError
from meds_rl.rollouts.table import RunFolderError

if TYPE_CHECKING:
    import pandas as pd


def read(
    path: str | os.PathLike[str],
    columns: Mapping[str, str] | None = None,
    *,
    answer_marker: str | None = None,
    answer_pattern: str | None = None,
    correct_above: float | None = None,
    show_progress: bool = False,
) -> pd.DataFrame:
    """All completions of a run folder, or of the rollouts that another program saved, as one table.

    Args:
        path: a run folder, a file, a folder of files, or a pattern. Of a folder with the rollouts of a training and
            with its validation, the rollouts are read.
        columns: "prompt", "completion", "reward", "step", "answer" or "group" -> the column that has it. Needed only
            where the format is not recognised; a given column overrides the format.
        answer_marker: how final answers are marked: "boxed", "answer_tag", "hashes", "code", or
            the text before them, such as "Answer:". Default: the commonest.
        answer_pattern: a regular expression for the answer instead (`answers.by_pattern`).
        correct_above: a completion with a larger reward is right. Default: those with reward 1, or with the larger of
            two rewards if that is 1 or more, or minus the other.
        show_progress: whether a progress bar is shown.

    Returns:
        One row a completion, in the order of training, with the columns of `ROLLOUT_COLUMNS`. ``attrs["source"]`` has
        sentences that say what was recognised; it is empty for a run folder.

    Raises:
        RunFolderError: nothing is recognised, something needed is missing, or the path leads to several runs.
        ValueError: an option is wrong, or is given for run folders only.

    Example:
        >>> import json, pathlib, tempfile
        >>> rows = [{"question": "2 + 2?", "response": f"so {n}", "score": int(n == 4)} for n in (4, 5, 5)]
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "mine.jsonl"
        >>> _ = file.write_text("\\n".join(map(json.dumps, rows)))
        >>> columns = {"prompt": "question", "completion": "response", "reward": "score"}
        >>> table = read(file, columns, answer_pattern="so (.*)")
        >>> table[["prompt", "answer", "is_correct"]].values.tolist()
        [['2 + 2?', '4', True], ['2 + 2?', '5', False], ['2 + 2?', '5', False]]
        >>> table.attrs["source"][0].partition(". ")[0]
        'mine.jsonl: plain table, 1 file, 3 completions of 1 prompt'
    """
    options = ReadOptions(dict(columns or {}), answer_marker, answer_pattern, correct_above)
    sources, left_out = without_evaluations(find_sources([os.fspath(path)]))
    if len(sources) > 1:
        raise RunFolderError(f"{path} leads to {len(sources)} runs; read each by itself.")
    with opened(sources, options, show_progress=show_progress) as (run,):
        table = run.rollouts()
        table.attrs["source"] = [*(run.source or {}).get("notes", []), *left_out]
    return table


@contextmanager
def opened(
    sources: Sequence[Path | Dump], options: ReadOptions, *, show_progress: bool = False
) -> Iterator[list[RunFolder]]:
    """The sources as run folders. Dumps are converted into a temporary folder, which is deleted at the end.

    Raises:
        RunFolderError: a source is not recognised.
        ValueError: an option is wrong, or is given for run folders only.
    """
    options.check()
    for_dumps = any(isinstance(source, Dump) for source in sources)
    sources = [source if isinstance(source, Dump) else _graded_by(source, options, for_dumps) for source in sources]
    with tempfile.TemporaryDirectory(prefix="meds-rollouts-") as folder:
        found = []
        for number, source in enumerate(sources):
            if isinstance(source, Path):
                found.append(RunFolder(source))
                continue
            try:
                run = convert(source, options, Path(folder) / str(number), show_progress=show_progress)
                if (run.source or {})["is_evaluation"]:
                    write_evaluations(run, source)
                found.append(run)
            except NotRecognisedError:
                if not source.is_beside_runs:
                    raise
        yield found


def _graded_by(path: Path, options: ReadOptions, for_dumps: bool) -> Path | Dump:
    """A run; its rollouts as those of another program, if nothing graded them and options say what is right.

    Args:
        path: the run.
        options: what the user says.
        for_dumps: whether there are rollouts of other programs, for which the options can be.

    Raises:
        ValueError: there are options for a run that was graded, and nothing else that they can be for.
    """
    if options.is_empty:
        return path
    files = [file for _, file in RunFolder(path).rollout_files()]
    if not files or any(map(_is_graded, files)):
        if not for_dumps:
            refuse_options(path, options)
        return path
    return Dump(path, tuple(files))


def _is_graded(path: Path) -> bool:
    """Whether a file of rollouts has a completion that is right or wrong."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as opened, pq.ParquetFile(opened) as file:
            column = file.read(["is_correct"])["is_correct"]
    except (pa.ArrowException, OSError, KeyError):
        return False
    return bool(column.null_count < len(column))


def refuse_options(run: Path, options: ReadOptions) -> None:
    """ValueError if there are options for a run folder."""
    if not options.is_empty:
        raise ValueError(
            f"{run} is a run folder, and its columns are known; --prompt, --completion, --reward, --step, --answer, "
            "--group, --correct-above, --answer-marker and --answer-pattern are for rollouts of other programs."
        )
