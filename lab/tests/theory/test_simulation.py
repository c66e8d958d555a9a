"""The predictions: what is fitted is reached, and the tables are printed."""

import numpy as np
import pytest

from meds_lab.theory.bandit import Arm, Regime, Setting, simulate
from meds_lab.theory.simulation import arms_of, calibrate, felt_alpha, main, matched

REGIME = Regime(0.84, 6)


def test_the_learning_rate_and_the_alpha_reach_their_targets():
    setting = Setting(calibrate(REGIME, 0.3, 1000))
    none = simulate(REGIME, Arm(), setting, 1000, seed=1)
    assert none.found == pytest.approx(0.3, abs=0.01)
    alpha = felt_alpha(REGIME, setting, 1.5, 1000)
    memory = simulate(REGIME, Arm("memory"), Setting(setting.lr, alpha), 1000, seed=1)
    assert memory.multiplier(none) == pytest.approx(1.5, abs=0.05)
    with pytest.raises(ValueError, match=r"must be between 0\.00 and .*, got 0\.999"):
        calibrate(REGIME, 0.999, 100)


def test_matched_contrasts():
    # A long memory knows ln p up to a constant, as surprisal does from the start.
    assert 0.9 < matched(Regime(0.6, 2, num_visits=300), "surprisal") < 1
    assert matched(Regime(0.6, 2, num_visits=1), "batch") == 0  # before the first visit it knows nothing
    with pytest.raises(ValueError, match="groups of at least 3, got 2"):
        matched(Regime(0.6, 2, group_size=2), "batch")


def test_the_tables(capsys):
    main(["--replicates", "300", "--found", "0.4", "--multiplier", "1.3"])
    rows = capsys.readouterr().out.splitlines()
    labels = [row.split("|")[1].strip() for row in rows if row.startswith("| ") and "multiplier" not in row]
    assert len(labels) == 4 * len(arms_of(REGIME))
    found = float(next(row for row in rows if row.startswith("| none")).split("|")[2])
    assert found == pytest.approx(0.4, abs=3 * np.sqrt(0.24 / 300))
