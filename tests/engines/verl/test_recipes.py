"""Every recipe is a configuration that verl itself accepts, and the data that `meds data` writes is what it reads."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("verl")
import torch
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from tensordict import TensorDict
from torch.utils.data import DataLoader
from transformers import AutoTokenizer
from verl import DataProto
from verl.trainer.ppo.reward import load_reward_manager
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import omega_conf_to_dataclass, validate_config
from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn
from verl.workers.config import RewardConfig

from meds_rl.engines.verl.config import check_config
from meds_rl.engines.verl.main import CONFIG_FOLDER
from meds_rl.tasks.mathematics import collect, write_parquet
from meds_rl.tasks.pocket import checkpoint_path

pytestmark = [
    pytest.mark.verl,
    pytest.mark.filterwarnings("ignore:Ray state API is no longer experimental:DeprecationWarning"),  # verl imports it
]

RECIPES = Path(__file__).parents[3] / "recipes" / "verl"
NAMES = sorted(path.stem for path in RECIPES.iterdir())
PLAIN_CHAT = "{% for message in messages %}{{ message.content }} {% endfor %}"


def composed(name: str, *overrides: str) -> DictConfig:
    """What `python -m meds_rl.engines.verl --config-dir recipes/verl --config-name NAME` composes."""
    search = f"hydra.searchpath=[file://{CONFIG_FOLDER}]"
    with initialize_config_dir(str(RECIPES), version_base=None):
        config = compose(name, overrides=[search, *overrides])
    OmegaConf.resolve(config)
    return config


@pytest.mark.parametrize("name", NAMES)
def test_the_readmes_command_composes_the_same(name, tmp_path):
    command = [
        sys.executable,
        "-m",
        "meds_rl.engines.verl",
        "--config-dir",
        str(RECIPES),
        "--config-name",
        name,
    ]
    output = subprocess.run(
        [*command, "meds.noise=free", "--cfg", "job", "--resolve"],
        capture_output=True,
        check=True,
        cwd=tmp_path,
    ).stdout
    assert yaml.safe_load(output) == OmegaConf.to_container(composed(name, "meds.noise=free"))


@pytest.mark.parametrize("name", NAMES)
def test_verl_accepts_the_recipe(name):
    config = composed(name)
    assert not need_critic(config)
    assert not need_reference_policy(config)  # no KL term: no reference model is loaded
    validate_config(config, use_reference_policy=False, use_critic=False)


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_are_what_verl_makes_of_them(name):
    config = composed(name, f"actor_rollout_ref.model.path={checkpoint_path()}")
    parts = config.actor_rollout_ref
    actor = omega_conf_to_dataclass(parts.actor)
    # verl reads the engine's strategy from here, and takes FSDP 1 where it is not set.
    assert (actor.strategy, actor.engine.strategy) == ("fsdp2", "fsdp2")
    assert (actor.clip_ratio_low, actor.clip_ratio_high, actor.clip_ratio_c) == (0.2, 0.28, 10.0)
    assert actor.optim.lr_warmup_steps == 10
    rollout = omega_conf_to_dataclass(parts.rollout)
    assert rollout.prompt_length == 1024
    assert rollout.response_length == config.data.max_response_length == config.reward.reward_kwargs.max_resp_len
    assert (rollout.n, rollout.log_prob_use_dynamic_bsz) == (16, True)
    assert omega_conf_to_dataclass(parts.model).use_remove_padding
    algorithm = omega_conf_to_dataclass(config.algorithm)
    assert (algorithm.filter_groups.enable, algorithm.filter_groups.metric) == (True, "acc")
    assert not algorithm.rollout_correction["bypass_mode"]


@pytest.mark.parametrize("name", NAMES)
def test_we_accept_the_recipe_and_read_its_settings(name):
    config = composed(name)
    settings = check_config(config)
    assert config.trainer.v1.trainer_mode == "meds"
    assert (settings.fingerprint, settings.all_wrong, settings.capacity) == ("layer_logits", "skip", None)
    assert (settings.alpha, settings.beta) == ((0.02, 0.04) if name == "qwen3-8b" else (0.1, 0.2))
    assert config.actor_rollout_ref.meds.fingerprint_layers == 14


def test_the_reward_part_has_verls_fields():
    """`reward_kwargs` and `custom_reward_function` are read from the mapping; the rest is verl's dataclass."""
    reward = OmegaConf.to_container(composed(NAMES[0]).reward)
    fields = set(RewardConfig.__dataclass_fields__) | {"_target_"}
    assert set(reward) - fields == {"reward_kwargs", "custom_reward_function"}


