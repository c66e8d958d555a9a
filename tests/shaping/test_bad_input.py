"""What is refused, before anything is computed: the memory is as it was after every one of these."""

import re
from typing import Any

import numpy as np
import pytest

from meds_rl import ErrorMemory, RewardShaper

GOOD: dict[str, Any] = {
    "rewards": [0.0, 0.0, 1.0],
    "prompt_ids": ["x", "x", "x"],
    "features": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]],
    "is_correct": [False, False, True],
}
NAN, INF = np.nan, np.inf

BATCHES: list[tuple[str, Any, type[Exception], str]] = [
    ("rewards", [0.0, NAN, 1.0], ValueError, "rewards must be finite, got nan in row 1"),
    ("rewards", [0.0, INF, 1.0], ValueError, "rewards must be finite, got inf in row 1"),
    ("rewards", [[0.0, 0.0, 1.0]], ValueError, "rewards must have shape (B,), got (1, 3)"),
    ("rewards", 1.0, ValueError, "rewards must have shape (B,), got ()"),
    ("rewards", ["a", "b", "c"], TypeError, "rewards must be numbers, got dtype <U1"),
    ("rewards", [0.0, None, 1.0], TypeError, "rewards must be numbers, got dtype object"),
    ("rewards", [True, False, True], TypeError, "rewards must be numbers, got dtype bool"),
    ("rewards", [0.0, 1.0], ValueError, "prompt_ids must have one row per reward, 2, got 3"),
    ("rewards", [0.0, -1e101, 1.0], ValueError, "rewards must be from -1e+100 to 1e+100, got -1e+101 in row 1"),
    ("rewards", [0.0, 10**400, 1.0], TypeError, "rewards must be numbers, got dtype object"),
    ("features", [[1.0, 0.0], [0.0, 10**400], [1, 1]], TypeError, "must be floating-point numbers, got dtype object"),
    ("prompt_ids", [10**400] * 3, ValueError, "a prompt id must have at most 1024 bits, got an integer of 1329 bits"),
    ("progress", 10**400, ValueError, "to 1; got an integer of 1329 bits"),
    ("prompt_ids", ["x", "x"], ValueError, "prompt_ids must have one row per reward, 3, got 2"),
    ("prompt_ids", "xxx", TypeError, "prompt_ids must be a sequence of ids, got one string: 'xxx'"),
    ("prompt_ids", ["x", None, "x"], TypeError, "must be a str or an int, got None (NoneType)"),
    ("prompt_ids", ["x", 1.0, "x"], TypeError, "must be a str or an int, got 1.0 (float)"),
    ("prompt_ids", ["x", True, "x"], TypeError, "must be a str or an int, got True (bool)"),
    ("prompt_ids", ["x", b"x", "x"], TypeError, "must be a str or an int, got b'x' (bytes)"),
    ("prompt_ids", [("x",)] * 3, TypeError, "must be a str or an int, got ('x',) (tuple)"),
    ("prompt_ids", np.zeros(3), TypeError, "(float64)"),
    ("features", [[1.0, 0.0]], ValueError, "features must have one row per reward, 3, got 1"),
    ("features", [1.0, 0.0, 1.0], ValueError, "features must have shape (B, D), got (3,)"),
    ("features", np.ones((3, 2, 1)), ValueError, "features must have shape (B, D), got (3, 2, 1)"),
    ("features", np.ones((3, 0)), ValueError, "features must have at least one column, got shape (3, 0)"),
    ("features", [[1.0, 0.0], [0.0, INF], [1, 1]], ValueError, "got infinity in row 1"),
    ("features", [[1.0, 0.0], [0.0, 1e39], [1, 1]], ValueError, "got infinity in row 1"),
    ("features", [[1.0, 0.0], [NAN, -INF], [1, 1]], ValueError, "got infinity in row 1"),
    ("features", [[1.0, 0.0], [0.0, 1.0], [1, NAN]], ValueError, "got 1 NaN of 2 in row 2"),
    ("features", [["a", "b"]] * 3, TypeError, "features must be floating-point numbers, got dtype <U1"),
    ("features", [[1j, 0]] * 3, TypeError, "features must be floating-point numbers, got dtype complex128"),
    ("features", [[True, False]] * 3, TypeError, "features must be floating-point numbers, got dtype bool"),
    ("features", [[None, None]] * 3, TypeError, "features must be floating-point numbers, got dtype object"),
    ("features", [[1.0], [1.0, 2.0], [3.0]], ValueError, "inhomogeneous"),
    ("features", np.ones((3, 5)), ValueError, "must have 2 columns, as wide as those in memory, got 5"),
    ("features", np.full((3, 5), NAN), ValueError, "must have 2 columns, as wide as those in memory, got 5"),
    ("is_correct", [False, True], ValueError, "is_correct must have one row per reward, 3, got 2"),
    ("is_correct", [0, 0, 1], TypeError, "is_correct must be bool, got dtype int64"),
    ("is_correct", [0.0, 0.0, 1.0], TypeError, "is_correct must be bool, got dtype float64"),
    ("is_correct", [[False, False, True]], ValueError, "is_correct must have shape (B,), got (1, 3)"),
    ("is_correct", None, ValueError, "is_correct must have shape (B,), got ()"),
    ("progress", 1.5, ValueError, "progress must be the share of training that is done, 0 to 1; got 1.5"),
    ("progress", NAN, ValueError, "progress must be the share of training"),
    ("progress", True, ValueError, "progress must be the share of training"),
]

