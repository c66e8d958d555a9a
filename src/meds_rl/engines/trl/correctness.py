"""Which reward function says right or wrong: named by the user, or found in the first batch, with a warning."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from accelerate.logging import get_logger

from meds_rl.engines.settings import RIGHT_ABOVE

Given: TypeAlias = str | Callable[..., Any] | Sequence[str | Callable[..., Any]] | None
"""A reward function, its name, a function of one's own, or several of them."""

logger = get_logger("meds_rl")


class Correctness:
    """Decides which completions are right, from the columns of TRL's rewards.

    A row's grade is that of the first chosen function that returns a number for it. A row that none of them grades is
    neither right nor wrong.

    Args:
        names: column -> name, of the columns that can say right or wrong.
        chosen: the columns that say right or wrong; None if the user named none.
        above: a grade above it is right. None: 0.5, and the grades of the first batch must be 0 or 1.
        required: whether it is an error if no function says right or wrong.

    Attributes:
        columns: the columns that say right or wrong; None before the first batch that has a grade, empty if there are
            none.
    """

    def __init__(
        self, names: Mapping[int, str], chosen: Sequence[int] | None, above: float | None, *, required: bool
    ) -> None:
        self._names, self._above, self._required = names, above, required
        self._named = chosen is not None
        self._chosen = list(chosen if chosen is not None else names if len(names) == 1 else [])
        self._warned_not_binary = self._warned_no_grade = False
        self.columns: list[int] | None = None

    @property
    def known(self) -> bool:
        """Whether a function says right or wrong; False before the first batch that has a grade."""
        return bool(self.columns)

    def decide(self, rewards: torch.Tensor) -> None:
        """Choose the columns by the first batch, (B, F) of all processes; NaN where a function returned None.

        Raises:
            ValueError: no function says right or wrong, and training needs one.
        """
        if self.columns is not None:
            self._warn_if_not_binary(rewards)
            return
        if torch.isnan(rewards[:, self._chosen or list(self._names)]).all():
            self._warn_no_grade()
            return
        self.columns, reason = self._choice(rewards)
        if self.columns or not reason:
            return
        if self._required:
            raise ValueError(f"{reason} This method and its settings need it.")
        logger.warning(f"{reason} Until then no completion counts as right or wrong, and a memory only watches.")

    def _choice(self, rewards: torch.Tensor) -> tuple[list[int], str]:
        """The columns, or none and the reason."""
        if self._chosen:
            return self._check_chosen(rewards)
        binary = [column for column in self._names if _is_binary(rewards[:, column])]
        names = ", ".join(map(repr, self._names.values()))
        if len(binary) == 1:
            name = self._names[binary[0]]
            logger.warning(
                f"Of the reward functions {names} only {name!r} returned nothing but 0 and 1 in the first batch: it "
                f"says right or wrong. Confirm it with MEDSTrainer(correctness={self._as_argument(name)}), or name "
                "another."
            )
            return binary, ""
        which = "several of them" if binary else "none of them"
        return [], (
            f"Which of the reward functions {names} says right or wrong? In the first batch {which} returned nothing "
            "but 0 and 1. Name it: MEDSTrainer(correctness=...), a reward function, its name, or a function of your "
            "own (in a recipe: correctness)."
        )

    def _as_argument(self, name: str) -> str:
        """How to pass a function: by its name, if no other has the same."""
        return repr(name) if list(self._names.values()).count(name) == 1 else "the function itself"

    def _check_chosen(self, rewards: torch.Tensor) -> tuple[list[int], str]:
        """The chosen columns, or none and the reason. A column may have no number, in a batch of other tasks."""
        column = next((one for one in self._chosen if not _is_binary(rewards[:, one], or_empty=True)), None)
        if column is not None and self._above is None:
            return [], (
                f"The reward function {self._names[column]!r} is to say right or wrong, but it returned "
                f"{_shown(rewards[:, column])}, and not only 0 and 1. Set correct_above (rewards above it are "
                "right), or name another function with correctness."
            )
        return self._chosen, ""

    def _warn_no_grade(self) -> None:
        if not self._warned_no_grade:
            self._warned_no_grade = True
            names = ", ".join(repr(self._names[one]) for one in self._chosen or self._names)
            logger.warning(
                f"No completion of the first batch got a number from {names}: none counts as right or wrong. "
                "Completions without a number are neither penalised nor remembered."
            )

    def _warn_if_not_binary(self, rewards: torch.Tensor) -> None:
        if self._warned_not_binary or self._above is not None:
            return
        for column in self.columns or []:
            if not _is_binary(rewards[:, column], or_empty=True):
                self._warned_not_binary = True
                logger.warning(
                    f"The reward function {self._names[column]!r}, which says right or wrong, now returned "
                    f"{_shown(rewards[:, column])}. More than {RIGHT_ABOVE} counts as right; set correct_above."
                )

    def grades(self, rewards: torch.Tensor) -> torch.Tensor:
        """(B,) from (B, F): the grade of each row, NaN where there is none."""
        if not self.columns:
            return torch.full((len(rewards),), torch.nan)
        grades = rewards[:, self.columns]
        first = (~torch.isnan(grades)).int().argmax(dim=1, keepdim=True)
        return grades.gather(1, first).squeeze(1)

    def is_correct(self, rewards: torch.Tensor) -> torch.Tensor:
        """(B,) bool from (B, F); False where there is no grade."""
        return self.grades(rewards) > (RIGHT_ABOVE if self._above is None else self._above)

    def state_dict(self) -> dict[str, Any]:
        """The names of the chosen columns; None before the first batch."""
        return {"correctness": None if self.columns is None else [self._names[column] for column in self.columns]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Keep the choice of the resumed run, unless the user has named the functions or renamed them."""
        chosen = state.get("correctness")
        columns = [column for column, name in self._names.items() if name in (chosen or [])]
        if not self._named and chosen is not None and len(columns) == len(chosen):
            self.columns = columns


def as_list(given: Given) -> list[Any]:
    """What the user gave for `correctness`, as a list.

    Raises:
        TypeError: neither a name, a function nor a list of them.
    """
    if given is None:
        return []
    if isinstance(given, str) or callable(given):
        return [given]
    if not isinstance(given, Iterable):
        raise TypeError(f"correctness must be a reward function, its name, or a list of them; got {given!r}.")
    return list(given)


def find_columns(chosen: Sequence[Any], functions: Sequence[Any], names: Mapping[int, str]) -> list[int]:
    """The columns of functions and names that the user has chosen.

    Raises:
        ValueError: a name that no reward function has, or that several have; the message lists the names.
    """
    return [_find_column(one, functions, names) for one in chosen]


def _find_column(one: Any, functions: Sequence[Any], names: Mapping[int, str]) -> int:
    found = [column for column in names if functions[column] is one]
    found = found or [column for column, name in names.items() if isinstance(one, str) and name == one]
    # The same function twice gives the same grades.
    if len({id(functions[column]) for column in found}) == 1:
        return found[0]
    if found:
        raise ValueError(f"{len(found)} reward functions are named {one!r}: give correctness the function itself.")
    known = ", ".join(repr(name) for name in names.values())
    raise ValueError(f"correctness must be one of the reward functions {known}, or a function; got {one!r}.")


def _is_binary(values: torch.Tensor, *, or_empty: bool = False) -> bool:
    """Whether all values other than NaN are 0 or 1; without any, `or_empty`."""
    values = values[~torch.isnan(values)]
    return (or_empty or len(values) > 0) and bool(((values == 0) | (values == 1)).all())


def _shown(values: torch.Tensor) -> str:
    """Up to three of the values that are not 0 or 1."""
    odd = sorted(set(values[~torch.isnan(values) & (values != 0) & (values != 1)].tolist()))
    return ", ".join(f"{value:.4g}" for value in odd[:3]) or "no number"
