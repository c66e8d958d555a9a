"""The run folder: training writes it, and report, watch, inspect, eval and diversity read it.

`read` reads the rollouts of other programs, too.
"""

from meds_rl.rollouts.folder import RunFolder
from meds_rl.rollouts.reading import read
from meds_rl.rollouts.samples import SAMPLE_COLUMNS, SamplesFileError, read_samples
from meds_rl.rollouts.table import ROLLOUT_COLUMNS, SCHEMA_VERSION, RunFolderError

__all__ = [
    "ROLLOUT_COLUMNS",
    "SAMPLE_COLUMNS",
    "SCHEMA_VERSION",
    "RunFolder",
    "RunFolderError",
    "SamplesFileError",
    "read",
    "read_samples",
]
