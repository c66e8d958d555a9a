"""What the plug-in overrides and leans on in verl is as when it was written: a new verl breaks this, and no run."""

import inspect

import pytest

pytest.importorskip("verl.trainer.ppo.v1")

from verl.trainer.ppo.v1 import PPOTrainerSync, get_trainer_cls, trainer_base
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.trainer.ppo.v1.trainer_base import PPOTrainer
from verl.workers.engine_workers import ActorRolloutRefWorker

from meds_rl.engines.verl import MEDSTrainer
from meds_rl.engines.verl.dynamic_sampling import KeepAllWrong

OVERRIDDEN = {
    "__init__": ["self", "config"],
    "_build_replay_buffer": ["self"],
    "_init_tokenizer": ["self"],
    "_init_resource_pool_mgr": ["self"],
    "_compute_advantage": ["self", "batch", "metrics"],
    "_save_checkpoint": ["self"],
    "_load_checkpoint": ["self"],
    "_dump_generations": [
        "self",
        "inputs",
        "outputs",
        "gts",
        "scores",
        "reward_extra_infos_dict",
        "dump_path",
    ],
}


def parameters(function):
    return list(inspect.signature(function).parameters)


def test_the_trainer_is_registered():
    assert get_trainer_cls("meds") is MEDSTrainer


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_overridden_methods_take_what_they_took(name):
    assert parameters(PPOTrainer.__dict__[name]) == OVERRIDDEN[name]
    assert parameters(MEDSTrainer.__dict__[name]) == OVERRIDDEN[name]


def test_nothing_else_of_verls_trainer_is_replaced():
    inherited = {name for cls in PPOTrainerSync.__mro__ for name in vars(cls)}
    ours = {name for name, value in vars(MEDSTrainer).items() if inspect.isfunction(value)}
    assert ours & inherited == set(OVERRIDDEN)


def test_a_step_calls_the_seams_in_this_order():
    source = inspect.getsource(PPOTrainer._step_once)
    seams = ("_balance_batch", "_compute_old_log_prob", "_compute_advantage", "_update_actor")
    places = [source.index(f"self.{name}(") for name in seams]
    assert places == sorted(places)
    fit = inspect.getsource(PPOTrainer.fit)
    assert fit.index("self.step(") < fit.index("self._save_checkpoint()") < fit.index("_log_rollout_data")


def test_the_worker_is_named_where_it_is_replaced():
    assert "ray.remote(ActorRolloutRefWorker)" in inspect.getsource(PPOTrainer._init_resource_pool_mgr)
    assert ActorRolloutRefWorker.__dict__["compute_log_prob"]


def test_scores_are_read_where_they_are_shaped():
    source = inspect.getsource(PPOTrainer._compute_advantage)
    assert 'data.batch["token_level_scores"] = data.batch["rm_scores"]' in source
    assert "compute_advantage_for_multi_trajectories(" in source
    assert trainer_base.tq


def test_the_buffers_filter_is_as_it_was():
    assert parameters(ReplayBuffer._dapo_filtered_keys) == ["self", "partition_id"]
    assert parameters(KeepAllWrong._dapo_filtered_keys) == ["self", "partition_id"]
    assert "return set(filtered_rewards), Counter(filtered_rewards.values())" in inspect.getsource(
        ReplayBuffer._dapo_filtered_keys
    )
