"""Keeps libraries' notes out of the terminal that shows our progress and tables."""

import os
import warnings


def quieten() -> None:
    """Turn off loading bars; not transformers' log level, from which it concludes that no progress is wanted."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # TRL calls what transformers has renamed; nothing that a user can mend.
    warnings.filterwarnings("ignore", message=r"`(is_)?gradient_checkpointing", category=FutureWarning)
    import datasets
    import transformers

    transformers.utils.logging.disable_progress_bar()
    datasets.utils.logging.disable_progress_bar()
