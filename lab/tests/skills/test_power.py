"""What a grid of the task `skills` can show."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from meds_lab.skills.power import (
    Spread,
    assumed_spread,
    least_difference,
    least_margin,
    main,
    multiplier_of,
    pilot_spread,
    power_of,
    rows,
    share_gained,
)


def differences(values):
    """(C, S) as a pilot has them."""
    index = pd.MultiIndex.from_product([range(len(values)), range(len(values[0]))], names=["checkpoint", "seed"])
    return pd.Series(np.ravel(values), index)


def test_the_pilot_tells_checkpoints_from_seeds():
    rng = np.random.default_rng(0)
    values = 0.1 + rng.normal(0, 0.05, (2000, 1)) + rng.normal(0, 0.1, (2000, 3))
    spread = pilot_spread(differences(values))
    assert (spread.between, spread.within) == pytest.approx((0.05, 0.1), rel=0.05)
    unbalanced = pilot_spread(differences(values)[rng.random(6000) < 0.6])
    assert (unbalanced.between, unbalanced.within) == pytest.approx((0.05, 0.1), rel=0.1)


def test_seeds_that_differ_more_than_checkpoints():
    # Means are equal; mean square within: 4 * .1^2 / 2 = .02.
    spread = pilot_spread(differences([[0.1, 0.3], [0.3, 0.1]]))
    assert (spread.between, spread.within**2) == pytest.approx((0, 0.02))


@pytest.mark.parametrize("values", [[[0.1, 0.2]], [[0.1], [0.2]]])
def test_a_pilot_too_small(values):
    with pytest.raises(ValueError, match="A pilot needs two checkpoints, and two seeds of one of them"):
        pilot_spread(differences(values))


def test_upper_limit_of_the_deviation():
    # Chi squared of 3 degrees of freedom is below 1.0052 with probability .2: sqrt(3 / 1.0052).
    assert Spread(0.1, 0.1, 4).upper == pytest.approx(1.7276, abs=1e-3)
    assert Spread(0.1, 0.1).upper == 1


def test_power_as_simulated():
    rng = np.random.default_rng(0)
    means = 0.07 + rng.normal(0, 0.05, (4000, 1, 16)) + rng.normal(0, 0.15, (4000, 3, 16))
    p_values = stats.ttest_1samp(means.mean(axis=1), 0, axis=1).pvalue
    deviation = Spread(0.05, 0.15).of_checkpoint(3)
    for level in (0.05, 0.05 / 3):
        assert power_of(0.07, deviation, 16, level) == pytest.approx(np.mean(p_values < level), abs=0.025)


def test_the_least_difference_has_the_power_asked_for():
    least = least_difference(0.1, 16, 0.05)
    assert power_of(least, 0.1, 16, 0.05) == pytest.approx(0.8, abs=1e-3)
    assert power_of(2.0, 0.1, 16, 0.05) == pytest.approx(1)


def test_the_least_margin_as_simulated():
    rng = np.random.default_rng(0)
    means = rng.normal(0, 0.1, (8000, 16))
    half = stats.t.ppf(0.95, 15) * means.std(axis=1, ddof=1) / 4
    within = np.abs(means.mean(axis=1)) + half < least_margin(0.1, 16)
    assert np.mean(within) == pytest.approx(0.8, abs=0.03)


def test_beta_binomial_as_simulated():
    rng = np.random.default_rng(0)
    shares, correlation = (0.34, 1 - 0.66**1.5), 0.1
    found = [
        rng.binomial(24, rng.beta(p * (1 / correlation - 1), (1 - p) * (1 / correlation - 1), 20_000)) / 24
        for p in shares
    ]
    assert assumed_spread(0.34, 1.5, 24, correlation).within == pytest.approx(np.std(found[1] - found[0]), rel=0.02)


def test_least_difference_of_16_checkpoints_and_3_seeds():
    # Independent skills: sqrt((.34 * .66 + .46 * .54) / 24) = .140; over 48 pairs an error of .0202.
    # Normal: (1.96 + .84) * .0202 = .057; t(15) asks for a little more.
    (row, holm) = rows(assumed_spread(0.34, 1.47, 24, 0), [(16, 3)], 0.34, [1.47])
    assert row["least difference at 80%"] == pytest.approx(0.061, abs=2e-3)
    assert holm["least difference at 80%"] == pytest.approx(0.073, abs=2e-3)
    assert holm["power at x 1.47 (+0.117)"] > 0.99


def test_multiplier_and_difference_are_inverse():
    assert multiplier_of(0.34, share_gained(0.34, 1.47)) == pytest.approx(1.47)
    assert multiplier_of(0.34, 0.66) == np.inf


def test_a_deviation_of_0_is_refused():
    with pytest.raises(ValueError, match="All differences are equal"):
        rows(Spread(0, 0, 4), [(16, 3)])


def test_the_command_reads_a_pilot(simulated, tmp_path, capsys):
    rng = np.random.default_rng(0)
    pilot = simulated(rng, {"none": (1, 1), "memory": (2, 2)}, 4, 2)
    pilot = pilot.assign(tells=pilot["skill"] < 12, early_logp=rng.normal(size=len(pilot)))
    pilot.to_parquet(tmp_path / "pilot.parquet")
    assert main([str(tmp_path / "pilot.parquet"), "--checkpoints", "12", "16", "--seeds", "3"]) == 0
    printed = capsys.readouterr().out
    titles = [line for line in printed.splitlines() if line.startswith("## ")]
    assert [title.split(":")[0] for title in titles] == [
        "## Share found, all skills",
        "## ln p(right working), all skills",
        "## Share found, not tells",
        "## ln p(right working), not tells",
    ]
    assert printed.count("| 12 x 3 | 0.0167 |") == 4


def test_the_command_without_a_pilot(capsys):
    assert main(["--lam", "1", "--checkpoints", "16", "--seeds", "3", "--correlation", "0"]) == 0
    assert "baseline 0.343" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--lam", "1", "--checkpoints", "1", "--seeds", "3"])
