"""Samples the problems in rounds of 64 completions of each; sampling to a folder can be continued at any time.

    OUT/
      round-00/samples/part-000000.parquet   the finished chunks of the first 64 completions of every problem
      round-01/...

A chunk depends only on the seed, the round and its number. So a run that was stopped and continued has the same samples
as one that was not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from meds_rl.evaluation.engines import TransformersEngine
from meds_rl.evaluation.folder import Parts, holds_no_parts
from meds_rl.evaluation.problems import Problem
from meds_rl.evaluation.rollout import Rollout
from meds_rl.evaluation.sampling import Completion, SamplingSettings, chunk_seed
from meds_rl.rollouts.samples import read_samples

if TYPE_CHECKING:
    import pyarrow as pa

ROUND = 64
"""Completions of a problem in one round."""


@dataclass(frozen=True)
class SamplingPlan:
    """What is sampled.

    Attributes:
        problems: P problems.
        settings: temperature and length.
        round_size: completions of each problem in a round.
        chunk: completions sampled at once. If it is a multiple of `round_size`, each prompt runs once in a chunk.
        seed: of all samples.
    """

    problems: Sequence[Problem]
    settings: SamplingSettings
    round_size: int = ROUND
    chunk: int = ROUND
    seed: int = 0


class SharedPromptEngine(TransformersEngine):
    """Runs each prompt once for all its completions, and drops completions from the batch as they end.

    On SmolLM2's prompts of 300 tokens this halves the time. It needs batches with the same number of consecutive rows
    for each prompt; other batches are sampled as usual.
    """

    def sample(self, prompt_ids: Sequence[list[int]], settings: SamplingSettings, seed: int) -> list[Completion]:
        """See `SamplingEngine`. ValueError for a `top_p` below 1."""
        if settings.top_p != 1:
            raise ValueError(f"top_p must be 1; got {settings.top_p}.")
        copies = _copies(prompt_ids)
        if copies == 1:
            return super().sample(prompt_ids, settings, seed)
        with torch.random.fork_rng([self.model.device] if self.model.device.type == "cuda" else []), torch.no_grad():
            torch.manual_seed(seed)
            ids = self._sampled(prompt_ids[::copies], copies, settings)
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [Completion(text, row, row[-1] in self._ends) for text, row in zip(texts, ids, strict=True)]

    @property
    def _ends(self) -> list[int]:
        eos = self.model.generation_config.eos_token_id
        return [eos] if isinstance(eos, int) else list(eos or [])

    def _sampled(self, prompts: Sequence[list[int]], copies: int, settings: SamplingSettings) -> list[list[int]]:
        """The token ids of `copies` completions of each prompt."""
        ids, mask = _left_pad(prompts, self.tokenizer.pad_token_id, self.model.device)
        past = self._run(ids[:, :-1], mask[:, :-1], None).past_key_values
        past.batch_repeat_interleave(copies)
        mask, last = mask.repeat_interleave(copies, 0), ids[:, -1:].repeat_interleave(copies, 0)
        ends = torch.tensor(self._ends, device=ids.device)
        written: list[list[int]] = [[] for _ in range(len(last))]
        rows = torch.arange(len(last), device=ids.device)
        for _ in range(settings.max_new_tokens):
            logits = self._run(last, mask, past).logits[:, -1].float() / settings.temperature
            last = torch.multinomial(logits.softmax(-1), 1)
            for row, token in zip(rows.tolist(), last[:, 0].tolist(), strict=True):
                written[row].append(token)
            mask = torch.cat([mask, torch.ones_like(last)], dim=1)
            goes_on = ~torch.isin(last[:, 0], ends)
            if not goes_on.all():
                if not goes_on.any():
                    break
                past.batch_select_indices(goes_on)
                mask, last, rows = mask[goes_on], last[goes_on], rows[goes_on]
        return written

    def _run(self, ids: torch.Tensor, mask: torch.Tensor, past: Any) -> Any:
        places = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.size(1) :]
        # Without padding no mask is needed, and attention is faster.
        padding = None if bool(mask.all()) else mask
        return self.model(
            ids, attention_mask=padding, position_ids=places, past_key_values=past, use_cache=True, logits_to_keep=1
        )


def _copies(prompt_ids: Sequence[list[int]]) -> int:
    """The number of consecutive rows of each prompt; 1 if it differs between prompts or rows are not consecutive."""
    counts = Counter(map(tuple, prompt_ids))
    copies = len(prompt_ids) // len(counts)
    is_even = all(row == prompt_ids[place - place % copies] for place, row in enumerate(prompt_ids)) and set(
        counts.values()
    ) == {copies}
    return copies if is_even else 1


def _left_pad(prompts: Sequence[list[int]], pad_token_id: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, prompts))
    ids = [[pad_token_id] * (width - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def sample(
    engine: TransformersEngine,
    plan: SamplingPlan,
    folder: Path,
    *,
    num_samples: int,
    go_on: Callable[[int], bool] = lambda _: True,
) -> int:
    """Sample `num_samples` of each problem to `folder`, or continue there.

    Args:
        engine: the model.
        plan: problems and settings; a folder that was begun with others is refused.
        folder: of the rounds.
        num_samples: a multiple of the plan's `round_size`.
        go_on: called before each round with the number of finished ones; False ends the sampling.

    Returns:
        The number of finished rounds.

    Raises:
        ValueError: `num_samples` is not a multiple, or the folder was begun with other settings.
    """
    if num_samples < 1 or num_samples % plan.round_size:
        raise ValueError(f"samples must be a multiple of {plan.round_size}, the size of a round; got {num_samples}.")
    rounds = num_samples // plan.round_size
    for number in range(rounds):
        if not go_on(number):
            return number
        _sample_round(engine, plan, folder, number, f"round {number + 1} of {rounds}")
    return rounds


def _sample_round(engine: TransformersEngine, plan: SamplingPlan, folder: Path, number: int, title: str) -> None:
    path = folder / f"round-{number:02d}"
    seed = chunk_seed(plan.seed, number)
    rollout = Rollout(engine, plan.settings, num_samples=plan.round_size, batch_size=plan.chunk, seed=seed)
    begun = {
        "problems": [problem.row["prompt_id"] for problem in plan.problems],
        "settings": [plan.settings.max_new_tokens, plan.settings.temperature, plan.settings.top_p],
        "round_size": plan.round_size,
        "chunk": plan.chunk,
        "seed": seed,
    }
    rollout.run(plan.problems, parts=Parts(path, begun, resume=path.exists()), description=title)


def read_rounds(folder: Path) -> pa.Table:
    """All finished chunks of a folder as one table; the samples of a problem are numbered through its rounds.

    Raises:
        FileNotFoundError: there are none.
    """
    import pyarrow as pa

    tables = []
    for path in sorted(folder.glob("round-*")):
        if holds_no_parts(path):
            continue
        tables += [read_samples(part) for part in sorted(path.glob("samples/part-*.parquet"))]
    if not tables:
        raise FileNotFoundError(f"there are no samples in {folder}: run the command sample first")
    return pa.concat_tables(tables)