OPTIONS: list[tuple[str, Any, type[Exception], str]] = [
    ("alpha", -0.1, ValueError, "alpha must be finite and 0 or more, got -0.1"),
    ("alpha", NAN, ValueError, "alpha must be finite and 0 or more, got nan"),
    ("beta", INF, ValueError, "beta must be finite and 0 or more, got inf"),
    ("beta", "0.2", TypeError, "beta must be a number, got '0.2'"),
    ("beta", True, TypeError, "beta must be a number, got True"),
    ("alpha", 10**400, ValueError, "alpha must be finite and 0 or more, got an integer of 1329 bits"),
    ("alpha", -(10**500), ValueError, "alpha must be finite and 0 or more, got an integer of 1661 bits"),
    ("beta", 1e101, ValueError, "beta must be at most 1e+100, got 1e+101"),
    ("anneal", (0, 10**400), ValueError, "two shares of training in order"),
    ("n_neighbors", -(10**500), ValueError, "n_neighbors must be 1 or more, got an integer of 1661 bits"),
    ("target", "all", ValueError, "target must be one of 'wrong', 'right', 'both', got 'all'"),
    ("noise", "count", ValueError, "noise must be one of 'cluster', 'free', got 'count'"),
    (
        "all_wrong",
        "centre",
        ValueError,
        "all_wrong must be one of 'skip', 'center', 'shape', got 'centre'",
    ),
    ("penalty", 0.1, TypeError, "penalty must be a function of cluster sizes and group sizes, got 0.1"),
    (
        "anneal",
        0.5,
        ValueError,
        "anneal must be None or two shares of training, such as [0.333, 0.666]; got 0.5",
    ),
    ("anneal", "ab", ValueError, "two shares of training"),
    ("anneal", [True, 1], ValueError, "two shares of training"),
    ("anneal", [0.7, 0.3], ValueError, "in order, 0 <= from <= until <= 1; got [0.7, 0.3]"),
    ("anneal", [0.5, NAN], ValueError, "in order"),
    ("no_answer", None, ValueError, "no_answer must be one of 'cluster', 'free', got None"),
    ("n_neighbors", 0, ValueError, "n_neighbors must be 1 or more, got 0"),
    ("n_neighbors", 3.0, TypeError, "n_neighbors must be an integer, got 3.0"),
    ("memory", {}, TypeError, "memory must be an ErrorMemory, got dict"),
]


@pytest.mark.parametrize(("name", "value", "error", "message"), BATCHES)
def test_a_bad_batch_leaves_the_memory_as_it_was(tmp_path, name, value, error, message):
    shaper = RewardShaper()
    shaper.shape(**GOOD)
    shaper.memory.save(tmp_path / "before")
    with pytest.raises(error, match=re.escape(message)):
        shaper.shape(**(GOOD | {name: value}))
    shaper.memory.save(tmp_path / "after")
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()


def test_an_error_while_clustering_leaves_the_memory_as_it_was(tmp_path):
    def clustering(vectors):
        if len(vectors) > 2:
            raise RuntimeError("no convergence")
        return np.zeros(len(vectors), dtype=np.int64)

    shaper = RewardShaper(memory=ErrorMemory(clustering))
    shaper.shape(**GOOD)
    shaper.memory.save(tmp_path / "before")
    both = {name: value * 2 for name, value in GOOD.items()} | {"prompt_ids": ["a"] * 3 + ["x"] * 3}
    with pytest.raises(RuntimeError, match="no convergence"):
        shaper.shape(**both)  # "a", clustered first, works
    shaper.memory.save(tmp_path / "after")
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()


@pytest.mark.parametrize(("name", "value", "error", "message"), OPTIONS)
def test_bad_options_are_refused_when_the_shaper_is_made(name, value, error, message):
    with pytest.raises(error, match=re.escape(message)):
        RewardShaper(**{name: value})


def test_an_empty_batch_is_of_any_type():
    for kind in (float, complex, str, object):
        nothing = np.zeros(0, dtype=kind)
        shaped = RewardShaper().shape(nothing, prompt_ids=[], features=nothing.reshape(0, 2), is_correct=nothing)
        assert (len(shaped), shaped.rewards.dtype) == (0, np.float64)


def test_the_largest_numbers_give_finite_rewards():
    shaper = RewardShaper(alpha=1e100, beta=1e100, target="both")
    for _ in range(3):  # the right one has two like it then: 1e100 ln 3 is more than beta
        shaped = shaper.shape(**(GOOD | {"rewards": [-1e100, 1e100, -1e100]}))
    assert shaped.penalties.tolist() == [1e100] * 3
    assert np.isfinite(shaped.rewards).all()


def test_bad_input_of_scored_rows():
    with pytest.raises(ValueError, match="is_correct must have one row"):
        RewardShaper().scored_rows(prompt_ids=["x"], is_correct=[True, False])
    with pytest.raises(TypeError, match="one string"):
        RewardShaper().scored_rows(prompt_ids="x", is_correct=[True])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_any_real_dtype_of_features_is_taken(dtype):
    shaper = RewardShaper()
    shaper.shape(**(GOOD | {"features": np.array(GOOD["features"], dtype=dtype)}))
    entry = shaper.memory.entry("x")
    assert entry is not None
    assert sorted(entry.vectors.tolist()) == [[0.0, 1.0], [1.0, 0.0]]
