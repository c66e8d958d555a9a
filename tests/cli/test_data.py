"""`meds data` from the command line: the table, the file, and what it refuses."""

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meds_rl.cli.main import main
from meds_rl.tasks.mathematics import DAPO_HUB, MATH_HUB


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture
def math(tmp_path):
    rows = [{"problem": f"{i}?", "level": f"Level {1 + i % 5}", "solution": rf"\boxed{{{i}}}"} for i in range(10)]
    pq.write_table(pa.Table.from_pylist([*rows, rows[4]]), tmp_path / "math.parquet")
    return str(tmp_path / "math.parquet")


def test_the_file_and_the_table(tmp_path, math, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out = tmp_path / "new" / "set.parquet"
    assert main(["data", "--output", str(out), "--math", math]) == 0
    frame = pd.read_parquet(out)
    assert sorted(frame["answer"], key=int) == ["2", "3", "4", "7", "8", "9"]  # levels 3, 4 and 5
    shown = capsys.readouterr().out
    # read 11 = 4 of levels 1 and 2 + 1 duplicate + 6 kept
    assert [cell.strip() for cell in shown.split("all ")[1].split("│")[1:8]] == [
        "11",
        "4",
        "0",
        "0",
        "1",
        "0",
        "6",
    ]
    assert f"Written: {out}" in shown


def test_levels_and_limit(tmp_path, math):
    out = tmp_path / "set.parquet"
    assert main(["data", "--output", str(out), "--math", math, "--levels", "1", "2", "--limit", "3"]) == 0
    assert list(pd.read_parquet(out)["answer"]) == ["0", "1", "5"]


def test_nothing_is_overwritten_and_nothing_is_read_first(tmp_path, capsys):
    out = tmp_path / "set.parquet"
    out.write_text("precious")
    assert main(["data", "--output", str(out), "--math", "missing.parquet"]) == 2
    assert "exists and is not overwritten" in capsys.readouterr().err
    assert out.read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "set.json"], "must end in .parquet"),
        (["--output", "set.parquet", "--math", "missing.parquet"], "no such file or folder: missing.parquet"),
        (["--output", "set.parquet", "--math", "{math}", "--limit", "0"], "limit must be at least 1, got 0"),
        (["--output", "set.parquet", "--dapo", "{math}", "--levels", "9"], "invalid choice: 9"),
        ([], "--output"),
    ],
)
def test_bad_input(tmp_path, math, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(["data", *(argument.format(math=math) for argument in arguments)])
    except SystemExit as stop:  # argparse's own way
        status = stop.code
    assert status == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "set.parquet").exists()


def test_without_sources_both_come_from_the_hub(tmp_path, monkeypatch):
    asked = []

    def collect(dapo, math, **_):
        asked.append((dapo, math))
        raise ValueError("stop here")

    monkeypatch.setattr("meds_rl.cli.data.collect", collect)
    for sources in ([], ["--dapo"], ["--math"], ["--dapo", "--math", "m.jsonl"]):
        assert main(["data", "--output", str(tmp_path / "x.parquet"), *sources]) == 2
    assert asked == [(DAPO_HUB, MATH_HUB), (DAPO_HUB, None), (None, MATH_HUB), (DAPO_HUB, "m.jsonl")]
