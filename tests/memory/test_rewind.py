"""A memory goes back to an earlier batch, as if the later ones had never been."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meds_rl import ErrorMemory
from meds_rl.memory import Visit, equal_vectors

VECTORS = st.sampled_from([(1, 0, 0), (1, 0.1, 0), (0, 1, 0), (0, 1, 0.1), (0, 0, 1), None])
KEYS = st.tuples(st.sampled_from(["x", "y", 1]), st.booleans())
BATCHES = st.lists(st.dictionaries(KEYS, st.lists(VECTORS, min_size=1, max_size=5), max_size=4), max_size=5)


def features(rows) -> np.ndarray:
    return np.array([(np.nan,) * 3 if row is None else row for row in rows], dtype=np.float32)


def remember(memory: ErrorMemory, batch) -> None:
    memory.remember_batch([Visit(prompt, features(rows), right) for (prompt, right), rows in batch.items()])


@pytest.mark.parametrize(
    "options", [{}, {"clustering": equal_vectors}, {"half_life": 2.0}], ids=["hdbscan", "equal", "half-life"]
)
@given(batches=BATCHES, data=st.data())
@settings(max_examples=40, deadline=None)
def test_it_equals_the_memory_that_never_went_further(tmp_path_factory, options, batches, data):
    step = data.draw(st.integers(0, len(batches)))
    memory, shorter = ErrorMemory(**options), ErrorMemory(**options)
    for number, batch in enumerate(batches):
        remember(memory, batch)
        if number < step:
            remember(shorter, batch)
    memory.rewind(step)
    folder = tmp_path_factory.mktemp("rewind")
    memory.save(folder / "rewound")
    shorter.save(folder / "shorter")
    assert (folder / "rewound").read_bytes() == (folder / "shorter").read_bytes()


def test_only_to_a_batch_that_was():
    memory = ErrorMemory()
    memory.remember("x", [[1.0, 0.0]])
    for step in (-1, 2):
        with pytest.raises(ValueError, match="step must be 0 to 1"):
            memory.rewind(step)


def test_what_the_capacity_dropped_stays_dropped():
    memory = ErrorMemory(capacity=2)
    for angle in range(3):
        memory.remember("x", [[1.0, float(angle)]])
    memory.rewind(2)
    entry = memory.entry("x")
    assert (memory.step, entry.vectors.tolist()) == (2, [[1.0, 1.0]])
