"""The theorem in numbers: draws lab/evidence/theorem.svg and prints how often the entropy claim holds on random spaces.

    python -m meds_lab.theory.figure --figure lab/evidence/theorem.svg

Seconds on one core. The same bytes and the same numbers at every run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np

from meds_lab.theory import Comparison, compare, entropy_slope, similarly_ordered
from meds_rl.shaping import penalty

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

ALPHA, BETA, REMEMBERED = 0.1, 0.2, 64
STRENGTHS = np.linspace(0, 4, 401)


@dataclass(frozen=True)
class Example:
    """q1 as whole numbers, rewards, costs; and how its line looks."""

    label: str
    weights: tuple[float, ...]
    rewards: tuple[float, ...]
    costs: tuple[float, ...]
    colour: str
    dashes: str = "-"

    def at(self, strength: float) -> Comparison:
        """The comparison at eta lambda = strength, from this q1: p_ref is q1 tilted back, with eta at 1."""
        q1, r = np.array(self.weights) / sum(self.weights), np.array(self.rewards)
        reference = q1 * np.exp(-r)
        return compare(reference / reference.sum(), r, self.costs, eta=1.0, lam=strength)


# Okabe and Ito's colours, told apart by the colour-blind.
REWARD = (
    Example("right 1, wrong 0 (holds)", (1, 5, 4), (1, 0, 0), (0, 1, 0.5), "#0072B2"),
    Example("the larger cluster runs over (holds)", (4, 6), (0, -1), (0, 1), "#009E73", "--"),
    Example("the smaller cluster runs over (fails)", (4, 6), (-1, 0), (0, 1), "#D55E00"),
    Example("one pair fails, gains all the same", (1, 1, 1), (1, 0, 0.1), (0, 1, 2), "#CC79A7", "-."),
)
ENTROPY = (
    Example("true counts: c = ln q1 + constant", (5, 3, 2), (0, 0, 0), tuple(np.log([5, 3, 2])), "#0072B2"),
    Example("A  two errors, equally likely", (1, 1), (0, 0), (1, 0), "#D55E00"),
    Example("B  given up, but remembered", (3, 1), (0, 0), (0, 1), "#E69F00", "--"),
    Example("C  right most of the time", (8, 1, 1), (1, 0, 0), (0, 1, 1), "#CC79A7", "-."),
    Example("E  falls and rises again", (60, 30, 1), (0, 0, 0), (10, 1, 0), "#000000", ":"),
)


def draw(path: Path) -> None:
    """Write the figure as SVG."""
    settings = {
        "svg.hashsalt": "theorem",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(settings):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 4.4), layout="constrained")
        _draw_lines(left, REWARD, "reward_change", "change of expected reward")
        _draw_lines(right, ENTROPY, "entropy_change", "change of entropy, nats")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None}, facecolor="white")
        plt.close(figure)


def _draw_lines(axis: Axes, examples: Sequence[Example], figure_of: str, label: str) -> None:
    axis.axhline(0, color="#BBBBBB", linewidth=0.8, zorder=0)
    for example in examples:
        results = [example.at(strength) for strength in STRENGTHS]
        changes = {
            "reward_change": [result.reward_change for result in results],
            "entropy_change": [result.entropy_change for result in results],
        }[figure_of]
        axis.plot(STRENGTHS, changes, color=example.colour, linestyle=example.dashes, label=example.label)
        horizon = results[0].order_horizon
        if figure_of == "entropy_change" and 0 <= horizon <= STRENGTHS[-1]:
            axis.plot(
                horizon,
                example.at(horizon).entropy_change,
                "o",
                color=example.colour,
                markersize=5,
                clip_on=False,
            )
    axis.set_xlabel("eta lambda")
    axis.set_ylabel(label)
    axis.set_xlim(0, STRENGTHS[-1])
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)


def random_spaces(n_spaces: int, rng: np.random.Generator) -> None:
    """Any costs: how often the entropy does not fall, by what the conditions say."""
    kinds: dict[str, list[float]] = {}
    for _ in range(n_spaces):
        q1 = rng.dirichlet(np.ones(rng.integers(2, 9)))
        costs, t = rng.exponential(size=len(q1)), rng.uniform(0, 2)
        if rng.random() < 0.5:  # else ordered spaces would be rare
            costs = np.sort(costs)[np.argsort(np.argsort(q1))]
        result = compare(q1, np.zeros(len(q1)), costs, eta=t)
        if result.order_kept:
            kind = "c and q2 ordered alike"
        elif similarly_ordered(q1, costs):
            kind = "c and q1 ordered alike, not q2"
        elif similarly_ordered(q1, -costs):
            kind = "c and q1 ordered oppositely"
        else:
            sign = "above" if entropy_slope(q1, costs) > 0 else "below"
            kind = f"no order, slope at 0 {sign} 0"
        kinds.setdefault(kind, []).append(result.entropy_change)
    print(f"\n{n_spaces} random spaces, 2 to 8 outcomes, eta lambda from 0 to 2\n")
    print("| | spaces | H does not fall | least change | mean change |\n|---|---|---|---|---|")
    for kind, changes in sorted(kinds.items()):
        kept = np.mean(np.array(changes) >= -1e-12)
        print(f"| {kind} | {len(changes)} | {100 * kept:.1f} % | {min(changes):+.3f} | {np.mean(changes):+.3f} |")


def counted_penalties(n_spaces: int, rng: np.random.Generator) -> None:
    """The paper's penalty on counts of errors, all outcomes wrong."""
    print(f"\n{n_spaces} random q1 of 8 errors, |C| counted in {REMEMBERED} draws, penalty")
    print(f"min({ALPHA:g} ln(|C| + 1), {BETA:g})\n")
    columns = ["counts drawn from", "eta", "order kept", "4 is sufficient", "H does not fall"]
    columns += ["mean change", "least change", "-(eta beta)^2 / 8"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    spaces = [rng.dirichlet(np.ones(8)) for _ in range(n_spaces)]
    older = [rng.dirichlet(np.ones(8)) for _ in range(n_spaces)]
    sources = {
        "q1 itself": spaces,
        "half q1, half an older policy": [(a + b) / 2 for a, b in zip(spaces, older, strict=True)],
        "an older policy, unrelated": older,
    }
    for name, source in sources.items():
        counts = [rng.multinomial(REMEMBERED, q) for q in source]
        for eta in (1.0, 10.0, 50.0, 1000.0):
            results = [
                compare(q1, np.zeros(8), penalty(sizes, ALPHA, BETA), eta=eta)
                for q1, sizes in zip(spaces, counts, strict=True)
            ]
            changes = np.array([result.entropy_change for result in results])
            shares: list[list[bool]] = [
                [result.order_kept for result in results],
                [_exact_condition(result) for result in results],
                (changes >= -1e-12).tolist(),
            ]
            kept, enough, risen = (100 * float(np.mean(share)) for share in shares)
            print(
                f"| {name} | {eta:g} | {kept:.0f} % | {enough:.1f} % | {risen:.1f} % | {changes.mean():+.3f} | "
                f"{changes.min():+.3f} | {-((eta * BETA) ** 2) / 8:+.3f} |"
            )


def _exact_condition(result: Comparison) -> bool:
    """Statement 4's sufficient condition: E_q1[ln q2] >= E_q2[ln q2]."""
    if (result.penalised == 0).any():
        return False  # too rare for float64: ln q2 is far below 0 there, and q1 is not
    return bool((result.plain - result.penalised) @ np.log(result.penalised) >= 0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--figure", type=Path, help="where to write the figure (SVG)")
    parser.add_argument("--spaces", type=int, default=4000, help="how many random spaces (default: 4000)")
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    random_spaces(options.spaces, rng)
    counted_penalties(options.spaces // 4, rng)
    if options.figure:
        draw(options.figure)


if __name__ == "__main__":
    main()
