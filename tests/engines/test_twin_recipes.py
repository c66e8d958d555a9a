"""The recipes for verl and for TRL are the same training: every setting that both have, field by field.

`tests/engines/verl/test_recipes.py` has verl read its side; here it is plain YAML, so that one environment sees both.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("trl")
from meds_rl.train.recipe import load_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
NAMES = ("qwen2.5-math-7b", "qwen3-1.7b", "qwen3-8b")
ON_THIS_MACHINE = ["--bf16", "false", "--use_cpu", "true"]


def verl_recipe(name: str) -> dict[str, Any]:
    return yaml.safe_load((RECIPES / "verl" / f"{name}.yaml").read_text(encoding="utf-8"))


def test_every_recipe_for_verl_is_compared():
    assert {path.stem for path in (RECIPES / "verl").iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_model_data_and_lengths(name):
    verl, trl = verl_recipe(name), load_recipe(RECIPES / f"{name}.yaml", ON_THIS_MACHINE)
    rollout, data = verl["actor_rollout_ref"]["rollout"], verl["data"]
    assert verl["actor_rollout_ref"]["model"]["path"] == trl.model.model_name_or_path
    assert data["train_files"] == trl.run.task_options["path"]
    assert data["max_response_length"] == trl.training.max_completion_length
    assert rollout["max_model_len"] == trl.training.vllm_max_model_length
    assert data["max_prompt_length"] + data["max_response_length"] == rollout["max_model_len"]
    assert rollout["name"] == "vllm"
    assert trl.training.use_vllm
    assert [rollout[key] for key in ("temperature", "top_p")] == [
        trl.training.temperature,
        trl.training.top_p,
    ]
    assert (rollout["top_k"], trl.training.top_k) == (-1, 0)  # neither cuts
    assert (verl["trainer"]["total_epochs"], data["seed"]) == (
        trl.training.num_train_epochs,
        trl.training.seed,
    )


@pytest.mark.parametrize("name", NAMES)
def test_batches(name):
    verl, trl = verl_recipe(name), load_recipe(RECIPES / f"{name}.yaml", ON_THIS_MACHINE).training
    actor, group = verl["actor_rollout_ref"]["actor"], verl["actor_rollout_ref"]["rollout"]["n"]
    gpus = verl["trainer"]["nnodes"] * verl["trainer"]["n_gpus_per_node"]
    per_update = trl.per_device_train_batch_size * trl.gradient_accumulation_steps * gpus
    assert group == trl.num_generations
    assert verl["data"]["train_batch_size"] * group == trl.generation_batch_size
    assert actor["ppo_mini_batch_size"] * group == per_update == 256
    assert actor["ppo_epochs"] == trl.num_iterations
    updates = verl["data"]["train_batch_size"] // actor["ppo_mini_batch_size"]
    assert actor["optim"]["lr_warmup_steps"] * updates == trl.warmup_steps
    assert verl["trainer"]["save_freq"] * updates == trl.save_steps
    assert verl["trainer"]["max_actor_ckpt_to_keep"] == trl.save_total_limit


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_optimiser(name):
    verl, trl = verl_recipe(name), load_recipe(RECIPES / f"{name}.yaml", ON_THIS_MACHINE).training
    actor = verl["actor_rollout_ref"]["actor"]
    optimiser = actor["optim"]
    assert (actor["clip_ratio_low"], actor["clip_ratio_high"]) == (trl.epsilon, trl.epsilon_high)
    assert actor["clip_ratio_c"] == trl.delta
    assert (actor["loss_agg_mode"], trl.loss_type) == ("token-mean", "dapo")
    assert (actor["use_kl_loss"], verl["algorithm"]["use_kl_in_reward"], trl.beta) == (False, False, 0)
    assert (actor["entropy_coeff"], trl.entropy_coef) == (0, 0)
    assert (verl["algorithm"]["adv_estimator"], trl.scale_rewards) == ("grpo", "group")
    assert (optimiser["lr"], optimiser["weight_decay"]) == (trl.learning_rate, trl.weight_decay)
    assert optimiser["clip_grad"] == trl.max_grad_norm
    assert (optimiser["lr_scheduler_type"], trl.lr_scheduler_type) == ("constant", "constant_with_warmup")


@pytest.mark.parametrize("name", NAMES)
def test_rewards_and_dynamic_sampling(name):
    verl, trl = verl_recipe(name), load_recipe(RECIPES / f"{name}.yaml", ON_THIS_MACHINE).training
    overlong = verl["reward"]["reward_kwargs"]["overlong_buffer_cfg"]
    filtering = verl["algorithm"]["filter_groups"]
    assert (overlong["enable"], overlong["len"]) == (True, trl.overlong_buffer)
    assert overlong["penalty_factor"] == 1.0
    assert (filtering["enable"], filtering["metric"]) == (trl.dynamic_sampling, "acc")
    assert filtering["max_num_gen_batches"] == trl.max_generation_batches


@pytest.mark.parametrize("name", NAMES)
def test_the_method(name):
    """What verl's recipe says of the memory is what TRL's does; the rest is the preset's in both."""
    verl, trl = verl_recipe(name)["meds"], load_recipe(RECIPES / f"{name}.yaml", ON_THIS_MACHINE).training
    assert verl.pop("preset") == trl.preset == "paper"
    assert (verl.pop("fingerprint"), verl.pop("fingerprint_layers")) == (
        trl.fingerprint,
        trl.fingerprint_layers,
    )
    assert verl == {"alpha": trl.meds_alpha, "beta": trl.meds_beta}
