"""Cells of a file: they have the same place in a grid's tables as cells of this folder."""

from dataclasses import fields, replace

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import pytest

from meds_lab.compare.checks import resolve
from meds_lab.compare.grid import GridError
from meds_lab.compare.merge import read_merged
from meds_lab.compare.outcomes import Cost, Outcome, write_cells
from meds_lab.compare.results import make_results
from meds_lab.compare.state import values_set
from meds_rl.engines.trl.config import MEDSConfig


def problems(right, exact):
    return pd.DataFrame(
        {
            "group": ["test easy", "test hard"],
            "problem_id": ["p0", "p1"],
            "n": 4,
            "right": right,
            "wrong": [4 - r for r in right],
            "distinct": [min(2, 4 - r) for r in right],
            "no_answer": 0,
            "exact": pd.Series(exact, dtype=object),
        }
    )


@pytest.fixture
def trained(make):
    """A grid, its cells' recipes, and what came out of its first seed."""
    grid, cells = make(k=2)
    recipes = resolve(cells)
    outcomes = []
    for place, cell in enumerate(cells[:2]):
        resolved = {field.name: recipes[cell].training.__dict__[field.name] for field in fields(MEDSConfig)}
        before, after = problems([0, 0], [0, 0]), problems([1 + place, 3], [1, None] if place else [1, 3])
        cost = Cost(float("nan") if place else 2.0, 3, 96)
        outcomes.append(
            Outcome(cell, before, after, cost, (1, 2), 4, {"trl": "1.16.0", "vllm": None}, values_set(resolved))
        )
    return grid, recipes, outcomes


def test_cells_come_back_as_they_were(trained, tmp_path):
    grid, recipes, outcomes = trained
    path = tmp_path / "cells.parquet"
    write_cells(path, outcomes, grid.k)
    found = read_merged([path], recipes)
    assert list(found) == [one.cell for one in outcomes]
    before, after = make_results(grid, outcomes, 4), make_results(grid, list(found.values()), 4)
    assert [repr(one) for one in after.comparisons] == [repr(one) for one in before.comparisons]
    assert repr(after.levels) == repr(before.levels)
    assert repr(after.costs) == repr(before.costs)
    for one, other in zip(outcomes, found.values(), strict=True):
        assert (one.jobs, one.eval_k, one.packages) == (other.jobs, other.eval_k, other.packages)
    write_cells(tmp_path / "again.parquet", list(found.values()), grid.k)
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes(), "merged files can be merged"


def test_of_a_cell_in_two_files_the_first_counts(trained, tmp_path):
    grid, recipes, outcomes = trained
    other = replace(outcomes[0], after=problems([4, 4], [4, 4]))
    write_cells(tmp_path / "a.parquet", outcomes, grid.k)
    write_cells(tmp_path / "b.parquet", [other], grid.k)
    found = read_merged([tmp_path / "a.parquet", tmp_path / "b.parquet"], recipes)
    assert found[outcomes[0].cell].after["right"].tolist() == [1, 3]


def test_files_that_are_not_whole_are_refused(trained, tmp_path):
    grid, recipes, outcomes = trained
    path, other = tmp_path / "cells.parquet", tmp_path / "other.parquet"
    write_cells(path, outcomes, grid.k)
    table = pq.read_table(path)
    cases = {
        "it has no column given, problem_exact": table.drop_columns(["given", "problem_exact"]),
        "of pocket/base/seed-0/dapo it has nothing before training": table.filter(
            pa.compute.equal(table["when"], "after")
        ),
        "holds pocket/base/seed-0/dapo twice, before test easy": pa.concat_tables([table, table]),
    }
    for said, content in cases.items():
        pq.write_table(content, other)
        with pytest.raises(GridError, match=f"other.parquet .*{said}"):
            read_merged([other], recipes)


def test_cells_that_were_trained_otherwise_are_refused(trained, make, tmp_path):
    grid, _, outcomes = trained
    path = tmp_path / "cells.parquet"
    write_cells(path, outcomes, grid.k)
    methods = {"dapo": {"method": "dapo"}, "meds": {"method": "meds", "meds_alpha": 0.5}}
    _, cells = make(k=2, methods=methods)
    with pytest.raises(GridError, match=r"seed-0/meds in .*: meds_alpha was not given, it is now 0\.5"):
        read_merged([path], resolve(cells))


def test_cells_of_another_meaning_are_refused(trained, tmp_path):
    grid, recipes, (dapo, meds) = trained
    path = tmp_path / "cells.parquet"
    write_cells(path, [dapo, replace(meds, meaning={**meds.meaning, "meds_beta": 7.0})], grid.k)
    with pytest.raises(GridError, match=r"meds_beta was 7\.0, it is now 0\.2"):
        read_merged([path], recipes)


def test_other_files_are_refused(trained, make, tmp_path):
    grid, recipes, outcomes = trained
    text = tmp_path / "text.parquet"
    text.write_text("no table")
    with pytest.raises(GridError, match="cannot be read"):
        read_merged([text], recipes)
    with pytest.raises(GridError, match="cannot be read"):
        read_merged([tmp_path / "none.parquet"], recipes)
    table = tmp_path / "table.parquet"
    pq.write_table(pa.table({"x": [1]}), table)
    with pytest.raises(GridError, match="holds no cells of a grid; version 2"):
        read_merged([table], recipes)
    path = tmp_path / "cells.parquet"
    write_cells(path, outcomes, grid.k)
    _, others = make(k=2, tasks={"sums": {"task": "pocket"}})
    with pytest.raises(GridError, match="no cell of this grid; it has pocket/base/seed-0/dapo, pocket/base"):
        read_merged([path], resolve(others))
