"""Measures fingerprints: how often a completion's five nearest neighbours share its strategy.

Neighbours are completions of the same prompt, by the cosine, as in the memory. The table has all pairs, pairs with the
same answer and pairs with different answers, relative to chance, also for fingerprints of the text.

    python -m meds_lab.fingerprints --model pocket --out runs/reasoning                 # minutes
    python -m meds_lab.fingerprints --model pocket-guess --out runs/reasoning           # answers that show no strategy
    python -m meds_lab.fingerprints --model smollm2 --out runs/reasoning                # samples first: half an hour
    python -m meds_lab.fingerprints --model smollm2-sums --out runs/reasoning     # one answer, several workings
    python -m meds_lab.fingerprints --model pocket --out runs/reasoning --quick         # a short run

One core, no network. Samples in OUT are used again. SmolLM2 needs its package: `meds_rl.tasks.models`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from meds_lab.fingerprints.candidates import CANDIDATES
from meds_lab.fingerprints.cost import cost
from meds_lab.fingerprints.data import Data, pocket, smollm2
from meds_lab.fingerprints.problems import SETTINGS, SUM_SETTINGS, asked_as_is, asked_in_styles
from meds_lab.fingerprints.table import clusters, neighbours, other_problems, robustness
from meds_lab.tasks import load_pocket_model
from meds_lab.tasks.checkpoints import SEEDS

SMOLLM2_LAYERS = list(range(3, 31, 3))
# By model: what its table has beside the neighbours and the cost.
SECTIONS = {
    "pocket": (other_problems, clusters),
    "pocket-guess": (other_problems, clusters),
    "smollm2": (robustness,),
    "smollm2-sums": (clusters, robustness),
}
QUICK = ("answer string", "character n-grams", "layer_logits", "mean over the prompt (`working_states`)")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", choices=list(SECTIONS), default="pocket")
    parser.add_argument("--out", type=Path, required=True, help="folder of completions, states and tables")
    parser.add_argument(
        "--samples",
        type=int,
        default=None,
        help="completions of each problem and setting; default: 64, smollm2 40, smollm2-sums 16",
    )
    parser.add_argument("--resamples", type=int, default=1000, help="number of bootstrap resamples")
    parser.add_argument("--table", type=Path, default=None, help="Markdown; default: OUT/MODEL.md")
    parser.add_argument("--quick", action="store_true", help="pocket: one checkpoint, 8 problems, four fingerprints")
    parser.add_argument("--as-is", action="store_true", help="SmolLM2: sample nothing, use the samples in OUT")
    return parser.parse_args(arguments)


def load(parsed: argparse.Namespace) -> list[Data]:
    """One data set a checkpoint."""
    out = parsed.out / parsed.model
    if parsed.model == "smollm2":
        return [smollm2(out, asked_as_is(), SETTINGS, parsed.samples or 40, SMOLLM2_LAYERS, as_is=parsed.as_is)]
    if parsed.model == "smollm2-sums":
        asked = asked_in_styles()
        return [smollm2(out, asked, SUM_SETTINGS, parsed.samples or 16, SMOLLM2_LAYERS, as_is=parsed.as_is)]
    variant = "guess" if parsed.model == "pocket-guess" else "plain"
    if parsed.quick:
        return [pocket(0, 8, parsed.samples or 32, variant=variant)]
    return [pocket(seed, num_samples=parsed.samples or 64, variant=variant) for seed in SEEDS[variant]]


def model_of(name: str) -> Any:
    if not name.startswith("smollm2"):
        return load_pocket_model(0)[0]
    from meds_rl.tasks.models import load_smollm2

    return load_smollm2()[0]


def main(arguments: Sequence[str] | None = None) -> str:
    """Returns what is written to the table."""
    parsed = parse_arguments(arguments)
    torch.set_num_threads(1)
    sets = load(parsed)
    candidates = [one for one in CANDIDATES if not parsed.quick or one.name in QUICK]
    makers: list[Callable[[], str]] = [lambda: neighbours(sets, candidates, parsed.resamples)]
    if not parsed.quick:
        makers += [partial(section, sets) for section in SECTIONS[parsed.model]]
    sections = []
    makers.append(lambda: str(cost(model_of(parsed.model))))
    for make in makers:
        sections.append(make())
        print(sections[-1], flush=True)
    text = "\n".join(sections)
    path = parsed.table or parsed.out / f"{parsed.model}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return text


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
