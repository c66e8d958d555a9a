"""Dynamic sampling (DAPO): keep prompts whose raw accuracy is neither 0 nor 1; refill the batch from new ones.

Raw accuracy is that before any shaping. Where the limit of generation batches is reached, the release stops with an
error; here the batch is filled up with groups that carry no signal, and these are masked from the loss.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

# ---- An endless, resumable stream of training prompts, for refilling a batch (dynamic sampling).

Row = Mapping[str, Any]


class PromptStream:
    """Draws rows of a data set without replacement, one seeded permutation after the other.

    Every process holds its own copy; as all draws are the same, all copies stay equal.

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
        return self._rows[int(self._permutation(epoch)[position])]

    def _permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self._seed, epoch]).permutation(len(self._rows))

    def state_dict(self) -> dict[str, int]:
        """The state: how many rows were drawn."""
        return {"drawn": self._drawn}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue where ``state_dict`` was taken."""
        self._drawn = state["drawn"]


# ---- Generated rows on their way through dynamic sampling: what ``_generate`` returned, cut into rows and joined.


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
    return parts if _is_per_row(field, num_rows) else field


class PreparedBatch:
    """What TRL gets when it asks for completions and rewards that dynamic sampling has already made.

    Args:
        template: what ``_generate`` returned once, and for how many rows.
        every: the rollouts of the batch, of all processes.
        local: those of this process.

    Attributes:
        generated: what ``_generate`` would have returned for the local rollouts.
        rewards: raw reward functions' values, (B, F), of all processes.
        extra: the local rollouts' columns that reward functions logged.
    """

    def __init__(self, template: tuple[Sequence[Any], int], every: list[Rollout], local: list[Rollout]) -> None:
        generated, num_rows = template
        self.generated = join_generated(generated, num_rows, [rollout.generated for rollout in local])
        self.rewards = torch.stack([rollout.rewards for rollout in every])
        columns = sorted({name for rollout in every for name in rollout.extra})
        self.extra = {name: [rollout.extra.get(name) for rollout in local] for name in columns}


# ---- Filling a batch.

Generate = Callable[[Sequence[Row]], list[Rollout]]


@dataclass
class FilledBatch:
    """A full batch of groups.

    Attributes:
        rollouts: all rows of the batch over all processes, group after group.
        num_fillers: groups at the end that carry no signal and must not enter the loss.
        num_batches: rounds of generation that were needed.
        num_groups: groups generated in all.
        accuracy: raw accuracy over all generated rows.
        every: all generated rows, group after group, including those of groups that were dropped.
    """

    rollouts: list[Rollout]
    num_fillers: int
    num_batches: int
    num_groups: int
    accuracy: float
    every: list[Rollout]

    def metrics(self) -> dict[str, float]:
        """Figures for the log."""
        return {
            "generation_batches": self.num_batches,
            "groups_generated": self.num_groups,
            "groups_without_signal": self.num_fillers,
            "raw_accuracy": self.accuracy,
        }


@dataclass
class DynamicSampler:
    """Generates until a batch is full of informative groups, or the limit is reached.

    Attributes:
        generate: rows of the data set (one per completion) to rollouts, over all processes.
        is_correct: whether a rollout is right.
        prompt_id: name of a row's prompt; a prompt is tried once per batch.
        stream: gives new prompts.
        group_size: completions per prompt, G.
        num_processes: rows are spread evenly over so many processes.
        max_batches: at most so many rounds of generation.
        keep_all_wrong: whether a group without a right answer carries signal (``all_wrong`` not "skip").
    """

    generate: Generate
    is_correct: Callable[[Rollout], bool]
    prompt_id: Callable[[Row], str | int]
    stream: PromptStream
    group_size: int
    num_processes: int
    max_batches: int
    keep_all_wrong: bool
    _tried: set[str | int] = field(default_factory=set)

    def fill(self, rows: Sequence[Row]) -> FilledBatch:
        """Fill a batch of the size of ``rows`` (all processes' rows, group after group), starting with these."""
        num_groups = len(rows) // self.group_size
        kept: list[list[Rollout]] = []
        dropped: list[list[Rollout]] = []
        self._tried = set()
        num_batches = 0
        while rows and len(kept) < num_groups and num_batches < self.max_batches:
            self._tried.update(self.prompt_id(row) for row in rows)
            for group in self._groups(self.generate(rows)):
                (kept if self._is_informative(group) else dropped).append(group)
            num_batches += 1
            rows = self._new_rows(num_groups - len(kept))
        batch = (kept + dropped)[:num_groups]
        every = [rollout for group in kept + dropped for rollout in group]
        return FilledBatch(
            rollouts=[rollout for group in batch for rollout in group],
            num_fillers=max(0, num_groups - len(kept)),
            num_batches=num_batches,
            num_groups=len(kept) + len(dropped),
            accuracy=sum(map(self.is_correct, every)) / len(every),
            every=every,
        )

    def _groups(self, rollouts: list[Rollout]) -> list[list[Rollout]]:
        size = self.group_size
        return [rollouts[i : i + size] for i in range(0, len(rollouts), size)]

    def _is_informative(self, group: list[Rollout]) -> bool:
        num_correct = sum(map(self.is_correct, group))
        return 0 < num_correct < len(group) or (num_correct == 0 and self.keep_all_wrong)

    def _new_rows(self, missing: int) -> list[Row]:
        """Rows for the missing groups and no more, rounded up so that every process gets the same number."""
        if missing <= 0:
            return []
        step = self.num_processes // math.gcd(self.num_processes, self.group_size)
        wanted = math.ceil(missing / step) * step
        prompts = self.stream.draw(wanted, skip=lambda row: self.prompt_id(row) in self._tried)
        prompts = prompts[: len(prompts) // step * step]
        return [prompt for prompt in prompts for _ in range(self.group_size)]
