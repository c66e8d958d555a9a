"""Recall in the trainer: groups without a right answer take in a completion that the memory keeps."""

import numpy as np
import pytest
import torch
from datasets import Dataset

from meds_rl import ErrorMemory
from meds_rl.engines.trl import MEDSTrainer
from meds_rl.engines.trl.batch import Batch
from meds_rl.memory import RightCompletion

from .conftest import assert_same_bits, parameters, rollouts_of, third_token, train

KEPT = (5, 6, 7, 8, 1)  # "b c d e <eos>", as far as the tiny model's vocabulary goes


def rarely_right(completion_ids, **_):
    """Right for about one completion in thirty."""
    return [float(sum(ids) % 29 == 3) for ids in completion_ids]


def test_pilot(model_path, dataset, make_config):
    args = make_config(meds_recall=2, max_steps=6, dynamic_sampling=False, meds_all_wrong="center", fingerprint="answer_string")
    trainer = train(model_path, dataset, args, reward=rarely_right)
    print(rollouts_of(trainer).groupby("generation").agg({"is_correct": "sum", "made_way": "sum"}))
    print(trainer.memory.kept.keys())
    print([{k: v for k, v in row.items() if "recall" in k} for row in trainer.state.log_history])
