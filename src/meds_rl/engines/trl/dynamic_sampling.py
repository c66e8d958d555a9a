"""Dynamic sampling (DAPO): replace groups whose raw accuracy is 0 or 1 by groups of new prompts.

Raw accuracy is measured before any shaping. At the limit of generation rounds the release stops with an error; here
groups without signal fill the rest of the batch, and `mask_fillers` takes them out of the loss.
"""

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from meds_rl.engines.trl.batch import Batch, slice_of

# ---- New prompts.

Row = Mapping[str, Any]


class PromptStream:
    """Draws rows of a data set without replacement, one seeded permutation after the other, without end.

    Every process has its own copy; as all draws are the same, all copies stay equal.

    Args:
        rows: a map-style data set of N rows.
        seed: of the permutations; that of pass e is drawn with the seed (seed, e).

    Example:
        >>> stream = PromptStream([{"prompt": "a"}, {"prompt": "b"}], seed=0)
        >>> sorted(row["prompt"] for row in stream.draw(2, skip=lambda row: False))
        ['a', 'b']
    """

    def __init__(self, rows: Sequence[Row], seed: int) -> None:
        self._rows = rows
        self._seed = seed
        self._drawn = 0

    def draw(self, count: int, skip: Callable[[Row], bool]) -> list[Row]:
        """The next ``count`` rows for which ``skip`` is false; fewer if one pass over the data finds no more."""
        rows: list[Row] = []
        for _ in range(len(self._rows)):
            if len(rows) == count:
                break
            row = self._next()
            if not skip(row):
                rows.append(row)
        return rows

    def _next(self) -> Row:
        epoch, position = divmod(self._drawn, len(self._rows))
        self._drawn += 1
        permutation = np.random.default_rng([self._seed, epoch]).permutation(len(self._rows))
        return self._rows[int(permutation[position])]

    def state_dict(self) -> dict[str, int]:
        """The state: how many rows were drawn."""
        return {"drawn": self._drawn}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue where ``state_dict`` was taken."""
        self._drawn = state["drawn"]


# ---- Generated rows: what ``GRPOTrainer._generate`` returns, cut into rows and joined again.

PROMPT_IDS, COMPLETION_IDS, TOOL_MASK, COMPLETIONS, EXTRA_FIELDS, IMAGES = 0, 1, 2, 3, 5, 6
"""Places in what ``GRPOTrainer._generate`` returns."""


@dataclass
class Rollout:
    """One generated and graded row.

    Attributes:
        inputs: the row of the data set, with what a user's rollout function has added to it.
        generated: this row's part of every per-row field that ``GRPOTrainer._generate`` returns.
        rewards: the raw values of all reward columns, shape (F,).
        extra: what reward functions logged about this row, by column.
    """

    inputs: Mapping[str, Any]
    generated: tuple[Any, ...]
    rewards: torch.Tensor
    extra: dict[str, Any]


def split_generated(generated: Sequence[Any], num_rows: int) -> list[tuple[Any, ...]]:
    """Cut the fields of ``_generate`` into rows. A field without a value for each row (None, empty) is kept whole."""
    return [tuple(_row(field, i, num_rows) for field in generated) for i in range(num_rows)]


def join_generated(template: Sequence[Any], num_rows: int, rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The inverse of :func:`split_generated`; ``template`` (of ``num_rows`` rows) shows which fields are per row."""
    return tuple(_joined(field, num_rows, [row[i] for row in rows]) for i, field in enumerate(template))


def _is_per_row(field: Any, num_rows: int) -> bool:
    return isinstance(field, list) and len(field) == num_rows


def _row(field: Any, i: int, num_rows: int) -> Any:
    if isinstance(field, dict):  # extra fields of a user's own rollout function
        return {name: _row(values, i, num_rows) for name, values in field.items()}
    return field[i] if _is_per_row(field, num_rows) else field


def _joined(field: Any, num_rows: int, parts: list[Any]) -> Any:
    if isinstance(field, dict):
        return {name: _joined(values, num_rows, [part[name] for part in parts]) for name, values in field.items()}
    if field is None:  # e.g. a round of generation without images
        return parts if any(part is not None for part in parts) else None
    return parts if _is_per_row(field, num_rows) else field


# ---- The batch.


