"""MEDS in verl: importing this module registers the trainer ``meds``; verl itself is not changed.

``python -m meds_rl.engines.verl`` takes the command line of ``python -m verl.trainer.main_ppo`` and settings under
``meds:``. docs/start-verl.md shows how to start.
"""

from meds_rl.engines import check_installed

check_installed("verl")

from meds_rl.engines.verl.trainer import MEDSTrainer  # noqa: E402

__all__ = ["MEDSTrainer"]
