"""Which checkpoint a run goes on from, and what it must not touch."""

import json
from pathlib import Path

from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from meds_rl.engines.trl.config import MEDSConfig


def resume_from(training: MEDSConfig) -> str | None:
    """The checkpoint that ``resume_from_checkpoint`` asks for; None where it asks for none.

    Raises:
        ValueError: there is none, or it is not whole.
    """
    wanted = str(training.resume_from_checkpoint or "false")
    if wanted.lower() in ("false", "none"):
        return None
    if wanted.lower() in ("true", "latest"):
        return str(_last_whole(Path(training.output_dir)))
    if not (Path(wanted) / TRAINER_STATE_NAME).is_file():
        raise ValueError(
            f"resume_from_checkpoint must be true or a checkpoint's folder; {wanted} has no {TRAINER_STATE_NAME}."
        )
    return wanted


def _last_whole(folder: Path) -> Path:
    """The last checkpoint that was saved to its end: a kill may have left a later one in pieces."""
    states = folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*/{TRAINER_STATE_NAME}")
    whole = [path.parent for path in states if _is_json(path)]
    numbered = {
        int(path.name.rpartition("-")[2]): path for path in whole if path.name.rpartition("-")[2].isdigit()
    }
    if not numbered:
        raise ValueError(
            f"resume_from_checkpoint is true, but {folder} has no checkpoint that was saved whole."
        )
    return numbered[max(numbered)]


def _is_json(path: Path) -> bool:
    """The file that is written last, but not atomically: a kill may have left a part of it."""
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def refuse_existing(output_dir: str, checkpoint: str | None) -> None:
    """Nothing that exists is overwritten.

    Raises:
        FileExistsError: the run folder exists and is not the one that ``checkpoint`` belongs to.
    """
    path = Path(output_dir)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if checkpoint is None:
        raise FileExistsError(
            f"The run folder {path} exists; nothing was changed. Name another with --output_dir, "
            "or continue that run with --resume_from_checkpoint true."
        )
    if Path(checkpoint).resolve().parent != path.resolve():
        raise FileExistsError(
            f"The run folder {path} exists and is not that of {checkpoint}; nothing was changed. Name another with "
            "--output_dir, or the checkpoint's own."
        )
