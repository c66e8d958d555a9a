"""MEDS in TRL: ``MEDSTrainer`` and ``MEDSConfig`` in the place of ``GRPOTrainer`` and ``GRPOConfig``."""

try:
    import trl  # noqa: F401
except ImportError as error:
    raise ImportError('meds_rl.engines.trl needs TRL. Install it with: pip install "meds-rl[trl]"') from error

from meds_rl.engines.trl.config import MEDSConfig
from meds_rl.engines.trl.trainer import MEDSTrainer

__all__ = ["MEDSConfig", "MEDSTrainer"]
