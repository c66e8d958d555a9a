"""Dynamic sampling: groups that are all right go; groups that are all wrong go or stay as the settings want."""

import pytest

pytest.importorskip("verl.trainer.ppo.v1")

import torch
from omegaconf import OmegaConf
from queue_double import Queue
from verl.trainer.ppo.v1 import replay_buffer
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from meds_rl.engines.verl.dynamic_sampling import KeepAllWrong


def make_buffer(metric):
    return ReplayBuffer(
        trainer_mode="sync",
        trainer_config=OmegaConf.create({}),
        max_off_policy_threshold=8,
        max_off_policy_strategy="drop",
        sampler_kwargs=OmegaConf.create({}),
        refill_fn=lambda count: count,
        filter_groups_metric=metric,
        train_batch_size=2,
        gen_batch_size=1,
    )


def fill(monkeypatch, buffer, accuracies):
    queue = Queue()
    monkeypatch.setattr(replay_buffer, "tq", queue)
    for uid, values in accuracies.items():
        buffer.finished_keys["train"].add(uid)
        for i, acc in enumerate(values):
            key = f"{uid}_{i}_0"
            buffer.partitions["train"][key] = {}
            queue.rows[key] = {
                "rm_scores": torch.tensor([0.0, float(acc)]),
                "extra_fields": {"reward_extra_info": {"acc": acc}},
            }


@pytest.mark.parametrize("metric", ["acc", "reward"])
def test_all_wrong_groups_stay_where_they_teach(monkeypatch, metric):
    accuracies = {"right": [1.0, 1.0], "wrong": [0.0, 0.0], "mixed": [0.0, 1.0], "alone": [0.0]}
    buffer = make_buffer(metric)
    fill(monkeypatch, buffer, accuracies)
    assert buffer._dapo_filtered_keys("train")[0] == {"right", "wrong"}
    keeps = KeepAllWrong.of(buffer, correct_above=0.5)
    assert keeps._dapo_filtered_keys("train") == ({"right"}, {1.0: 1})
    assert keeps._dapo_filtered_keys("train") == ({"right"}, {1.0: 1}), "asked again at every poll"
    assert keeps._dapo_filtered_keys("val") == (set(), {})


def test_scores_of_minus_one_are_wrong(monkeypatch):
    buffer = make_buffer("reward")
    fill(monkeypatch, buffer, {"wrong": [-1.0, -1.0], "right": [1.0, 1.0]})
    assert KeepAllWrong.of(buffer, correct_above=0.0)._dapo_filtered_keys("train")[0] == {"right"}
