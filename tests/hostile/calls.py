"""Strategies for calls of `RewardShaper.shape`: honest arguments, and in the place of some of them odd ones."""

import fractions
import functools
import math
import random
from typing import Any

import numpy as np
from hypothesis import strategies as st

from meds_rl import ErrorMemory
from meds_rl.memory import HDBSCANClustering, IncrementalClustering, equal_vectors
from meds_rl.memory.clustering import Refit

D = 3
ODD_FLOATS = (math.nan, math.inf, -math.inf, -0.0, 1e-320, 1e-45, 1e19, 3.4e38, 1e39, 1e100, 1e101, 1e154, 1e308)
ODD_NUMBERS = (*ODD_FLOATS, 0, 1, -1, True, 10**400, -(10**5000), 2**63, np.float16(2.5), np.longdouble(1) / 3)
ODD_VALUES = (*ODD_NUMBERS, None, "", "wrong", b"x", (), [], {}, {1, 2}, object, 1j, fractions.Fraction(1, 3))
GOOD_IDS = ("x", "y", "x", 1, "1", 2**70, -1, "\ud800", "\x1b[2J", "", "x" * 3000, np.int64(1), np.str_("y"), 2**1023)
ODD_IDS = (
    True,
    None,
    b"x",
    ("x",),
    1.0,
    math.nan,
    10**400,
    -(10**5000),
    np.bool_(True),
    object(),
    ["x"],
    np.float64(1),
)


class Boom(Exception):  # noqa: N818
    """Raised by a part that a user passes."""


