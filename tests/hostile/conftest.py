"""One table of all hostile campaigns: what was tried, and what was mishandled."""

from pathlib import Path

import pytest

from ..report.conftest import browser, watch  # noqa: F401
from .campaign import Trial, run_trials

SHOWN = 5
"""Most mishandled inputs that a failure prints."""


@pytest.fixture
def tally(record_property):
    """Put one row into the table that ends the session, then fail if anything was mishandled."""

    def put(what: str, tried: int, mishandled: list[str], bound: str) -> None:
        record_property("hostile", [what, tried, len(mishandled), bound])
        first = "\n\n".join(mishandled[:SHOWN])
        assert not mishandled, f"{len(mishandled)} of {tried} mishandled; the first:\n{first}"

    return put


@pytest.fixture
def campaign(tally):
    """Run a trial on seeds 0, 1, 2, ...; `each` is the number of inputs that one trial hands in."""

    def run(what: str, trial: Trial, count: int, *, seconds: float, gigabytes: float, each: int = 1) -> None:
        mishandled = run_trials(trial, count, seconds=seconds, gigabytes=gigabytes)
        tally(what, count * each, mishandled, f"{seconds:g} s, {gigabytes:g} GB")

    return run


def pytest_terminal_summary(terminalreporter) -> None:
    """Print the table for docs/reliability.md: a row for each file of campaigns."""
    rows: dict[str, list[list]] = {}
    for report in (report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])):
        name = Path(report.nodeid.partition("::")[0]).stem.removeprefix("test_").replace("_", " ")
        found = [value for key, value in report.user_properties if key == "hostile"]
        if found:
            rows.setdefault(name, []).extend(found)
    if not rows:
        return
    terminalreporter.write_line("")
    terminalreporter.write_line("| hostile | tried | mishandled | bounds for each |")
    terminalreporter.write_line("|---|---|---|---|")
    for name, campaigns in sorted(rows.items()):
        _, tried, mishandled, bounds = zip(*campaigns, strict=True)
        words = "; ".join(sorted(set(bounds)))
        terminalreporter.write_line(f"| {name} | {sum(tried):,} | {sum(mishandled)} | {words} |")
