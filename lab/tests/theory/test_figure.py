"""The theorem's figure, on few spaces."""

import re

from meds_lab.theory import figure


def test_prints_the_tables_and_draws_the_figure(tmp_path, capsys):
    figure.main(["--spaces", "60", "--figure", str(tmp_path / "deep" / "theorem.svg")])
    printed = capsys.readouterr().out
    shares = dict(re.findall(r"^\| (c and .*?) \| \d+ \| ([\d.]+) %", printed, re.MULTILINE))
    assert shares["c and q2 ordered alike"] == "100.0"
    assert shares["c and q1 ordered oppositely"] == "0.0"
    assert "| q1 itself | 1 |" in printed
    assert (tmp_path / "deep" / "theorem.svg").read_text(encoding="utf-8").count("<path") > 20
