"""Damaged files of rollouts: named, whatever is wrong with them."""

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meds_rl.rollouts import RunFolder, RunFolderError
from meds_rl.rollouts.table import read_batch

from .test_folder import columns


@pytest.fixture
def path(tmp_path):
    run = RunFolder(tmp_path)
    run.write_rollouts(0, columns(2))
    (_, found), *_ = run.rollout_files()
    return found


def with_column(path, name, values):
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, values), path)


def no_utf8():
    return pa.array([b"x", b"\xff"], pa.binary()).view(pa.string())


DAMAGES = {
    "cannot be read as rollouts": [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_bytes(b"PAR1" + b"\0" * 100 + b"PAR1"),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: with_column(path, "reward", pa.array(["a", "b"])),
        lambda path: with_column(path, "answer", no_utf8()),
    ],
    "has no column answer, penalty": [
        lambda path: pq.write_table(pq.read_table(path).drop_columns(["answer", "penalty"]), path)
    ],
    "has nulls in the column generation": [
        lambda path: with_column(path, "generation", pa.array([0, None], pa.int64()))
    ],
    "has a step that is not possible: -1 to 5": [lambda path: with_column(path, "step", pa.array([5, -1], pa.int64()))],
}


@pytest.mark.parametrize(("words", "damage"), [(words, each) for words, all_ in DAMAGES.items() for each in all_])
def test_damage_is_told_with_the_name_of_the_file(path, words, damage):
    damage(path)
    with pytest.raises(RunFolderError, match=re.escape(f"{path} {words}")):
        read_batch(path)
    with pytest.raises(RunFolderError, match=re.escape(str(path))):
        RunFolder(path.parent.parent).rollouts()


def test_some_columns_of_a_file_that_lacks_others(path):
    pq.write_table(pq.read_table(path).drop_columns(["completion"]), path)
    assert read_batch(path, ["step", "answer"]).column_names == ["step", "answer"]


def test_a_batch_without_rows(path):
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    assert len(read_batch(path)) == 0
