"""Graders of all kinds, at module level: a process finds them by name."""

import os
import time

from meds_rl.tasks import Verdict


def grade(completion, row):
    """Right where the completion is the answer; "hang", "die" and others do what they say."""
    if completion == "hang":
        time.sleep(3_600)
    if completion == "print":
        print("as a grader of someone else may do")
    if completion == "die":
        os._exit(1)
    if completion == "memory":
        raise MemoryError
    if completion == "bug":
        raise KeyError("no such column")
    return completion == row["answer"]


def play(completion, row):
    """A game: how it ended is the outcome."""
    outcomes = {"lock": lambda: None, "long": ("x",) * 2_000_000, "tests": ("ok", "IndexError")}
    return Verdict(completion == row["answer"], outcomes.get(completion, f"lost by {completion}"))
