"""The printed tables, on four problems."""

import numpy as np

from meds_lab.regime.figures import RIGHT, Sampled
from meds_lab.regime.table import report


def problems() -> list[Sampled]:
    rng = np.random.default_rng(0)
    found = []
    for number in range(4):
        modes = rng.choice([RIGHT, 0, 1, 2], 64, p=[0, 0.7, 0.2, 0.1])
        modes[:number] = RIGHT  # number of 64 are right
        name = f"reasoning_gym:{'ab'[number // 2]}"
        found.append(Sampled(name, f"p{number}", {"steps": modes, "answer": modes}, np.zeros(64, dtype=bool)))
    return found


def test_the_report_has_a_row_for_each_problem_set_and_memory():
    lines = report(problems()).splitlines()
    assert sum(line.startswith(("| a | p", "| b | p")) for line in lines) == 4
    # lambda: 0, 1.5, 3, 4.5
    assert any(line.startswith("| all | steps |") and line.endswith("| 1.125 / 2.250 / 3.375 |") for line in lines)
    # Lambdas of 1.5 and 3 are undecided; one of four prompts has none right.
    shares = next(line.split(" | ") for line in lines if line.startswith("| all | 4 |"))
    assert [shares[2], *shares[4:6]] == ["0.500", "0.250", "0.056"]
    memories = [line for line in lines if line.startswith(("| a | steps | 3 |", "| a | steps | 12 drawn again |"))]
    assert len(memories) == 4
    assert sum(line.startswith("| simulated |") for line in lines) == 3 * 4
