"""What the memory costs a training step, next to a straightforward implementation of the same method.

For each length of history and number of prompts, all in one run: the time to score and remember one batch
(`RewardShaper.shape`), the time of a straightforward implementation (the memory of each prompt clustered from scratch
with the hdbscan package, one neighbour index fitted per completion), their ratio, the bytes of the memory, and the peak
beyond it during a step. Then the exponent with which the time grows with the history. Run it while nothing else runs.

    python benchmarks/memory.py
    python benchmarks/memory.py --histories 1024 --prompts 64        # one case, in seconds

The straightforward implementation treats prompts one by one, so it is timed on a few of them and multiplied. Every case
runs in a process of its own. Of many prompts, 64 are drawn and clustered; the others are copies in memory of their own.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil

from meds_rl import ErrorMemory, RewardShaper
from meds_rl.memory import MemoryEntry, Visit
from meds_rl.memory.entry import EntryKey

DRAWN = 64


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--histories", type=int, nargs="+", default=[16, 64, 256, 1024, 4096])
    parser.add_argument("--prompts", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--completions", type=int, default=16, help="wrong completions of a prompt in a batch")
    parser.add_argument("--features", type=int, default=14, help="D; the paper's is 14")
    parser.add_argument("--errors", type=int, default=8, help="different errors of a prompt")
    parser.add_argument("--repeats", type=int, default=5, help="batches timed; the median is shown")
    parser.add_argument("--threads", type=int, default=None, help="threads of ours; default: the cores")
    parser.add_argument("--capacity", type=int, default=None, help="bound ours at so many a prompt")
    parser.add_argument("--json", action="store_true", help="print rows of JSON instead of a table")
    parser.add_argument("--case", nargs=2, type=int, metavar=("PROMPTS", "HISTORY"), help=argparse.SUPPRESS)
    return parser.parse_args()


class Prompts:
    """Prompts with a few errors each; no two completions of one error are alike."""

    def __init__(self, count: int, arguments: argparse.Namespace) -> None:
        self._rng = np.random.default_rng(0)
        self._centres = self._rng.normal(size=(count, arguments.errors, arguments.features))

    def draw(self, completions: int) -> np.ndarray:
        """(prompts, completions, D) float32."""
        count, errors, features = self._centres.shape
        which = self._rng.integers(errors, size=(count, completions))
        spread = 0.15 * self._rng.normal(size=(count, completions, features))
        return (self._centres[np.arange(count)[:, None], which] + spread).astype(np.float32)


class Straightforward:
    """One prompt's memory as one would write it first: everything is computed again at every visit."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors
        self.labels = np.full(len(vectors), -1)
        self._cluster()

    def step(self, batch: np.ndarray) -> list[float]:
        """Penalties of a batch (m, D), which is then remembered."""
        from sklearn.neighbors import NearestNeighbors

        penalties = []
        for vector in batch:
            index = NearestNeighbors(n_neighbors=3, metric="cosine").fit(self.vectors)
            nearest = index.kneighbors(vector[None], return_distance=False)[0]
            label = Counter(self.labels[nearest].tolist()).most_common(1)[0][0]
            size = int((self.labels == label).sum())
            penalties.append(min(0.1 * math.log(size + 1), 0.2))
        self.vectors = np.concatenate([self.vectors, batch])
        self._cluster()
        return penalties

    def _cluster(self) -> None:
        import hdbscan

        unit = self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)
        model = hdbscan.HDBSCAN(min_cluster_size=2, min_samples=1, metric="euclidean")
        self.labels = model.fit_predict(unit.astype(np.float64))


def filled(prompts: Prompts, count: int, history: int, arguments: argparse.Namespace) -> ErrorMemory:
    """A memory of `history` completions of each of `count` prompts."""
    memory = ErrorMemory(num_threads=arguments.threads, capacity=arguments.capacity)
    drawn = min(count, DRAWN)
    batch = arguments.completions
    for start in range(0, history, batch):  # visit by visit, as in training
        rows = prompts.draw(min(batch, history - start))
        memory.remember_batch([Visit(f"prompt {i}", rows[i]) for i in range(drawn)])
    entries = memory._state.entries
    for i in range(drawn, count):
        entry = entries[EntryKey(f"prompt {i % drawn}", False)]
        entries[EntryKey(f"prompt {i}", False)] = MemoryEntry(
            vectors=entry.vectors.copy(),
            clusters=entry.clusters.copy(),
            tree=entry.tree.copy(),
            runs=entry.runs.copy(),
            no_answer_runs=entry.no_answer_runs,
            next_cluster=entry.next_cluster,
        )
    return memory


