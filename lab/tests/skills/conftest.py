"""Tables of the grid `skills`, made up."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

Make = Callable[..., pd.DataFrame]


@pytest.fixture
def counted() -> Make:
    """A table from numbers of skills found: method -> for each checkpoint, for each seed, k of `num_skills`.

    The first skills are found. Even ones have 6 rules, and answers tell in the first half.
    """

    def make(found: Mapping[str, Sequence[Sequence[int]]], num_skills: int = 10) -> pd.DataFrame:
        rows = [
            {
                "checkpoint": f"start-{checkpoint}",
                "seed": seed,
                "method": method,
                "kind": "hard",
                "skill": f"skill-{skill}",
                "rules": 30 if skill % 2 else 6,
                "tells": skill < num_skills // 2,
                "lam": 1.0,
                "p_right_0": 0.003,
                "p_right": 0.9 if skill < number else 0.0,
                "early_logp": float(number),
                "found": skill < number,
            }
            for method, numbers in found.items()
            for checkpoint, seeds in enumerate(numbers)
            for seed, number in enumerate(seeds)
            for skill in range(num_skills)
        ]
        return pd.DataFrame(rows)

    return make


@pytest.fixture
def simulated() -> Make:
    """A table in which each skill is found with probability 1 - exp(-.42 lam m), lam drawn from .5 to 2.

    Skills of a checkpoint and of a training go together (a Gaussian copula), which leaves that probability as it is.
    `multipliers` maps a method to its m where rules are 6 and where they are 30.
    """

    def make(
        rng: np.random.Generator, multipliers: Mapping[str, tuple[float, float]], checkpoints: int, seeds: int
    ) -> pd.DataFrame:
        frames = []
        for checkpoint in range(checkpoints):
            lam, common = rng.uniform(0.5, 2, 24), rng.normal()
            for seed in range(seeds):
                for method, (few, many) in multipliers.items():
                    level = (common + rng.normal() + np.sqrt(8) * rng.normal(size=24)) / np.sqrt(10)
                    m = np.where(np.arange(24) % 2, many, few)
                    found = norm.cdf(level) < -np.expm1(-0.42 * lam * m)
                    skills = pd.DataFrame({"skill": range(24), "rules": [6, 30] * 12, "lam": lam, "found": found})
                    frames.append(skills.assign(checkpoint=checkpoint, seed=seed, method=method, kind="hard"))
        return pd.concat(frames).assign(tells=True, p_right_0=0.003, p_right=0.5, early_logp=0.0)

    return make
