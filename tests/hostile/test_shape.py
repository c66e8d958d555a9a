"""Hostile calls of the shaper and of the penalty for loops: refused without a change, or right."""

import atexit
import collections
import functools
import random
import shutil
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from meds_rl import ErrorMemory, RepeatedErrorPenalty, RewardShaper
from meds_rl.labels import NO_ANSWER, NOT_SCORED
from meds_rl.memory.entry import MemoryState

from ..memory.reference import ReferenceShaper
from . import calls
from .calls import MEMORY_OPTIONS, ODD_VALUES, SHAPER_OPTIONS, Boom, D

pytestmark = pytest.mark.hostile

PER_TRIAL = 100
PARTS = ["rewards", "features", "ids", "is_correct", "groups", "progress", "options", "memory", "clustering", "penalty"]
"""What is odd in a call."""
RAM = "/dev/shm" if Path("/dev/shm").is_dir() else None
KINDS: collections.Counter[str] = collections.Counter()
"""What has become of the calls of this process: for who changes the strategies."""


@functools.cache
def _folder() -> str:
    folder = tempfile.mkdtemp(dir=RAM)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def _before() -> tuple[Path, ReferenceShaper, MemoryState]:
    """A memory's file, the reference that has seen the same batches, and the memory's state."""
    rng, reference, shaper = np.random.default_rng(0), *_both(target="both", all_wrong="shape")
    for _ in range(3):
        batch = _good_batch(rng, 12)
        reference.shape(batch["rewards"], batch["prompt_ids"], batch["features"], batch["is_correct"])
        shaper.shape(**batch)
    path = Path(_folder()) / "before"
    shaper.memory.save(path)
    return path, reference, shaper.memory._state


def _both(**options: Any) -> tuple[ReferenceShaper, RewardShaper]:
    return ReferenceShaper(**options), RewardShaper(**options)


