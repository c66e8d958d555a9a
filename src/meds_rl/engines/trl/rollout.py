"""Generated rows on their way through dynamic sampling: what ``_generate`` returned, cut into rows and joined."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass
class Rollout:
    """One generated row, with all that TRL needs of it to go on.

    Attributes:
        inputs: the row of the data set.
        generated: this row's part of every per-row field that ``GRPOTrainer._generate`` returns.
        rewards: the raw reward functions' values, shape (F,).
        extra: what reward functions logged about this row, by column.
    """

    inputs: Mapping[str, Any]
    generated: tuple[Any, ...]
    rewards: torch.Tensor
    extra: dict[str, Any]


def split_generated(generated: Sequence[Any], num_rows: int) -> list[tuple[Any, ...]]:
    """Cut the fields of ``_generate`` into rows. What has no value for each row (None, empty) is kept whole."""
    return [tuple(_row(field, i, num_rows) for field in generated) for i in range(num_rows)]


def join_generated(
    template: Sequence[Any], num_rows: int, rows: Sequence[tuple[Any, ...]]
) -> tuple[Any, ...]:
    """The inverse of :func:`split_generated`; ``template`` (of ``num_rows`` rows) tells what is per row."""
    return tuple(_joined(field, num_rows, [row[i] for row in rows]) for i, field in enumerate(template))


def _is_per_row(field: Any, num_rows: int) -> bool:
    return isinstance(field, list) and len(field) == num_rows


def _row(field: Any, i: int, num_rows: int) -> Any:
    if isinstance(field, dict):  # extra fields of a user's own rollout function
        return {name: _row(values, i, num_rows) for name, values in field.items()}
    return field[i] if _is_per_row(field, num_rows) else field


def _joined(field: Any, num_rows: int, parts: list[Any]) -> Any:
    if isinstance(field, dict):
        return {
            name: _joined(values, num_rows, [part[name] for part in parts]) for name, values in field.items()
        }
    return parts if _is_per_row(field, num_rows) else field


class Held:
    """Completions and rewards that dynamic sampling has already made for the batch that TRL is about to ask for."""

    def __init__(
        self, template: tuple[Sequence[Any], int], every: list[Rollout], local: list[Rollout]
    ) -> None:
        generated, num_rows = template
        self.generated = join_generated(generated, num_rows, [rollout.generated for rollout in local])
        self.rewards = torch.stack([rollout.rewards for rollout in every])
        columns = sorted({name for rollout in every for name in rollout.extra})
        self.extra = {name: [rollout.extra.get(name) for rollout in local] for name in columns}


def slice_of(accelerator: Any, size: int) -> slice:
    """The rows of this process among those of all, ``size`` each."""
    return slice(accelerator.process_index * size, (accelerator.process_index + 1) * size)