@pytest.fixture
def data(tmp_path):
    """Two problems, as `meds data` writes them."""
    source = tmp_path / "math.jsonl"
    source.write_text(
        '{"problem": "What is $1/2$?", "solution": "\\\\boxed{\\\\frac{1}{2}}", "level": "Level 3"}\n'
        '{"problem": "What is $2+2$?", "solution": "\\\\boxed{4}", "level": "Level 5"}\n'
    )
    rows, _ = collect(None, str(source))
    write_parquet(rows, tmp_path / "paper.parquet")
    return tmp_path / "paper.parquet"


@pytest.fixture
def tokenizer():
    tokenizer = AutoTokenizer.from_pretrained(checkpoint_path())
    tokenizer.chat_template = PLAIN_CHAT
    return tokenizer


def test_verl_reads_what_meds_data_writes(data, tokenizer):
    config = composed(NAMES[0], f"data.train_files={data}")
    dataset = RLHFDataset(config.data.train_files, tokenizer, config.data)
    assert len(dataset) == 2  # none is too long, none cannot be read
    batch = next(iter(DataLoader(dataset, batch_size=2, collate_fn=collate_fn)))
    assert [message["role"] for message in batch["raw_prompt"][0]] == ["system", "user"]
    assert batch["raw_prompt"][0][1]["content"] == "What is $1/2$?"
    assert [row["ground_truth"] for row in batch["reward_model"]] == [r"\frac{1}{2}", "4"]
    assert len(set(batch["prompt_id"])) == 2  # the memory's keys, the same as under TRL
    assert list(batch["index"]) == [0, 1]


def test_the_reward_is_ours_with_the_papers_overlong_shaping(data, tokenizer, monkeypatch):
    """Equal in value is right; within the last 512 tokens the score falls, what counts as right does not."""
    config = composed(NAMES[0], f"data.train_files={data}")
    row = RLHFDataset(config.data.train_files, tokenizer, config.data)[0]
    limit = config.data.max_response_length
    texts = {1: r"so \boxed{0.5}", 2: r"so \boxed{5}", 3: r"so \boxed{0.5}"}
    lengths = {1: 100, 2: 100, 3: limit - 128}  # 384 tokens into the buffer of 512: -384 / 512 = -0.75
    monkeypatch.setattr(type(tokenizer), "decode", lambda _self, ids, **_: texts[int(ids[0])])
    graded = asyncio.run(_graded(config, tokenizer, row, lengths, limit))
    assert [one["reward_score"] for one in graded] == [1.0, 0.0, 0.25]
    assert [one["reward_extra_info"]["acc"] for one in graded] == [1.0, 0.0, 1.0]


async def _graded(config, tokenizer, row, lengths, limit):
    manager = load_reward_manager(config, tokenizer)
    manager.loop = asyncio.get_running_loop()
    results = []
    for first, length in lengths.items():
        mask = torch.zeros(1, 1024 + limit, dtype=torch.long)
        mask[:, 1020 : 1024 + length] = 1
        batch = TensorDict({"responses": torch.full((1, limit), first), "attention_mask": mask}, batch_size=1)
        others = {key: _column(row[key]) for key in ("data_source", "reward_model", "extra_info")}
        results.append(await manager.run_single(DataProto(batch=batch, non_tensor_batch=others)))
    return results


def _column(value):
    return collate_fn([{"value": value}])["value"]
