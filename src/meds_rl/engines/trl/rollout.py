"""Generated rows on their way through dynamic sampling: what TRL's ``_generate`` returned, cut into rows and joined again."""

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
    """Cut the fields of ``_generate`` into rows. A field without one value a row (None, empty) is kept whole."""
    return [
        tuple(field[i] if isinstance(field, list) and len(field) == num_rows else field for field in generated)
        for i in range(num_rows)
    ]


def join_generated(template: Sequence[Any], num_rows: int, rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The inverse of :func:`split_generated`; ``template`` (of ``num_rows`` rows) tells which fields are per row."""
    return tuple(
        [row[i] for row in rows] if isinstance(field, list) and len(field) == num_rows else field
        for i, field in enumerate(template)
    )
