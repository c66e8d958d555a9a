"""The staleness benchmark: its replays on made-up recordings, and the whole of it on one short run."""

import math
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from meds_rl.memory.clustering import HDBSCANClustering

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import staleness
from staleness_figure import draw
from staleness_recording import Encodings
from staleness_replay import CONDITIONS, FEWEST, OURS, POLICY, Condition, Replay

N_BATCHES, PER_BATCH = 12, 8


@dataclass
class MadeUp:
    """Two prompts, each visited by every batch with eight completions of two strategies, four of each.

    A strategy is a direction that turns by `drift` radians a batch; no two fingerprints are equal.
    """

    drift: float
    step_seconds: float = 1.0
    num_batches: int = N_BATCHES

    def __post_init__(self) -> None:
        n = N_BATCHES * 2 * PER_BATCH
        place = np.arange(n)
        self.completions = place.tolist()
        self.batch = place // (2 * PER_BATCH)
        self.prompt = np.where(place % (2 * PER_BATCH) < PER_BATCH, "one", "two")
        self.strategy = np.where(place % 2, "left_to_right", "drop_last")
        self.answer = self.strategy
        self.is_known = np.ones(n, dtype=bool)

    def visits(self, batch: int) -> dict[str, np.ndarray]:
        rows = np.flatnonzero(self.batch == batch)
        return {name: rows[self.prompt[rows] == name] for name in ("one", "two")}

    def tokens(self, kind: str) -> np.ndarray:
        return np.full(len(self.completions), 10)

    @cached_property
    def encodings(self) -> Encodings:
        n = len(self.completions)
        place = np.arange(N_BATCHES * n).reshape(N_BATCHES, n)
        wording = 0.05 * np.random.default_rng(0).normal(size=n)
        angles = wording + (self.strategy == "drop_last") + self.drift * np.arange(N_BATCHES)[:, None]
        states = np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(-1, 2)
        features = {"answer_states": np.tile(states, 2), "layer_logits": np.tile(states, 2)}
        return Encodings(place, features, seconds_per_token=1e-4)


STILL = Condition(OURS, POLICY, "answer_states", HDBSCANClustering(cluster_selection_epsilon=0.3))


def test_nothing_goes_stale_where_nothing_moves():
    found = Replay(MadeUp(drift=0), STILL).run()
    assert found.step == list(range(1, N_BATCHES))  # each batch but the first meets 8 members or more
    assert found.strategy == found.answer == found.purity == found.splits == [1.0] * (N_BATCHES - 1)
    assert found.size_ratio == 1.0
    assert found.penalty_error == 0.0
    assert found.members == PER_BATCH * (N_BATCHES - 1) >= FEWEST


def test_drift_makes_the_memory_stale_and_the_remedies_help():
    moving = MadeUp(drift=0.4)
    stale = Replay(moving, STILL).run()
    assert stale.strategy[-1] < 0.5
    for remedy in ({"reference": True}, {"reencode": math.inf}):
        assert Replay(moving, replace(STILL, **remedy)).run().strategy == [1.0] * (N_BATCHES - 1)
    assert np.mean(Replay(moving, replace(STILL, capacity=16)).run().splits) < np.mean(stale.splits)


def test_fingerprints_cost_what_their_tokens_cost():
    # 16 new completions of 10 tokens a step, 1e-4 s each token: 1.6 % of a step of a second. Encoding anew all that is
    # compared: before batch b, 16 b completions; 16 * (0 + ... + 11) = 1056 in 12 steps, 88 a step: 8.8 % more. With
    # 1 % of a step, 100 tokens, 10 completions: 1 % more, but not at the first batch: 11/12 %.
    # What the memory itself takes is measured, so only a lower bound is known.
    still = MadeUp(drift=0)
    for reencode, percent in ((0.0, 1.6), (math.inf, 1.6 + 8.8), (0.01, 1.6 + 11 / 12)):
        cost = Replay(still, replace(STILL, reencode=reencode)).run().percent
        assert cost >= percent - 1e-9
    assert math.isnan(Replay(still, replace(STILL, kind="random")).run().percent)


def test_a_half_life_changes_sizes_and_their_true_counts_alike():
    found = Replay(MadeUp(drift=0), replace(STILL, half_life=2)).run()
    assert found.strategy == [1.0] * (N_BATCHES - 1)
    assert found.size_ratio == pytest.approx(1)


def test_the_answer_string_is_counted_however_rare():
    control = next(one for one in CONDITIONS if one.kind == "answer_string")
    assert Replay(MadeUp(drift=1), control).run().strategy == [1.0] * (N_BATCHES - 1)


def test_the_table_has_intervals_over_seeds():
    # 1 and 2: mean 1.5, deviation 1/sqrt(2), error 1/2, Student's 97.5 % quantile for one degree 12.706: 6.353.
    assert staleness.shown("agreement", [1.0, 2.0]) == "1.50 ± 6.35"
    assert staleness.shown("purity", [1.0, 2.0]) == "1.50"
    assert staleness.shown("cost, %", [math.nan, math.nan]) == "–"


def test_the_figure_is_the_same_for_the_same_curves(tmp_path):
    results = {STILL: [Replay(MadeUp(drift=0.4), STILL).run()] * 2}
    for name in ("a.svg", "b.svg"):
        draw({"made up": results}, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.slow
def test_the_quick_benchmark(tmp_path, capsys):
    results = staleness.main(["--out", str(tmp_path), "--quick", "--steps", "4"])
    assert [len(panel) for panel in results.values()] == [4]
    assert "| layer logits | policy of the day |" in capsys.readouterr().out
    assert (tmp_path / "agreement.svg").stat().st_size > 10_000
    staleness.main(["--out", str(tmp_path), "--quick", "--steps", "4"])
    assert "recorded already" in capsys.readouterr().out
