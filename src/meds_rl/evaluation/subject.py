"""What is evaluated: a model by name, or a run folder with what its recipe says."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meds_rl.runs import RunFolder, RunFolderError

POCKET_MAX_NEW_TOKENS = 96
"""Enough for every wording of the pocket model."""


@dataclass(frozen=True)
class Subject:
    """A model and how it is evaluated unless the user says otherwise.

    Attributes:
        given: what the user wrote.
        location: what is loaded: a hub name, a folder, "pocket:SEED" or "smollm2".
        label: a short name, fit for a folder.
        recipe: fields of the run's recipe; empty where the model is no run's.
    """

    given: str
    location: str
    label: str
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def is_pocket(self) -> bool:
        """Whether it is a shipped pocket model."""
        return self.location.partition(":")[0] == "pocket"


def find_subject(given: str) -> Subject:
    """Find out what the user means.

    Raises:
        ValueError: a run folder without a trained model, or with a recipe that cannot be read.
    """
    folder = Path(given).expanduser()
    if (
        not folder.is_dir()
        or (folder / "config.json").is_file()
        or (folder / "adapter_config.json").is_file()
    ):
        return Subject(given, str(folder) if folder.is_dir() else given, _label(given))
    try:
        RunFolder(folder).check()
    except RunFolderError as error:
        raise ValueError(
            f"{given} holds no model (config.json or adapter_config.json), and no run: {error}"
        ) from None
    model = folder / "model"
    if not model.is_dir():
        raise ValueError(f"the run {given} has no trained model yet: there is no {model}")
    return Subject(given, str(model), _label(given), _recipe(folder))


def _recipe(run: Path) -> dict[str, Any]:
    import yaml

    path = run / "recipe.yaml"
    if not path.is_file():
        return {}
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    if not isinstance(recipe, dict):
        raise ValueError(f"{path} must be a mapping of fields to values")
    if isinstance(recipe.get("task_options"), str):
        try:
            recipe["task_options"] = json.loads(recipe["task_options"])
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: task_options is no JSON: {error}") from None
    return recipe


def _label(given: str) -> str:
    """Folder names as they are, of a path its end: runs/demo/meds gives demo-meds."""
    parts = [part for part in Path(given).parts if part not in ("/", ".", "..", "~", "runs")]
    return re.sub(r"[^\w.-]+", "-", "-".join(parts[-2:])).strip("-.") or "model"
