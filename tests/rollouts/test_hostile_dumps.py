"""Rows with the keys of a known format and any values: read, or refused with one sentence."""

import json
import lzma
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meds_rl.rollouts import ROLLOUT_COLUMNS, RunFolderError, read
from meds_rl.rollouts.formats import FORMATS
from meds_rl.rollouts.samples import SamplesFileError, read_samples, samples_table, write_samples
from meds_rl.rollouts.table import read_batch

# Keys that the readers look for inside of values, so that they get there.
INNER = ["role", "content", "tool_calls", "function", "name", "arguments", "type", "text", "gen_args_0", "arg_0"]
INNER += ["nodes", "message", "sampled", "parent", "rewards", "score", "weight", "run", "work", "step", "id", "query"]
LEAVES = [
    st.none(),
    st.booleans(),
    st.integers(-3, 2**70),
    st.floats(),
    st.sampled_from(["", "x", "[{", "\ud800", "acc"]),
]
VALUES = st.recursive(
    st.one_of(LEAVES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER), inner, max_size=4),
    max_leaves=12,
)
MORE = ["acc", "pred", "uid", "group", "run", "metrics", "group_id", "my_reward", "example", "advantage", "step"]


@pytest.mark.long
@pytest.mark.parametrize("keys", [*(each.keys for each in FORMATS), ("prompt", "completion", "reward")])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_values_are_read_or_refused(keys, data):
    row = st.fixed_dictionaries(dict.fromkeys(keys, VALUES), optional={key: VALUES for key in MORE if key not in keys})
    rows = data.draw(st.lists(row, min_size=1, max_size=4))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        try:
            table = read(path)
        except RunFolderError as error:
            assert "\n" not in str(error)  # noqa: PT017 - one sentence
        else:
            assert list(table.columns) == list(ROLLOUT_COLUMNS)
            assert len(table) > 0


ROW = {"prompt": "p", "completion": "c" * 1_000_000, "reward": 0}


@pytest.mark.parametrize("suffix", [".jsonl.xz", ".csv.xz", ".json.xz", ".parquet"])
def test_a_file_that_unpacks_to_a_thousand_times_its_size_is_read_to_there(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    line = json.dumps(ROW).encode() + b"\n"
    texts = {".jsonl.xz": line * 60, ".csv.xz": b"prompt,completion,reward\n" + b"p,%b,0\n" % (b"c" * 1_000_000) * 60}
    texts[".json.xz"] = b"[" + b",".join([line] * 60) + b"]"
    if suffix == ".parquet":
        pq.write_table(pa.table({"prompt": ["p"] * 60, "completion": ["c" * 1_000_000] * 60, "reward": [0] * 60}), path)
    else:
        path.write_bytes(lzma.compress(texts[suffix]))
    assert path.stat().st_size < 60_000
    try:
        table = read(path)
    except RunFolderError as error:
        assert "unpacks to more than 1,000 times its size" in str(error)  # noqa: PT017 - read as a whole
    else:
        assert 0 < len(table) < 60
        assert any("unpacks to more than 1,000 times its size" in note for note in table.attrs["source"])


def test_rollouts_that_unpack_to_a_thousand_times_their_size_are_damaged(tmp_path):
    rows = 2000
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * rows), pa.array(["x" * 10_000]))
    text_columns = [name for name, (kind, _) in ROLLOUT_COLUMNS.items() if kind == "string"]
    numbers = pa.array([0] * rows)
    pq.write_table(
        pa.table({name: texts if name in text_columns else numbers for name in ROLLOUT_COLUMNS}), tmp_path / "a.parquet"
    )
    with pytest.raises(
        RunFolderError, match="cannot be read as rollouts: it unpacks to more than 1,000 times its size"
    ):
        read_batch(tmp_path / "a.parquet")


def test_columns_that_come_twice_are_damage(tmp_path):
    rows = {name: pa.nulls(2) for name in ROLLOUT_COLUMNS}
    pq.write_table(pa.table(rows).append_column("reward", pa.nulls(2)), tmp_path / "a.parquet")
    with pytest.raises(RunFolderError, match=r"a\.parquet has the column 'reward' twice"):
        read_batch(tmp_path / "a.parquet")
    samples = samples_table([{"problem_id": "p", "sample": 0, "completion": "c", "is_correct": True}])
    write_samples(tmp_path / "b.parquet", samples)
    table = pq.read_table(tmp_path / "b.parquet")
    pq.write_table(table.append_column("answer", table.column("answer")), tmp_path / "b.parquet")
    with pytest.raises(SamplesFileError, match=r"b\.parquet has the column 'answer' twice"):
        read_samples(tmp_path / "b.parquet")
