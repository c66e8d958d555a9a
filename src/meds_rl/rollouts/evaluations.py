"""Another program's evaluations as those of a run: one file of samples for each step, without texts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from meds_rl.files import write_atomically
from meds_rl.rollouts.blocks import kind_of
from meds_rl.rollouts.dumps import Dump
from meds_rl.rollouts.folder import SOURCE_FILE, RunFolder
from meds_rl.rollouts.samples import SamplesFileError, is_samples, read_samples, samples_schema, write_samples
from meds_rl.rollouts.table import read_batch


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


def _move(evaluation: RunFolder, run: RunFolder) -> None:
    run.evaluation_path.mkdir(exist_ok=True)
    for step, path in evaluation.evaluations():
        path.replace(_file(run, step))
    source, more = run.source or {}, evaluation.source or {}
    where = f"Its figures are under Evaluations; its errors are in a report of {more['path']}."
    source["notes"] = [*source["notes"], *more["notes"][:1], where]
    source["golds"] = {**more["golds"], **source["golds"]}
    write_atomically(run.path / SOURCE_FILE, json.dumps(source).encode())
