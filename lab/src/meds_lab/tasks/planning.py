r"""Plans: reasoning-gym's shortest_path, with outcomes.

The data set's own scorer says right or wrong. The outcome says which move of the plan fails first, and how:

>>> outcome_of("right right", [["*", "O"], ["X", "#"]], 2)
('off the grid', 'move 2')
>>> outcome_of("right", [["*", "O"], ["X", "#"]], 2)
('stops before the goal',)
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meds_rl.fingerprint import extract_answer
from meds_rl.tasks import Task, Verdict
from meds_rl.tasks.reasoning_gym import ReasoningGymGrader, decode_entry, plain, reasoning_gym_task

MOVES = {"right": (0, 1), "down": (1, 0), "left": (0, -1), "up": (-1, 0)}
NO_PATH = "infeasible"


@dataclass(frozen=True)
class PathGrader:
    """The data set's grader, as a `Verdict` with the outcome of the plan. Picklable.

    Attributes:
        score: the data set's own grader.
    """

    score: ReasoningGymGrader

    def __call__(self, completion: str, row: Mapping[str, Any]) -> Verdict:
        is_correct = bool(self.score(completion, row))
        answer = extract_answer(completion, "boxed")
        if answer is None:
            return Verdict(is_correct)
        if is_correct:
            return Verdict(True, ("right",))
        entry = decode_entry(row["entry"])
        grid, path = entry["metadata"]["matrix"], entry["answer"]
        return Verdict(False, outcome_of(plain(answer), grid, None if path == NO_PATH else len(path.split())))


def outcome_of(plan: str, grid: Sequence[Sequence[str]], shortest: int | None) -> tuple[Hashable, ...]:
    """The outcome of a wrong plan.

    Args:
        plan: directions, between white space.
        grid: rows of cells, "*" the start, "#" the goal, "X" blocked.
        shortest: moves of the shortest path; None if there is no path.
    """
    if shortest is None:
        return ("a path where there is none",)
    if plan.strip() == NO_PATH:
        return ("gives up where there is a path",)
    row, column = next((r, c) for r, cells in enumerate(grid) for c, cell in enumerate(cells) if cell == "*")
    moves = plan.split()
    for number, move in enumerate(moves, 1):
        if move not in MOVES:
            return "no direction", f"move {number}"
        row, column = row + MOVES[move][0], column + MOVES[move][1]
        if not (0 <= row < len(grid) and 0 <= column < len(grid[0])):
            return "off the grid", f"move {number}"
        if grid[row][column] == "X":
            return "into a blocked cell", f"move {number}"
    if grid[row][column] != "#":
        return ("stops before the goal",)
    return ("a detour", f"{len(moves) - shortest} moves too long")


def paths_task(**options: Any) -> Task:
    """`reasoning_gym:shortest_path`, graded by `PathGrader`; `options` are those of `reasoning_gym_task`."""
    task = reasoning_gym_task("shortest_path", **options)
    assert isinstance(task.grade, ReasoningGymGrader)
    return replace(task, grade=PathGrader(task.grade))
