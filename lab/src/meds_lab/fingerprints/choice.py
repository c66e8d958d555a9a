"""Layers and the like are chosen on half of the problems and judged on the other half; then the halves are swapped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from meds_lab.fingerprints.candidates import Candidate
from meds_lab.fingerprints.data import Data
from meds_lab.fingerprints.neighbours import PAIRS, Pairs, Sample, shares


@dataclass(frozen=True)
class Judged:
    """One candidate's results.

    Attributes:
        chosen: on either half.
        share: kind of pairs -> (N,) share of near completions with the same strategy, each by the choice that the
            other half's problems made; NaN where there are too few to compare.
    """

    chosen: tuple[Any, Any]
    share: Mapping[Pairs, np.ndarray]


def halves(problem: np.ndarray) -> np.ndarray:
    """(N,) 0 or 1: every other problem."""
    return np.unique(problem, return_inverse=True)[1] % 2


def restricted(sample: Sample, rows: np.ndarray) -> Sample:
    return Sample(sample.problem[rows], sample.strategy[rows], sample.answer[rows])


def judge(candidate: Candidate, data: Data, sample: Sample, pairs: tuple[Pairs, ...] = PAIRS) -> Judged:
    """Choose by the mean share over all pairs of a problem, judge on the other half."""
    half, choices = halves(data.problem), list(candidate.choices(data))
    found = {kind: np.full(len(half), np.nan) for kind in pairs}
    chosen = []
    for judged in (0, 1):
        fit, rows = half != judged, half == judged
        scores = [0.0]
        if len(choices) > 1:
            mine = restricted(sample, fit)
            scores = [
                float(np.nanmean(shares(candidate.make(data, choice, fit)[fit], mine, "all"))) for choice in choices
            ]
        chosen.append(choices[int(np.argmax(scores))])
        vectors = candidate.make(data, chosen[-1], fit)[rows]
        for kind in pairs:
            found[kind][rows] = shares(vectors, restricted(sample, rows), kind)
    return Judged((chosen[0], chosen[1]), found)
