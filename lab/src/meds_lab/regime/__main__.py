"""The regime of a real model: SmolLM2-135M-Instruct, frozen, on 128 problems of three data sets.

    python -m meds_lab.regime sample OUT     # 64 samples of each problem: 45 minutes on one core; again to go on
    python -m meds_lab.regime table OUT      # what they show
    python -m meds_lab.regime gpu OUT        # 512 samples, then ten updates of five methods: eight minutes on one GPU
    python -m meds_lab.regime gpu OUT --dry-run   # the same with the pocket model, a minute on a CPU

SmolLM2 needs its package: `meds_rl.tasks.models`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python -m meds_lab.regime"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("sample", "table", "gpu"):
        commands.add_parser(name).add_argument("out", type=Path, metavar="OUT", help="folder of the samples")
    commands.choices["sample"].add_argument("--samples", type=int, default=64, help="of each problem; default: 64")
    commands.choices["sample"].add_argument(
        "--threads", type=int, default=1, help="of torch; default: 1. With others, rounding can change samples"
    )
    commands.choices["gpu"].add_argument("--dry-run", action="store_true", help="the pocket model, on a CPU")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = parse_arguments(arguments)
    {"sample": _sample, "table": _table, "gpu": _gpu}[parsed.command](parsed)


def _sample(parsed: argparse.Namespace) -> None:
    import torch

    from meds_lab.regime.problems import SETTINGS, problems
    from meds_lab.regime.sampling import SamplingPlan, SharedPromptEngine, sample
    from meds_rl.tasks.models import load_language_model

    torch.set_num_threads(parsed.threads)
    engine = SharedPromptEngine(*load_language_model("smollm2"))
    sample(engine, SamplingPlan(problems(), SETTINGS), parsed.out, num_samples=parsed.samples)


def _table(parsed: argparse.Namespace) -> None:
    from meds_lab.regime.figures import sampled
    from meds_lab.regime.sampling import read_rounds
    from meds_lab.regime.table import report

    print(report(sampled(read_rounds(parsed.out).to_pylist())), end="")


def _gpu(parsed: argparse.Namespace) -> None:
    from meds_lab.regime.gpu import dry_scale, full_scale, run, summary

    print(summary(run(parsed.out, dry_scale() if parsed.dry_run else full_scale())), end="")


if __name__ == "__main__":
    main()
