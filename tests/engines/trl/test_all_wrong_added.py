"""`meds_all_wrong="add"`: all-wrong groups add to what the others teach, and take no weight from them."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from meds_rl import RewardShaper
from meds_rl.engines.trl.batch import Batch
from meds_rl.engines.trl.loss_mean import count_informative, mask_fillers


def _batch(all_wrong: str, is_correct: list[bool], num_fillers: int = 0) -> Batch:
    """Groups of two: x, y, z, ..."""
    n = len(is_correct)
    batch = Batch(
        prompt_ids=[name for name in "xyzw"[: n // 2] for _ in range(2)],
        prompts=[""] * n,
        completions=[""] * n,
        num_tokens=[3] * n,
        strategies=[None] * n,
        rewards=np.array(is_correct, dtype=float),
        is_correct=np.array(is_correct),
        num_fillers=num_fillers,
    )
    features = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    batch.shape(RewardShaper(all_wrong=all_wrong), features, np.ones(n, dtype=bool))
    return batch


def _output(lengths: list[int]) -> dict[str, torch.Tensor]:
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).int()
    return {"completion_mask": mask, "advantages": torch.ones(len(lengths)), "num_items_in_batch": mask.sum()}


def test_only_the_tokens_of_groups_with_a_right_answer_are_counted():
    # x is mixed (3 + 4 tokens), y is all wrong (5 + 5).
    batch, output = _batch("add", [True, False, False, False]), _output([3, 4, 5, 5])
    count_informative(batch, output, Accelerator(cpu=True))
    assert output["num_items_in_batch"].item() == 7
    # The all-wrong group stays in the loss.
    assert output["completion_mask"].sum() == 17
    assert output["advantages"].tolist() == [1.0] * 4


def test_fillers_count_neither():
    batch, output = (
        _batch("add", [True, False, False, False, True, True], num_fillers=2),
        _output([1, 2, 3, 3, 5, 5]),
    )
    mask_fillers(batch, output, Accelerator(cpu=True))
    assert output["num_items_in_batch"].item() == 9
    count_informative(batch, output, Accelerator(cpu=True))
    assert output["num_items_in_batch"].item() == 3
    assert output["advantages"].tolist() == [1, 1, 1, 1, 0, 0]


def test_a_batch_of_nothing_else_is_divided_by_all_its_tokens():
    batch, output = _batch("add", [False] * 4), _output([2, 2, 3, 3])
    count_informative(batch, output, Accelerator(cpu=True))
    assert output["num_items_in_batch"].item() == 10


def test_tools_answers_are_not_counted():
    batch, output = _batch("add", [True, False, False, False]), _output([3, 4, 5, 5])
    output["tool_mask"] = output["completion_mask"].clone()
    output["tool_mask"][0, 0] = 0
    count_informative(batch, output, Accelerator(cpu=True))
    assert output["num_items_in_batch"].item() == 6


@pytest.mark.parametrize(("all_wrong", "divided"), [("center", False), ("add", False), ("shape", True)])
def test_its_advantage_is_that_of_center(all_wrong, divided):
    assert _batch(all_wrong, [True, False, False, False]).normalize_by_std.tolist() == [
        True,
        True,
        divided,
        divided,
    ]
