"""Dynamic sampling (DAPO): keep prompts whose raw accuracy is neither 0 nor 1; refill the batch from new ones.

Raw accuracy only, before any shaping. Where the limit of generation batches is reached, the release stops with an
error; here the batch is filled up with groups that carry no signal, and these are masked from the loss.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from meds_rl.engines.trl.prompt_stream import PromptStream, Row
from meds_rl.engines.trl.rollout import Rollout

Generate = Callable[[Sequence[Row]], list[Rollout]]


@dataclass
class Refilled:
    """A full batch of groups.

    Attributes:
        rollouts: all rows of the batch over all processes, group after group.
        num_fillers: groups at the end that carry no signal and must not enter the loss.
        num_batches: rounds of generation that were needed.
        num_groups: groups generated in all.
        accuracy: raw accuracy over all generated rows.
        every: all generated rows, group after group, those of groups that were thrown away included.
    """

    rollouts: list[Rollout]
    num_fillers: int
    num_batches: int
    num_groups: int
    accuracy: float
    every: list[Rollout]


@dataclass
class DynamicSampler:
    """Generates until a batch is full of informative groups, or the limit is reached.

    Attributes:
        generate: rows of the data set (one per completion) to rollouts, over all processes.
        is_correct: says whether a rollout is right.
        prompt_id: names the prompt of a row; a prompt is tried once per batch.
        stream: where new prompts come from.
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

    def fill(self, rows: Sequence[Row]) -> Refilled:
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
        return Refilled(
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