class Refuses:
    """No array."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise Boom

    def __len__(self) -> int:
        return 4


# ---- The arrays of a batch of B rows.


def odd_features(rng: np.random.Generator, rows: int, folder: str) -> list[Any]:
    """Features of every kind; some of them are as good as any others."""
    good = rng.normal(size=(rows, D))
    spoiled = good.copy()
    if rows:
        spoiled.reshape(-1)[rng.integers(spoiled.size, size=2)] = rng.choice(ODD_FLOATS)
    lists = good.tolist()
    found: list[Any] = [np.full((rows, D), value) for value in rng.choice(ODD_FLOATS, size=2)]
    with np.errstate(all="ignore"):
        kinds = ("f2", ">f4", "g", "i1", ">i8", "u8", "c16", "?", "O", "U", "S", "M8[s]", "m8[s]", "V8")
        found += [np.round(good * 3).astype(np.int64).astype(kind) for kind in kinds[:-1]]
    if rows:
        mapped = np.memmap(f"{folder}/features", dtype=np.float32, mode="w+", shape=good.shape)
        mapped[:] = good
        found += [mapped, [[10**400] * D] * rows, [*lists[:-1], [1.0]], [*lists[:-1], [None] * D]]
        found += [[*lists[:-1], "abc"], good[None], good.T, good * 1e30, good * 1e-42]
    read_only = good.copy()
    read_only.setflags(write=False)
    return [
        *found, spoiled, spoiled, spoiled, read_only, good[0:0],
        np.repeat(good, 2, axis=1)[:, ::2], np.asfortranarray(good),
        good[::-1], np.broadcast_to(np.float32(2), good.shape), good * 0, good[:, :0], good[:, :2], good[:-1],
        np.concatenate([good, good]), good.ravel(), np.ma.masked_array(good),
        lists, [], [[]] * rows, "abc", None, 3.0, {}, iter(lists), (row for row in lists), Refuses(), object(),
        np.zeros(rows, dtype=[("a", "f4")]), [np.float32(1)] * rows, np.rec.array([(1.0, 2.0, 3.0)] * max(rows, 1)),
    ]  # fmt: skip


def odd_rewards(rng: np.random.Generator, rows: int) -> list[Any]:
    """Rewards of every kind."""
    good = rng.normal(size=rows)
    found = [good.astype(kind) for kind in ("f2", "f4", ">f8", "g", "i4", "?", "O", "c8", "U", "M8[s]")]
    return [
        *found, good.tolist(), (good * 1e50).tolist(), good * 1e99, [*good[:-1], rng.choice(ODD_FLOATS)], good[:, None],
        good[:-1], [10**400] * rows, [2**63] * rows, [None] * rows, 1.0, None, "x", iter(good), Refuses(),
        [-(10**5000)],
    ]  # fmt: skip


def odd_bools(rng: np.random.Generator, rows: int) -> list[Any]:
    """For `is_correct`."""
    good = rng.random(rows) < 0.5
    found = [good.astype(kind) for kind in ("i4", "f4", "O", "U")]
    return [
        *found,
        good,
        good.tolist(),
        good[:-1],
        good[:, None],
        ~good & good,
        good | True,
        None,
        True,
        "x",
        {},
        iter(good),
    ]


@st.composite
def ids(draw: Any, rows: int) -> Any:
    """For `prompt_ids` and `group_ids`: most are ids, and of the right number."""
    kind = draw(st.sampled_from(("good",) * 6 + ("odd", "array", "short", "text", "none", "iterator")))
    names = draw(st.lists(st.sampled_from(GOOD_IDS), min_size=rows, max_size=rows))
    if kind == "odd" and rows:
        names[draw(st.integers(0, rows - 1))] = draw(st.sampled_from(ODD_IDS))
    if kind == "array":
        return np.array(draw(st.sampled_from(([1] * rows, ["x"] * rows, [1.0] * rows, [True] * rows, [[1]] * rows))))
    return {"short": names[:-1], "text": "x" * rows, "none": None, "iterator": iter(names)}.get(kind, names)


# ---- The parts that a user passes.


def _raises(*_: Any) -> Any:
    raise Boom


def _writes(values: Any, *_: Any) -> Any:
    values[:] = 0
    return np.zeros(len(values), dtype=np.int64)


def clusterings(memory_of: list[ErrorMemory]) -> list[Any]:
    """Good ones and odd ones; those that are called back use the memory in `memory_of`."""

    def remembers(points: Any) -> Any:
        memory_of[0].remember("x", [[1.0] * D])
        return np.zeros(len(points), dtype=np.int64)

    def looks_up(points: Any) -> Any:
        memory_of[0].assign("x", [[1.0] * D])
        return np.arange(len(points)) % 2

    return [
        HDBSCANClustering(), HDBSCANClustering(3, "leaf"), HDBSCANClustering(2, "eom", 0.25), equal_vectors, looks_up,
        remembers, _raises, _writes, lambda p: np.full(len(p), -1), lambda p: np.zeros(len(p), "u1"),
        lambda p: np.full(len(p), 2**64 - 1, "u8"), lambda p: np.full(len(p), 2**63 - 1), lambda p: [0] * len(p),
        lambda p: np.zeros(len(p)), lambda p: [math.nan] * len(p), lambda p: np.full(len(p), -2), lambda _: None,
        lambda _: [0], lambda p: np.zeros((len(p), 1), int), lambda p: ["a"] * len(p), iter, len,
        lambda p: [10**400] * len(p), lambda p: [True] * len(p), *map(OddTree, range(5)),
    ]  # fmt: skip


class OddTree(IncrementalClustering):
    """Returns no tree, or one with a cycle."""

    def __init__(self, kind: int) -> None:
        self.kind = kind

    def refit(self, points: Any, tree: Any, sources: Any) -> Any:
        """See `IncrementalClustering`."""
        n = len(points)
        labels, own = np.zeros(n, dtype=np.int64), np.arange(n, dtype=np.int32)
        trees = (own, own - 1, own[::-1].astype(np.int64), (own + 1) % max(n, 1))
        return None if self.kind == 4 else Refit(labels, trees[self.kind])


def penalties(shaper_of: list[Any]) -> list[Any]:
    """None, good ones and odd ones; those that change the memory use the shaper in `shaper_of`."""

    def remembers(sizes: Any, _: Any) -> Any:
        shaper_of[0].memory.remember("x", [[1.0] * D])
        return sizes * 0.1

    def shapes(sizes: Any, _: Any) -> Any:
        shaper, function = shaper_of[0], shaper_of[0].penalty
        shaper.penalty = None
        try:
            shaper.shape([0, 1], prompt_ids=["x"] * 2, features=np.eye(2, D), is_correct=[False, True], progress=0.5)
        finally:
            shaper.penalty = function
        return sizes * 0.1

    of_sizes = [
        lambda s: s, lambda s: s > 1, lambda s: s.tolist(), lambda s: s[:-1], lambda s: s[:, None], lambda s: s - 1,
        lambda s: s * math.nan, lambda s: s + 1e100, lambda s: s + 1e300, lambda s: [math.inf] * len(s), iter, len,
        lambda s: [10**400] * len(s), lambda s: ["1"] * len(s), lambda s: s * 1j, lambda _: None, lambda _: Refuses(),
        lambda s: [None] * len(s), lambda s: s.astype("M8[s]"),
    ]  # fmt: skip
    odd = [functools.partial(_of_sizes, function) for function in of_sizes]
    return [None, None, None, None, remembers, shapes, _raises, _writes, lambda s, g: s / g, 3, *odd]


def _of_sizes(function: Any, sizes: Any, _group_sizes: Any) -> Any:
    return function(sizes)


# ---- Options.

SHAPER_OPTIONS: dict[str, tuple[Any, ...]] = {
    "alpha": (0.1, 0, 1.0, 10, 1e-300, 1e100),
    "beta": (0.2, 0, 1e-320, 5, 1e100),
    "target": ("wrong", "both", "both", "right"),
    "noise": ("cluster", "free"),
    "all_wrong": ("skip", "center", "shape", "shape"),
    "no_answer": ("cluster", "free"),
    "n_neighbors": (3, 1, 10**400, np.int8(2)),
    "max_distance": (None, 0, 0.25, 2, np.float32(1.5)),
    "anneal": (None, None, (0.2, 0.7), [0, 1], (1, 1), (0.5, 0.5)),
}
MEMORY_OPTIONS: dict[str, tuple[Any, ...]] = {
    "capacity": (None, None, 1, 3, 10**400),
    "half_life": (None, None, 2.5, 1e-320, 1e100),
    "num_threads": (None, 1, 3, 10**400),
}


def options(rng: random.Random, allowed: dict[str, tuple[Any, ...]], odd: bool) -> dict[str, Any]:
    """Good values for some of the options and, if `odd`, any value for one."""
    chosen = {name: rng.choice(values) for name, values in allowed.items() if rng.random() < 0.5}
    if odd:
        chosen[rng.choice(list(allowed))] = rng.choice(ODD_VALUES)
    return chosen