def _good_batch(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    features = rng.normal(size=(rows, D)).astype(np.float32)
    features[rng.random(rows) < 0.2] = np.nan
    names = [("x", "y", 1)[number] for number in rng.integers(3, size=rows)]
    return {
        "rewards": rng.normal(size=rows),
        "prompt_ids": names,
        "features": features,
        "is_correct": rng.random(rows) < 0.4,
    }


# ---- One call.


@st.composite
def hostile_calls(draw: Any) -> dict[str, Any]:
    number = draw(st.integers(0, 2**32))
    rng, choices = np.random.default_rng(number), random.Random(number)
    rows = draw(st.sampled_from((0, 1, 2, 4, 4, 8, 8)))
    odd = draw(st.sets(st.sampled_from(PARTS), max_size=3))
    batch = _good_batch(rng, rows) | {"progress": choices.choice((0, 0.5, 1, np.float32(0.25)))}
    makers = {
        "rewards": lambda: calls.odd_rewards(rng, rows),
        "features": lambda: calls.odd_features(rng, rows, _folder()),
        "is_correct": lambda: calls.odd_bools(rng, rows),
        "progress": lambda: ODD_VALUES,
    }
    for name in sorted(odd & set(makers)):
        values = makers[name]()
        batch[name] = choices.choice(values)
    if "groups" in odd:
        names = [f"{choices.randrange(2)} of {one}" for one in batch["prompt_ids"]]
        batch["group_ids"] = draw(st.one_of(calls.ids(rows), st.just(names)))
    if "ids" in odd:
        batch["prompt_ids"] = draw(calls.ids(rows))
    return {
        "batch": batch,
        "odd": odd,
        "options": calls.options(choices, SHAPER_OPTIONS, "options" in odd),
        "memory": calls.options(choices, MEMORY_OPTIONS, "memory" in odd),
        "clustering": draw(st.integers(0, 100)) if "clustering" in odd else 0,
        "penalty": draw(st.integers(0, 100)) if "penalty" in odd else 0,
    }


def _made(call: dict[str, Any]) -> RewardShaper:
    """The shaper; TypeError or ValueError if it is refused."""
    memory_of: list[ErrorMemory] = []
    shaper_of: list[RewardShaper] = []
    clusterings, penalties = calls.clusterings(memory_of), calls.penalties(shaper_of)
    memory = ErrorMemory(clusterings[call["clustering"] % len(clusterings)], **call["memory"])
    memory_of.append(memory)
    memory._state = _before()[2]  # as `restore`, and faster
    shaper_of.append(
        RewardShaper(memory=memory, penalty=penalties[call["penalty"] % len(penalties)], **call["options"])
    )
    return shaper_of[0]


def _check_call(call: dict[str, Any]) -> str:
    try:
        shaper = _made(call)
    except (TypeError, ValueError) as error:
        return f"option refused: {type(error).__name__}"
    memory = shaper.memory
    calls_back = getattr(shaper.penalty, "__name__", "") in ("remembers", "shapes")
    size = len(memory)
    try:
        shaped = shaper.shape(**call["batch"])
    except (TypeError, ValueError, Boom, RuntimeError) as error:
        refusal = error
    else:
        return _check_accepted(call, shaper, shaped, None if calls_back else size)
    assert type(refusal) is not RuntimeError or "clustering may not change the memory" in str(refusal)
    assert len(str(refusal)) < 20_000
    if not calls_back:
        _check_unchanged(memory)
    return f"refused: {type(refusal).__name__}"


def _check_accepted(call: dict[str, Any], shaper: RewardShaper, shaped: Any, size: int | None) -> str:
    """`size`: of the memory before, None if a part has changed it."""
    memory = shaper.memory
    _check_shaped(shaper, shaped)
    if size is not None and memory.capacity is None:
        free = (shaped.clusters == NO_ANSWER).sum() if shaper.no_answer == "free" else 0
        assert len(memory) == size + (shaped.clusters != NOT_SCORED).sum() - free
    if len(memory) % 5 == 0:
        _check_saved(memory, Path(_folder()))
    return "accepted" + _check_reference(call, shaper, shaped)


def _check_saved(memory: ErrorMemory, folder: Path) -> None:
    memory.save(folder / "accepted")
    ErrorMemory.load(folder / "accepted").save(folder / "again")
    assert (folder / "accepted").read_bytes() == (folder / "again").read_bytes()


def _check_unchanged(memory: ErrorMemory) -> None:
    memory.save(Path(_folder()) / "after")
    assert (Path(_folder()) / "after").read_bytes() == _before()[0].read_bytes()


def _check_shaped(shaper: RewardShaper, shaped: Any) -> None:
    for values in (shaped.rewards, shaped.penalties, shaped.cluster_sizes):
        assert values.shape == (len(shaped),)
        assert np.isfinite(values).all()
    most = shaper.beta if shaper.penalty is None else np.inf
    assert ((shaped.penalties >= 0) & (shaped.penalties <= most)).all()
    assert not shaped.penalties[shaped.clusters == NOT_SCORED].any()
    if shaper.target == "wrong":
        assert not shaped.penalties[shaped.is_correct].any()
    wrong = ~shaped.is_correct | (shaper.penalty is not None)
    assert (shaped.rewards[wrong] == (shaped.raw_rewards - shaped.penalties)[wrong]).all()
    assert (np.sign(shaped.rewards) == np.sign(shaped.raw_rewards))[~wrong].all()
    assert (shaped.rewards <= shaped.raw_rewards).all()
    assert np.isfinite(list(shaped.metrics().values())).all()
    assert all(shaped.explain(row) for row in range(len(shaped)))


def _check_reference(call: dict[str, Any], shaper: RewardShaper, shaped: Any) -> str:
    """Sizes and penalties are those of the reference, where it knows the settings and no distances tie."""
    memory, batch = shaper.memory, call["batch"]
    unknown = call["odd"] & {"features", "penalty", "clustering", "groups"}
    if unknown or (memory.capacity, memory.half_life, shaper.max_distance) != (None, None, None):
        return ""
    known = ("alpha", "beta", "target", "noise", "all_wrong", "no_answer", "n_neighbors", "anneal")
    reference = ReferenceShaper(**{name: getattr(shaper, name) for name in known})
    seen = _before()[1]
    reference.vectors = {key: list(rows) for key, rows in seen.vectors.items()}
    reference.labels = dict(seen.labels)
    if shaper.no_answer == "cluster":  # the memory has some that a free one would not have remembered
        reference.no_answers = seen.no_answers.copy()
    progress = 0.0 if batch["progress"] is None else float(batch["progress"])
    expected = reference.shape(shaped.raw_rewards, shaped.prompt_ids, batch["features"], shaped.is_correct, progress)
    assert shaped.cluster_sizes.tolist() == [row.size for row in expected]
    np.testing.assert_allclose(shaped.penalties, [row.penalty for row in expected], rtol=1e-12)
    np.testing.assert_allclose(shaped.rewards, [row.reward for row in expected], rtol=1e-12, atol=1e-14)
    return ", as the reference"


def _trial_of(strategy: Any, check: Any) -> Any:
    def trial(seed: int) -> None:
        def one(call: Any) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                KINDS[check(call)] += 1

        quick = settings(
            max_examples=PER_TRIAL,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        hypothesis.seed(seed)(quick(given(strategy)(one)))()

    return trial


def test_calls(campaign):
    _before()
    trial = _trial_of(hostile_calls(), _check_call)
    campaign("calls of `shape`", trial, 180, seconds=60, gigabytes=1, each=PER_TRIAL)


# ---- Threads.


def test_threads(campaign):
    """Four threads share a shaper, and some of their calls are refused: what was accepted is remembered once."""

    def trial(seed: int) -> None:
        shaper = RewardShaper(target="both", all_wrong="shape", memory=ErrorMemory(num_threads=2))
        accepted: list[int] = []

        def work(number: int) -> None:
            rng = np.random.default_rng([seed, number])
            for _ in range(10):
                batch = _good_batch(rng, 6)
                if rng.random() < 0.4:
                    batch["features"] = rng.choice([np.inf, 1.0]) * np.ones((6, D + 1))
                    batch["rewards"] = [np.nan] * 6
                try:
                    shaped = shaper.shape(**batch)
                except ValueError:
                    continue
                accepted.extend(shaped.memory_ids[shaped.memory_ids >= 0].tolist())

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(accepted) == list(range(len(shaper.memory)))

    trial(0)
    campaign("calls of `shape` on four threads", trial, 50, seconds=30, gigabytes=1, each=40)


# ---- The penalty for loops.

TEXTS = ("#### 4", "#### 5", "", "#### \ud800", "x" * 10_000, "#### " + "9" * 5000, "\x00", "#### nan", "no answer")
ODD_CHATS: tuple[Any, ...] = (
    {"role": "user"},
    {"content": None},
    {"content": ["a", {"type": "text"}, None]},
    {"content": 3},
)
ODD_ROWS = (*ODD_VALUES, *([message] for message in ODD_CHATS))
FINGERPRINTS: tuple[Any, ...] = (
    *("answer", "steps", "text", "outcome", "answers", None, 3),
    *(lambda **_: None, lambda **_: 1 / 0, lambda completions, **_: [[1e400]] * len(completions)),
    *(lambda completions, **_: np.ones((len(completions), 2)), lambda **_: [[1.0]], list),
    *(
        lambda completions, **_: [[10**400]] * len(completions),
        lambda prompts, **_: prompts,
        lambda **_: calls.Refuses(),
    ),
)


@st.composite
def penalty_calls(draw: Any) -> dict[str, Any]:
    rows = draw(st.sampled_from((0, 1, 4, 4)))

    def column(good: Any, odd: Any) -> Any:
        values = draw(st.lists(st.sampled_from(good), min_size=rows, max_size=rows))
        kind = draw(st.sampled_from(("good",) * 8 + ("odd", "odd", "short", "other")))
        if kind == "odd" and rows:
            values[draw(st.integers(0, rows - 1))] = draw(st.sampled_from(odd))
        return {"short": values[:-1], "other": draw(st.sampled_from(odd))}.get(kind, values)

    given = {"prompts": column(("x", "y"), ODD_ROWS), "completions": column(TEXTS, ODD_ROWS)}
    given["right"] = column((0, 1, 1.0, False, None), ODD_VALUES)
    if draw(st.booleans()):
        given["prompt_id"] = column(("x", "y", 1), (*calls.GOOD_IDS, *calls.ODD_IDS))
    if draw(st.booleans()):
        given["outcome"] = column(("failed", "ok", None, 3), ODD_VALUES)
    if draw(st.sampled_from((False, False, True))):
        given["completion_ids"] = column(([1, 2], ()), ODD_VALUES)
    return {"given": given, "fingerprint": draw(st.sampled_from(FINGERPRINTS))}


def _check_penalty_call(call: dict[str, Any]) -> str:
    try:
        penalty = RepeatedErrorPenalty(
            "right", fingerprint=call["fingerprint"], answer_finder="hashes", all_wrong="shape"
        )
    except (TypeError, ValueError) as error:
        return f"option refused: {type(error).__name__}"
    try:
        rewards = penalty(**call["given"])
    except (TypeError, ValueError, Boom, ZeroDivisionError) as error:
        assert (len(penalty.memory), penalty.memory.step) == (0, 0)
        return f"refused: {type(error).__name__}"
    assert len(rewards) == len(call["given"]["prompts"])
    again = penalty(**call["given"])
    assert all(value is None or -0.2 <= value <= 0 for value in (*rewards, *again))
    assert all(not value for value in rewards)
    return "accepted"


def test_penalty_calls(campaign):
    trial = _trial_of(penalty_calls(), _check_penalty_call)
    campaign("calls of `RepeatedErrorPenalty`", trial, 20, seconds=60, gigabytes=1, each=PER_TRIAL)
