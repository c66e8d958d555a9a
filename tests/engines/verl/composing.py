"""A whole configuration as `python -m meds_rl.engines.verl` composes it, without running anything."""

from typing import Any

from hydra import compose, initialize_config_dir

from meds_rl.engines.verl.main import CONFIG_FOLDER


def composed(*overrides: str) -> Any:
    """The configuration that a command line with these settings gives."""
    with initialize_config_dir(version_base=None, config_dir=str(CONFIG_FOLDER)):
        given = ["actor_rollout_ref.rollout.name=vllm", "actor_rollout_ref.rollout.n=4", *overrides]
        return compose("meds_trainer", overrides=given)
