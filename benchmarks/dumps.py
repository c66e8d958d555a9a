"""What `meds report` costs on the rollouts of another program: seconds and peak memory of the whole command.

Makes a dump of many completions in a temporary folder (random workings, errors that recur), as JSON lines in verl's
form and as parquet in TRL's, and runs `meds report` on each in a process of its own.

    python benchmarks/dumps.py
    python benchmarks/dumps.py --completions 20000 --form jsonl
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

GROUP, PROMPTS_A_STEP, NUM_PROMPTS, NUM_ERRORS = 16, 64, 4096, 6
ROWS_A_FILE = 65_536
WORDS = np.array(["so", "we", "first", "add", "the", "next", "term", "then", "carry", "subtract", "=", "3", "7", "42"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--completions", type=int, default=1_000_000)
    parser.add_argument("--characters", type=int, default=1_300, help="mean length of a completion")
    parser.add_argument("--form", choices=("jsonl", "parquet"), help="only this one")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for form, write in {"jsonl": write_jsonl, "parquet": write_parquet}.items():
        if args.form in (None, form):
            report(form, write, args)


def report(form: str, write: Callable[..., None], args: argparse.Namespace) -> None:
    """Make a dump and print what the command costs."""
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder) / "dump"
        dump.mkdir()
        for number, rows in enumerate(made(args.completions, args.characters, np.random.default_rng(args.seed))):
            write(dump, number, rows)
        size = sum(path.stat().st_size for path in dump.iterdir())
        print(f"{form}: {args.completions:,} completions, {size / 1e9:.2f} GB", flush=True)
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "meds_rl", "report", str(dump)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        work = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        # The memory is that of the largest child so far, in kB on Linux.
        print(f"{form}: {seconds:.1f} s, {work:.1f} s of CPU, {used.ru_maxrss / 1e6:.2f} GB at most", flush=True)


def made(num_completions: int, characters: int, rng: np.random.Generator) -> Iterator[dict[str, list[Any]]]:
    """The rows of each file: a third of the completions is right, the others make one of a few errors."""
    a_step = GROUP * PROMPTS_A_STEP
    text = " ".join(WORDS[rng.integers(len(WORDS), size=2_000_000)])
    for begin in range(0, num_completions, ROWS_A_FILE):
        n = min(ROWS_A_FILE, num_completions - begin)
        steps = (begin + np.arange(n)) // a_step
        prompts = (begin + np.arange(n)) // GROUP * 7919 % NUM_PROMPTS
        kinds = rng.choice(NUM_ERRORS, n, p=np.array([8, 4, 2, 1, 1, 1]) / 17)
        right = rng.random(n) < 1 / 3
        answers = np.where(right, prompts, 1000 * (kinds + 1) + prompts)
        starts = rng.integers(0, len(text) - 100 * characters, n)
        lengths = np.minimum(rng.exponential(characters, n), 100 * characters).astype(np.int64)
        places = zip(starts.tolist(), lengths.tolist(), answers.tolist(), strict=True)
        yield {
            "prompt": [f"Problem {prompt}: how many ways are there?" for prompt in prompts.tolist()],
            "completion": [f"{text[start : start + length]} \\boxed{{{answer}}}" for start, length, answer in places],
            "reward": right.astype(float).tolist(),
            "step": steps.tolist(),
        }


def write_jsonl(folder: Path, number: int, rows: dict[str, list[Any]]) -> None:
    """verl's form."""
    names = {"input": "prompt", "output": "completion", "score": "reward", "step": "step"}
    with (folder / f"rollouts_{number}.jsonl").open("w", encoding="utf-8") as file:
        for values in zip(*(rows[name] for name in names.values()), strict=True):
            file.write(json.dumps({**dict(zip(names, values, strict=True)), "gts": None}) + "\n")


def write_parquet(folder: Path, number: int, rows: dict[str, list[Any]]) -> None:
    """TRL's form."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"step": rows["step"], "prompt": rows["prompt"], "completion": rows["completion"]})
    table = table.append_column("accuracy_reward", pa.array(rows["reward"]))
    table = table.append_column("advantage", pa.array([0.0] * len(table)))
    pq.write_table(table, folder / f"completions_{number:05d}.parquet")


if __name__ == "__main__":
    main()
