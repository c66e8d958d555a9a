"""Outcomes of wrong completions in words: their kinds, and which tests of a program fail.

An outcome is a text of items (`meds_rl.fingerprint.outcome_text`), of a program one item per test.
"""

from __future__ import annotations

from collections.abc import Iterable

from meds_rl.fingerprint.outcome import SEPARATOR
from meds_rl.report.text import percent

PASSED = "ok"
WRONG_OUTPUT = "wrong output"


def kind_of(outcome: str) -> str:
    """The kind of an outcome: its first item that is not ok. All wrong outputs are one kind.

    Example:
        >>> kind_of("ok, IndexError, got 5"), kind_of("ok, got 5, wrong"), kind_of("lost by timeout"), kind_of("ok, ok")
        ('IndexError', 'wrong output', 'lost by timeout', 'every item is ok')
    """
    failed = next((item for item in outcome.split(SEPARATOR) if item != PASSED), "every item is ok")
    return WRONG_OUTPUT if failed == "wrong" or failed.startswith("got ") else failed


def has_tests(outcomes: Iterable[str]) -> bool:
    """Whether items are tests: an outcome of several items has one that is ok."""
    return any(SEPARATOR in outcome and PASSED in outcome.split(SEPARATOR) for outcome in outcomes)


def in_words(outcome: str, are_tests: bool) -> str:
    """An outcome for the reader: of several tests only those that failed.

    Example:
        >>> in_words("ok, got 5, wrong, ok, wrong", True), in_words("KeyError, KeyError", True)
        ('got 5 on test 2 of 5, wrong on 3, 5', 'KeyError on all 2 tests')
        >>> in_words("lost by timeout", True), in_words("up, down", False)
        ('lost by timeout', 'up, down')
    """
    items = outcome.split(SEPARATOR)
    if not are_tests or len(items) == 1:
        return outcome
    if len(set(items)) == 1:
        return f"{items[0]} on all {len(items)} tests"
    places: dict[str, list[int]] = {}
    for number, item in enumerate(items, 1):
        if item != PASSED:
            places.setdefault(item, []).append(number)
    parts = [f"{item} on {_listed(numbers)}" for item, numbers in places.items()]
    first, numbers = next(iter(places.items()))
    tests = "test" if len(numbers) == 1 else "tests"
    return ", ".join([f"{first} on {tests} {_listed(numbers)} of {len(items)}", *parts[1:]])


def _listed(numbers: list[int]) -> str:
    """Numbers in ascending order, three or more in a row as a range."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def failed_tests(outcomes: Iterable[str]) -> str:
    """Which tests fail, in words, over the outcomes of several tests; empty without any.

    Example:
        >>> failed_tests(["got 5, wrong", "ok, got 7", "ok, ok, KeyError, ok", "got 1, ok, ok, ok"])
        '50 % of the tests passed on average; no test passed in 25 %, only the last one failed in 25 %'
        >>> failed_tests(["timeout, not run"])
        'no test passed'
    """
    passed = [[item == PASSED for item in outcome.split(SEPARATOR)] for outcome in outcomes if SEPARATOR in outcome]
    if not passed:
        return ""
    if not any(map(any, passed)):
        return "no test passed"
    none = sum(not any(one) for one in passed) / len(passed)
    last = sum(all(one[:-1]) and not one[-1] for one in passed) / len(passed)
    average = sum(sum(one) / len(one) for one in passed) / len(passed)
    found = {"no test passed": none, "only the last one failed": last}
    parts = ", ".join(f"{words} in {percent(share)}" for words, share in found.items() if share)
    return "; ".join(filter(None, (f"{percent(average)} of the tests passed on average", parts)))
