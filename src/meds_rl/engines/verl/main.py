"""verl's entry point with the ``meds:`` section: the command line of ``python -m verl.trainer.main_ppo``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict
from verl.trainer.main_ppo import TaskRunnerV1, run_ppo
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config
from verl.utils.device import auto_set_device

from meds_rl.engines.verl.config import check_config, check_name
from meds_rl.engines.verl.trainer import TRAINER

CONFIG_FOLDER = Path(__file__).parent / "config"
_MODULES = "VERL_USE_EXTERNAL_MODULES"


def main() -> None:
    """Compose, check and run."""
    try:
        check_names(sys.argv[1:])
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    _composed()


def check_names(arguments: Sequence[str]) -> None:
    """Refuse unknown settings under ``meds:``, before Hydra proposes to append them.

    Raises:
        ValueError: an unknown name; the message lists those that are allowed.

    Example:
        >>> check_names(["meds.alpha=0.2", "data.train_batch_size=8"])
        >>> check_names(["+meds.alfa=0.2"])
        Traceback (most recent call last):
        ValueError: meds.alfa is no setting, did you mean meds.alpha? Allowed: ...
    """
    for argument in arguments:
        setting, equals, _ = argument.lstrip("+~").partition("=")
        if equals and setting.startswith("meds."):
            check_name(setting.removeprefix("meds."))


class VerlSearchPath(SearchPathPlugin):
    """Tells Hydra where verl's own configuration is, on which ours is based."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("verl", "pkg://verl.trainer.config")


Plugins.instance().register(VerlSearchPath)


@hydra.main(config_path=str(CONFIG_FOLDER), config_name="meds_trainer", version_base=None)  # type: ignore[untyped-decorator]
def _composed(config: DictConfig) -> None:
    run(config)


def run(config: DictConfig) -> None:
    """Check the whole configuration, verl's with the section ``meds``, then train.

    Raises:
        ValueError: a configuration that cannot work, with what to set instead.
    """
    auto_set_device(config)
    mode = config.trainer.v1.trainer_mode
    if mode != TRAINER:
        raise ValueError(
            f"trainer.v1.trainer_mode={mode} names another trainer than {TRAINER}, the only one that this entry point "
            "runs. Leave the setting out; for another trainer use python -m verl.trainer.main_ppo."
        )
    check_config(config)
    validate_config(config=config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))
    name_plugin(config)
    run_ppo(config, task_runner_class=TaskRunnerV1)


def name_plugin(config: DictConfig) -> None:
    """Make the training process, on any machine of the cluster, import the module that registers the trainer.

    Example:
        >>> config = OmegaConf.create()
        >>> name_plugin(config)
        >>> config.ray_kwargs.ray_init.runtime_env.env_vars.VERL_USE_EXTERNAL_MODULES
        'meds_rl.engines.verl'
    """
    variable = f"ray_kwargs.ray_init.runtime_env.env_vars.{_MODULES}"
    with open_dict(config):
        named = OmegaConf.select(config, variable) or os.environ.get(_MODULES, "")
        modules = [module for module in str(named).split(",") if module]
        if __package__ not in modules:
            modules.append(__package__)
        OmegaConf.update(config, variable, ",".join(modules), force_add=True)
