"""The Markdown of made-up cells."""

from dataclasses import replace

import pandas as pd
import pytest

from meds_lab.compare.cells import Cell
from meds_lab.compare.files import MARK, header, markdown, refuse_foreign, write_markdown
from meds_lab.compare.grid import Grid
from meds_lab.compare.outcomes import Cost, Outcome
from meds_lab.compare.results import make_results
from meds_lab.compare.tables import text_tables

VERSIONS = {"meds-rl": "0.1.0", "torch": "2.13.0", "trl": "1.16.0", "vllm": None}


def made_grid(tmp_path, **changes):
    methods = {"dapo": {}, "count": {}, "meds": {}}
    checkpoints = {"pocket": {"a": {}, "b": {}}}
    also = (("meds", "count"),)
    grid = Grid(
        tmp_path / "my|grid.yaml",
        {},
        {"pocket": {}},
        checkpoints,
        (0, 1, 2),
        methods,
        "dapo",
        also,
        2,
        (),
        (),
    )
    return replace(grid, **changes)


def outcome(tmp_path, method, checkpoint, seed, right):
    """Two problems of four samples: so many right, and none."""
    table = pd.DataFrame(
        {
            "group": "test | hard",
            "problem_id": ["p", "q"],
            "n": 4,
            "right": [right, 0],
            "no_answer": 0,
            "wrong": [4 - right, 4],
            "distinct": [min(1, 4 - right), 1],
            "exact": pd.Series([None, None], dtype=object),
        }
    )
    cell = Cell("pocket", checkpoint, seed, method, {}, tmp_path)
    return Outcome(cell, table.assign(right=0, wrong=4, distinct=1), table, Cost(2.0, 3, 96), (1,), 4, VERSIONS)


@pytest.fixture
def made(tmp_path):
    """A grid, its cells but for the last, and their results."""
    grid = made_grid(tmp_path)
    outcomes = [
        outcome(tmp_path, method, checkpoint, seed, right)
        for checkpoint in ("a", "b")
        for seed in (0, 1, 2)
        for method, right in (("dapo", 1), ("count", 2), ("meds", 4))
    ][:-1]
    return grid, outcomes, make_results(grid, outcomes, 18)


def test_the_header_says_what_the_tables_are_of(made):
    assert header(*made) == (
        "17 of 18 cells finished. pocket: 5 of 6 units with all methods (checkpoints a, b; seeds 0-2), k = 2. "
        "meds-rl 0.1.0, torch 2.13.0, trl 1.16.0."
    )


def test_cells_trained_with_several_versions_say_so(made):
    grid, outcomes, results = made
    other = replace(outcomes[0], packages={**VERSIONS, "torch": "2.14.0"})
    unknown = replace(outcomes[1], packages={})
    said = header(grid, [other, unknown, *outcomes[2:]], results)
    assert "torch 2.14.0 and unknown and 2.13.0" in said


def test_tables_by_hand(made):
    grid, outcomes, results = made
    text = markdown(grid, outcomes, results, "meds compare x.yaml")
    assert text.startswith(f"{MARK}\n\n# my\\|grid\n\n```sh\nmeds compare x.yaml\n```\n")
    lines = text.splitlines()
    assert "## pocket: test \\| hard, minus dapo" in lines
    assert "| measure |  | mean | n | diff | 95 % interval | 95 % interval (checkpoints) | > 0 | p | Holm |" in lines
    # pass@1 of 1, 2, 4 right in 4, and 0 in the other problem; drawn problems give 0 to twice the difference.
    assert "| pass@1 | before | 0.000 | 6 |  |  |  |  |  |  |" in lines
    assert "|  | dapo | 0.125 | 6 |  |  |  |  |  |  |" in lines
    # 2/2^6 = .031 and 2/2^5 = .0625, of three comparisons.
    both = "[+0.000, +0.250]"
    assert f"|  | count | 0.250 | 6 | +0.125 | {both} | {both} | 6/6 | 0.031 | 0.094 |" in lines
    assert any(line.startswith("|  | meds | 0.500 | 5 | +0.375 |") and "| 5/5 |" in line for line in lines)
    assert "## pocket: test \\| hard, other pairs" in lines
    both = "[+0.000, +0.500]"
    assert f"| pass@1 | meds minus count | +0.250 | {both} | {both} | 5/5 | 0.062 | 0.125 |" in lines
    assert "|  | cells | s/step | relative | range | updates | samples | jobs |" in lines
    assert "| meds | 5 | 2.00 | 1.00 | 1.00-1.00 | 3 | 96 | 1 |" in lines
    assert [line for line in lines if line.startswith("- ")] == [f"- {note}" for note in results.notes()]


def test_names_are_no_markup(made):
    grid, outcomes, _ = made
    odd = [replace(one, after=one.after.assign(group="_a_ [b](c) ~~d~~ &lt; $e$ <f>")) for one in outcomes]
    text = markdown(grid, odd, make_results(grid, odd, 18), "meds")
    assert "## pocket: \\_a\\_ \\[b\\](c) \\~\\~d\\~\\~ \\&lt; \\$e\\$ \\<f>, minus dapo" in text.splitlines()


def test_the_screen_has_the_same_cells_but_the_second_interval(made):
    _, _, results = made
    for screen, page in zip(
        text_tables(results, "dapo"), text_tables(results, "dapo", over_checkpoints=True), strict=True
    ):
        second = next((place for place, name in enumerate(page.columns) if "checkpoints" in name), None)
        assert (second is None) == ("cost" in page.title)
        for (_, rows), (_, longer) in zip(screen.sections, page.sections, strict=True):
            for cells, more in zip(rows, longer, strict=True):
                kept = [cell for place, cell in enumerate(more) if second is None or place != second + 1]
                assert list(cells) == kept


def test_the_cost_is_shown_without_figures(made):
    _, _, results = made
    (table,) = text_tables(replace(results, levels=[], comparisons=[]), "dapo")
    assert table.title == "pocket: cost of training, relative to dapo"


def test_one_checkpoint_has_no_second_interval(made):
    grid, outcomes, _ = made
    first = [one for one in outcomes if one.cell.checkpoint == "a"]
    assert "(checkpoints)" not in markdown(grid, first, make_results(grid, first, 18), "meds")


def test_only_our_own_file_is_replaced(made, tmp_path):
    path = tmp_path / "new" / "tables.md"
    refuse_foreign(path)
    write_markdown(path, *made, "meds")
    refuse_foreign(path)
    first = path.read_bytes()
    write_markdown(path, *made, "meds")
    assert path.read_bytes() == first
    path.write_text("# Mine\n")
    with pytest.raises(FileExistsError, match="nothing was changed"):
        refuse_foreign(path)
