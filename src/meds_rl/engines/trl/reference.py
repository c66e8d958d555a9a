"""TRL's reference model for a policy that was made in memory and that no name can load."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accelerate.logging import get_logger
from trl.trainer import grpo_trainer

from meds_rl.fingerprint import reference_model

logger = get_logger("meds_rl")


@contextmanager
def copy_as_reference(model: Any) -> Iterator[None]:
    """In this context TRL takes a frozen copy of the model as its reference where it cannot load one by name.

    TRL loads the reference of a model in memory by the model's name (``beta`` above 0, no PEFT), which fails if the
    model has no name (it was made from a configuration), or a name that cannot be loaded.

    Args:
        model: as ``GRPOTrainer`` gets it; with a name or a folder nothing is changed.
    """
    if isinstance(model, str):
        yield
        return
    load = grpo_trainer.create_model_from_path

    def load_or_copy(name: str, **settings: Any) -> Any:
        try:
            return load(name, **settings)
        except (OSError, ValueError) as error:
            logger.warning(f"The reference model is a copy of the given one, as {name!r} cannot be loaded: {error}")
            return reference_model(model)

    grpo_trainer.create_model_from_path = load_or_copy
    try:
        yield
    finally:
        grpo_trainer.create_model_from_path = load
