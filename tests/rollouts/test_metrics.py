"""metrics.jsonl: what is a row, and what is passed over."""

import pytest

from meds_rl.rollouts import RunFolder
from meds_rl.rollouts.table import metrics_row, read_metrics

NO_ROWS = [
    b"{half a line{",
    b"[1, 2]",
    b'"text"',
    b"\xff\xfe",
    b"{}",
    b'{"step": "3"}',
    b'{"step": 3.0}',
    b'{"step": true}',
    b'{"step": -1}',
    b'{"step": 1e999}',
    b'{"step": 123456789012345678901}',
    b'{"step": 1' + b"0" * 5000 + b"}",
    b'{"loss": 0.5}',
    b"[" * 100_000,
    b"\0" * 20,
]


@pytest.mark.parametrize("line", NO_ROWS)
def test_what_is_no_row(line):
    assert metrics_row(line) is None


def test_bad_lines_are_passed_over_and_counted(tmp_path):
    run = RunFolder(tmp_path)
    lines = [b'{"step": 1}', *NO_ROWS, b"", b'{"step": 2, "loss": NaN}']
    run.metrics_path.write_bytes(b"\n".join(lines) + b'\n{"step": 3, "lo')
    rows, num_bad = read_metrics(run.metrics_path)
    assert [row["step"] for row in rows] == [row["step"] for row in run.metrics()] == [1, 2]
    assert num_bad == len(NO_ROWS)


def test_a_run_with_bad_lines_is_resumed(tmp_path):
    run = RunFolder(tmp_path)
    run.metrics_path.write_bytes(b'{"step": 1}\n{"loss": 1}\n[]\n{"step": 5}\n')
    run.drop_metrics_after(3)
    assert run.metrics_path.read_text() == '{"step": 1}\n'


def test_no_file(tmp_path):
    assert RunFolder(tmp_path).metrics() == []
