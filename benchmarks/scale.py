"""What the memory costs at 25,000 prompts x 16 completions x 100 epochs, on one core of verl's driver.

    python benchmarks/scale.py                 # a few minutes
    python benchmarks/scale.py --wrong 16      # every completion wrong: the bound
    python benchmarks/scale.py --threads 8     # also: how much faster so many threads are, by the clock
    python benchmarks/scale.py --full          # more prompts simulated, larger files; an hour, 20 GB of memory

The course of a few prompts is simulated whole, visit by visit; a step has 512 prompts, which are independent of each
other, so the time of a visit is multiplied. Seconds are of the processor (one thread), so that other work on the
machine counts little. Bytes are counted (`scale_arithmetic.py`). The file is timed by the clock, next to writing and
reading as many plain bytes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scale_arithmetic import Scale, short

from meds_rl import ErrorMemory, RewardShaper
from meds_rl.memory import Visit

ERRORS = 8  # different errors of a prompt
EPOCHS_SHOWN = (1, 10, 25, 50, 100)
PAPERS_STEP = 480.0  # seconds: the faster of the paper's two
FAST_STEP = 60.0  # seconds: an assumption, eight times the paper's machines

CASES = (
    ("layer_logits", Scale(14)),
    ("working_states, Qwen3-8B", Scale(4096)),
    ("working_states, Qwen3-8B", Scale(4096, capacity=64)),
    ("recommended, any model", Scale(128)),
    ("recommended, any model", Scale(128, capacity=64)),
)


class Rate(NamedTuple):
    """Bytes a second of the memory's file, and of plain bytes on the same disk in the same run."""

    save: float
    load: float
    plain_write: float
    plain_read: float


def main() -> None:
    arguments = parse_arguments()
    cases = [(name, replace(scale, wrong=arguments.wrong)) for name, scale in CASES]
    show_bytes(cases)
    print()
    epochs = "".join(f"{f'epoch {epoch}':>11}" for epoch in EPOCHS_SHOWN)
    print(f"{'fingerprint':<28}{'D':>6}{'capacity':>10}{epochs}{'of 480 s':>10}{'of 60 s':>9}{'mean of 480 s':>15}")
    for name, scale in cases:
        memory = ErrorMemory(capacity=scale.capacity, num_threads=1)
        show_seconds(name, scale, course(memory, scale, simulated(scale, arguments.full)))
        if arguments.threads:
            ratio = speedup(memory, scale, simulated(scale, arguments.full), arguments.threads)
            print(f"    {arguments.threads} threads: {ratio:.1f} times as fast", flush=True)
    print()
    for features in (14, 128, 4096):
        show_rate(features, file_rate(features, 4_000_000_000 if arguments.full else 500_000_000), cases)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--wrong", type=int, default=8, help="wrong completions of a prompt at a visit, of 16")
    parser.add_argument("--threads", type=int, help="also time so many threads next to one")
    parser.add_argument("--full", action="store_true", help="eight times as many prompts, as large a file")
    return parser.parse_args()


def show_bytes(cases: list[tuple[str, Scale]]) -> None:
    """What is counted: the driver's memory after all epochs, a step's peak, what travels."""
    scale = cases[0][1]
    print(
        f"{scale.prompts:,} prompts, {scale.epochs} epochs, {scale.wrong} of {scale.completions} wrong, "
        f"{scale.batch_prompts} prompts a step, {scale.steps:,} steps"
    )
    print(
        f"{'fingerprint':<28}{'D':>6}{'capacity':>10}{'remembered':>12}{'on the driver':>15}"
        f"{'peak of a step':>16}{'sent a step':>13}"
    )
    for name, scale in cases:
        print(
            f"{name:<28}{scale.features:>6}{scale.capacity or '-':>10}{scale.remembered():>12}"
            f"{short(scale.in_process()):>15}{short(scale.peak_of_a_step()):>16}{short(scale.sent()):>13}"
        )


def simulated(scale: Scale, full: bool) -> int:
    """How many prompts' courses are simulated."""
    return (32 if scale.features < 100 else 4) * (8 if full else 1)


def course(memory: ErrorMemory, scale: Scale, prompts: int) -> list[float]:
    """Seconds of each of the run's visits, for a whole step's prompts."""
    return [
        seconds * scale.batch_prompts / prompts
        for seconds in steps(memory, scale, visits(scale, prompts), time.process_time)
    ]


