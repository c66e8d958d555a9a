"""A small task of programs: a language of eight operations, planted bugs, and a tiny model that makes them."""

from meds_lab.tasks.programs.bugs import BUGS, bug
from meds_lab.tasks.programs.task import grade, programs_task

__all__ = ["BUGS", "bug", "grade", "programs_task"]
