"""Another program's evaluations as those of a run: one file of samples for each step, without texts."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from meds_rl.files import write_atomically
from meds_rl.rollouts.blocks import Damage, kind_of, read_blocks
from meds_rl.rollouts.dumps import Dump
from meds_rl.rollouts.folder import SOURCE_FILE, RunFolder
from meds_rl.rollouts.formats import Format, recognise
from meds_rl.rollouts.samples import SamplesFileError, is_samples, read_samples, samples_schema, write_samples
from meds_rl.rollouts.table import read_batch

MOST_LOOKED_AT = 3
"""Files of a dump in which its format is looked for."""


def write_evaluations(run: RunFolder, dump: Dump) -> None:
    """Write the graded completions of a converted dump into the folder of evaluations.

    Args:
        run: what the dump was converted to.
        dump: an evaluation of a training, with a file for each step, or what `meds eval` wrote.
    """
    import pyarrow as pa

    run.evaluation_path.mkdir(exist_ok=True)
    if len(dump.files) == 1 and kind_of(dump.files[0]) == ".parquet" and is_samples(dump.files[0]):
        _copy(run, dump.files[0])
        return
    columns = ["step", "prompt_id", "answer", "is_correct", "outcome", "reward"]
    rows = pa.concat_tables([read_batch(path, columns) for _, path in run.rollout_files()]).to_pandas()
    rows = rows[rows["reward"].notna()]
    schema = samples_schema()
    for step, samples in rows.groupby("step"):
        found = {
            "benchmark": [dump.name] * len(samples),
            "group": [dump.path.name] * len(samples),
            "problem_id": samples["prompt_id"],
            "sample": samples.groupby("prompt_id").cumcount(),
            "completion": [""] * len(samples),
            "answer": samples["answer"],
            "is_correct": samples["is_correct"],
            "outcome": samples["outcome"],
        }
        nothing = [None] * len(samples)
        arrays = [pa.array(found.get(each.name, nothing), each.type, from_pandas=True) for each in schema]
        write_samples(_file(run, int(step)), pa.table(arrays, schema=schema))


def _copy(run: RunFolder, samples: Path) -> None:
    """Copy a file of samples; with the answers that were found in the completions, if the file has none."""
    import pyarrow as pa

    try:
        table = read_samples(samples)
    except SamplesFileError:  # who reads the copy names what is wrong
        table = None
    found = [read_batch(path, ["answer"])["answer"] for _, path in run.rollout_files()]
    if table is None or table["answer"].null_count < len(table) or sum(map(len, found)) != len(table):
        shutil.copyfile(samples, _file(run, 0))
        return
    answers = pa.chunked_array([chunk for column in found for chunk in column.chunks], pa.string())
    write_samples(_file(run, 0), table.set_column(table.schema.get_field_index("answer"), "answer", answers))


def _file(run: RunFolder, step: int) -> Path:
    return run.evaluation_path / f"step-{step:06d}.parquet"


def with_evaluations(runs: Sequence[RunFolder]) -> list[RunFolder]:
    """The runs. An evaluation becomes part of the training in the same folder, if there is exactly one."""
    sources = {run: run.source for run in runs}
    kept = []
    for run, source in sources.items():
        trainings = [
            other
            for other, about in sources.items()
            if source
            and about
            and not about["is_evaluation"]
            and Path(about["path"]).parent == Path(source["path"]).parent
        ]
        if source is None or not source["is_evaluation"] or len(trainings) != 1 or not run.evaluations():
            kept.append(run)
            continue
        _move(run, trainings[0])
    return kept


def without_evaluations(sources: Sequence[Path | Dump]) -> tuple[list[Path | Dump], list[str]]:
    """The training alone, if all other sources are evaluations in the same folder, and notes that name them.

    Else all sources, and no note.
    """
    dumps = [source for source in sources if isinstance(source, Dump)]
    formats = {dump: _format_of(dump) for dump in dumps} if len(dumps) == len(sources) > 1 else {}
    trainings = [dump for dump, found in formats.items() if found is None or not found.is_evaluation]
    others = [dump for dump in dumps if dump not in trainings]
    if len(trainings) != 1 or any(dump.path.parent != trainings[0].path.parent for dump in others):
        return list(sources), []
    return [*trainings], [
        f"{dump.name}/: {found.name}. It is left out here; meds report {dump.path.parent} shows both."
        for dump, found in formats.items()
        if found is not None and dump in others
    ]


def _format_of(dump: Dump) -> Format | None:
    """The format of the first of its files whose columns are known; None if there is none."""
    sizes = [(path, path.stat().st_size) for path in dump.files[:MOST_LOOKED_AT] if path.is_file()]
    return next(filter(None, itertools.starmap(_recognised, sizes)), None)


@lru_cache(maxsize=256)
def _recognised(path: Path, _size: int) -> Format | None:  # a file that is still written has another size later
    block = next((block for block in read_blocks(path, Damage()) if block.num_rows), None)
    return None if block is None else recognise(block.names)


def _move(evaluation: RunFolder, run: RunFolder) -> None:
    run.evaluation_path.mkdir(exist_ok=True)
    for step, path in evaluation.evaluations():
        path.replace(_file(run, step))
    source, more = run.source or {}, evaluation.source or {}
    where = f"Its figures are under Evaluations; its errors are in a report of {more['path']}."
    source["notes"] = [*source["notes"], *more["notes"][:1], where]
    source["golds"] = {**more["golds"], **source["golds"]}
    write_atomically(run.path / SOURCE_FILE, json.dumps(source).encode())
