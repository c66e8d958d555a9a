"""A small real run of verl on the pocket task: what goes in, and the command that runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "same_completions"))

import same_completions as same

HERE = Path(__file__).parent
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def write_inputs(folder: Path) -> None:
    """Model, data and completions: `model/`, `train.parquet`, `completions.json`; those of `same_completions`."""
    import pandas as pd

    from meds_rl.tasks.pocket import load_pocket_model

    model, tokenizer = load_pocket_model()
    tokenizer.chat_template = TEMPLATE
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    rows, completions = [], []
    for index, problem in enumerate(same.problems()):
        rows.append(
            {
                "prompt": [{"role": "user", "content": problem["prompt"]}],
                "data_source": "lighteval/MATH",
                "ability": "math",
                "reward_model": {"style": "rule", "ground_truth": problem["answer"]},
                "extra_info": {"index": index},
                "prompt_id": problem["prompt_id"],
            }
        )
        completions.append({"prompt": problem["prompt_token_ids"], "completions": problem["completions"]})
    pd.DataFrame(rows).to_parquet(folder / "train.parquet")
    (folder / "completions.json").write_text(json.dumps(completions))


@dataclass
class PocketRun:
    """One run.

    Attributes:
        inputs: folder that `write_inputs` has filled.
        output: folder of the run.
        overrides: further settings, as on the command line.
        ranks: processes of FSDP2.
        environment: further variables.
    """

    inputs: Path
    output: Path
    overrides: list[str] = field(default_factory=list)
    ranks: int = 1
    environment: dict[str, str] = field(default_factory=dict)
    module: str = "meds_rl.engines.verl"

    @property
    def settings(self) -> list[str]:
        return [
            f"data.train_files={self.inputs}/train.parquet",
            f"data.val_files={self.inputs}/train.parquet",
            f"data.train_batch_size={same.PROMPTS_A_STEP}",
            "data.max_prompt_length=32",
            "data.max_response_length=64",
            "data.dataloader_num_workers=0",
            "data.shuffle=False",
            "data.filter_overlong_prompts=False",
            f"actor_rollout_ref.model.path={self.inputs}/model",
            "actor_rollout_ref.model.use_remove_padding=False",
            "actor_rollout_ref.model.enable_gradient_checkpointing=False",
            "+actor_rollout_ref.model.override_config.attn_implementation=eager",
            "actor_rollout_ref.actor.ppo_mini_batch_size=4",
            "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=8",
            "actor_rollout_ref.actor.optim.lr=1e-3",
            "actor_rollout_ref.actor.use_torch_compile=False",
            "actor_rollout_ref.actor.fsdp_config.use_torch_compile=False",
            "+actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype=fp32",
            "+actor_rollout_ref.actor.fsdp_config.mixed_precision.reduce_dtype=fp32",
            "+actor_rollout_ref.actor.fsdp_config.mixed_precision.buffer_dtype=fp32",
            "actor_rollout_ref.rollout.name=cpu_double",
            f"actor_rollout_ref.rollout.n={same.GROUP}",
            "actor_rollout_ref.rollout.calculate_log_probs=False",
            "actor_rollout_ref.rollout.tensor_model_parallel_size=1",
            "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8",
            "actor_rollout_ref.rollout.agent.num_workers=1",
            "reward.num_workers=1",
            "reward.reward_manager.name=dapo",
            "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
            "trainer.device=cpu",
            f"trainer.n_gpus_per_node={self.ranks}",
            "trainer.logger=[file]",
            "trainer.val_before_train=False",
            "trainer.total_epochs=100",
            "trainer.total_training_steps=4",
            f"trainer.default_local_dir={self.output}/checkpoints",
            f"trainer.rollout_data_dir={self.output}/dumps",
            "ray_kwargs.ray_init.num_cpus=20",
            f"+ray_kwargs.ray_init.num_gpus={self.ranks}",  # verl counts them; none is used
            "+ray_kwargs.ray_init.include_dashboard=False",
            "+ray_kwargs.ray_init.object_store_memory=200000000",
            *self.overrides,
        ]

    def start(self, timeout: float = 1500.0) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        (self.output / "weights").mkdir(parents=True, exist_ok=True)
        modules = "cpu_platform,cpu_generation"
        environment = os.environ | {
            "PYTHONPATH": str(HERE),
            "VERL_USE_EXTERNAL_MODULES": modules,
            "VERL_PLATFORM": "cpu",
            "VERL_ENGINE_DEVICE": "cuda",
            "VERL_FILE_LOGGER_PATH": str(self.output / "metrics.jsonl"),
            "MEDS_TEST_COMPLETIONS": str(self.inputs / "completions.json"),
            "MEDS_TEST_STRIDE": str(same.GROUP),
            "MEDS_TEST_WEIGHTS": str(self.output / "weights"),
            "OMP_NUM_THREADS": "1",
            "RAY_DEDUP_LOGS": "0",
            # A processor's other users may make Ray slow, not fail.
            "RAY_raylet_start_wait_time_s": "600",
            "RAY_worker_register_timeout_seconds": "600",
            "RAY_USAGE_STATS_ENABLED": "0",
            # One worker a logical processor at start would be twenty, for two real ones.
            "RAY_prestart_worker_first_driver": "0",
            "RAY_enable_worker_prestart": "0",
            "HYDRA_FULL_ERROR": "1",
            "TOKENIZERS_PARALLELISM": "false",
            **self.environment,
        }
        command = [sys.executable, "-m", self.module, f"hydra.run.dir={self.output}/hydra", *self.settings]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment,
            cwd=self.output,
            timeout=timeout,
            check=False,
        )

    @property
    def metrics(self) -> dict[int, dict[str, float]]:
        rows = [json.loads(line) for line in (self.output / "metrics.jsonl").read_text().splitlines()]
        return {row["step"]: row["data"] for row in rows}

    def dump(self, step: int) -> list[dict[str, Any]]:
        """Rows of one step, as verl dumps them."""
        path = self.output / "dumps" / f"{step}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]


if __name__ == "__main__":  # to try by hand
    inputs, output = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    if not (inputs / "completions.json").exists():
        inputs.mkdir(parents=True, exist_ok=True)
        write_inputs(inputs)
    run = PocketRun(inputs, output, overrides=sys.argv[3:])
    result = run.start()
    (output / "log").write_text(result.stdout + result.stderr)
    print(result.returncode)
