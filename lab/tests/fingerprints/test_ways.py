"""Errors without labels against the planted strategies."""

import re

from meds_lab.fingerprints import ways
from meds_rl.fingerprint.steps import read_steps


def test_invented_workings_have_the_steps_of_their_plan():
    errors = ways.invented_errors(3)
    assert len(errors.prompts) == len(errors.texts) == len(errors.strategies) == 3 * 12 * 8
    assert len(set(errors.strategies)) == 12
    keys = {}
    for prompt, text, rule in zip(*errors, strict=True):
        working = read_steps(prompt, text)
        assert working is not None
        keys.setdefault((prompt, rule), set()).add(working.key)
    # In eight wordings one plan has one sequence of steps, but for numbers that come twice.
    assert sum(len(found) == 1 for found in keys.values()) >= 0.9 * len(keys)


def test_the_tables(capsys):
    errors = ways.invented_errors(4)
    ways.print_agreement({"invented": errors})
    ways.print_neighbours({"invented": errors})
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| invented")]
    agreement, neighbours = ([float(cell) for cell in re.findall(r"\d*\.\d+", line)] for line in lines)
    assert agreement[0] == 1.0  # all are read
    assert agreement[1] > 0.65
    chance, by_steps, by_wording, _ = neighbours
    assert by_steps > 3 * by_wording
    assert chance < 0.1


def test_the_command(capsys):
    assert ways.main(["--problems", "3", "--samples", "16", "--policies", "stuck:0"]) == 0
    out = capsys.readouterr().out
    assert "| stuck:0 |" in out
    assert "| invented (held out) |" in out
