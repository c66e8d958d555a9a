"""W-REINFORCE (arXiv 2506.01347): A = -1 if wrong, 0.1 if right. See `meds_lab.rivals.nsr`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meds_lab.rivals.nsr import reinforcement_advantages
from meds_rl.checks import check_non_negative
from meds_rl.engines.trl import MEDSTrainer


def trainer(*args: Any, positive_weight: float = 0.1, **kwargs: Any) -> MEDSTrainer:
    """`MEDSTrainer` with these advantages; `positive_weight` is that of right completions, >= 0."""
    check_non_negative("positive_weight", positive_weight)

    def advantage(_rewards: Any, _group_ids: Any, is_correct: NDArray[np.bool_]) -> NDArray[np.float64]:
        return reinforcement_advantages(is_correct, positive_weight)

    return MEDSTrainer(*args, advantage=advantage, **kwargs)
