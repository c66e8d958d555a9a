"""The tables of `meds-lab compare` on a screen."""

import io

from rich.console import Console

from meds_lab.compare.tables import TextTable, _table

COLUMNS = ("mean", "n", "diff", "95 % interval", "> 0", "p", "Holm")


def test_names_of_methods_stay_whole_in_80_columns():
    row = ["no-penalty-entropy", "0.166", "24", "-0.033", "[-0.077, +0.010]", "12/24", "0.164", "0.375"]
    table = _table(TextTable("title", COLUMNS, [("pass@1", [row])]))
    console = Console(width=80, file=io.StringIO())
    console.print(table)
    (line,) = [line for line in console.file.getvalue().splitlines() if "entropy" in line]
    assert line.split() == [*row[:4], "[-0.077,", "+0.010]", *row[5:]]
