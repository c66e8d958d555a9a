"""What does `fingerprint_width` lose, and would whitening gain? Fingerprints as they are, projected, and whitened.

    python -m meds_lab.fingerprints.widths                              # pocket task, a quarter of an hour
    python -m meds_lab.fingerprints.widths --smollm2 runs/reasoning     # also SmolLM2's samples, if they are there

Completions and visits are those of `meds_lab.fingerprints.assignment`, with the preset's memory. Columns:

- right, contrast: as there.
- penalties: correlation of ln(size + 1) with its value at full width, over all completions.
- neighbours: share of the five nearest completions of the prompt that have the strategy.
- near: share of pairs on another side of the distance .25 than at full width, among the pairs between .2 and .3.

Projections have the mean of four, with the lowest and the highest of `right` and `neighbours`. The first is the
library's; the others are of the same features in another order.

Whitening takes the spread within prompts of each prompt's first visit, shrunk towards a sphere. Its neighbours are
those among later completions, beside those of the same vectors unwhitened; distances mean another thing there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from meds_lab.fingerprints.assignment import VISIT, Errors, follows, sample_errors, shaper_of, smollm2_errors
from meds_lab.fingerprints.neighbours import Sample, shares, unit
from meds_rl.fingerprint import Projected

FINGERPRINTS = ("working_states", "answer_states")
WIDTHS = (256, 128, 64, 32)
PROJECTIONS = 4
SHRINKAGES = (0.1, 0.5)


class Judged(NamedTuple):
    """What is measured of one set of vectors; `sizes` are ln(size + 1) of all completions."""

    right: float
    contrast: float
    neighbours: float
    sizes: np.ndarray


class Given:
    """A fingerprint whose features are there already."""

    def __init__(self, features: np.ndarray) -> None:
        self.features = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))

    def combine(self, _: Any) -> torch.Tensor:
        return self.features


def main(arguments: Sequence[str] | None = None) -> int:
    """Sample, project, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=12, metavar="N", help="number of hard problems (default: 12)")
    parser.add_argument("--samples", type=int, default=128, metavar="N", help="completions of each (default: 128)")
    parser.add_argument("--variants", nargs="*", default=["stuck", "guess", "scatter"], metavar="NAME")
    parser.add_argument("--smollm2", type=Path, metavar="OUT", help="folder of python -m meds_lab.fingerprints")
    parsed = parser.parse_args(arguments)
    for variant in parsed.variants:
        report(f"pocket-{variant}:0", sample_errors(variant, parsed.problems, parsed.samples, set(FINGERPRINTS)))
    if parsed.smollm2 is not None:
        report("SmolLM2-135M-Instruct", smollm2_errors(parsed.smollm2))
    return 0


def report(title: str, errors: list[Errors]) -> None:
    """Both tables of one policy, as Markdown."""
    print(f"\n## {title}\n\n| fingerprint | D | right | contrast | penalties | neighbours | near |")
    print("| :-- | --: | --: | --: | --: | --: | --: |")
    for name in FINGERPRINTS:
        full = np.concatenate([one.features[name] for one in errors])
        whole = judge(errors, full)
        print(f"| {name} | {full.shape[1]} | {whole.right:.3f} | {whole.contrast:.2f} | | {whole.neighbours:.3f} | |")
        print(row(errors, name, "float16", full, [full.astype(np.float16).astype(np.float32)], whole))
        for width in (one for one in WIDTHS if one < full.shape[1]):
            found = [projected(full, width, seed) for seed in range(PROJECTIONS)]
            print(row(errors, name, str(width), full, found, whole), flush=True)
    print("\n| fingerprint | D | neighbours | whitened |\n| :-- | --: | --: | --: |")
    for name in FINGERPRINTS:
        full = np.concatenate([one.features[name] for one in errors])
        for vectors in (full, projected(full, 128)):
            plain = later_neighbours(errors, unit(vectors))
            white = [later_neighbours(errors, whitened(errors, vectors, shrinkage)) for shrinkage in SHRINKAGES]
            listed = ", ".join(f"{share:.3f} (shrunk by {by})" for share, by in zip(white, SHRINKAGES, strict=True))
            print(f"| {name} | {vectors.shape[1]} | {plain:.3f} | {listed} |", flush=True)


