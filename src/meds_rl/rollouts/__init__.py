"""The run folder, which training writes and every tool reads, and readers of the rollouts of other programs.

The run folder is in `folder`, its tables in `table` and `samples`; `remembered` joins a memory with them. Rollouts of
another program (a *dump*) become a run folder in this order:

- `dumps` finds the files at a path.
- `blocks` reads a file block by block, as columns.
- `formats` recognises the program and says where prompt, completion, reward and the rest are; `harnesses` reads
  lm-evaluation-harness and lighteval. Each makes `rows`, which also reads numbers, grades, answers and outcomes.
- `messages` turns chat messages into text.
- `answers` finds the final answer in a completion.
- `collect` does all this for every file of a dump; completions wait on disk.
- `grading` says which completions are right, once all rewards are known.
- `compare` grades the samples that an evaluation left ungraded, by the reference answer.
- `settle` decides what follows from all rows, `notes` says it, and `convert` writes the run folder.
- `evaluations` keeps the figures of an evaluation as evaluations of a run.
- `reading` opens run folders and dumps alike: `read` in Python, `opened` for the commands.
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