def speedup(memory: ErrorMemory, scale: Scale, prompts: int, threads: int) -> float:
    """How much faster a visit is with so many threads, by the clock, at the memory's age: medians of three each."""
    more = list(visits(replace(scale, epochs=6), prompts))
    took = []
    for memory.num_threads, batches in ((1, more[:3]), (threads, more[3:])):
        took.append(statistics.median(steps(memory, scale, iter(batches), time.perf_counter)))
    return took[0] / took[1]


def steps(
    memory: ErrorMemory, scale: Scale, batches: Iterator[np.ndarray], clock: Callable[[], float]
) -> Iterator[float]:
    """Shape and remember each batch; the time of each."""
    shaper = RewardShaper(memory=memory, all_wrong="shape")
    for features in batches:
        ids = [f"prompt {row // scale.wrong}" for row in range(len(features))]
        wrong = np.zeros(len(ids), dtype=bool)
        begin = clock()
        shaper.shape(np.zeros(len(ids)), prompt_ids=ids, features=features, is_correct=wrong)
        yield clock() - begin


def visits(scale: Scale, prompts: int) -> Iterator[np.ndarray]:
    """Fingerprints (prompts * wrong, D) of each epoch: a few errors of each prompt, no two completions alike."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((prompts, ERRORS, scale.features), dtype=np.float32)
    for _ in range(scale.epochs):
        which = rng.integers(ERRORS, size=(prompts, scale.wrong))
        made = centres[np.arange(prompts)[:, None], which]
        made = made + np.float32(0.15) * rng.standard_normal(made.shape, dtype=np.float32)
        yield made.reshape(-1, scale.features)


def show_seconds(name: str, scale: Scale, seconds: list[float]) -> None:
    """One row: a step's seconds at some epochs (medians of five), shares of a step at the end and over the run."""
    at = [statistics.median(seconds[max(1, epoch - 5) : epoch]) for epoch in EPOCHS_SHOWN[1:]]
    at = [seconds[1], *at]  # the first visit also loads compiled code
    shown = "".join(f"{one:>9.2f} s" for one in at)
    shares = f"{at[-1] / PAPERS_STEP:>10.2%}{at[-1] / FAST_STEP:>9.1%}{statistics.fmean(seconds) / PAPERS_STEP:>15.2%}"
    print(f"{name:<28}{scale.features:>6}{scale.capacity or '-':>10}{shown}{shares}", flush=True)


def show_rate(features: int, rate: Rate, cases: list[tuple[str, Scale]]) -> None:
    """The file's seconds, from the rate of a smaller one."""
    save, load = rate.plain_write / rate.save, rate.plain_read / rate.load
    print(
        f"D = {features}: save {short(rate.save)}/s ({save:.1f} times as long as plain bytes), "
        f"load {short(rate.load)}/s ({load:.1f})"
    )
    for name, scale in cases:
        if scale.features == features:
            seconds = scale.arrays() / rate.save, scale.arrays() / rate.load
            print(f"  {name}, capacity {scale.capacity}: save {seconds[0]:,.1f} s, load {seconds[1]:,.1f} s")


def file_rate(features: int, size: int) -> Rate:
    """Write and read a memory of about `size` bytes, 400 completions a prompt, and as many plain bytes."""
    scale = Scale(features, prompts=1, epochs=50)
    prompts = max(1, size // scale.arrays())
    rows = np.concatenate(list(visits(replace(scale, epochs=1), 1)))
    memory = ErrorMemory(clustering=all_noise)
    for start in range(0, prompts, 64):
        for _ in range(50):
            group = range(start, min(start + 64, prompts))
            memory.remember_batch([Visit(f"prompt {i}", rows) for i in group])
    size = memory.nbytes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory"
        saved = clocked(lambda: memory.save(path))
        loaded = clocked(lambda: ErrorMemory.load(path))
        plain = np.ones(size, dtype=np.uint8)
        written = clocked(lambda: write(plain, path))
        read = clocked(lambda: np.fromfile(path, dtype=np.uint8))
    return Rate(size / saved, size / loaded, size / written, size / read)


def write(plain: np.ndarray, path: Path) -> None:
    with path.open("wb") as file:
        plain.tofile(file)
        os.fsync(file.fileno())


def clocked(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def all_noise(vectors: np.ndarray) -> np.ndarray:
    """No clustering: filling the memory is not what is measured."""
    return np.full(len(vectors), -1)


if __name__ == "__main__":
    main()
