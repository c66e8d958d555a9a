"""Power of the grid `skills`, from a pilot or from lambda.

    python -m meds_lab.skills.power PILOT.parquet --checkpoints 12 16 --seeds 3
    python -m meds_lab.skills.power --lam 1 --skills 24 --correlation 0.1 --checkpoints 16 --seeds 3

The test is that of `meds_lab.skills.inference`: Student's t over C checkpoints of differences averaged over S seeds,
with the standard deviation sqrt(between^2 + within^2 / S). Holm's first step tests at .05 / (number of questions). A
pilot of few checkpoints estimates the deviation badly, so one column uses the upper 80 % limit of the deviation.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.power import TTestPower

from meds_lab.skills.inference import SECOND, Row, check_table, hard_skills, markdown, paired_differences
from meds_lab.skills.questions import BASELINE, QUESTIONS

POWER = 0.8
LEVELS = (0.05, 0.05 / len(QUESTIONS))

RATE = 0.42
"""Rate of discovery per unit of lambda: at lambda 1 the share found is 1 - exp(-.42) = .34."""


@dataclass(frozen=True)
class Spread:
    """Standard deviations of the difference between the two trainings of a pair.

    Attributes:
        between: between checkpoints.
        within: between seeds of one checkpoint.
        num_checkpoints: number of checkpoints that they are estimated from; None if they are assumed.
    """

    between: float
    within: float
    num_checkpoints: int | None = None

    def of_checkpoint(self, num_seeds: int) -> float:
        """Standard deviation of a checkpoint's mean over `num_seeds` seeds.

        Example:
            >>> Spread(between=0.3, within=0.8).of_checkpoint(4)
            0.5
        """
        return float(np.hypot(self.between, self.within / np.sqrt(num_seeds)))

    @property
    def upper(self) -> float:
        """Upper 80 % limit of a deviation over the deviation, by chi squared; 1 if they are assumed."""
        if self.num_checkpoints is None:
            return 1.0
        df = self.num_checkpoints - 1
        return float(np.sqrt(df / stats.chi2.ppf(1 - POWER, df)))


def pilot_spread(differences: pd.Series[float]) -> Spread:
    """The spread by one-way analysis of variance with random checkpoints; a negative variance counts as 0.

    Args:
        differences: indexed by checkpoint and seed.

    Raises:
        ValueError: there are not two checkpoints, or no checkpoint has two seeds.

    Example:
        Mean squares: 2 (.25^2 + .25^2) = .25 between, (.02 + .02) / 2 = .02 within; (.25 - .02) / 2 = .115.

        >>> index = pd.MultiIndex.from_product([[0, 1], [0, 1]], names=["checkpoint", "seed"])
        >>> spread = pilot_spread(pd.Series([0.0, 0.2, 0.5, 0.7], index))
        >>> round(spread.between**2, 3), round(spread.within**2, 3)
        (0.115, 0.02)
    """
    groups = differences.groupby("checkpoint")
    sizes, num = groups.size(), len(differences)
    if len(sizes) < 2 or num == len(sizes):
        raise ValueError(
            f"A pilot needs two checkpoints, and two seeds of one of them; got {len(sizes)} checkpoints, {num} pairs."
        )
    within = float(((differences - groups.transform("mean")) ** 2).sum() / (num - len(sizes)))
    between = float((sizes * (groups.mean() - differences.mean()) ** 2).sum() / (len(sizes) - 1))
    seeds = (num - (sizes**2).sum() / num) / (len(sizes) - 1)
    return Spread(float(np.sqrt(max(0.0, between - within) / seeds)), float(np.sqrt(within)), len(sizes))


def assumed_spread(share: float, multiplier: float, num_skills: int, correlation: float, between: float = 0) -> Spread:
    """The spread if a training's number of skills found is beta-binomial.

    The variance within is p (1 - p) / K (1 + (K - 1) correlation), summed over both trainings of a pair.

    Args:
        share: found at the baseline.
        multiplier: of discovery by the method.
        num_skills: K.
        correlation: between two skills of a training, of being found.
        between: standard deviation between checkpoints of the difference.

    Example:
        >>> round(assumed_spread(0.5, 1, 24, 0).within, 3)  # sqrt(2 * .25 / 24)
        0.144
    """
    shares = np.array([share, share + share_gained(share, multiplier)])
    variance = shares * (1 - shares) / num_skills * (1 + (num_skills - 1) * correlation)
    return Spread(between, float(np.sqrt(variance.sum())))


def share_gained(share: float, multiplier: float) -> float:
    """What a multiplier of discovery adds to the share found at the baseline.

    Example:
        >>> round(share_gained(0.34, 1.47), 3)  # 1 - .66^1.47 - .34
        0.117
    """
    return 1 - share - (1 - share) ** multiplier


def multiplier_of(share: float, difference: float) -> float:
    """The multiplier that adds `difference` to `share`; infinite if all is found."""
    return float(np.log1p(-share - difference) / np.log1p(-share)) if share + difference < 1 else float("inf")


def power_of(difference: float, deviation: float, num_checkpoints: int, level: float) -> float:
    """The power of the two-sided t test at `level` to find a difference above 0, with the right sign."""
    return float(TTestPower().power(difference / deviation, num_checkpoints, level / 2, alternative="larger"))


def least_difference(deviation: float, num_checkpoints: int, level: float) -> float:
    """The smallest difference that the test finds with a power of `POWER`."""
    solved = TTestPower().solve_power(nobs=num_checkpoints, alpha=level / 2, power=POWER, alternative="larger")
    return deviation * float(solved)


def least_margin(deviation: float, num_checkpoints: int) -> float:
    """The smallest margin that holds the 90 % interval with probability `POWER` if the true difference is 0.

    Approximate: (t_.95 + t_(1 - (1 - power) / 2)) deviation / sqrt(C).
    """
    df = num_checkpoints - 1
    return float((stats.t.ppf(0.95, df) + stats.t.ppf((1 + POWER) / 2, df)) * deviation / np.sqrt(num_checkpoints))


# ---- The report.


def rows(
    spread: Spread, grids: Sequence[tuple[int, int]], share: float | None = None, multipliers: Sequence[float] = ()
) -> list[Row]:
    """Least effects, and power at the multipliers, for each grid and level.

    Args:
        spread: of the differences.
        grids: (checkpoints, seeds) of each grid.
        share: found at the baseline; None if the differences are not of shares.
        multipliers: of discovery; they need `share`.
    """
    if not spread.of_checkpoint(1) > 0:
        raise ValueError("All differences are equal: there is no power to compute from a deviation of 0.")
    made = []
    for num_checkpoints, num_seeds in grids:
        deviation = spread.of_checkpoint(num_seeds)
        for level in LEVELS:
            least = least_difference(deviation, num_checkpoints, level)
            row: Row = {
                "checkpoints x seeds": f"{num_checkpoints} x {num_seeds}",
                "level": level,
                f"least difference at {POWER:.0%}": least,
                "at the deviation's upper limit": least * spread.upper,
                'least margin of "as good as"': least_margin(deviation, num_checkpoints),
            }
            if share is not None:
                gains = {one: share_gained(share, one) for one in multipliers}
                row["least multiplier"] = multiplier_of(share, least)
                row |= {
                    f"power at x {one:g} ({gain:+.3f})": power_of(gain, deviation, num_checkpoints, level)
                    for one, gain in gains.items()
                }
            made.append(row)
    return made


def _title(name: str, spread: Spread, share: float | None = None) -> str:
    found = "" if share is None else f"; baseline {share:.3f}"
    return f"{name}: deviation between checkpoints {spread.between:.3f}, between seeds {spread.within:.3f}{found}"


def of_pilot(
    table: pd.DataFrame, pair: Sequence[str], grids: Sequence[tuple[int, int]], multipliers: Sequence[float]
) -> str:
    """Both endpoints, on each subset that a question names."""
    parts = []
    for subset in dict.fromkeys(one.subset for one in QUESTIONS):
        hard, skills = hard_skills(table, subset), subset or "all skills"
        share = float(hard.loc[hard["method"] == pair[1], "found"].mean())
        found, second = (pilot_spread(paired_differences(hard, column, *pair)) for column in ("found", SECOND))
        parts += [markdown(_title(f"Share found, {skills}", found, share), rows(found, grids, share, multipliers))]
        parts += [markdown(_title(f"ln p(right working), {skills}", second), rows(second, grids))]
    return "\n\n".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("pilot", type=Path, nargs="?", help="parquet")
    source.add_argument("--lam", type=float, help="right answers that training would see of a skill")
    parser.add_argument("--pair", nargs=2, default=("memory", BASELINE), metavar=("METHOD", "OTHER"))
    parser.add_argument("--skills", type=int, default=24, help="with --lam")
    parser.add_argument("--correlation", type=float, default=0.1, help="with --lam: of the skills of a training")
    parser.add_argument("--between", type=float, default=0.0, help="with --lam: deviation between checkpoints")
    parser.add_argument("--checkpoints", type=int, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--multipliers", type=float, nargs="+", default=[1.2, 1.5, 2.0])
    parsed = parser.parse_args(argv)
    if min(parsed.checkpoints) < 2 or min(parsed.seeds) < 1:
        parser.error("--checkpoints must be 2 or more, --seeds 1 or more.")
    grids = [(checkpoints, seeds) for checkpoints in parsed.checkpoints for seeds in parsed.seeds]
    if parsed.pilot is not None:
        print(of_pilot(check_table(pd.read_parquet(parsed.pilot), parsed.pair), parsed.pair, grids, parsed.multipliers))
        return 0
    share = float(-np.expm1(-RATE * parsed.lam))
    spread = assumed_spread(share, max(parsed.multipliers), parsed.skills, parsed.correlation, parsed.between)
    title = _title(f"Share found, lambda {parsed.lam:g}", spread, share)
    print(markdown(title, rows(spread, grids, share, parsed.multipliers)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
