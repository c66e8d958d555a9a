"""MEDS in TRL: ``MEDSTrainer`` and ``MEDSConfig`` in the place of ``GRPOTrainer`` and ``GRPOConfig``."""

from meds_rl.engines import check_installed

check_installed("trl")

from meds_rl.engines.trl.config import MEDSConfig  # noqa: E402
from meds_rl.engines.trl.trainer import MEDSTrainer  # noqa: E402

__all__ = ["MEDSConfig", "MEDSTrainer"]
