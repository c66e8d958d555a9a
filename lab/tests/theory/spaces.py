"""Random finite outcome spaces, with zeros, ties and extremes."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st


@dataclass(frozen=True)
class Space:
    """p_ref (N,), r (N,), c (N,), eta and lambda."""

    reference: np.ndarray
    rewards: np.ndarray
    costs: np.ndarray
    eta: float
    lam: float

    @property
    def possible(self) -> np.ndarray:
        return self.reference > 0


@st.composite
def spaces(draw: st.DrawFn, strongest: float = 20.0) -> Space:
    """1 to 8 outcomes. Weights are whole numbers (often equal, often 0), values on a grid (often equal) or anywhere."""
    n = draw(st.integers(1, 8))
    weights = draw(st.lists(st.integers(0, 9), min_size=n, max_size=n).filter(any))
    value = st.integers(-3, 3) if draw(st.booleans()) else st.floats(-3, 3, allow_subnormal=False)
    rewards = draw(st.lists(value, min_size=n, max_size=n))
    costs = draw(st.lists(value, min_size=n, max_size=n))
    strength = st.just(0.0) | st.floats(0, strongest, allow_subnormal=False)
    return Space(
        reference=np.array(weights) / sum(weights),
        rewards=np.array(rewards, dtype=float),
        costs=np.array(costs, dtype=float),
        eta=draw(strength),
        lam=draw(st.just(0.0) | st.floats(0, 3, allow_subnormal=False)),
    )


@st.composite
def ordered_spaces(draw: st.DrawFn) -> Space:
    """Spaces whose possible outcomes have rewards and costs ordered oppositely."""
    space = draw(spaces())
    order, by_cost = np.argsort(space.costs, kind="stable"), np.sort(space.costs)
    falling = np.sort(space.rewards)[::-1].copy()
    for level in np.unique(by_cost):  # any order among equal costs
        falling[by_cost == level] = draw(st.permutations(falling[by_cost == level].tolist()))
    rewards = np.empty_like(falling)
    rewards[order] = falling
    return Space(space.reference, rewards, space.costs, space.eta, space.lam)
