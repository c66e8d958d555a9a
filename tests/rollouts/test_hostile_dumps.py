"""Rows with the keys of a known format and any values: read, or refused with one sentence."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meds_rl.rollouts import ROLLOUT_COLUMNS, RunFolderError, read
from meds_rl.rollouts.formats import FORMATS

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
