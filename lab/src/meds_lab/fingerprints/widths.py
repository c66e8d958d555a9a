"""What does `fingerprint_width` lose, and does whitening help? Fingerprints at full width, projected, and whitened.

    python -m meds_lab.fingerprints.widths                              # pocket task, five minutes
    python -m meds_lab.fingerprints.widths --smollm2 runs/reasoning     # also SmolLM2's samples, in this folder

Completions and visits are those of `meds_lab.fingerprints.assignment`, with the preset's memory. Columns are means over
problems. Brackets show the difference to full width with its 95 % interval by problems.

- right: correlation of ln(size + 1) with its value if strategies were known, as in `assignment`.
- Rand: adjusted Rand index between the preset's clusters of a problem's completions and their strategies.
- neighbours: share of the five nearest completions of the problem that have the same strategy.
- penalties: correlation of ln(size + 1) with its value at full width, over all completions.

Numbers of a projection are means over eight: the library's projection, and seven of reordered features.

Whitening uses the covariance within problems of each problem's first visit, shrunk towards a sphere. The last table has
the neighbours among later completions, for the plain vectors, minus the first visit's mean, and whitened.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from meds_lab.fingerprints.assignment import (
    PRESETS_CLUSTERING,
    VISIT,
    Errors,
    follows,
    sample_errors,
    shaper_of,
    smollm2_errors,
)
from meds_lab.fingerprints.neighbours import Sample, shares, unit
from meds_rl.evaluation.agreement import adjusted_rand
from meds_rl.fingerprint import Projected
from meds_rl.memory.clustering import NO_TREE

FINGERPRINTS = ("working_states", "answer_states")
WIDTHS = (256, 128, 64, 32)
PROJECTIONS = 8
SHRINKAGES = (0.1, 0.5)
MEASURES = ("right", "rand", "neighbours")


class Judged(NamedTuple):
    """Measures of one set of vectors: by problem (P,), NaN where undefined; and ln(size + 1) (N,)."""

    right: np.ndarray
    rand: np.ndarray
    neighbours: np.ndarray
    sizes: np.ndarray


class KnownFeatures:
    """A fingerprint whose features were computed before."""

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
    print(f"\n## {title}\n\n| fingerprint | numbers | right | Rand | neighbours | penalties |")
    print("| :-- | :-- | --: | --: | --: | --: |")
    for name in FINGERPRINTS:
        full = np.concatenate([one.features[name] for one in errors])
        whole = judge(errors, full)
        means = " | ".join(f"{np.nanmean(getattr(whole, measure)):.3f}" for measure in MEASURES)
        print(f"| {name} | {full.shape[1]} | {means} | 1 |")
        print(row(name, "float16", [judge(errors, full.astype(np.float16).astype(np.float32))], whole))
        for width in (one for one in WIDTHS if one < full.shape[1]):
            found = [judge(errors, projected(full, width, seed)) for seed in range(PROJECTIONS)]
            print(row(name, str(width), found, whole), flush=True)
    print("\n| fingerprint | numbers | neighbours | centred | whitened |\n| :-- | --: | --: | --: | --: |")
    for name in FINGERPRINTS:
        full = np.concatenate([one.features[name] for one in errors])
        for vectors in (full, projected(full, 128)) if full.shape[1] > 128 else (full,):
            print(whitening_row(name, errors, vectors), flush=True)


def row(name: str, label: str, found: Sequence[Judged], whole: Judged) -> str:
    """One line of the first table: means over several sets of vectors."""
    cells = []
    for measure in MEASURES:
        by_problem = np.mean([getattr(one, measure) for one in found], axis=0)
        cells.append(f"{np.nanmean(by_problem):.3f} ({interval(by_problem - getattr(whole, measure))})")
    equal = np.mean([np.corrcoef(one.sizes, whole.sizes)[0, 1] for one in found])
    return f"| {name} | {label} | {' | '.join(cells)} | {equal:.3f} |"


def interval(differences: np.ndarray) -> str:
    """Mean and 95 % interval of (P,) differences, by problems drawn again."""
    differences = differences[np.isfinite(differences)]
    drawn = np.random.default_rng(0).choice(differences, (10_000, len(differences))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{differences.mean():+.3f}, {low:+.3f} to {high:+.3f}"


def whitening_row(name: str, errors: list[Errors], vectors: np.ndarray) -> str:
    """One line of the second table."""
    plain, *white = [
        np.nanmean(later_neighbours(errors, one))
        for one in (unit(vectors), *(whitened(errors, vectors, by) for by in (1.0, *SHRINKAGES)))
    ]
    listed = ", ".join(f"{share:.3f} (shrunk by {by})" for share, by in zip(white[1:], SHRINKAGES, strict=True))
    return f"| {name} | {vectors.shape[1]} | {plain:.3f} | {white[0]:.3f} | {listed} |"


def projected(features: np.ndarray, width: int, seed: int = 0) -> np.ndarray:
    """(N, D) as the library projects them; other seeds change the order and the signs of the D numbers first."""
    if seed:
        rng = np.random.default_rng(seed)
        features = features[:, rng.permutation(features.shape[1])] * rng.choice([-1.0, 1.0], features.shape[1])
    fingerprint: Any = KnownFeatures(features)
    return Projected(fingerprint, width).combine([]).numpy()


def judge(errors: list[Errors], vectors: np.ndarray) -> Judged:
    """Stream the vectors through the preset's memory, cluster them all at once, and count neighbours."""
    parts = split(errors, vectors)
    sizes = stream(parts)
    right = [follows(one.strategies, np.array(found))[3] for one, found in zip(errors, sizes, strict=True)]
    rand = [
        adjusted_rand(
            PRESETS_CLUSTERING.refit(unit(part.astype(np.float64)), NO_TREE, np.full(len(part), -1)).labels,
            np.array(one.strategies),
        )
        for one, part in zip(errors, parts, strict=True)
    ]
    return Judged(np.array(right), np.array(rand), neighbours(errors, vectors), np.concatenate(sizes))