def row(
    errors: list[Errors], name: str, label: str, full: np.ndarray, found: Sequence[np.ndarray], whole: Judged
) -> str:
    """One line of the first table: means over the given sets of vectors."""
    judged = [judge(errors, vectors) for vectors in found]
    right, neighbours = ([getattr(one, what) for one in judged] for what in ("right", "neighbours"))
    contrast = np.mean([one.contrast for one in judged])
    equal = np.mean([np.corrcoef(one.sizes, whole.sizes)[0, 1] for one in judged])
    near = np.mean([changed_sides(errors, full, vectors) for vectors in found])
    return f"| {name} | {label} | {spread(right)} | {contrast:.2f} | {equal:.3f} | {spread(neighbours)} | {near:.2f} |"


def spread(values: Sequence[float]) -> str:
    """Mean, and lowest and highest of several."""
    between = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{between}"


def projected(features: np.ndarray, width: int, seed: int = 0) -> np.ndarray:
    """(N, D) as the library projects them; other seeds change the order and the signs of the D numbers first."""
    if seed:
        rng = np.random.default_rng(seed)
        features = features[:, rng.permutation(features.shape[1])] * rng.choice([-1.0, 1.0], features.shape[1])
    fingerprint: Any = Given(features)
    return Projected(fingerprint, width).combine([]).numpy()


def judge(errors: list[Errors], vectors: np.ndarray) -> Judged:
    """Stream the vectors through the preset's memory, and count neighbours."""
    parts = split(errors, vectors)
    sizes: list[list[float]] = [[] for _ in errors]
    shaper = shaper_of({})
    for start in range(0, max(map(len, parts)), VISIT):
        there = [part[start : start + VISIT] for part in parts]
        places = np.repeat(np.arange(len(parts)), [len(rows) for rows in there])
        shaped = shaper.shape(
            np.zeros(len(places)),
            prompt_ids=places.tolist(),
            features=np.concatenate(there),
            is_correct=np.zeros(len(places), dtype=bool),
        )
        for place, size in zip(places, shaped.cluster_sizes, strict=True):
            sizes[place].append(float(np.log1p(size)))
    rows = [follows(one.strategies, np.array(found)) for one, found in zip(errors, sizes, strict=True)]
    _, contrast, _, right = np.nanmean(rows, axis=0)
    neighbours = float(np.nanmean(shares(vectors, sample_of(errors), "all")))
    return Judged(float(right), float(contrast), neighbours, np.concatenate(sizes))


def sample_of(errors: list[Errors], first: int = 0) -> Sample:
    """All completions but the first ones of each problem."""
    strategies = [name for one in errors for name in one.strategies[first:]]
    problem = np.repeat(np.arange(len(errors)), [max(0, len(one.strategies) - first) for one in errors])
    return Sample(problem, np.array(strategies), np.array(strategies))


def split(errors: list[Errors], vectors: np.ndarray) -> list[np.ndarray]:
    """The rows of each problem."""
    return np.split(vectors, np.cumsum([len(one.strategies) for one in errors])[:-1])


def changed_sides(errors: list[Errors], full: np.ndarray, vectors: np.ndarray, at: float = 0.25) -> float:
    """Share of pairs of one problem that are nearer than `at` in one set of vectors and not in the other.

    Only pairs within .05 of it at full width are counted.
    """
    changed = []
    for ours, theirs in zip(split(errors, vectors), split(errors, full), strict=True):
        upper = np.triu_indices(len(ours), 1)
        now, before = (np.sqrt(np.maximum(0, 2 - 2 * (unit(x) @ unit(x).T)))[upper] for x in (ours, theirs))
        close = abs(before - at) < 0.05
        changed.append((now < at)[close] != (before < at)[close])
    return float(np.concatenate(changed).mean())


def whitened(errors: list[Errors], vectors: np.ndarray, shrinkage: float) -> np.ndarray:
    """(N, D) with the spread of the first visits as the measure; NaN-free, as it is shrunk towards a sphere."""
    parts = split(errors, unit(vectors.astype(np.float64)))
    first = np.concatenate([part[:VISIT] - part[:VISIT].mean(axis=0) for part in parts])
    values, axes = np.linalg.eigh(first.T @ first / len(first))
    values = (1 - shrinkage) * np.maximum(values, 0) + shrinkage * values.mean()
    # The mean of the first visit is known, too; without it the prompt's own direction would be blown up.
    return np.concatenate([(part - part[:VISIT].mean(axis=0)) @ axes / np.sqrt(values) for part in parts])


def later_neighbours(errors: list[Errors], vectors: np.ndarray) -> float:
    """The neighbours' share among the completions after the first visit."""
    later = np.concatenate([part[VISIT:] for part in split(errors, vectors)])
    return float(np.nanmean(shares(later, sample_of(errors, VISIT), "all")))


if __name__ == "__main__":
    raise SystemExit(main())
