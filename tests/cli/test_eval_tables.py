"""The tables of `meds eval` keep every figure and interval, however narrow the terminal."""

import io

import pytest
from rich.console import Console

from meds_rl.cli.eval import CAPTION, at_k_tables, page, single_table
from meds_rl.evaluation.figures import group_figures


def rows(n, problems=8):
    for problem in range(problems):
        for sample in range(n):
            right = (problem * 7 + sample * 3) % 5 < 2
            yield {
                "benchmark": "reasoning_gym:chain_sum",
                "group": "test hard",
                "problem_id": str(problem),
                "answer": str(sample % 7),
                "is_correct": right,
                "is_exact": right,
                "num_tokens": 30_000 + 100 * problem,
                "finished": True,
            }


def printed(width, *tables):
    out = Console(file=io.StringIO(), width=width, force_terminal=False)
    for table in tables:
        out.print(table)
    return out.file.getvalue()


def words(text):
    return set(text.replace("─", "").split())


@pytest.mark.parametrize("samples", [4, 20, 64])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_nothing_is_cut(width, samples):
    (group,) = group_figures(rows(samples))
    narrow = Console(file=io.StringIO(), width=width)
    text = printed(width, *at_k_tables(group, narrow))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    wide = printed(10_000, *at_k_tables(group, Console(file=io.StringIO(), width=10_000)))
    assert words(text) == words(wide)
    assert "…" not in printed(max(width, 80), single_table([group]))


def test_a_page_that_is_no_terminal_has_no_limit(capsys):
    out = page()
    assert not out.is_terminal
    (group,) = group_figures(rows(64))
    tables = at_k_tables(group, out)
    assert len(tables) == 1
    out.print(tables[0])
    assert "…" not in capsys.readouterr().out


def test_the_caption_fits_a_terminal():
    assert max(map(len, CAPTION.splitlines())) <= 78