def stream(parts: Sequence[np.ndarray]) -> list[list[float]]:
    """ln(size + 1) of all completions, in visits of eight of each problem."""
    sizes: list[list[float]] = [[] for _ in parts]
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
    return sizes


def neighbours(errors: list[Errors], vectors: np.ndarray, first: int = 0) -> np.ndarray:
    """(P,) share of the five nearest with the strategy; the first completions of each problem are not in `vectors`."""
    strategies = np.array([name for one in errors for name in one.strategies[first:]])
    problem = np.repeat(np.arange(len(errors)), [max(0, len(one.strategies) - first) for one in errors])
    found = shares(vectors, Sample(problem, strategies, strategies), "all")
    valid = np.isfinite(found)
    with np.errstate(invalid="ignore"):
        counts = np.bincount(problem[valid], minlength=len(errors))
        return np.bincount(problem[valid], weights=found[valid], minlength=len(errors)) / counts


def split(errors: list[Errors], vectors: np.ndarray) -> list[np.ndarray]:
    """The rows of each problem."""
    return np.split(vectors, np.cumsum([len(one.strategies) for one in errors])[:-1])


def whitened(errors: list[Errors], vectors: np.ndarray, shrinkage: float) -> np.ndarray:
    """(N, D), whitened by the covariance of the first visits; with shrinkage 1 only their mean is subtracted."""
    parts = split(errors, unit(vectors.astype(np.float64)))
    first = np.concatenate([part[:VISIT] - part[:VISIT].mean(axis=0) for part in parts])
    values, axes = np.linalg.eigh(first.T @ first / len(first))
    values = (1 - shrinkage) * np.maximum(values, 0) + shrinkage * values.mean()
    return np.concatenate([(part - part[:VISIT].mean(axis=0)) @ axes / np.sqrt(values) for part in parts])


def later_neighbours(errors: list[Errors], vectors: np.ndarray) -> np.ndarray:
    """(P,) among the completions after the first visit."""
    return neighbours(errors, np.concatenate([part[VISIT:] for part in split(errors, vectors)]), VISIT)


if __name__ == "__main__":
    raise SystemExit(main())
