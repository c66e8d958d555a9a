"""MEDS in verl: importing this module registers the trainer ``meds``; verl itself is not changed.

``python -m meds_rl.engines.verl`` takes the command line of ``python -m verl.trainer.main_ppo`` and settings under
``meds:``. docs/start-verl.md shows how to start.
"""

try:
    import verl  # noqa: F401
except ImportError as error:
    raise ImportError('meds_rl.engines.verl needs verl. Install it with: pip install "meds-rl[verl]"') from error

from meds_rl.engines.verl.trainer import MEDSTrainer

__all__ = ["MEDSTrainer"]