@dataclass
class FilledBatch:
    """A full batch of groups. The methods return what TRL's would for ``rows``, the slice of one process.

    Attributes:
        rollouts: all rows of the batch over all processes, group after group.
        num_filler_groups: groups at the end without signal, which must not enter the loss.
        num_batches: rounds of generation.
        num_groups: groups generated in all.
        accuracy: raw accuracy over all generated rows.
        all_rollouts: all generated rows, group after group, including those of groups that were dropped.
    """

    rollouts: list[Rollout]
    num_filler_groups: int
    num_batches: int
    num_groups: int
    accuracy: float
    all_rollouts: list[Rollout]

    def inputs(self, rows: slice) -> list[dict[str, Any]]:
        """Rows of the data set."""
        return [dict(rollout.inputs) for rollout in self.rollouts[rows]]

    def generated(self, rows: slice, template: tuple[Sequence[Any], int]) -> tuple[Any, ...]:
        """What ``_generate`` would have returned; ``template`` is what it returned once, and for how many rows."""
        return join_generated(*template, [rollout.generated for rollout in self.rollouts[rows]])

    def extra(self, rows: slice) -> dict[str, list[Any]]:
        """The columns that reward functions logged, the same ones in every process."""
        columns = sorted({name for rollout in self.rollouts for name in rollout.extra})
        return {name: [rollout.extra.get(name) for rollout in self.rollouts[rows]] for name in columns}

    @property
    def rewards(self) -> torch.Tensor:
        """(B, F), the raw values of all reward columns, over all processes."""
        return torch.stack([rollout.rewards for rollout in self.rollouts])

    def metrics(self) -> dict[str, float]:
        """Figures for the log."""
        return {
            "generation_batches": self.num_batches,
            "groups_generated": self.num_groups,
            "groups_without_signal": self.num_filler_groups,
            "raw_accuracy": self.accuracy,
        }


@dataclass
class DynamicSampler:
    """Generates until a batch is full of groups with signal, or the limit is reached.

    Attributes:
        generate: rows of the data set (one per completion) to rollouts, over all processes.
        is_correct: whether a rollout is right.
        prompt_id: key of a row's prompt; a prompt is tried once per batch.
        stream: gives new prompts.
        group_size: completions per prompt, G.
        num_processes: each generates the same number of rows.
        max_batches: most rounds of generation.
        keep_all_wrong: whether a group without a right answer has signal.
        can_recall: the prompts of which such a group has signal in any case, as it takes in a recalled completion.
    """

    generate: Callable[[Sequence[Row]], list[Rollout]]
    is_correct: Callable[[Rollout], bool]
    prompt_id: Callable[[Row], str | int]
    stream: PromptStream
    group_size: int
    num_processes: int
    max_batches: int
    keep_all_wrong: bool
    can_recall: Container[str | int] = ()

    def fill(self, rows: Sequence[Row]) -> FilledBatch:
        """Fill a batch of the size of ``rows`` (all processes' rows, group after group), starting with these."""
        num_groups = len(rows) // self.group_size
        kept: list[list[Rollout]] = []
        dropped: list[list[Rollout]] = []
        tried: set[str | int] = set()
        num_batches = 0
        while rows and len(kept) < num_groups and num_batches < self.max_batches:
            tried.update(self.prompt_id(row) for row in rows)
            rollouts = self.generate(rows)
            for start in range(0, len(rollouts), self.group_size):
                group = rollouts[start : start + self.group_size]
                (kept if self._has_signal(group) else dropped).append(group)
            num_batches += 1
            rows = self._new_rows(num_groups - len(kept), tried)
        batch = (kept + dropped)[:num_groups]
        all_rollouts = [rollout for group in kept + dropped for rollout in group]
        return FilledBatch(
            rollouts=[rollout for group in batch for rollout in group],
            num_filler_groups=max(0, num_groups - len(kept)),
            num_batches=num_batches,
            num_groups=len(kept) + len(dropped),
            accuracy=sum(map(self.is_correct, all_rollouts)) / len(all_rollouts),
            all_rollouts=all_rollouts,
        )

    def _has_signal(self, group: list[Rollout]) -> bool:
        num_correct = sum(map(self.is_correct, group))
        if num_correct == 0:
            return self.keep_all_wrong or self.prompt_id(group[0].inputs) in self.can_recall
        return num_correct < len(group)

    def _new_rows(self, missing: int, tried: set[str | int]) -> list[Row]:
        """Rows for the missing groups, rounded up so that every process gets the same number."""
        if missing <= 0:
            return []
        step = self.num_processes // math.gcd(self.num_processes, self.group_size)
        wanted = math.ceil(missing / step) * step
        prompts = self.stream.draw(wanted, skip=lambda row: self.prompt_id(row) in tried)
        prompts = prompts[: len(prompts) // step * step]
        return [prompt for prompt in prompts for _ in range(self.group_size)]


def mask_fillers(batch: Batch, output: dict[str, Any], accelerator: Accelerator) -> None:
    """Set the fillers' advantages and completion masks to 0, and recount the tokens that TRL divides the loss by."""
    if batch.num_fillers == 0:
        return
    local = slice_of(accelerator, len(output["advantages"]))
    in_loss = torch.as_tensor(batch.in_loss[local], device=output["completion_mask"].device)
    mask = output["completion_mask"] = output["completion_mask"] * in_loss.unsqueeze(1)
    tokens = mask * output["tool_mask"] if "tool_mask" in output else mask
    output["num_items_in_batch"] = accelerator.gather(tokens.sum()).sum()
    output["advantages"] = output["advantages"] * in_loss
