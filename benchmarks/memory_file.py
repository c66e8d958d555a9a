"""What saving and loading a large memory costs: seconds, bytes on disk, and the peak of memory beside the memory.

    python benchmarks/memory_file.py                          # 10 million vectors of 14 numbers
    python benchmarks/memory_file.py --vectors 1000000

Saving and loading are measured in a process each. The peak is the highest resident set during the call over the one
before it; for loading that includes the memory that is loaded. "Raw" is what the memory must hold: vectors in float32,
labels and ids in 4 and 8 bytes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from meds_rl import ErrorMemory, MemoryEntry
from meds_rl.memory.entry import NO_RUNS, EntryKey, MemoryState
from memory import PeakRSS, rss


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--vectors", type=int, default=10_000_000)
    parser.add_argument("--history", type=int, default=1000, help="remembered completions of a prompt")
    parser.add_argument("--completions", type=int, default=8, help="wrong completions of a prompt in a batch")
    parser.add_argument("--features", type=int, default=14, help="D; the paper's is 14")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--part", choices=["save", "load"], help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def drawn(arguments: argparse.Namespace) -> ErrorMemory:
    """A memory of random vectors in random clusters, each prompt visited once a batch."""
    rng = np.random.default_rng(0)
    n, m, D = arguments.history, arguments.completions, arguments.features
    visits = -(-n // m)
    counts = np.full(visits, m)
    counts[-1] = n - m * (visits - 1)
    prompts = arguments.vectors // n
    entries = {}
    for prompt in range(prompts):
        steps = np.arange(visits)
        first = steps * (prompts * m) + prompt * m
        entries[EntryKey(f"prompt {prompt}", False)] = MemoryEntry(
            vectors=rng.standard_normal((n, D), dtype=np.float32),
            clusters=rng.integers(-1, 50, size=n, dtype=np.int32),
            tree=np.arange(-1, n - 1, dtype=np.int32),
            runs=np.stack([first, steps, counts], axis=1),
            no_answer_runs=NO_RUNS,
            next_cluster=50,
        )
    memory = ErrorMemory()
    memory._state = MemoryState(entries, step=visits, next_id=visits * prompts * m, n_features=D, kept={})
    return memory


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Save or load, in this process."""
    ErrorMemory().save(arguments.path.with_name("warm"))  # all that is imported is imported
    ErrorMemory.load(arguments.path.with_name("warm"))
    memory = drawn(arguments) if arguments.part == "save" else ErrorMemory()
    before = rss()
    begin = time.perf_counter()
    with PeakRSS() as peak:
        if arguments.part == "save":
            memory.save(arguments.path)
        else:
            memory.restore(arguments.path)
        seconds = time.perf_counter() - begin
    raw = len(memory) * (4 * arguments.features + 4 + 8)
    return {
        "part": arguments.part,
        "vectors": len(memory),
        "seconds": seconds,
        "raw_mb": raw / 1e6,
        "file_over_raw": arguments.path.stat().st_size / raw,
        "arrays_over_raw": memory.nbytes / raw,
        "peak_over_raw": max(0, peak.bytes - before) / raw,
    }


def main() -> None:
    arguments = parse_arguments()
    if arguments.part:
        print(json.dumps(measure(arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for part in ("save", "load"):
            command = [sys.executable, *sys.argv, "--part", part, "--path", f"{folder}/memory.safetensors"]
            row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            if arguments.json:
                print(json.dumps(row))
                continue
            print(
                f"{row['part']} {row['vectors']:,} vectors: {row['seconds']:.1f} s, raw {row['raw_mb']:.0f} MB, file "
                f"{row['file_over_raw']:.2f} of that, in memory {row['arrays_over_raw']:.2f}, peak of the call "
                f"{row['peak_over_raw']:.2f}"
            )


if __name__ == "__main__":
    main()
