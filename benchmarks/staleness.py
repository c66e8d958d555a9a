"""How well remembered clusters agree with the planted errors as the policy trains, for each remedy against staleness.

Trains the pocket model a few times and keeps every policy (`OUT/<regime>-<seed>`; what is there already is not trained
again), then replays memories on these runs: the same completions under every condition. Prints a table a regime and
draws the curves.

    python benchmarks/staleness.py --out runs/staleness                            # everything
    python benchmarks/staleness.py --out runs/staleness-quick --quick              # one run, four conditions
    python benchmarks/staleness.py --out runs/staleness --figure docs/agreement.svg --table runs/staleness/table.md

One core, no network. Delete OUT to train anew: about 110 MB a run.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from staleness_figure import draw
from staleness_recording import Recording, record
from staleness_replay import CONDITIONS, OURS, POLICY, PUBLISHED, STATE, Condition, Replay, Replayed
from tqdm import tqdm

from meds_rl import ErrorMemory
from meds_rl.memory import Renewal, Visit


@dataclass(frozen=True)
class Regime:
    """A way of training, and the base checkpoints that it is done with."""

    title: str
    overrides: dict[str, str]
    steps: int = 40
    seeds: tuple[int, ...] = (0, 1, 2)


REGIMES = {
    "shaped": Regime("all-wrong groups shaped, lr 3e-4", {"meds_all_wrong": "shape"}),
    "fast": Regime(
        "the same, lr 1e-3, 60 steps", {"meds_all_wrong": "shape", "learning_rate": "1e-3"}, steps=60
    ),
    "skipped": Regime("all-wrong groups skipped, lr 3e-4", {"meds_all_wrong": "skip"}),
}
QUICK = [c for c in CONDITIONS if c.name == POLICY and c.family in (PUBLISHED, STATE, OURS)]
QUICK += [c for c in CONDITIONS if c.name == "answer string"]


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the recorded runs")
    parser.add_argument("--steps", type=int, default=None, help="of a run; default: 40, at lr 1e-3 60")
    parser.add_argument("--regimes", nargs="+", choices=list(REGIMES), default=list(REGIMES))
    parser.add_argument("--seeds", type=int, nargs="+", default=None, help="base checkpoints; default: all")
    parser.add_argument("--figure", type=Path, default=None, help="SVG; default: OUT/agreement.svg")
    parser.add_argument("--table", type=Path, default=None, help="Markdown; default: OUT/table.md")
    parser.add_argument("--quick", action="store_true", help="one run of 8 steps, four conditions")
    parsed = parser.parse_args(arguments)
    if parsed.quick:
        parsed.regimes, parsed.seeds, parsed.steps = ["shaped"], [0], min(parsed.steps or 8, 8)
    return parsed


def warm_up() -> None:
    """Compiled code is loaded before anything is timed."""
    rows = np.random.default_rng(0).normal(size=(12, 4))
    for condition in (CONDITIONS[0], CONDITIONS[-1]):
        memory = ErrorMemory(condition.clustering, num_threads=1)
        for part in (rows[:6], rows[6:]):
            ids = memory.remember_batch([Visit("a", part)])[0]
        memory.assign_batch([Visit("a", rows)])
        memory.renew_batch([Renewal("a", ids, rows[:6])])


def sixths(curve: Sequence[float]) -> list[float]:
    """Means over sixths of training; over fewer parts where there are fewer batches."""
    return [float(np.mean(part)) for part in np.array_split(np.array(curve), min(6, len(curve)))]


def figures_of(one: Replayed) -> dict[str, float]:
    """The table's columns, of one recording."""
    parts = sixths(one.strategy)
    return {
        "agreement": float(np.mean(one.strategy)),
        "first sixth": parts[0],
        "worst later sixth": min(parts[1:], default=math.nan),
        "last sixth": parts[-1],
        "purity": float(np.mean(one.purity)),
        "splits": float(np.mean(one.splits)),
        "with the answer": float(np.mean(one.answer)),
        "noise alone": float(np.mean(one.alone)),
        "all workings": float(np.mean(one.everything)),
        "size ratio": one.size_ratio,
        "penalty error": one.penalty_error,
        "cost, %": one.percent,
    }


WITH_INTERVAL = ("agreement", "worst later sixth", "cost, %")


def shown(name: str, values: Sequence[float]) -> str:
    """Mean over seeds, for some with the half-width of Student's 95 % interval."""
    digits = {"penalty error": 3, "cost, %": 1}.get(name, 2)
    mean = float(np.mean(values))
    if math.isnan(mean):
        return "–"
    if name not in WITH_INTERVAL or len(values) < 2:
        return f"{mean:.{digits}f}"
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def table(regime: Regime, results: dict[Condition, list[Replayed]], recordings: list[Recording]) -> str:
    """Markdown: one row a condition, means over the recordings."""
    columns = list(figures_of(next(iter(results.values()))[0]))
    lines = [
        f"**{regime.title}**: {len(recordings)} runs of {recordings[0].num_batches} steps, "
        f"{np.mean([len(one.completions) for one in recordings]):.0f} remembered completions a run, at most "
        f"{max(one.members for rows in results.values() for one in rows)} of a prompt, "
        f"{np.mean([one.step_seconds for one in recordings]):.2f} CPU seconds a step",
        "",
        f"| fingerprint | remedy | {' | '.join(columns)} |",
        f"|---|---|{'---|' * len(columns)}",
    ]
    for condition, replayed in results.items():
        per_seed = [figures_of(one) for one in replayed]
        cells = [shown(name, [one[name] for one in per_seed]) for name in columns]
        lines.append(f"| {condition.family} | {condition.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def run_regime(name: str, arguments: argparse.Namespace) -> tuple[str, dict[Condition, list[Replayed]]]:
    """Record what is not recorded yet, and replay every condition."""
    regime = REGIMES[name]
    folders = {
        seed: arguments.out / f"{name}-{seed}"
        for seed in regime.seeds
        if arguments.seeds is None or seed in arguments.seeds
    }
    for seed, folder in folders.items():
        record(folder, seed, arguments.steps or regime.steps, regime.overrides)
    results: dict[Condition, list[Replayed]] = {}
    recordings = [Recording(folder) for folder in folders.values()]
    for recording in recordings:
        # Encoded before the bar starts, with a bar of its own.
        _ = recording.encodings
        for condition in tqdm(
            QUICK if arguments.quick else CONDITIONS, desc=f"{recording.folder.name}: replay"
        ):
            results.setdefault(condition, []).append(Replay(recording, condition).run())
        del recording.encodings  # a hundred megabytes
    return table(regime, results, recordings), results


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Returns what was replayed, by the regime's title and the condition."""
    parsed = parse_arguments(arguments)
    torch.set_num_threads(1)
    warm_up()
    tables, panels = [], {}
    for name in parsed.regimes:
        text, results = run_regime(name, parsed)
        print(f"\n{text}", flush=True)
        tables.append(text)
        panels[REGIMES[name].title] = results
    (parsed.table or parsed.out / "table.md").write_text("\n".join(tables), encoding="utf-8")
    draw(panels, parsed.figure or parsed.out / "agreement.svg")
    return panels


if __name__ == "__main__":
    main()
