"""The starting policies in ``lab/checkpoints``, and the names that grids give them."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING

from meds_lab.tasks.mixture import VARIANTS
from meds_rl.tasks import models
from meds_rl.tasks.pocket import model as pocket

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

# Enough for every wording of the warm-up (at most 61 tokens, usually about 40).
MAX_COMPLETION_LENGTH = 96

FOLDER = Path(__file__).parents[3] / "checkpoints"

SEEDS = {"plain": (0, 1), "stuck": (0, 1, 5, 6, 7, 8), "guess": (0,), "scatter": (0, 1, 5, 6, 7, 8)}
"""Of each variant. The plain models 5 to 8, from which the variants 5 to 8 were trained, are not kept."""


def checkpoint_path(seed: int = 0, variant: str = "plain") -> Path:
    """The folder of a starting policy, in Hugging Face format.

    Raises:
        ValueError: there is no such variant (`mixture.VARIANTS`), or none of this seed.
    """
    if variant not in VARIANTS:
        raise ValueError(f"no pocket checkpoint of variant {variant!r}; there are: {', '.join(VARIANTS)}")
    if seed not in SEEDS[variant]:
        allowed = ", ".join(map(str, SEEDS[variant]))
        raise ValueError(
            f"no pocket checkpoint with seed {seed!r}; there are: {allowed}; `meds-lab pocket` builds others"
        )
    if (variant, seed) == ("stuck", 5):
        return pocket.checkpoint_path()  # the one that the library ships
    return FOLDER / (f"seed-{seed}" if variant == "plain" else f"{variant}-{seed}")


def load_pocket_model(seed: int = 0, variant: str = "plain") -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast]:
    """A starting policy (float32, in evaluation mode) and its tokenizer."""
    return pocket.load_folder(checkpoint_path(seed, variant))


def model_location(name: str) -> str:
    """The folder of "pocket:SEED" or "pocket-VARIANT:SEED"; every other name as the library understands it.

    Raises:
        ValueError: there is no such starting policy, or the name is the path of a folder that does not exist.

    >>> model_location("pocket-stuck:6") == str(FOLDER / "stuck-6")
    True
    >>> model_location("Qwen/Qwen3-8B")
    'Qwen/Qwen3-8B'
    """
    found = re.fullmatch(r"pocket(?:-([a-z]+))?:([0-9]+)", name)
    if found is None:
        return models.model_location(name)
    return str(checkpoint_path(int(found[2]), found[1] or "plain"))


def save_half(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write both to `folder`, the weights in float16: half the size, and the figures stay the same.

    Raises:
        FileExistsError: if the folder exists.
    """
    folder.mkdir(parents=True)
    # A copy: `half` changes a model in place.
    copy.deepcopy(model).half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