def rss() -> int:
    """Bytes that this process holds, without what malloc keeps for later."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


class PeakRSS:
    """Watches this process's memory within a context."""

    def __enter__(self) -> PeakRSS:
        self.bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._done.wait(0.002):
            self.bytes = max(self.bytes, process.memory_info().rss)


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def measure(count: int, history: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One case: `count` prompts with `history` remembered completions each."""
    m, D = arguments.completions, arguments.features
    warm = RewardShaper(all_wrong="shape")  # compiled code is loaded before anything is measured
    for _ in range(2):
        warm.shape(np.zeros(m), prompt_ids=[0] * m, features=np.eye(m, D) + 0.1, is_correct=np.zeros(m, bool))
    before = rss()
    memory = filled(Prompts(min(count, DRAWN), arguments), count, history, arguments)
    held = rss() - before
    shaper = RewardShaper(memory=memory, all_wrong="shape")
    ids = [f"prompt {i}" for i in range(count) for _ in range(m)]
    draw = Prompts(count, arguments)
    batches = iter([draw.draw(m) for _ in range(arguments.repeats + 1)])

    def step() -> None:
        features = next(batches).reshape(-1, D)
        shaper.shape(np.zeros(len(ids)), prompt_ids=ids, features=features, is_correct=np.zeros(len(ids), bool))

    step()
    level = rss()
    with PeakRSS() as peak:
        ours = median_seconds(step, arguments.repeats)
    few = min(count, 4 if history < 1024 else 2)
    plain = [Straightforward(rows) for rows in Prompts(few, arguments).draw(history)]
    news = Prompts(few, arguments)
    theirs = median_seconds(lambda: [one.step(rows) for one, rows in zip(plain, news.draw(m), strict=True)], 3) * (
        count / few
    )
    raw = count * history * (4 * D + 4)
    return {
        "prompts": count,
        "history": history,
        "ours_ms": 1000 * ours,
        "straightforward_ms": 1000 * theirs,
        "ratio": theirs / ours,
        "raw_mb": raw / 1e6,
        "bytes_over_raw": held / raw,
        "arrays_over_raw": memory.nbytes / (len(memory) * (4 * D + 4)),
        "peak_mb": max(0, peak.bytes - level) / 1e6,
    }


def exponent(rows: list[dict[str, Any]], key: str) -> float:
    """Slope of log time over log history, by least squares; the longer three histories, where work outweighs calls."""
    tail = sorted(rows, key=lambda row: row["history"])[-3:]
    return float(np.polyfit(np.log([r["history"] for r in tail]), np.log([r[key] for r in tail]), 1)[0])


def show(rows: list[dict[str, Any]]) -> None:
    print(
        f"{'prompts':>8}{'history':>9}{'ours':>12}{'straightforward':>18}{'ratio':>8}{'raw':>10}"
        f"{'RSS/raw':>9}{'arrays/raw':>12}{'peak of a step':>16}"
    )
    for row in rows:
        print(
            f"{row['prompts']:>8}{row['history']:>9}{row['ours_ms']:>9.1f} ms{row['straightforward_ms']:>15.0f} ms"
            f"{row['ratio']:>7.0f}x{row['raw_mb']:>7.1f} MB{row['bytes_over_raw']:>9.2f}{row['arrays_over_raw']:>12.2f}"
            f"{row['peak_mb']:>13.1f} MB"
        )


def main() -> None:
    arguments = parse_arguments()
    if arguments.case:
        print(json.dumps(measure(*arguments.case, arguments)))
        return
    rows = []
    for count in arguments.prompts:
        for history in arguments.histories:
            command = [sys.executable, *sys.argv, "--case", str(count), str(history)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rows.append(json.loads(output.splitlines()[-1]))
            if arguments.json:
                print(json.dumps(rows[-1]), flush=True)
            else:
                print(f"{count} prompts, {history} remembered of each: done", file=sys.stderr, flush=True)
    if arguments.json:
        return
    show(rows)
    for count in arguments.prompts:
        own = [row for row in rows if row["prompts"] == count]
        if len(own) > 2:
            ours, theirs = exponent(own, "ours_ms"), exponent(own, "straightforward_ms")
            print(f"{count} prompts: time ~ history^{ours:.2f}; straightforward: history^{theirs:.2f}")


if __name__ == "__main__":
    main()
