"""MEDS in verl: importing this module registers the trainer ``meds``, without a fork of verl.

``python -m meds_rl.engines.verl`` takes the command line of ``python -m verl.trainer.main_ppo`` and settings under
``meds:``; docs/verl.md has the rest.
"""

try:
    import verl  # noqa: F401
except ImportError as error:
    raise ImportError(
        'meds_rl.engines.verl needs verl. Install it with: pip install "meds-rl[verl]"'
    ) from error

from meds_rl.engines.verl.trainer import MEDSTrainer

__all__ = ["MEDSTrainer"]
