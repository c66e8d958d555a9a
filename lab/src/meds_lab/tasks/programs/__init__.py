"""A pocket of code: a small language, planted bugs, and a tiny model that writes programs with them."""

from meds_lab.tasks.programs.bugs import BUGS, bug
from meds_lab.tasks.programs.task import grade, programs_task

__all__ = ["BUGS", "bug", "grade", "programs_task"]
